"""Points and events as OTLP messages: one ResourceMetrics for each GPU, so that its attributes are sent once."""

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

SCOPE = "heliograph.gpu_agent"
SEVERITIES = {m.XID: (SEVERITY_NUMBER_ERROR, "ERROR"), m.CRITICAL: (SEVERITY_NUMBER_ERROR, "ERROR")}
SEVERITIES |= {m.LOST: (SEVERITY_NUMBER_ERROR, "ERROR"), m.IS_STUCK: (SEVERITY_NUMBER_WARN, "WARN")}
SEVERITIES |= {m.RESTARTED: (SEVERITY_NUMBER_WARN, "WARN"), m.RESET: (SEVERITY_NUMBER_WARN, "WARN")}
INFO = (SEVERITY_NUMBER_INFO, "INFO")
MAX_TEMPLATES = 4096  # a fleet of 16 GPUs has some hundreds; processes come and go


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
        self._templates: dict[tuple[Metric, Attributes], NumberDataPoint] = {}

    def metrics(self, samples: Iterable[Stamped]) -> tuple[ExportMetricsServiceRequest, int]:
        """A request with all samples and the number of its points."""
        request = ExportMetricsServiceRequest()
        scopes: dict[Entity, ScopeMetrics] = {}
        series: dict[tuple[Entity, Metric], metrics_pb2.Gauge | metrics_pb2.Sum] = {}
        count = 0
        for time_ns, points in samples:
            for entity, metric, value, attributes in points:
                found = series.get((entity, metric))
                if found is None:
                    if entity not in scopes:
                        resource = request.resource_metrics.add()
                        resource.resource.attributes.extend(self._resource(entity))
                        scopes[entity] = resource.scope_metrics.add()
                        scopes[entity].scope.name = SCOPE
                    found = series[entity, metric] = _data(scopes[entity].metrics.add(), metric)
                template = self._template(metric, attributes)
                template.time_unix_nano = time_ns
                if isinstance(value, int):
                    template.as_int = value
                else:
                    template.as_double = value
                found.data_points.append(template)  # copies it, attributes and all
                count += 1
        return request, count

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

    def _template(self, metric: Metric, attributes: Attributes) -> NumberDataPoint:
        """A point of the series to be filled and copied: a third of the cost of building one."""
        found = self._templates.get((metric, attributes))
        if found is None:
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            start = 0 if metric.kind is Kind.GAUGE else self._started_ns
            found = NumberDataPoint(start_time_unix_nano=start, attributes=_key_values(attributes))
            self._templates[metric, attributes] = found
        return found


def _data(message: metrics_pb2.Metric, metric: Metric) -> metrics_pb2.Gauge | metrics_pb2.Sum:
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
