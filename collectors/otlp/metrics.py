"""OTLP metric requests to columns of `metric_points`, one row a data point."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)

from collectors import gpu_agents
from collectors.otlp.body import ContentType, each_scope, read_body
from collectors.otlp.columns import METRIC_COLUMNS, Row
from collectors.otlp.limits import Limits
from collectors.otlp.resources import GPU_KEYS, NOWHERE, Origin, digest, gpu_uuids, read_resource
from collectors.otlp.values import read_attributes
from collectors.semconv.convert import MAX_LABEL_CHARS, label

_TEMPORALITY = ("", "delta", "cumulative")
# DataPointFlags: the series has ended; there is no value.
_NO_RECORDED_VALUE = 1
# Where a point names its host: OpenTelemetry's key, then dcgm-exporter's label, before and after 2026-05.
_HOST_KEYS = ("host.name", "Hostname", "hostname")
# Of one point: a histogram carries one a bucket at most, and its first buckets tell enough.
_MAX_EXEMPLARS = 64
_NO_BUCKETS: tuple[Any, ...] = ([], [], None, 0, 0, [], 0, [])
# What a gauge or sum has not: count, sum, min, max and buckets.
_NO_STATISTICS: tuple[Any, ...] = (0, None, None, None, *_NO_BUCKETS)
# A metric of a GPU has a dozen series at most; of a sender with thousands each is read once a point, as it comes.
_REMEMBERED_SERIES = 16
# Series of earlier requests: sixty of each of a thousand GPUs. One of ten attributes takes two kilobytes, at the caps
# six (all: 400 MB); what is longer is read each time. An empty attribute has no bytes, and takes a place all the same.
# Rows share the attributes, and nobody changes these in place.
_MAX_KNOWN_SERIES = 65_536
_MAX_KNOWN_BYTES = 512
_MAX_KNOWN_PAIRS = 32
# Salt of the digest, host, GPUs and caps: whatever a series depends on beside its own attributes.
_Base = tuple[bytes, str, tuple[str, ...], Limits]


@dataclass(frozen=True, slots=True)
class DecodedMetrics:
    """Columns of equal length, named as in METRIC_COLUMNS, and how many points were refused, by reason."""

    columns: dict[str, list[Any]]
    accepted: int
    rejected: Counter[str]


@dataclass(slots=True)
class _Batch:
    limits: Limits
    oldest_ns: int
    newest_ns: int
    seen: int = 0
    columns: list[list[Any]] = field(default_factory=lambda: [[] for _ in METRIC_COLUMNS])
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows in the order of METRIC_COLUMNS."""
        for column, values in zip(self.columns, zip(*rows, strict=True), strict=False):
            column.extend(values)

    def within_cap(self, metric: Metric) -> Sequence[Any]:
        """A metric's points that the cap on points, good and bad, leaves room for; the rest is refused."""
        kind = metric.WhichOneof("data")
        if kind is None:
            return ()
        points = getattr(metric, kind).data_points
        room = max(self.limits.max_metric_points - self.seen, 0)
        self.seen += len(points)
        if len(points) > room:
            reason = f"more than {self.limits.max_metric_points} points in one request"
            self.rejected[reason] += len(points) - room
            return tuple(points[:room])
        return tuple(points)


class _Series(NamedTuple):
    """What points with the same attributes share."""

    id: int
    host: str
    gpu: str
    attributes: dict[str, str]


class _RefusedError(ValueError):
    """A point that cannot be kept; the message is the reason."""


class _KnownSeries:
    """Series of earlier requests, by what they depend on beside their attributes, and by these as they came."""

    def __init__(self) -> None:
        self._of: dict[_Base, dict[tuple[bytes, ...], _Series]] = {}
        self._count = 0

    def of(self, base: _Base) -> dict[tuple[bytes, ...], _Series]:
        """Return what is known of a resource and scope."""
        return self._of.get(base, {})

    def add(self, base: _Base, texts: tuple[bytes, ...], series: _Series) -> dict[tuple[bytes, ...], _Series]:
        """Keep one more and return all of its resource and scope; where there are too many, all are forgotten."""
        if self._count >= _MAX_KNOWN_SERIES:
            self._of.clear()
            self._count = 0
        known = self._of.get(base)
        if known is None:
            known = self._of[base] = {}
            self._count += 1
        known[texts] = series
        self._count += 1
        return known


