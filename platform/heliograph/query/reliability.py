"""Whether an evaluator's scores mean what they say: beside what people said of the same spans.

- `reliability(project_id, filter, *, bins=10) -> list[ReliabilityBin]`: of one score name, from 0 to 1

A label is a person's score of the same name on the same span (or trace, where the evaluator judged that): good from
0.5 on. Spans that nobody labelled are left out, so the answer is about those that people looked at. The diagram and the
expected calibration error are those of Guo et al., On Calibration of Modern Neural Networks (ICML 2017).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.clickhouse import client
from heliograph.query.filters import InvalidFilterError, put
from heliograph.query.scores import ScoreFilter, wilson_interval
from heliograph.query.scores_sql import SETTINGS

# A label is good from here on.
GOOD = 0.5

RELIABILITY = """
SELECT
    least(toInt64(floor(said * %(bins)s)), %(bins)s - 1) AS bin,
    count() AS labelled,
    avg(said) AS said_mean,
    countIf(person >= %(good)s) AS good_count
FROM (
    SELECT
        trace_id,
        span_id,
        assumeNotNull(avgIf(value, source = 'evaluator')) AS said,
        assumeNotNull(avgIf(value, source = 'human')) AS person
    FROM scores FINAL
    WHERE project_id = %(project_id)s AND value BETWEEN 0 AND 1 AND source IN ('evaluator', 'human') AND {where}
        -- People label a small part of what evaluators judge.
        AND (trace_id, span_id) IN (
            SELECT trace_id, span_id
            FROM scores
            WHERE project_id = %(project_id)s AND source = 'human' AND {where}
        )
    GROUP BY trace_id, span_id
    HAVING countIf(source = 'evaluator') > 0 AND countIf(source = 'human') > 0
)
GROUP BY bin
ORDER BY bin
{settings}
"""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Spans with like scores: their mean score, and the share that people call good with Wilson's 95 % interval."""

    low: float
    high: float
    labelled: int
    said: float
    good: float
    good_low: float
    good_high: float


def reliability(project_id: int, chosen: ScoreFilter, *, bins: int = 10) -> list[ReliabilityBin]:
    """Return the bins in which there is a label, from low scores to high; empty where nobody labelled anything.

    Raises InvalidFilterError without a score name, or for more than 100 bins.
    """
    if not chosen.name:
        raise InvalidFilterError("score", "needs a name")
    if not 1 <= bins <= 100:
        raise InvalidFilterError("bins", "must be from 1 to 100")
    where, parameters = chosen.where()
    sql = put(RELIABILITY, where=where, settings=SETTINGS)
    rows = client.query(project_id, sql, parameters | {"bins": bins, "good": GOOD}, tag="scores.reliability")
    return [
        ReliabilityBin(
            row["bin"] / bins,
            (row["bin"] + 1) / bins,
            row["labelled"],
            row["said_mean"],
            row["good_count"] / row["labelled"],
            *wilson_interval(row["good_count"], row["labelled"]),
        )
        for row in rows
    ]


def calibration_error(found: Sequence[ReliabilityBin]) -> float | None:
    """Return the expected calibration error, from 0 to 1: how far scores and labels lie apart; None without labels."""
    labelled = sum(each.labelled for each in found)
    if not labelled:
        return None
    return sum(each.labelled * abs(each.said - each.good) for each in found) / labelled
