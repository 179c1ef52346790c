"""From a rule to its scorer, from a span to a sample, and from a verdict to a stored score."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.conf import settings

from evaluators import registry
from evaluators.calibration.platt import Curve
from evaluators.registry import EVALUATORS
from evaluators.score import Sample, Score, Scorer
from evaluators.signatures import OPERATORS_OWN
from heliograph.evals import judge
from heliograph.evals.arguments import JUDGE, unlisted_models
from heliograph.evals.models import EvaluationRule
from heliograph.query import scores
from heliograph.query.evaluation import EvaluationSpan
from heliograph.query.messages import parse_messages

# Models stay loaded for the life of the worker; what several rules share is loaded once below, in `evaluators`.
_KEPT = 16
# Every scorer can judge this. One that cannot is at fault itself, and not the answers on which it failed.
PROBE = Sample(
    id="probe",
    context="A refund takes five days.",
    question="How long does a refund take?",
    answer="A refund takes five days.",
    extra={"contexts": ["A refund takes five days."], "tools": [], "tool_calls": []},
)


def scorer_of(rule: EvaluationRule) -> Scorer:
    """Return the scorer of a rule, made once. Raises what making it raises: a model that is not to be had, ..."""
    if rule.evaluator == JUDGE:
        # It loads nothing, and an endpoint, its key and its prices may be changed at any time.
        given = judge.settings_of(rule.project_id, rule.endpoint, rule.template)
        return registry.create(JUDGE, **{**rule.arguments, **given})
    return local_scorer(rule.evaluator, rule.arguments)


def local_scorer(evaluator: str, arguments: Mapping[str, Any]) -> Scorer:
    """Return the scorer of an evaluator that runs here, made once. Raises what making it raises.

    Raises ValueError for a model that the operator does not list: the list may be shorter than when the arguments were
    saved.
    """
    if unlisted := unlisted_models(arguments):
        raise ValueError(" ".join(unlisted))
    return _made(evaluator, json.dumps(dict(arguments), sort_keys=True))


@lru_cache(maxsize=_KEPT)
def _made(evaluator: str, arguments: str) -> Scorer:
    return registry.create(evaluator, **{**operators_own(evaluator), **json.loads(arguments)})


def operators_own(evaluator: str) -> dict[str, Any]:
    """Return what the settings of this installation say of an evaluator: its device, its default model."""
    own: dict[str, Any] = {}
    if not EVALUATORS[evaluator].is_light:
        own["device"] = None if settings.EVALUATOR_DEVICE == "auto" else settings.EVALUATOR_DEVICE
    if evaluator == "groundedness":
        own["model"] = settings.GROUNDEDNESS_MODEL or None
    elif evaluator in {"answer_relevance", "context_relevance"}:
        own["model"] = settings.EMBEDDING_MODEL or None
    assert own.keys() <= OPERATORS_OWN | {"model"}
    return own


def sample_of(span: EvaluationSpan) -> Sample:
    """Return what an evaluator is given of a span."""
    documents = [document.content for document in span.documents]
    extra: dict[str, Any] = {"contexts": documents}
    tools = _tools(span.tools)
    if tools is not None:
        extra |= {"tools": tools, "tool_calls": _tool_calls(span.output)}
    return Sample(
        id=span.span_id,
        context="\n\n".join(documents),
        question=span.question,
        answer=span.answer,
        extra=extra,
    )


def lacks(evaluator: str, sample: Sample) -> bool:
    """Whether there is nothing to judge: no context to be grounded in, no tools that could have been called."""
    parts = {"context": sample.context, "question": sample.question}
    return any(not parts.get(need, need in sample.extra) for need in EVALUATORS[evaluator].needs)


def row_of(rule: EvaluationRule, span: EvaluationSpan, verdict: Score, scorer: Scorer) -> scores.Score:
    """Return a verdict as it is stored: under a key of rule name and span, so that a second one replaces it.

    Of a rule with a curve the value is the calibrated probability, and the details keep the evaluator's own; its label
    stays, since thresholds are of the evaluator's own values.
    """
    value, revision, details = verdict.value, scorer.revision, dict(verdict.details)
    if rule.curve and value is not None:
        curve = Curve(rule.curve["slope"], rule.curve["intercept"], rule.curve["on_log_odds"])
        details["uncalibrated"] = value
        value = curve.probability(value)
        revision = f"{revision}~{rule.curve['calibration']}"
    return scores.Score(
        score_id=score_id(rule.name, span.trace_id, span.span_id),
        trace_id=span.trace_id,
        span_id=span.span_id,
        session_id=span.session_id,
        time_ns=span.start_ns,
        name=rule.name,
        value=value,
        label=verdict.label or "",
        explanation=verdict.explanation,
        details=json.dumps(details, default=str),
        source="evaluator",
        evaluator=scorer.name,
        evaluator_revision=revision,
        evaluator_arguments=json.dumps(dict(scorer.arguments), default=str),
        service=span.service,
        release=span.release,
        model=span.model,
    )


def score_id(name: str, trace_id: str, span_id: str) -> str:
    """Return the key of a rule's verdict on a span."""
    return hashlib.sha256("\n".join((trace_id, span_id, name)).encode()).hexdigest()[:32]


def _tools(stored: str) -> list[Any] | None:
    if not stored:
        return None
    try:
        tools = json.loads(stored)
    except (ValueError, RecursionError):  # it was cut at its cap
        return None
    return tools if isinstance(tools, list) else None


def _tool_calls(output: str) -> list[dict[str, Any]]:
    parts = (part for message in parse_messages(output) for part in message.parts)
    return [
        {"name": part.get("name"), "arguments": part.get("arguments", {})}
        for part in parts
        if part.get("type") == "tool_call"
    ]