_KNOWN = _KnownSeries()


class _SeriesOf:
    """The series of a scope's points. Senders repeat their attributes in each point and in each request, and a metric
    has few series."""

    def __init__(self, limits: Limits, origin: Origin, salt: bytes) -> None:
        self._limits = limits
        self._origin = origin
        self._salt = salt
        self._seen: list[tuple[Any, _Series]] = []
        self._none: _Series | None = None
        self._base: _Base = (salt, origin.host, tuple(origin.gpu_uuids), limits)
        self._is_short = len(salt) + len(origin.host) + sum(map(len, origin.gpu_uuids)) <= _MAX_KNOWN_BYTES
        self._known = _KNOWN.of(self._base)

    def begin(self) -> None:
        """Begin another metric."""
        self._seen.clear()

    def of(self, pairs: Any) -> _Series:
        """Return the series that a point's attributes name."""
        if not pairs:
            if self._none is None:
                self._none = self._find(pairs)
            return self._none
        for known, series in self._seen:
            if known == pairs:
                return series
        found = self._find(pairs)
        if len(self._seen) < _REMEMBERED_SERIES:
            self._seen.append((pairs, found))
        return found

    def _find(self, pairs: Any) -> _Series:
        """The series as an earlier request had it, else read."""
        texts = tuple([pair.SerializeToString() for pair in pairs])
        series = self._known.get(texts)
        if series is None:
            series = self._read(pairs)
            if self._is_short and len(texts) <= _MAX_KNOWN_PAIRS and sum(map(len, texts)) <= _MAX_KNOWN_BYTES:
                self._known = _KNOWN.add(self._base, texts, series)
        return series

    def _read(self, pairs: Any) -> _Series:
        truncated: dict[str, int] = {}
        attributes = read_attributes(pairs, self._limits, truncated).texts
        return _Series(
            int.from_bytes(digest(attributes, self._salt), "big"),
            self._origin.host or _first(attributes, _HOST_KEYS),
            _gpu(attributes, self._origin),
            attributes,
        )


def decode(body: bytes, *, content_type: ContentType, limits: Limits, now_ns: int) -> DecodedMetrics:
    """Decode an ExportMetricsServiceRequest.

    Times are nanoseconds since the epoch; a point that states no start has its own time as `start_time`. `series` is a
    64-bit hash of resource, scope and point attributes, the same in every process. A summary's `bounds` are its
    quantiles followed by as many values. A point that cannot be kept is counted in `rejected` by its reason. Raises
    Malformed where the body as a whole is unreadable.
    """
    request = ExportMetricsServiceRequest()
    batch = _Batch(limits, limits.oldest_ns(now_ns), limits.newest_ns(now_ns))
    unreadable = read_body(body, request, content_type)
    if unreadable:
        batch.rejected["unreadable point: a value does not fit its field"] = unreadable
    read, origin = None, NOWHERE
    for resource_metrics, scope_metrics in each_scope(
        request.resource_metrics, "scope_metrics", limits.max_metric_points
    ):
        agent = gpu_agents.agent_of(scope_metrics.scope.name, (metric.name for metric in scope_metrics.metrics))
        series: _SeriesOf | None = None
        for metric in scope_metrics.metrics:
            points = batch.within_cap(metric)
            if not points:
                continue
            if resource_metrics is not read:
                read, origin = resource_metrics, read_resource(resource_metrics.resource, limits)
            if series is None:
                series = _SeriesOf(limits, origin, origin.digest + scope_metrics.scope.name.encode())
            series.begin()
            _add_points(batch, metric, points, origin, series, agent)
    columns = dict(zip(METRIC_COLUMNS, batch.columns, strict=True))
    return DecodedMetrics(columns, len(columns["metric"]), batch.rejected)


