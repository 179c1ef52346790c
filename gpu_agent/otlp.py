"""Points and events as OTLP messages: one ResourceMetrics for each GPU, so that its attributes are sent once."""

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import (
    SEVERITY_NUMBER_ERROR,
    SEVERITY_NUMBER_INFO,
    SEVERITY_NUMBER_WARN,
    SeverityNumber,
)
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, NumberDataPoint, ScopeMetrics

from gpu_agent import metrics as m
from gpu_agent.metrics import EventKind, Kind, Metric
from gpu_agent.provider import Attributes, Entity, Event, Point

# The points of a series differ in time and value only, both of fixed size on the wire: so the rest is encoded once and
# these are packed behind it, which costs a third of building a message for each point. Tags are field number and type:
# data_points of Gauge and Sum; time_unix_nano, as_double and as_int of NumberDataPoint.
POINT_TAG, TIME_TAG, DOUBLE_TAG, INT_TAG = b"\x0a", 3 << 3 | 1, 4 << 3 | 1, 6 << 3 | 1
PACK_DOUBLE, PACK_INT = struct.Struct("<BQBd").pack, struct.Struct("<BQBq").pack
MAX_INT = 2**63 - 1  # a counter beyond it goes as a double
STAMP_SIZE = struct.calcsize("<BQBd")
Data = metrics_pb2.Gauge | metrics_pb2.Sum
SCOPE = "heliograph.gpu_agent"
SEVERITIES = {m.XID: (SEVERITY_NUMBER_ERROR, "ERROR"), m.CRITICAL: (SEVERITY_NUMBER_ERROR, "ERROR")}
SEVERITIES |= {m.LOST: (SEVERITY_NUMBER_ERROR, "ERROR"), m.IS_STUCK: (SEVERITY_NUMBER_WARN, "WARN")}
SEVERITIES |= {m.RESTARTED: (SEVERITY_NUMBER_WARN, "WARN"), m.RESET: (SEVERITY_NUMBER_WARN, "WARN")}
INFO = (SEVERITY_NUMBER_INFO, "INFO")
MAX_PREFIXES = 4096  # a fleet of 16 GPUs has some hundreds; processes come and go


class Stamped(NamedTuple):
    """Points that were read together, and when (ns since the epoch, after the read)."""

    time_ns: int
    points: list[Point]


class StampedEvent(NamedTuple):
    time_ns: int
    event: Event


class Encoder:
    """Turns what was sampled into OTLP requests. `host` is on every resource, `started_ns` starts every sum."""

    def __init__(self, host: Mapping[str, str | int], started_ns: int) -> None:
        self._host = dict(host)
        self._started_ns = started_ns
        self._prefixes: dict[tuple[Metric, Attributes], bytes] = {}

    def metrics(self, samples: Iterable[Stamped]) -> tuple[ExportMetricsServiceRequest, int]:
        """A request with all samples and the number of its points."""
        request = ExportMetricsServiceRequest()
        packed: dict[Entity, dict[Metric, list[bytes]]] = {}
        series: dict[tuple[Entity, Metric, Attributes], tuple[list[bytes], bytes]] = {}
        count = 0
        for time_ns, points in samples:
            for entity, metric, value, attributes in points:
                found = series.get((entity, metric, attributes))
                if found is None:
                    chunks = packed.setdefault(entity, {}).setdefault(metric, [])
                    found = series[entity, metric, attributes] = (chunks, self._prefix(metric, attributes))
                if isinstance(value, int) and -MAX_INT <= value <= MAX_INT:
                    stamp = PACK_INT(TIME_TAG, time_ns, INT_TAG, value)
                else:
                    stamp = PACK_DOUBLE(TIME_TAG, time_ns, DOUBLE_TAG, value)
                found[0].append(found[1] + stamp)
            count += len(points)
        for entity, metrics in packed.items():
            scope = self._scope(request, entity)
            for metric, chunks in metrics.items():
                _data(scope.metrics.add(), metric).MergeFromString(b"".join(chunks))
        return request, count

    def _scope(self, request: ExportMetricsServiceRequest, entity: Entity) -> ScopeMetrics:
        resource = request.resource_metrics.add()
        resource.resource.attributes.extend(self._resource(entity))
        scope = resource.scope_metrics.add()
        scope.scope.name = SCOPE
        return scope

    def logs(self, events: Iterable[StampedEvent]) -> tuple[ExportLogsServiceRequest, int]:
        """A request with all events and their number."""
        grouped: dict[Entity | None, list[StampedEvent]] = {}
        for stamped in events:
            grouped.setdefault(stamped.event.entity, []).append(stamped)
        request = ExportLogsServiceRequest()
        for entity, found in grouped.items():
            resource = request.resource_logs.add()
            resource.resource.attributes.extend(self._resource(entity))
            scope = resource.scope_logs.add()
            scope.scope.name = SCOPE
            for time_ns, event in found:
                record = scope.log_records.add(time_unix_nano=time_ns, observed_time_unix_nano=time_ns)
                record.event_name = event.kind.name
                record.severity_number, record.severity_text = _severity(event.kind)
                record.body.string_value = event.message
                record.attributes.extend(_key_values(event.attributes))
        return request, sum(map(len, grouped.values()))

    def _resource(self, entity: Entity | None) -> list[KeyValue]:
        merged = self._host | (dict(entity.attributes) if entity else {})
        return _key_values(merged.items())

    def _prefix(self, metric: Metric, attributes: Attributes) -> bytes:
        """The encoded point of a series up to its time and value, as an element of `data_points`."""
        found = self._prefixes.get((metric, attributes))
        if found is None:
            if len(self._prefixes) >= MAX_PREFIXES:
                self._prefixes.clear()
            start = 0 if metric.kind is Kind.GAUGE else self._started_ns
            point = NumberDataPoint(start_time_unix_nano=start, attributes=_key_values(attributes)).SerializeToString()
            found = self._prefixes[metric, attributes] = POINT_TAG + _varint(len(point) + STAMP_SIZE) + point
        return found


def _varint(value: int) -> bytes:
    """Protobuf's variable-length integer."""
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def _data(message: metrics_pb2.Metric, metric: Metric) -> Data:
    """Fill in what a metric's points share and return what takes the points."""
    message.name, message.unit, message.description = metric.name, metric.unit, metric.description
    if metric.kind is Kind.GAUGE:
        message.gauge.SetInParent()
        return message.gauge
    message.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    message.sum.is_monotonic = metric.kind is Kind.COUNTER
    return message.sum


def _key_values(pairs: Iterable[tuple[str, str | int]]) -> list[KeyValue]:
    return [
        KeyValue(key=key, value=AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value))
        for key, value in pairs
    ]


def _severity(kind: EventKind) -> tuple["SeverityNumber.ValueType", str]:  # exists in the type stubs only
    return SEVERITIES.get(kind, INFO)
