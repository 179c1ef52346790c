"""Scores that senders send with their telemetry: as attributes of spans, and as `gen_ai.evaluation.result` events.

https://github.com/open-telemetry/semantic-conventions-genai (gen_ai.evaluation.result)
https://github.com/Arize-ai/openinference/blob/main/spec/annotations.md
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from collectors import kernel
from collectors.semconv.convert import from_json, label, python_literal
from collectors.text import to_json, to_text

RESULT = "gen_ai.evaluation.result"
# A body without any of these holds no score, which costs a millisecond in 30 MB to see.
_MARKS = (b"gen_ai.eval", b"annotation", b"evaluation", b"ai.observability.eval", b"masked_entity_count")
# More scores of one span are a mistake in a loop.
MAX_PER_SPAN = 100
_PREFIX = "gen_ai.evaluation."
# OpenLIT's, by the rest of the key.
_OPENLIT = "gen_ai.eval."
_OPENLIT_NAMES = ("answer_relevancy", "context_relevancy", "groundedness")
_TRULENS = ("ai.observability.eval_root.", "ai.observability.eval.")
_OPENINFERENCE = re.compile(
    r"(?:(trace|session)\.)?(?:(?:annotations|evaluations)\.(\d{1,4})\.)?(?:annotation|evaluation)\.(\w+)"
)
_MASKED = "masked_entity_count"
# Words that are a number, where no number came.
_PASSED = {"pass": 1.0, "passed": 1.0, "true": 1.0, "yes": 1.0, "fail": 0.0, "failed": 0.0, "false": 0.0, "no": 0.0}


@dataclass(frozen=True, slots=True)
class SentScore:
    """A score as it was sent. `value` is None where there is none; `label` and `explanation` say more.

    It is about a span, a whole trace (`span_id` ''), a session (`trace_id` '' too), or, with all of these empty, about
    the call that answered with `response_id`. `score_id` is the same however often it is sent.
    """

    score_id: str
    name: str
    value: float | None
    label: str
    explanation: str
    time_ns: int
    trace_id: str = ""
    span_id: str = ""
    session_id: str = ""
    response_id: str = ""
    evaluator: str = ""
    details: str = ""
    is_human: bool = False


@dataclass(frozen=True, slots=True)
class SpanOfScores:
    """What of a stored span decides what its scores are about. `links` are (trace id, span id)."""

    trace_id: str
    span_id: str
    parent_span_id: str
    kind: str
    session_id: str
    start_time: int
    links: Sequence[tuple[str, str]] = ()


def mentions_scores(body: bytes) -> bool:
    """Whether a body may hold a score."""
    native = kernel.active()
    return any(mark in body for mark in _MARKS) if native is None else bool(native.mentions(body, _MARKS))


def scores_of_span(
    span: SpanOfScores, attributes: Mapping[str, str], events: Sequence[tuple[int, str, Mapping[str, str]]]
) -> list[SentScore]:
    """Scores that a span carries in its attributes and events, as texts; at most MAX_PER_SPAN."""
    found: list[SentScore] = []
    if _has_scores(tuple(attributes)):
        found += _of_attributes(span, attributes)
    for position, (at, name, values) in enumerate(events):
        if name == RESULT and (said := _result(values)) is not None:
            identity = _identity(span.trace_id, span.span_id, str(at), str(position), said.name)
            found.append(replace(said, score_id=identity, time_ns=at, trace_id=span.trace_id, span_id=span.span_id))
    return found[:MAX_PER_SPAN]


def score_of_record(
    time_ns: int, record_id: int, trace_id: str, span_id: str, body: str, attributes: Mapping[str, str]
) -> SentScore | None:
    """The score of a log record of the name RESULT; None where it names neither a score nor what it is about.

    The record's span is the evaluated one; without a span, its response id says which.
    """
    parsed = from_json(body)
    said = _result({**attributes, **parsed} if isinstance(parsed, dict) else attributes)
    if said is None or not (said.response_id or trace_id or said.session_id):
        return None
    if span_id:
        said = replace(said, response_id="", session_id="")
    elif said.response_id:
        trace_id = ""
    return replace(
        said, score_id=f"otlp-{record_id:016x}", time_ns=time_ns, trace_id=trace_id, span_id=span_id if trace_id else ""
    )


# Spans of one sender have the same keys; an entry is about 1 kB.
@lru_cache(maxsize=2_048)
def _has_scores(keys: tuple[str, ...]) -> bool:
    starts = (_PREFIX, _OPENLIT, *_TRULENS)
    return any(key.startswith(starts) or key == _MASKED or _OPENINFERENCE.fullmatch(key) for key in keys)


def _of_attributes(span: SpanOfScores, attributes: Mapping[str, str]) -> Iterator[SentScore]:
    for number, (scope, said) in enumerate(_said_in(attributes)):
        placed = _about(span, scope, said)
        identity = _identity(span.trace_id, span.span_id, scope, str(number), said.name)
        yield replace(placed, score_id=identity, time_ns=span.start_time)


def _said_in(attributes: Mapping[str, str]) -> Iterator[tuple[str, SentScore]]:
    """(scope, score) of each way to write one; the scope is '' for a span, 'trace' or 'session'."""
    if (said := _result(attributes)) is not None:
        yield "evaluated", said
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for key, text in attributes.items():
        if (found := _OPENINFERENCE.fullmatch(key)) is not None:
            groups.setdefault((found[1] or "", found[2] or ""), {})[found[3]] = text
        elif key.startswith(_OPENLIT) and key[len(_OPENLIT) :] in _OPENLIT_NAMES:
            yield "", _score(key[len(_OPENLIT) :], text)
        elif key == _MASKED:
            yield "", _masked(attributes.get("guardrail_name", "guardrail"), text)
    for (scope, _), values in groups.items():
        if (name := label(values.get("name"))) is not None:
            made = _score(name, values.get("score"), values.get("label"), values.get("explanation"))
            is_human = values.get("annotator_kind") == "HUMAN"
            evaluator = label(values.get("identifier")) or ""
            yield scope, replace(made, evaluator=evaluator, details=_object(values.get("metadata")), is_human=is_human)
    for prefix in _TRULENS:
        if (name := label(attributes.get(f"{prefix}metric_name"))) is not None and f"{prefix}score" in attributes:
            yield "trace", _score(name, attributes[f"{prefix}score"], None, attributes.get(f"{prefix}explanation"))
            return


def _about(span: SpanOfScores, scope: str, said: SentScore) -> SentScore:
    """What a score of a span's attributes is about: what an evaluator's one link names, else the span itself.

    OpenTelemetry's keys on a span that calls no model are about the call of their response id, else about the parent.
    """
    trace_id, span_id = span.trace_id, span.span_id
    is_carrier = span.kind == "evaluator" and len(span.links) == 1
    if is_carrier:
        trace_id, span_id = span.links[0]
    if scope == "session":
        return replace(said, session_id=span.session_id) if span.session_id else replace(said, trace_id=trace_id)
    if scope == "trace":
        return replace(said, trace_id=trace_id, response_id="")
    if scope == "evaluated" and not is_carrier and span.kind in ("evaluator", "other", "chain"):
        if said.response_id:
            return said
        span_id = span.parent_span_id or span_id
    return replace(said, trace_id=trace_id, span_id=span_id, response_id="")


def _result(values: Mapping[str, Any]) -> SentScore | None:
    """What `gen_ai.evaluation.*` say, None without a name."""
    name = label(values.get(f"{_PREFIX}name"))
    if name is None:
        return None
    explanation = values.get(f"{_PREFIX}explanation")
    failure = label(values.get("error.type"))
    if failure and not explanation:
        explanation = f"the evaluation failed: {failure}"
    made = _score(name, values.get(f"{_PREFIX}score.value"), values.get(f"{_PREFIX}score.label"), explanation)
    return replace(made, response_id=label(values.get("gen_ai.response.id")) or "")


def _score(name: str, value: Any, said: Any = None, explanation: Any = None) -> SentScore:
    text = label(said) or ""
    number = _number(value)
    if number is None:
        number = _PASSED.get(text.lower())
    return SentScore("", name, number, text, "" if explanation is None else to_text(explanation), 0)


def _masked(guardrail: str, text: str) -> SentScore:
    """How much a guardrail of LiteLLM's masked: a number, or a number by kind of what was masked."""
    counts = from_json(text)
    if isinstance(counts, str):
        counts = python_literal(counts) or counts
    if isinstance(counts, dict):
        total = sum(number for each in counts.values() if (number := _number(each)) is not None)
        return replace(_score(f"{guardrail}.masked_entities", total), details=to_json(counts))
    return _score(f"{guardrail}.masked_entities", counts)


def _number(value: Any) -> float | None:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return 1.0 if value.strip().lower() == "true" else 0.0
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _object(text: str | None) -> str:
    """A JSON object as it is, and '' for anything else."""
    try:
        return text if text and isinstance(json.loads(text), dict) else ""
    except (ValueError, RecursionError):
        return ""


def _identity(*parts: str) -> str:
    return "otlp-" + blake2b("\x00".join(parts).encode("utf-8", "replace"), digest_size=12).hexdigest()
