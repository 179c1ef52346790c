"""Two sides of live traffic in numbers: sums by hash bucket, and the spans that were worst.

- `side_sums(project_id, chosen, names, scores, *, stored=None) -> dict[str, BucketRows]`
- `side_values(project_id, chosen, name, *, buckets, limit) -> tuple[list[float], list[int]]`, where sums do not do
- `of_traces(project_id, trace_ids, name) -> dict[str, float]`: cost or TTFT of traces, such as those of an experiment
- `worst(project_id, chosen, name, *, limit=10) -> list[WorstSpan]`

The unit is the session, or the trace where there is none: the rows of a unit share its bucket, whichever side they are
on and whenever they came. Scores are those of spans.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from heliograph.clickhouse import client
from heliograph.query.filters import SpanFilter, put, to_ns

# Of a side, the rows of one question; a bucket is a row, so the answer is small whatever the traffic.
MAX_BUCKETS = 4_096
# Ids of one question: 35 characters each, below ClickHouse's max_query_size (256 KiB).
TRACES_ASKED = 4_000


@dataclass(frozen=True, slots=True)
class Stored:
    """Spans that were stored at or after `from_us` and before `to_us`, microseconds since the epoch."""

    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class BucketRows:
    """Rows and totals by bucket, and the ends of the values; of a metric compared by logarithms, of those."""

    buckets: tuple[int, ...]
    n: tuple[int, ...]
    total: tuple[float, ...]
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class WorstSpan:
    """A span, its value of a metric, and the beginning of its texts."""

    trace_id: str
    span_id: str
    start_ns: int
    value: float
    input_preview: str
    output_preview: str


# Name -> (value, where it has one). Latency by its logarithm; what is 0 or missing has no ratio.
_VALUES = {
    "errors": ("toFloat64(status = 'error')", "1"),
    "latency": ("log(toFloat64(assumeNotNull(duration_ns)))", "duration_ns > 0"),
    "ttft": ("log(toFloat64(assumeNotNull(ttft_ns)))", "ttft_ns > 0"),
    "input_tokens": ("toFloat64(assumeNotNull(input_tokens))", "input_tokens IS NOT NULL"),
    "output_tokens": ("toFloat64(assumeNotNull(output_tokens))", "output_tokens IS NOT NULL"),
    "cost": ("toFloat64(assumeNotNull(cost))", "cost IS NOT NULL"),
}
NAMES = tuple(_VALUES)

_UNIT = "modulo(cityHash64(if(session_id != '', session_id, trace_id)), %(count)s)"

SIDE = """
SELECT {unit} AS bucket, {columns}
FROM spans
WHERE project_id = %(project_id)s AND {where}
GROUP BY bucket
ORDER BY bucket
LIMIT {most}
"""

# The same spans whenever it is asked, and of a unit any: a hash of the span says which.
SIDE_VALUES = """
SELECT {unit} AS bucket, {value} AS value
FROM spans
WHERE project_id = %(project_id)s AND {where} AND {condition}
ORDER BY cityHash64(trace_id, span_id)
LIMIT %(limit)s
"""

OF_TRACES = """
SELECT trace_id, {value} AS value
FROM spans
WHERE project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN (
        SELECT arrayJoin(minutes) FROM traces WHERE project_id = %(project_id)s AND trace_id IN %(trace_ids)s
    )
    AND trace_id IN %(trace_ids)s AND {condition}
GROUP BY trace_id
LIMIT %(limit)s
"""

SCORES_OF_SIDE = """
SELECT p.bucket AS bucket, count() AS n, sum(s.mean) AS total, min(s.mean) AS low, max(s.mean) AS high
FROM (
    SELECT trace_id, span_id, {unit} AS bucket
    FROM spans
    WHERE project_id = %(project_id)s AND {where}
) AS p
INNER JOIN (
    SELECT trace_id, span_id, avg(assumeNotNull(value)) AS mean
    FROM scores FINAL
    WHERE project_id = %(project_id)s AND name = %(score)s AND value IS NOT NULL AND span_id != ''
        AND time >= fromUnixTimestamp64Nano(%(scored_from)s, 'UTC')
        AND time < fromUnixTimestamp64Nano(%(scored_to)s, 'UTC')
    GROUP BY trace_id, span_id
) AS s ON s.trace_id = p.trace_id AND s.span_id = p.span_id
GROUP BY bucket
ORDER BY bucket
LIMIT {most}
"""

WORST = """
SELECT
    trace_id, span_id, toUnixTimestamp64Nano(start_time) AS start_ns, {value} AS value, input_preview, output_preview
FROM spans
WHERE project_id = %(project_id)s AND {where} AND {condition}
ORDER BY value DESC, start_time DESC, span_id
LIMIT %(limit)s
"""

WORST_SCORED = """
SELECT
    p.trace_id AS trace_id, p.span_id AS span_id, toUnixTimestamp64Nano(p.start_time) AS start_ns, s.mean AS value,
    p.input_preview AS input_preview, p.output_preview AS output_preview
