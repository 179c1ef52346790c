"""One look at a gate on live traffic: the last hours of both sides, compared as two samples."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from evaluators.regression.gate import correct
from evaluators.regression.quantile import compare_quantiles
from evaluators.regression.result import RegressionResult
from evaluators.regression.unpaired import BUCKETS, Sums, compare_unpaired
from heliograph.gates import metrics, report
from heliograph.gates.metrics import Metric
from heliograph.gates.models import Gate
from heliograph.gates.sides import Sides, sides
from heliograph.query import comparison
from heliograph.query.comparison import BucketRows, Stored
from heliograph.query.filters import SpanFilter, TimeRange

WORST_SHOWN = 10
# Values of a side of which a quantile is taken; with 20,000 the 95th percentile is known to 1 % or so.
MOST_VALUES = 20_000


def _compare_quantile(
    gate: Gate, chosen: Sides, metric: Metric, results: dict[str, RegressionResult], missing: dict[str, str]
) -> None:
    (a, in_a), (b, in_b) = (
        comparison.side_values(gate.project_id, side, metric.column, buckets=BUCKETS, limit=MOST_VALUES)
        for side in (chosen.baseline, chosen.candidate)
    )
    if not a or not b:
        none = " and ".join(name for name, side in (("baseline", a), ("candidate", b)) if not side)
        missing[metric.name] = f"The {none} has no value of {metric.column} in this time."
        return
    results[metric.name] = compare_quantiles(
        a,
        b,
        quantile=metric.quantile or 0.0,
        baseline_units=in_a,
        candidate_units=in_b,
        margin=metric.margin,
        alpha=gate.alpha,
    )


def side_of(
    project_id: int, chosen: SpanFilter, compared: list[Metric], stored: Stored | None = None
) -> dict[str, BucketRows]:
    """Return the sums of one side by metric."""
    names = [metric.name for metric in compared if not metric.score and metric.quantile is None]
    scores = [metric.score for metric in compared if metric.score]
    return comparison.side_sums(project_id, chosen, names, scores, buckets=BUCKETS, stored=stored)


def sums_of(rows: BucketRows) -> Sums:
    """Return what was asked of the store as the statistics take it."""
    n, total = np.zeros(BUCKETS), np.zeros(BUCKETS)
    n[list(rows.buckets)], total[list(rows.buckets)] = rows.n, rows.total
    return Sums(n, total)


def scale_of(metric: Metric, *rows: BucketRows) -> float:
    """The range of the values: 1 for shares and for scores within 0 and 1."""
    if metric.kind == "binary":
        return 1.0
    low = min((row.low for row in rows if row.low is not None), default=0.0)
    high = max((row.high for row in rows if row.high is not None), default=1.0)
    if metric.kind == "continuous" and low >= 0 and high <= 1:
        return 1.0
    return max(high - low, 1e-9)


def run(gate: Gate, end: datetime) -> dict[str, Any]:
    """Compare the two sides over the gate's hours before `end`. Raises InvalidFilterError, StoreError."""
    compared = metrics.metrics(gate.metrics)
    span = TimeRange(end - timedelta(hours=gate.hours), end)
    chosen = sides(gate, span)
    before, after = (side_of(gate.project_id, side, compared) for side in (chosen.baseline, chosen.candidate))
    results: dict[str, RegressionResult] = {}
    missing: dict[str, str] = {}
    for metric in compared:
        if metric.quantile is not None:
            _compare_quantile(gate, chosen, metric, results, missing)
            continue
        rows = (before[metric.name], after[metric.name])
        if not all(side.buckets for side in rows):
            none = " and ".join(name for name, side in zip(("baseline", "candidate"), rows, strict=True) if not side.n)
            missing[metric.name] = f"The {none} has no value of {metric.name} in this time."
            continue
        if metric.kind == "mean_ratio" and not all(sum(side.total) > 0 for side in rows):
            missing[metric.name] = f"{metric.name} is 0 on one side, so there is no ratio."
            continue
        results[metric.name] = compare_unpaired(
            sums_of(rows[0]),
            sums_of(rows[1]),
            kind=metric.kind,
            margin=metric.margin,
            alpha=gate.alpha,
            higher_is_better=metric.higher_is_better,
            scale=scale_of(metric, *rows),
        )
    result = report.result(gate, correct(results, gate.alpha) if results else None, missing)
    result["window"] = [span.start.isoformat(), span.end.isoformat()]
    result["worst"] = {
        metric.name: [
            report.worst_span(row)
            for row in comparison.worst(
                gate.project_id,
                chosen.candidate,
                metric.column,
                higher_is_better=metric.higher_is_better,
                limit=WORST_SHOWN,
            )
        ]
        for metric in compared
        if metric.name in results and results[metric.name].verdict != "pass"
    }
    return result
