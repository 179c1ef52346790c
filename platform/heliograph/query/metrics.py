"""OTLP metrics as series over time.

- `names(project_id, range) -> list[MetricName]`
- `query_metric(project_id, name, range, *, group_by=(), aggregate="avg", step_s=None, filters=None) -> MetricResult`

Gauges and up-down counters take avg, min, max, sum and last; counters take rate and increase. `sum` adds the series'
means, so that the memory of eight GPUs is the host's. A counter that falls, or whose start time moves past the point
before, has been reset: what it shows then was counted since. Short ranges are answered from the points, long ones from
the 1-minute rollup (`source` says which), where a mean is over each minute's last value. Histograms take rate
(observations a second), increase (observations) and avg (their sum over their count).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from heliograph.clickhouse import client
from heliograph.query import metrics_sql as statements
from heliograph.query.filters import Clause, InvalidFilterError, Parameters, TimeRange, put
from heliograph.query.overview import step_for

Aggregate = Literal["avg", "min", "max", "sum", "last", "rate", "increase"]
# Up to here the points of a metric of 100 GPUs at one a second are some two million: a second's scan.
RAW_RANGE = timedelta(hours=6)
# Columns; every other name is an attribute of the point.
_COLUMNS = ("service", "host", "gpu_uuid")
MAX_GROUP_BY = 5
MAX_FILTERS = 20
MAX_POINTS = 20_000
# A counter's first point in the range is compared with the one before it, at most this long ago.
_LOOK_BACK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class MetricName:
    """A metric that has points in the range. `type` is gauge, sum, histogram, exponential_histogram or summary."""

    name: str
    unit: str
    type: str


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """A value for the bucket that starts at `start_s` (epoch seconds)."""

    start_s: int
    value: float


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """The points of one group, in time order; a bucket without a measurement has no point."""

    labels: dict[str, str]
    points: tuple[MetricPoint, ...]


@dataclass(frozen=True, slots=True)
class MetricResult:
    """The answer, with what was asked: `unit` is the values', so a rate's ends in `/s`."""

    name: str
    unit: str
    type: str
    aggregate: str
    step_s: int
    source: Literal["points", "rollup"]
    series: tuple[MetricSeries, ...]


@dataclass(frozen=True, slots=True)
class _Kind:
    unit: str
    type: str
    temporality: str
    is_monotonic: bool

    @property
    def is_histogram(self) -> bool:
        return self.type in ("histogram", "exponential_histogram", "summary")

    @property
    def aggregates(self) -> tuple[str, ...]:
        if self.is_histogram:
            return ("rate", "increase", "avg")
        is_counter = self.type == "sum" and (self.is_monotonic or self.temporality == "delta")
        return ("rate", "increase") if is_counter else ("avg", "min", "max", "sum", "last")


@dataclass(frozen=True, slots=True)
class _Question:
    project_id: int
    span: TimeRange
    kind: _Kind
    is_raw: bool
    labels: str
    matching: str
    parameters: Parameters

    def ask(self, aggregate: str, value: str = "value") -> list[dict[str, Any]]:
        """Return rows of labels, start_s and value; `value` is the column that is aggregated."""
        if aggregate in statements.ACROSS_COUNTERS:
            sql, parameters = self._counter(value)
            sql = put(sql, across=statements.ACROSS_COUNTERS[aggregate])
        else:
            sql, parameters = self._gauge()
            sql = put(sql, across=statements.ACROSS_GAUGES[aggregate])
        rows = client.query(
            self.project_id, put(sql, labels=self.labels), self.parameters | parameters, tag="metrics.query"
        )
        if len(rows) > MAX_POINTS:
            message = f"would give more than {MAX_POINTS} points: take a longer step or fewer groups"
            raise InvalidFilterError("step", message)
        return rows

    def _gauge(self) -> Clause:
        time, parameters = _between(self.span, "time" if self.is_raw else "minute")
        sql = statements.GAUGE_POINTS if self.is_raw else statements.GAUGE_MINUTES
        return put(sql, time=time, where=self.matching), parameters

    def _counter(self, value: str) -> Clause:
        # A counter's first point in the range counts from the one before the range.
        looking_back = self.kind.temporality != "delta"
        span = TimeRange(self.span.start - _LOOK_BACK, self.span.end) if looking_back else self.span
        time, parameters = _between(span, "time" if self.is_raw else "minute")
        steps = self._steps()
        sql = put(put(statements.COUNTER_BUCKETS, steps=steps), time=time, where=self.matching, value=value)
        return sql, parameters | {"from_s": self.span.start_ns // 10**9 // self.step_s * self.step_s}

    def _steps(self) -> str:
        if self.kind.temporality == "delta":
            return statements.DELTA_STEPS
        return statements.CUMULATIVE_STEPS if self.is_raw else statements.CUMULATIVE_MINUTES

    @property
    def step_s(self) -> int:
        return int(str(self.parameters["step_s"]))


def names(project_id: int, span: TimeRange) -> list[MetricName]:
    """Return the metrics that have points in the range, by name."""
    time, parameters = _between(span, "time")
    rows = client.query(project_id, put(statements.METRIC_NAMES, time=time), parameters, tag="metrics.names")
    return [MetricName(**row) for row in rows]


def query_metric(
    project_id: int,
    name: str,
    span: TimeRange,
    *,
    group_by: Sequence[str] = (),
    aggregate: Aggregate | None = None,
    step_s: int | None = None,
    filters: Mapping[str, str] | None = None,
) -> MetricResult | None:
    """Return one metric over time, or None where it has no point in the range.

    `group_by` and `filters` name `service`, `host`, `gpu_uuid` or an attribute of the points. Without an aggregate a
    counter or histogram is given as its rate, anything else as its mean. Raises InvalidFilterError for an aggregate
    that the metric's type has not, or more than MAX_POINTS points.
    """
    _check(group_by, aggregate, filters or {})
    time, parameters = _between(span, "time")
    sql = put(statements.METRIC_KIND, time=time)
    kinds = client.query(project_id, sql, parameters | {"metric": name}, tag="metrics.kind")
    if not kinds:
        return None
    kind = _Kind(**kinds[0])
    chosen = aggregate or kind.aggregates[0]
    if chosen not in kind.aggregates:
        raise InvalidFilterError("aggregate", f"of {name} ({kind.type}) may be {', '.join(kind.aggregates)}")
    is_raw = span.end - span.start <= RAW_RANGE or kind.temporality == "delta" or kind.is_histogram
    step = _step(step_s, span, is_raw)
    labels, parameters = _labels(group_by)
    matching, more = _matching(filters or {})
    parameters |= more | {"metric": name, "step_s": step, "limit": MAX_POINTS + 1}
    question = _Question(project_id, span, kind, is_raw, labels, matching, parameters)
    rows = _histogram_rows(question, chosen) if kind.is_histogram else question.ask(chosen)
    source: Literal["points", "rollup"] = "points" if is_raw else "rollup"
    return MetricResult(name, _unit(kind, chosen), kind.type, chosen, step, source, _series(group_by, rows))


def _histogram_rows(question: _Question, aggregate: str) -> list[dict[str, Any]]:
    if aggregate != "avg":
        return question.ask(aggregate, "toFloat64(count)")
    counts = {
        (tuple(row["labels"]), row["start_s"]): row["value"] for row in question.ask("increase", "toFloat64(count)")
    }
    sums = question.ask("increase", "sum")
    keyed = ((row, counts.get((tuple(row["labels"]), row["start_s"]))) for row in sums)
    return [row | {"value": row["value"] / count} for row, count in keyed if count]


def _unit(kind: _Kind, aggregate: str) -> str:
    counted = "{observation}" if kind.is_histogram and aggregate != "avg" else kind.unit
    return f"{counted}/s" if aggregate == "rate" else counted


def _step(step_s: int | None, span: TimeRange, is_raw: bool) -> int:
    if step_s is None:
        return step_for(span, 240)
    if not 1 <= step_s <= 7 * 86_400:
        raise InvalidFilterError("step", "must be from one second to a week")
    if not is_raw and step_s % 60:
        raise InvalidFilterError("step", f"must be whole minutes over more than {RAW_RANGE}")
    return step_s


def _check(group_by: Sequence[str], aggregate: str | None, filters: Mapping[str, str]) -> None:
    if aggregate is not None and aggregate not in get_args(Aggregate):
        raise InvalidFilterError("aggregate", f"must be one of {', '.join(get_args(Aggregate))}")
    if len(group_by) > MAX_GROUP_BY:
        raise InvalidFilterError("group_by", f"may name at most {MAX_GROUP_BY}")
    if len(filters) > MAX_FILTERS:
        raise InvalidFilterError("filter", f"may be given at most {MAX_FILTERS} times")


def _label(name: str, parameter: str) -> Clause:
    if name in _COLUMNS:
        return f"toString({name})", {}
    return f"attributes[%({parameter})s]", {parameter: name}


def _labels(group_by: Sequence[str]) -> Clause:
    parts = [_label(name, f"label_{number}") for number, name in enumerate(group_by)]
    parameters: Parameters = {}
    for _, more in parts:
        parameters |= more
    return (f"[{', '.join(sql for sql, _ in parts)}]" if parts else "emptyArrayString()"), parameters


def _matching(filters: Mapping[str, str]) -> Clause:
    sql, parameters = "1", Parameters()
    for number, (name, value) in enumerate(filters.items()):
        label, more = _label(name, f"filter_{number}")
        sql += f" AND {label} = %(filter_value_{number})s"
        parameters |= more | {f"filter_value_{number}": value}
    return sql, parameters


def _between(span: TimeRange, column: str) -> Clause:
    return (
        f"{column} >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')"
        f" AND {column} < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')",
        {"start_ns": span.start_ns, "end_ns": span.end_ns},
    )


def _series(group_by: Sequence[str], rows: Sequence[dict[str, Any]]) -> tuple[MetricSeries, ...]:
    points: dict[tuple[str, ...], list[MetricPoint]] = {}
    for row in rows:
        points.setdefault(tuple(row["labels"]), []).append(MetricPoint(row["start_s"], row["value"]))
    return tuple(
        MetricSeries(dict(zip(group_by, labels, strict=True)), tuple(found)) for labels, found in points.items()
    )
