"""OTLP metric requests to columns of `metric_points`, one row a data point."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

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
from collectors.otlp.columns import METRIC_COLUMNS, Row, to_columns
from collectors.otlp.limits import Limits
from collectors.otlp.resources import NOWHERE, Origin, digest, gpu_uuids, read_resource
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
    rows: list[Row] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)

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


class _RefusedError(ValueError):
    """A point that cannot be kept; the message is the reason."""


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
        for metric in scope_metrics.metrics:
            points = batch.within_cap(metric)
            if not points:
                continue
            if resource_metrics is not read:
                read, origin = resource_metrics, read_resource(resource_metrics.resource, limits)
            first = len(batch.rows)
            _add_points(batch, metric, points, origin, origin.digest + scope_metrics.scope.name.encode())
            if agent is not None:
                batch.rows[first:] = _of_gpu_agent(agent, metric.name, batch.rows[first:])
    return DecodedMetrics(to_columns(METRIC_COLUMNS, batch.rows), len(batch.rows), batch.rejected)


def _add_points(batch: _Batch, metric: Metric, points: Sequence[Any], origin: Origin, salt: bytes) -> None:
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
    read = _READERS[kind]
    for point in points:
        try:
            batch.rows.append(_row(batch, name, point, head, origin, salt, read(point, batch.limits)))
        except _RefusedError as refused:
            batch.rejected[str(refused)] += 1


def _row(batch: _Batch, name: str, point: Any, head: Row, origin: Origin, salt: bytes, numbers: tuple[Any, ...]) -> Row:
    if not name:
        raise _RefusedError("metric without a name")
    at = point.time_unix_nano
    if at < batch.oldest_ns:
        raise _RefusedError("time missing or too old")
    if at > batch.newest_ns:
        raise _RefusedError("time in the future")
    truncated: dict[str, int] = {}
    attributes = read_attributes(point.attributes, batch.limits, truncated).texts
    start = point.start_time_unix_nano
    return (
        name,
        int.from_bytes(digest(attributes, salt), "big"),
        at,
        start if 0 < start <= at else at,
        *head,
        origin.service,
        origin.host or _first(attributes, _HOST_KEYS),
        _gpu(attributes, origin),
        *numbers,
        attributes,
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
    named = gpu_uuids(attributes) or origin.gpu_uuids
    return named[0] if named else ""


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(point: NumberDataPoint, limits: Limits) -> tuple[Any, ...]:
    which = point.WhichOneof("value")
    value = None
    if which is not None and not point.flags & _NO_RECORDED_VALUE:
        value = _finite(float(getattr(point, which)))
    return (value, 0, None, None, None, *_NO_BUCKETS)


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