FROM (
    SELECT trace_id, span_id, start_time, input_preview, output_preview
    FROM spans
    WHERE project_id = %(project_id)s AND {where}
) AS p
INNER JOIN (
    SELECT trace_id, span_id, avg(assumeNotNull(value)) AS mean
    FROM scores FINAL
    WHERE project_id = %(project_id)s AND name = %(score)s AND value IS NOT NULL AND span_id != ''
        AND time >= fromUnixTimestamp64Nano(%(scored_from)s, 'UTC')
        AND time < fromUnixTimestamp64Nano(%(scored_to)s, 'UTC')
    GROUP BY trace_id, span_id
) AS s ON s.trace_id = p.trace_id AND s.span_id = p.span_id
ORDER BY value {order}, start_time DESC, span_id
LIMIT %(limit)s
"""


def side_sums(
    project_id: int,
    chosen: SpanFilter,
    names: Sequence[str],
    scores: Sequence[str],
    *,
    buckets: int,
    stored: Stored | None = None,
) -> dict[str, BucketRows]:
    """Return the sums of metrics (NAMES) and of scores by name, the latter as `score.NAME`, over the spans of a side.

    Without a kind in the filter, those of model calls. `buckets` is the number of buckets. `stored` narrows to spans
    by the time at which they were stored.
    """
    if not 1 <= buckets <= MAX_BUCKETS:
        raise ValueError(f"1 to {MAX_BUCKETS} buckets, not {buckets}")
    where, parameters = _where(chosen, stored)
    parameters["count"] = buckets
    found: dict[str, BucketRows] = {}
    if names:
        columns = ", ".join(_columns(name) for name in names)
        sql = put(SIDE, unit=_UNIT, columns=columns, where=where, most=str(MAX_BUCKETS))
        rows = client.query(project_id, sql, parameters, tag="comparison.side")
        for name in names:
            found[name] = _sums(rows, f"{name}_")
    for name in scores:
        sql = put(SCORES_OF_SIDE, unit=_UNIT, where=where, most=str(MAX_BUCKETS))
        rows = client.query(project_id, sql, parameters | _scored(chosen, name), tag="comparison.scores")
        found[f"score.{name}"] = _sums(rows, "")
    return found


def side_values(
    project_id: int, chosen: SpanFilter, name: str, *, buckets: int, limit: int
) -> tuple[list[float], list[int]]:
    """Return (values, buckets) of `latency` or `ttft`, in nanoseconds, of a side; of more than `limit`, a sample."""
    where, parameters = _where(chosen, None)
    value, condition = _VALUES[name]
    sql = put(SIDE_VALUES, unit=_UNIT, value=_without_logarithm(value), condition=condition, where=where)
    parameters |= {"count": buckets, "limit": limit}
    rows = client.query_columns(project_id, sql, parameters, tag="comparison.values")
    return [float(each) for each in rows.get("value", [])], [int(each) for each in rows.get("bucket", [])]


def of_traces(project_id: int, trace_ids: Iterable[str], name: Literal["cost", "ttft"]) -> dict[str, float]:
    """Return what traces cost together in USD, or the least time to a first token in nanoseconds, where known."""
    value, condition = {
        "cost": ("toFloat64(sum(cost))", "cost IS NOT NULL"),
        "ttft": ("toFloat64(min(ttft_ns))", "ttft_ns > 0"),
    }[name]
    wanted = list(trace_ids)
    found: dict[str, float] = {}
    for first in range(0, len(wanted), TRACES_ASKED):
        part = tuple(wanted[first : first + TRACES_ASKED])
        sql = put(OF_TRACES, value=value, condition=condition)
        parameters = {"trace_ids": part, "limit": len(part)}
        rows = client.query(project_id, sql, parameters, tag="comparison.of_traces")
        found |= {row["trace_id"]: float(row["value"]) for row in rows}
    return found


def worst(
    project_id: int, chosen: SpanFilter, name: str, *, higher_is_better: bool, limit: int = 10
) -> list[WorstSpan]:
    """Return the spans of a side with the worst values of a metric of NAMES, or of the score after `score.`."""
    where, parameters = _where(chosen, None)
    parameters["limit"] = limit
    if name in _VALUES:
        value, condition = _VALUES[name]
        # A logarithm orders as its number does, and people read the number.
        value = _without_logarithm(value)
        condition = "status = 'error'" if name == "errors" else condition
        sql = put(WORST, where=where, value=value, condition=condition)
    else:
        sql = put(WORST_SCORED, where=where, order="ASC" if higher_is_better else "DESC")
        parameters |= _scored(chosen, name.removeprefix("score."))
    rows = client.query(project_id, sql, parameters, tag="comparison.worst")
    return [WorstSpan(**row) for row in rows]


def _where(chosen: SpanFilter, stored: Stored | None) -> tuple[str, dict[str, object]]:
    chosen = chosen if chosen.kind else replace(chosen, kind=("llm",))
    where, parameters = chosen.where()
    if stored is not None:
        where += (
            " AND received_at >= fromUnixTimestamp64Micro(%(stored_from)s, 'UTC')"
            " AND received_at < fromUnixTimestamp64Micro(%(stored_to)s, 'UTC')"
        )
        parameters = parameters | {"stored_from": stored.from_us, "stored_to": stored.to_us}
    return where, dict(parameters)


def _without_logarithm(value: str) -> str:
    return value.removeprefix("log(").removesuffix(")") if value.startswith("log(") else value


def _columns(name: str) -> str:
    value, condition = _VALUES[name]
    return (
        f"countIf({condition}) AS {name}_n, sumIf({value}, {condition}) AS {name}_total,"
        f" minIf({value}, {condition}) AS {name}_low, maxIf({value}, {condition}) AS {name}_high"
    )


def _scored(chosen: SpanFilter, score: str) -> dict[str, object]:
    # A score stands at the time of the span that it judges.
    near = chosen.range.widened(timedelta(hours=1))
    return {"score": score, "scored_from": to_ns(near.start), "scored_to": to_ns(near.end)}


def _sums(rows: list[dict[str, object]], prefix: str) -> BucketRows:
    given = [row for row in rows if row[f"{prefix}n"]]

    def column(name: str) -> list[float]:
        return [float(str(row[prefix + name])) for row in given]

    return BucketRows(
        tuple(int(str(row["bucket"])) for row in given),
        tuple(int(value) for value in column("n")),
        tuple(column("total")),
        min(column("low"), default=None),
        max(column("high"), default=None),
    )