def _add_points(
    batch: _Batch,
    metric: Metric,
    points: Sequence[Any],
    origin: Origin,
    series: _SeriesOf,
    agent: gpu_agents.Agent | None,
) -> None:
    kind = metric.WhichOneof("data") or ""
    data = getattr(metric, kind)
    temporality = getattr(data, "aggregation_temporality", 0)
    head = (
        kind,
        metric.unit[:MAX_LABEL_CHARS],
        _TEMPORALITY[temporality] if 0 <= temporality < len(_TEMPORALITY) else "",
        bool(getattr(data, "is_monotonic", False)),
    )
    name = metric.name[:MAX_LABEL_CHARS]
    if not name:
        batch.rejected["metric without a name"] += len(points)
        return
    if kind in ("gauge", "sum") and agent is None and not any(point.exemplars for point in points):
        _add_numbers(batch, name, points, head, origin, series)
        return
    read = _READERS[kind]
    rows: list[Row] = []
    for point in points:
        try:
            rows.append(_row(batch, name, point, head, origin, series, read(point, batch.limits)))
        except _RefusedError as refused:
            batch.rejected[str(refused)] += 1
    batch.add(rows if agent is None else _of_gpu_agent(agent, metric.name, rows))


def _add_numbers(
    batch: _Batch, name: str, points: Sequence[NumberDataPoint], head: Row, origin: Origin, of: _SeriesOf
) -> None:
    """Add the points of a gauge or sum: what all of them share is repeated, not read for each."""
    times: list[int] = []
    starts: list[int] = []
    values: list[float | None] = []
    series: list[_Series] = []
    for point in points:
        at = point.time_unix_nano
        if not batch.oldest_ns <= at <= batch.newest_ns:
            batch.rejected[_untimely(batch, at)] += 1
            continue
        start = point.start_time_unix_nano
        times.append(at)
        starts.append(start if 0 < start <= at else at)
        values.append(_value(point))
        series.append(of.of(point.attributes))
    count = len(times)
    shared: list[list[Any]] = [[each] * count for each in head]
    rest: list[list[Any]] = [[each] * count for each in _NO_STATISTICS]
    ids, hosts, gpus, attributes = map(list, zip(*series, strict=True)) if series else ([], [], [], [])
    nothing: list[list[Any]] = [[[]] * count] * 4
    parts = [[name] * count, ids, times, starts, *shared, [origin.service] * count, hosts, gpus, values, *rest]
    for column, part in zip(batch.columns, [*parts, attributes, [origin.texts] * count, *nothing], strict=True):
        column.extend(part)


def _untimely(batch: _Batch, at: int) -> str:
    return "time missing or too old" if at < batch.oldest_ns else "time in the future"


def _row(
    batch: _Batch, name: str, point: Any, head: Row, origin: Origin, of: _SeriesOf, numbers: tuple[Any, ...]
) -> Row:
    at = point.time_unix_nano
    if not batch.oldest_ns <= at <= batch.newest_ns:
        raise _RefusedError(_untimely(batch, at))
    start = point.start_time_unix_nano
    series = of.of(point.attributes)
    return (
        name,
        series.id,
        at,
        start if 0 < start <= at else at,
        *head,
        origin.service,
        series.host,
        series.gpu,
        *numbers,
        series.attributes,
        origin.texts,
        *_exemplars(point),
    )


def _exemplars(point: Any) -> tuple[list[Any], ...]:
    """Times, values, trace ids and span ids of a point's exemplars."""
    found = getattr(point, "exemplars", None)
    if not found:
        return [], [], [], []
    kept = [
        (each.time_unix_nano, float(getattr(each, each.WhichOneof("value"))), each.trace_id.hex(), each.span_id.hex())
        for each in found[:_MAX_EXEMPLARS]
        if each.WhichOneof("value") and each.time_unix_nano < 2**63
    ]
    kept = [each for each in kept if math.isfinite(each[1])]
    return (
        [each[0] for each in kept],
        [each[1] for each in kept],
        [each[2] for each in kept],
        [each[3] for each in kept],
    )


