"""One look at a gate on a data set: the rows of two runs, compared pair by pair."""

from collections.abc import Iterable
from typing import Any, Literal

from django.db.models import QuerySet

from evaluators.regression import RegressionResult, compare
from evaluators.regression.gate import correct
from evaluators.regression.quantile import compare_quantiles
from heliograph.datasets import results
from heliograph.datasets.models import Experiment, Result
from heliograph.gates import metrics, report
from heliograph.gates.metrics import Metric
from heliograph.gates.models import Gate
from heliograph.query import comparison

ROWS_SHOWN = 10
# The columns of a result that are metrics; an error is a failed row.
_OF_TRACES: dict[str, Literal["cost", "ttft"]] = {"cost": "cost", "ttft": "ttft"}
_COLUMNS = {"latency": "duration_ms", "input_tokens": "input_tokens", "output_tokens": "output_tokens"}
Pairs = tuple[list[str], list[float], list[float]]


class NotComparableError(Exception):
    """Two runs that cannot be compared; the text says what to do."""


def run(gate: Gate) -> dict[str, Any]:
    """Compare the two runs of a gate. Raises NotComparableError."""
    before, after = gate.baseline_run, gate.candidate_run
    if before is None or after is None:
        raise NotComparableError("One of the two runs was deleted. Choose two runs again.")
    for side in (before, after):
        if side.is_open:
            raise NotComparableError(f"The run {side.name} has not ended; run the gate when it has.")
    compared: dict[str, RegressionResult] = {}
    missing: dict[str, str] = {}
    flipped: dict[str, Any] = {}
    worst: dict[str, Any] = {}
    for metric in metrics.metrics(gate.metrics):
        keys, a, b = pairs(before, after, metric)
        if not keys:
            missing[metric.name] = _why_missing(metric)
            continue
        found = _compared(gate, metric, a, b)
        compared[metric.name] = found
        changed = _changed(keys, a, b, metric)
        worst[metric.name] = _with_traces(after, [row for row in changed if row["worse"]][:ROWS_SHOWN])
        if found.kind == "binary" or metric.score:
            flips = [row for row in changed if row["flipped"]]
            flipped[metric.name] = {
                "worse": sum(row["worse"] for row in flips),
                "better": sum(not row["worse"] for row in flips),
                "rows": _with_traces(after, flips[:ROWS_SHOWN]),
            }
    result = report.result(gate, correct(compared, gate.alpha) if compared else None, missing)
    return result | {"worst": worst, "flipped": flipped, "runs": [before.pk, after.pk]}


def pairs(before: Experiment, after: Experiment, metric: Metric) -> Pairs:
    """Return row keys and the values of a metric in both runs; ratios only where both are above 0."""
    if metric.score:
        return results.paired(before, after, metric.score)
    first, second = (dict(_values(side, metric)) for side in (before, after))
    places = [place for place in second if place in first]
    if metric.kind != "binary":
        places = [place for place in places if first[place] > 0 and second[place] > 0]
    return [key for key, _ in places], [first[place] for place in places], [second[place] for place in places]


def _values(side: Experiment, metric: Metric) -> Iterable[tuple[tuple[str, str], float]]:
    rows = Result.objects.filter(experiment=side).order_by("position")
    if metric.name == "errors":
        for key, content, status in rows.values_list("key", "content_id", "status").iterator(chunk_size=2_000):
            yield (key, str(content)), float(status == Result.Status.ERROR)
        return
    if of_traces := _OF_TRACES.get(metric.column):
        yield from _of_traces(side, rows, of_traces)
        return
    column = _COLUMNS[metric.column]
    given = rows.filter(**{f"{column}__isnull": False}).values_list("key", "content_id", column)
    for key, content, value in given.iterator(chunk_size=2_000):
        yield (key, str(content)), float(value)


def _of_traces(
    side: Experiment, rows: QuerySet[Result], name: Literal["cost", "ttft"]
) -> Iterable[tuple[tuple[str, str], float]]:
    """What the trace of each answer cost, or how soon it began, as the store has it."""
    given = list(rows.exclude(trace_id="").values_list("key", "content_id", "trace_id"))
    known = comparison.of_traces(side.project_id, [trace_id for _, _, trace_id in given], name)
    for key, content, trace_id in given:
        if trace_id in known:
            yield (key, str(content)), known[trace_id]


def _why_missing(metric: Metric) -> str:
    if metric.column == "ttft":
        return (
            "No row has a time to first token in both runs: traces tell it where answers are streamed, and an endpoint"
            " that Heliograph calls is asked for whole answers."
        )
    if metric.column == "cost":
        return "No row has a cost in both runs: the traces are gone, or the model has no price."
    return f"No row has a value of {metric.name} in both runs."


def _compared(gate: Gate, metric: Metric, a: list[float], b: list[float]) -> RegressionResult:
    if metric.quantile is not None:
        return compare_quantiles(a, b, quantile=metric.quantile, margin=metric.margin, alpha=gate.alpha)
    return compare(
        a,
        b,
        margin=metric.margin,
        alpha=gate.alpha,
        kind=_kind(metric),
        higher_is_better=metric.higher_is_better,
    )


def _kind(metric: Metric) -> Any:
    # Pairs are compared by their own ratios; whether a score is pass-or-fail is told from its values.
    if metric.kind == "mean_ratio":
        return "ratio"
    return None if metric.kind == "continuous" else metric.kind


def _changed(keys: list[str], a: list[float], b: list[float], metric: Metric) -> list[dict[str, Any]]:
    """Rows that changed, the worst first."""
    sign = 1 if metric.higher_is_better else -1
    rows = [
        {
            "key": key,
            "baseline": old,
            "candidate": new,
            "worse": sign * (new - old) < 0,
            "flipped": (new >= results.FLIP_AT) != (old >= results.FLIP_AT),
        }
        for key, old, new in zip(keys, a, b, strict=True)
        if old != new
    ]
    return sorted(rows, key=lambda row: sign * (float(row["candidate"]) - float(row["baseline"])))


def _with_traces(side: Experiment, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = side.results.filter(key__in=[row["key"] for row in rows]).values_list("key", "trace_id", "span_id")
    places = {key: (trace_id, span_id) for key, trace_id, span_id in found}
    for row in rows:
        row["trace_id"], row["span_id"] = places.get(row["key"], ("", ""))
    return rows
