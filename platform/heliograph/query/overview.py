"""The overview's numbers, from the 1-minute rollup alone: their cost grows with time and variety, not with traffic.

- `summary(project_id, filter) -> Summary`: the range, and the equally long range before it
- `series(project_id, filter, *, buckets=120) -> list[Point]`: the same measures over time
- `breakdown(project_id, filter, by, *, limit=50) -> list[Group]`: by service, model, environment, release, ...

A request is a root span, and errors and latency are the requests'. Where the filter picks a kind, a model or a
provider, which roots lack, or the breakdown is by one of these, every matching span counts instead. Tokens, cost and
time to first token come from all spans. Ranges are widened to whole minutes. Quantiles are t-digest estimates.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

from heliograph.clickhouse import client
from heliograph.query.filters import InvalidFilterError, RollupFilter, TimeRange, put
from heliograph.query.paging import check_limit

Dimension = Literal["service", "environment", "release", "provider", "model", "adapter", "kind", "operation"]
_CALL_DIMENSIONS = frozenset({"provider", "model", "adapter", "kind", "operation"})
# Steps that a clock face knows; seconds.
_STEPS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800)
# A chart is at most about this many pixels of lines wide.
MAX_BUCKETS = 1_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The numbers of a set of spans; latencies in ns, None where nothing was measured.

    `cost` in USD is a lower bound where `unpriced_count` is above 0.
    """

    requests: int
    errors: int
    latency_p50_ns: float | None
    latency_p95_ns: float | None
    latency_p99_ns: float | None
    ttft_p50_ns: float | None
    ttft_p95_ns: float | None
    ttft_p99_ns: float | None
    llm_calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    reasoning_tokens: int
    cost: Decimal
    unpriced_count: int

    @property
    def error_rate(self) -> float | None:
        """Errors over requests, None without requests."""
        return self.errors / self.requests if self.requests else None

    @property
    def known_cost(self) -> Decimal | None:
        """The cost, or None where usage was seen and none of it could be priced."""
        return None if self.unpriced_count and not self.cost else self.cost


@dataclass(frozen=True, slots=True)
class Summary:
    """The range and the one before; `change` compares them."""

    range: TimeRange
    current: Measures
    previous: Measures

    def change(self, measure: str) -> float | None:
        """Return the relative change of one measure, such as 0.25 for a quarter more; None without a base."""
        now, before = getattr(self.current, measure), getattr(self.previous, measure)
        return float(now) / float(before) - 1 if now is not None and before else None


@dataclass(frozen=True, slots=True)
class Point:
    """One bucket of time; `start_s` in epoch seconds."""

    start_s: int
    step_s: int
    measures: Measures


@dataclass(frozen=True, slots=True)
class Group:
    """The measures of one value of a dimension."""

    value: str
    measures: Measures


_MEASURES = """
    sumIf(r.spans, {counted}) AS requests,
    sumIf(r.errors, {counted}) AS errors,
    quantilesTDigestMergeIf(0.5, 0.95, 0.99)(r.duration, {counted}) AS latency,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(r.ttft) AS ttft,
    sumIf(r.spans, r.kind = 'llm') AS llm_calls,
    sum(r.input_tokens) AS input_tokens,
    sum(r.output_tokens) AS output_tokens,
    sum(r.cache_read_tokens) AS cache_read_tokens,
    sum(r.reasoning_tokens) AS reasoning_tokens,
    sum(r.cost) AS cost,
    sum(r.unpriced_count) AS unpriced_count"""

TOTALS = """
SELECT {measures}
FROM span_rollups_1m AS r
WHERE r.project_id = %(project_id)s AND {where}
"""

SERIES = """
SELECT intDiv(toUnixTimestamp(r.minute), %(step_s)s) * %(step_s)s AS start_s, {measures}
FROM span_rollups_1m AS r
WHERE r.project_id = %(project_id)s AND {where}
GROUP BY start_s
ORDER BY start_s
"""

