"""The overview's numbers, from the 1-minute rollup alone: their cost grows with time and variety, not with traffic.

- `summary(project_id, filter) -> Summary`: the range, and the equally long range before it
- `totals(project_id, filter) -> Measures`: the range alone
- `series(project_id, filter, *, buckets=120) -> list[Point]`: the same measures over time
- `breakdown(project_id, filter, by, *, limit=50) -> list[Group]`: by service, model, environment, release, ...
- `glance(project_id, filter, by, *, limit=50) -> Glance`: the summary and several breakdowns, read in one go

A request is a root span, and errors and latency are the requests'. Where the filter picks a kind, a model or a
provider, which roots lack, or the breakdown is by one of these, every matching span counts instead. Tokens, cost and
time to first token come from all spans. Ranges are widened to whole minutes. Quantiles are t-digest estimates.

Counts, tokens and cost are of what came into the store; traces that tail sampling removed later are among them. What
was sampled before (head rules, or senders that say so in the trace state) is estimated beside them from each span's
adjusted count, the number of spans for which it stands: `unseen_*` is what they stand for beyond themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

from heliograph.clickhouse import client
from heliograph.query.filters import InvalidFilterError, RollupFilter, TimeRange, put
from heliograph.query.paging import check_limit
from heliograph.query.rollup import in_steps, summed

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
    # Per output token after the first, of single calls.
    tpot_p50_ns: float | None
    tpot_p95_ns: float | None
    llm_calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    reasoning_tokens: int
    cost: Decimal
    unpriced_count: int
    unseen_requests: float
    unseen_input_tokens: float
    unseen_output_tokens: float
    unseen_cost: float

    @property
    def sampled_share(self) -> float | None:
        """Which share of the requests, as estimated, is stored; None where all are, as far as anybody says."""
        return self.requests / (self.requests + self.unseen_requests) if self.unseen_requests >= 0.5 else None

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


@dataclass(frozen=True, slots=True)
class Glance:
    """What a page shows at first sight."""

    summary: Summary
    groups: dict[Dimension, list[Group]]


_MEASURES = """
    sumIf(r.spans, {counted}) AS requests,
    sumIf(r.errors, {counted}) AS errors,
    quantilesTDigestMergeIf(0.5, 0.95, 0.99)(r.duration, {counted}) AS latency,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(r.ttft) AS ttft,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(r.tpot) AS tpot,
    sumIf(r.spans, r.kind = 'llm') AS llm_calls,
    sum(r.input_tokens) AS input_tokens,
    sum(r.output_tokens) AS output_tokens,
    sum(r.cache_read_tokens) AS cache_read_tokens,
    sum(r.reasoning_tokens) AS reasoning_tokens,
    sum(r.cost) AS cost,
    sum(r.unpriced_count) AS unpriced_count,
    sumIf(r.unseen_spans, {counted}) AS unseen_requests,
    sum(r.unseen_input_tokens) AS unseen_input_tokens,
    sum(r.unseen_output_tokens) AS unseen_output_tokens,
    sum(r.unseen_cost) AS unseen_cost"""

TOTALS = """
SELECT {measures}
FROM ({summed}) AS r
"""

SERIES = """
SELECT r.start_s AS start_s, {measures}
FROM ({summed}) AS r
GROUP BY start_s
ORDER BY start_s
"""

BREAKDOWN = """
SELECT r.{dimension} AS value, {measures}
FROM ({summed}) AS r
WHERE r.{dimension} != ''
GROUP BY value
ORDER BY requests DESC, value
LIMIT %(limit)s
"""

# The rows of the rollup are read once and summed by all dimensions together; what is left is a row for each
# combination that occurs, and stands for itself in the total and in each breakdown.
GLANCE = """
SELECT part.1 AS by, part.2 AS value, {measures}
FROM ({summed}) AS r
ARRAY JOIN [('', ''){parts}] AS part
WHERE part.1 = '' OR part.2 != ''
GROUP BY by, value
ORDER BY requests DESC, value
LIMIT %(limit)s BY by
"""


def summary(project_id: int, chosen: RollupFilter) -> Summary:
    """Return the measures of the range and of the range before it."""
    return Summary(chosen.range.whole_minutes(), totals(project_id, chosen), totals(project_id, chosen.previous()))


def totals(project_id: int, chosen: RollupFilter) -> Measures:
    """Return the measures of the range alone."""
    rows, parameters = summed(chosen, ("is_root", "kind"))
    sql = put(TOTALS, measures=measures_sql(chosen.picks_calls), summed=rows)
    return read_measures(client.query(project_id, sql, parameters, tag="overview.totals")[0])


def series(project_id: int, chosen: RollupFilter, *, buckets: int = 120) -> list[Point]:
    """Return the measures in time order, a point for every bucket: empty ones have counts of 0 and no latency."""
    span = chosen.range.whole_minutes()
    step = step_for(span, buckets)
    stepped, parameters = in_steps(chosen, ("is_root", "kind"), step)
    sql = put(SERIES, measures=measures_sql(chosen.picks_calls), summed=stepped)
    rows = client.query(project_id, sql, parameters, tag="overview.series")
    found = {row.pop("start_s"): read_measures(row) for row in rows}
    first = span.start_ns // 10**9 // step * step
    return [Point(at, step, found.get(at, _EMPTY)) for at in range(first, span.end_ns // 10**9, step)]


def breakdown(project_id: int, chosen: RollupFilter, by: Dimension, *, limit: int = 50) -> list[Group]:
    """Return the measures by the values of a dimension, most requests first; spans without a value are left out."""
    _check_dimension(by)
    check_limit(limit)
    summed_rows, parameters = summed(chosen, ("is_root", "kind", *(name for name in (by,) if name != "kind")))
    calls = chosen.picks_calls or by in _CALL_DIMENSIONS
    sql = put(BREAKDOWN, measures=measures_sql(calls), summed=summed_rows, dimension=by)
    rows = client.query(project_id, sql, parameters | {"limit": limit}, tag="overview.breakdown")
    return [Group(row.pop("value"), read_measures(row)) for row in rows]


def glance(project_id: int, chosen: RollupFilter, by: Sequence[Dimension], *, limit: int = 50) -> Glance:
    """Return what `summary` and, for each dimension, `breakdown` return: for about the price of two of those."""
    for dimension in by:
        _check_dimension(dimension)
    check_limit(limit)
    # Kinds are told apart anyway.
    rows, parameters = summed(chosen, ("is_root", "kind", *(name for name in dict.fromkeys(by) if name != "kind")))
    sql = put(
        GLANCE,
        measures=put(_MEASURES, counted="1" if chosen.picks_calls else "(r.is_root OR has(%(calls)s, part.1))"),
        summed=rows,
        parts="".join(f", ('{name}', toString(r.{name}))" for name in by),
    )
    asked = parameters | {"limit": limit, "calls": sorted(_CALL_DIMENSIONS.intersection(by))}
    total, groups = _EMPTY, {name: list[Group]() for name in by}
    for row in client.query(project_id, sql, asked, tag="overview.glance"):
        dimension, value = row.pop("by"), row.pop("value")
        measures = read_measures(row)
        if dimension:
            groups[dimension].append(Group(value, measures))
        else:
            total = measures
    return Glance(Summary(chosen.range.whole_minutes(), total, totals(project_id, chosen.previous())), groups)


def _check_dimension(by: str) -> None:
    if by not in get_args(Dimension):
        raise InvalidFilterError("by", f"must be one of {', '.join(get_args(Dimension))}")


def step_for(span: TimeRange, buckets: int) -> int:
    """Return the smallest round step in seconds that cuts the range into at most `buckets` parts."""
    if not 1 <= buckets <= MAX_BUCKETS:
        raise InvalidFilterError("buckets", f"must be from 1 to {MAX_BUCKETS}")
    return next(
        (step for step in _STEPS if span.seconds / step <= buckets), int(span.seconds / buckets) // 60 * 60 + 60
    )


def measures_sql(calls: bool) -> str:
    """Return the columns of `Measures` over rows of the rollup, alias r, counting roots or every span (`calls`)."""
    return put(_MEASURES, counted="1" if calls else "r.is_root")


def read_measures(row: dict[str, Any]) -> Measures:
    """Return a row of `measures_sql` and nothing else as Measures; the row is used up."""
    latency, ttft, tpot = ([_number(value) for value in row.pop(name)] for name in ("latency", "ttft", "tpot"))
    return Measures(
        **row,
        latency_p50_ns=latency[0],
        latency_p95_ns=latency[1],
        latency_p99_ns=latency[2],
        ttft_p50_ns=ttft[0],
        ttft_p95_ns=ttft[1],
        ttft_p99_ns=ttft[2],
        tpot_p50_ns=tpot[0],
        tpot_p95_ns=tpot[1],
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
    tpot_p50_ns=None,
    tpot_p95_ns=None,
    llm_calls=0,
    input_tokens=0,
    output_tokens=0,
    cache_read_tokens=0,
    reasoning_tokens=0,
    cost=Decimal(0),
    unpriced_count=0,
    unseen_requests=0.0,
    unseen_input_tokens=0.0,
    unseen_output_tokens=0.0,
    unseen_cost=0.0,
)
