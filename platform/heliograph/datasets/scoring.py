"""Evaluators on an experiment's results. Only a worker imports this: evaluators bring torch.

A batch's verdicts are written to the store under fixed ids, then to the results; a crash in between judges the batch
again and writes the same rows.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evaluators import registry
from evaluators.judges.errors import JudgeAwayError
from evaluators.score import Sample, Scorer
from evaluators.score import Score as Verdict
from heliograph.datasets.models import Experiment, Result
from heliograph.datasets.targets import text_of
from heliograph.evals import judge
from heliograph.evals.arguments import JUDGE
from heliograph.evals.models import JudgeEndpoint, JudgeTemplate
from heliograph.evals.online.scorers import local_scorer
from heliograph.query import scores
from heliograph.query.filters import to_ns

logger = logging.getLogger(__name__)

BATCH = 64
_EXPLANATION_CHARACTERS = 2_000
_REASON_CHARACTERS = 500


def score_batch(experiment: Experiment) -> int:
    """Judge the next results that wait for it; return how many.

    Raises StoreError, what the making of a scorer raises, and JudgeAwayError where a judge answers nobody.
    """
    waiting = list(
        experiment.results.filter(is_scored=False).select_related("row__content").order_by("position")[:BATCH]
    )
    if not waiting:
        return 0
    samples = [sample_of(result) for result in waiting]
    rows = [row for result in waiting for row in _sent(experiment, result)]
    for entry in experiment.evaluators:
        scorer = _scorer_of(experiment, entry)
        verdicts = _judged(scorer, samples)
        for result, verdict in zip(waiting, verdicts, strict=True):
            result.scores[entry["name"]] = _stored(verdict)
            rows.append(_row(experiment, result, entry["name"], verdict, scorer))
    scores.write_scores(experiment.project_id, rows, experiment.project.effective_retention_days)
    for result in waiting:
        result.is_scored = True
    Result.objects.bulk_update(waiting, ["scores", "is_scored"])
    return len(waiting)


def summarize(experiment: Experiment) -> dict[str, Any]:
    """Return the mean of each score, how many results have and lack a value, and of a judge with prices its cost."""
    sums: dict[str, list[float]] = {}
    unscored: dict[str, int] = {}
    usd: dict[str, float] = {}
    for found in experiment.results.values_list("scores", flat=True).iterator(chunk_size=1_000):
        for name, verdict in found.items():
            sums.setdefault(name, [])
            if verdict.get("value") is None:
                unscored[name] = unscored.get(name, 0) + 1
            else:
                sums[name].append(float(verdict["value"]))
            if "usd" in verdict:
                usd[name] = usd.get(name, 0.0) + verdict["usd"]
    return {
        name: {
            "mean": sum(values) / len(values) if values else None,
            "scored": len(values),
            "unscored": unscored.get(name, 0),
            **({"usd": usd[name]} if name in usd else {}),
        }
        for name, values in sums.items()
    }


def sample_of(result: Result) -> Sample:
    """Return a result as evaluators read it: the row's metadata and expected answer are in `extra`."""
    content = result.row.content
    extra: dict[str, Any] = dict(content.metadata)
    expected = content.expected
    if expected is not None:
        is_texts = isinstance(expected, list) and all(isinstance(each, str) for each in expected)
        extra["expected"] = expected if is_texts else text_of(expected)
        # What a pairwise judge compares with, where the row's metadata name no other answer.
        extra.setdefault("baseline_answer", text_of(expected))
    if isinstance(content.context, list) and all(isinstance(each, str) for each in content.context):
        extra["contexts"] = content.context
    if isinstance(result.output, dict) and "tool_calls" in result.output:
        extra["tool_calls"] = result.output["tool_calls"]
    return Sample(
        id=result.key,
        context=text_of(content.context),
        question=_question(content.input),
        answer=text_of(result.output),
        extra=extra,
    )


def _question(given: Any) -> str:
    """Return the last thing a user said, where the input is a chat."""
    turns = given.get("messages") if isinstance(given, dict) else given
    if isinstance(turns, list):
        said = [turn for turn in turns if isinstance(turn, dict) and turn.get("role") == "user"]
        if said:
            return text_of(said[-1].get("content"))
    return text_of(given)


def _scorer_of(experiment: Experiment, entry: Mapping[str, Any]) -> Scorer:
    if entry["evaluator"] != JUDGE:
        return local_scorer(entry["evaluator"], entry["arguments"])
    # It loads nothing, and an endpoint, its key and its prices may be changed at any time.
    endpoint = JudgeEndpoint.objects.filter(project=experiment.project_id, pk=entry["endpoint"]).first()
    template = None
    if "template" in entry:
        template = JudgeTemplate.objects.get(project=experiment.project_id, pk=entry["template"])
    given = judge.settings_of(experiment.project_id, endpoint, template)
    return registry.create(JUDGE, **{**entry["arguments"], **given})


def _judged(scorer: Scorer, samples: Sequence[Sample]) -> list[Verdict]:
    """Judge a batch; where that fails, each on its own, so that one row spoils no other."""
    try:
        return scorer.score(samples)
    except JudgeAwayError:
        # It would not answer one by one either, and nothing was judged.
        raise
    except Exception:  # whatever an evaluator raises on some sample: it is told on the row that it is about
        logger.warning("%s failed on a batch; it judges one by one", scorer.name, exc_info=True)
    return [_judged_alone(scorer, sample) for sample in samples]


def _judged_alone(scorer: Scorer, sample: Sample) -> Verdict:
    try:
        return scorer.score([sample])[0]
    except Exception as error:  # noqa: BLE001  # as above
        return Verdict.unscored(f"{scorer.name} failed: {type(error).__name__}: {error}"[:_REASON_CHARACTERS])


def _stored(verdict: Verdict) -> dict[str, Any]:
    stored = {
        "value": verdict.value,
        "label": verdict.label or "",
        "explanation": verdict.explanation[:_EXPLANATION_CHARACTERS],
    }
    usd = verdict.details.get("usage", {}).get("usd")
    return stored if usd is None else stored | {"usd": usd}


def _row(experiment: Experiment, result: Result, name: str, verdict: Verdict, scorer: Scorer) -> scores.Score:
    return replace(
        _score(experiment, result, name, _stored(verdict)),
        explanation=verdict.explanation,
        details=json.dumps(_plain(verdict.details), ensure_ascii=False) if verdict.details else "",
        source="evaluator",
        evaluator=scorer.name,
        evaluator_revision=scorer.revision,
        evaluator_arguments=json.dumps(_plain(scorer.arguments), ensure_ascii=False),
    )


def _sent(experiment: Experiment, result: Result) -> list[scores.Score]:
    """Return the scores that came with a result, from the user's own function."""
    own = {entry["name"] for entry in experiment.evaluators}
    return [_score(experiment, result, name, found) for name, found in result.scores.items() if name not in own]


def _score(experiment: Experiment, result: Result, name: str, found: Mapping[str, Any]) -> scores.Score:
    return scores.Score(
        # One a run, row and name, whenever it is written.
        score_id=f"experiment-{experiment.pk}-{result.row_id}",
        trace_id=result.trace_id,
        span_id=result.span_id,
        dataset_item_id=result.row.item_id,
        time_ns=to_ns(result.created_at),
        name=name,
        value=found["value"],
        label=found["label"],
        explanation=found["explanation"],
        source="api",
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