BREAKDOWN = """
SELECT r.{dimension} AS value, {measures}
FROM span_rollups_1m AS r
WHERE r.project_id = %(project_id)s AND {where} AND r.{dimension} != ''
GROUP BY value
ORDER BY requests DESC, value
LIMIT %(limit)s
"""


def summary(project_id: int, chosen: RollupFilter) -> Summary:
    """Return the measures of the range and of the range before it."""
    return Summary(chosen.range.whole_minutes(), _totals(project_id, chosen), _totals(project_id, chosen.previous()))


def series(project_id: int, chosen: RollupFilter, *, buckets: int = 120) -> list[Point]:
    """Return the measures in time order, a point for every bucket: empty ones have counts of 0 and no latency."""
    span = chosen.range.whole_minutes()
    step = step_for(span, buckets)
    where, parameters = chosen.where()
    sql = put(SERIES, measures=measures_sql(chosen.picks_calls), where=where)
    rows = client.query(project_id, sql, parameters | {"step_s": step}, tag="overview.series")
    found = {row.pop("start_s"): read_measures(row) for row in rows}
    first = span.start_ns // 10**9 // step * step
    return [Point(at, step, found.get(at, _EMPTY)) for at in range(first, span.end_ns // 10**9, step)]


def breakdown(project_id: int, chosen: RollupFilter, by: Dimension, *, limit: int = 50) -> list[Group]:
    """Return the measures by the values of a dimension, most requests first; spans without a value are left out."""
    if by not in get_args(Dimension):
        raise InvalidFilterError("by", f"must be one of {', '.join(get_args(Dimension))}")
    check_limit(limit)
    where, parameters = chosen.where()
    calls = chosen.picks_calls or by in _CALL_DIMENSIONS
    sql = put(BREAKDOWN, measures=measures_sql(calls), where=where, dimension=by)
    rows = client.query(project_id, sql, parameters | {"limit": limit}, tag="overview.breakdown")
    return [Group(row.pop("value"), read_measures(row)) for row in rows]


def step_for(span: TimeRange, buckets: int) -> int:
    """Return the smallest round step in seconds that cuts the range into at most `buckets` parts."""
    if not 1 <= buckets <= MAX_BUCKETS:
        raise InvalidFilterError("buckets", f"must be from 1 to {MAX_BUCKETS}")
    return next(
        (step for step in _STEPS if span.seconds / step <= buckets), int(span.seconds / buckets) // 60 * 60 + 60
    )


def _totals(project_id: int, chosen: RollupFilter) -> Measures:
    where, parameters = chosen.where()
    sql = put(TOTALS, measures=measures_sql(chosen.picks_calls), where=where)
    return read_measures(client.query(project_id, sql, parameters, tag="overview.totals")[0])


def measures_sql(calls: bool) -> str:
    """Return the columns of `Measures` over rows of the rollup, alias r, counting roots or every span (`calls`)."""
    return put(_MEASURES, counted="1" if calls else "r.is_root")


def read_measures(row: dict[str, Any]) -> Measures:
    """Return a row of `measures_sql` and nothing else as Measures; the row is used up."""
    latency, ttft = ([_number(value) for value in row.pop(name)] for name in ("latency", "ttft"))
    return Measures(
        **row,
        latency_p50_ns=latency[0],
        latency_p95_ns=latency[1],
        latency_p99_ns=latency[2],
        ttft_p50_ns=ttft[0],
        ttft_p95_ns=ttft[1],
        ttft_p99_ns=ttft[2],
    )


def _number(value: float | None) -> float | None:
    """The quantile of nothing is NaN in the store."""
    return None if value is None or value != value else float(value)  # noqa: PLR0124  # the test for NaN


_EMPTY = Measures(
    requests=0,
    errors=0,
    latency_p50_ns=None,
    latency_p95_ns=None,
    latency_p99_ns=None,
    ttft_p50_ns=None,
    ttft_p95_ns=None,
    ttft_p99_ns=None,
    llm_calls=0,
    input_tokens=0,
    output_tokens=0,
    cache_read_tokens=0,
    reasoning_tokens=0,
    cost=Decimal(0),
    unpriced_count=0,
)