def _of_gpu_agent(agent: gpu_agents.Agent, name: str, rows: list[Row]) -> list[Row]:
    """Return the rows of another GPU agent's metric as they came, and after them the same as our agent says it."""
    rule = gpu_agents.rule_of(agent, name)
    kept_name = gpu_agents.kept_name(agent, name)
    kept: list[Row] = []
    ours: list[Row] = []
    for row in rows:
        named = dict(zip(METRIC_COLUMNS, row, strict=True))
        named["metric"] = kept_name
        named["gpu_uuid"] = named["gpu_uuid"] or gpu_agents.gpu_of(agent, named["attributes"])
        kept.append(tuple(named.values()))
        value = gpu_agents.value_of(rule, named["value"]) if rule else None
        if rule is None or value is None:
            continue
        attributes = named["attributes"] | rule.attributes | {gpu_agents.AGENT: agent}
        ours.append(
            tuple(
                (
                    named
                    | {
                        "metric": rule.name,
                        "unit": rule.unit,
                        "value": value,
                        "type": "sum" if rule.is_counter else "gauge",
                        "temporality": "cumulative" if rule.is_counter else "",
                        "is_monotonic": rule.is_counter,
                        "attributes": attributes,
                    }
                ).values()
            )
        )
    return kept + ours


def _first(attributes: dict[str, str], keys: Iterable[str]) -> str:
    return next((text for key in keys if (text := label(attributes.get(key))) is not None), "")


def _gpu(attributes: dict[str, str], origin: Origin) -> str:
    named = [] if attributes.keys().isdisjoint(GPU_KEYS) else gpu_uuids(attributes)
    return next(iter(named or origin.gpu_uuids), "")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _value(point: NumberDataPoint) -> float | None:
    which = point.WhichOneof("value")
    if which is None or point.flags & _NO_RECORDED_VALUE:
        return None
    value = point.as_double if which == "as_double" else float(point.as_int)
    return value if math.isfinite(value) else None


def _number(point: NumberDataPoint, limits: Limits) -> tuple[Any, ...]:
    return (_value(point), *_NO_STATISTICS)


def _statistics(point: HistogramDataPoint | ExponentialHistogramDataPoint) -> tuple[Any, ...]:
    """count, sum, min, max: what the sender did not state is None."""
    return (
        point.count,
        _finite(point.sum) if point.HasField("sum") else None,
        _finite(point.min) if point.HasField("min") else None,
        _finite(point.max) if point.HasField("max") else None,
    )


def _histogram(point: HistogramDataPoint, limits: Limits) -> tuple[Any, ...]:
    bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
    if len(counts) > limits.max_buckets:
        raise _RefusedError(f"more than {limits.max_buckets} buckets in a histogram")
    if counts and len(counts) != len(bounds) + 1:
        raise _RefusedError("histogram whose buckets do not fit its bounds")
    if any(math.isnan(bound) for bound in bounds) or sorted(bounds) != bounds:
        raise _RefusedError("histogram whose bounds do not rise")
    return (None, *_statistics(point), bounds if counts else [], counts, None, 0, 0, [], 0, [])


def _exponential_histogram(point: ExponentialHistogramDataPoint, limits: Limits) -> tuple[Any, ...]:
    positive, negative = point.positive, point.negative
    if len(positive.bucket_counts) + len(negative.bucket_counts) > limits.max_buckets:
        raise _RefusedError(f"more than {limits.max_buckets} buckets in a histogram")
    return (
        None,
        *_statistics(point),
        [],
        [],
        point.scale,
        point.zero_count,
        positive.offset,
        list(positive.bucket_counts),
        negative.offset,
        list(negative.bucket_counts),
    )


def _summary(point: SummaryDataPoint, limits: Limits) -> tuple[Any, ...]:
    pairs = [(each.quantile, each.value) for each in point.quantile_values[: limits.max_buckets]]
    # A quantile of an empty window is NaN, which no chart can draw.
    pairs = [pair for pair in pairs if all(map(math.isfinite, pair))]
    bounds = [quantile for quantile, _ in pairs] + [value for _, value in pairs]
    return (None, point.count, _finite(point.sum), None, None, bounds, [], None, 0, 0, [], 0, [])


_READERS: dict[str, Callable[[Any, Limits], tuple[Any, ...]]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential_histogram,
    "summary": _summary,
}
