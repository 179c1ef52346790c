"""OTLP requests as senders make them."""

import itertools
import secrets
import time

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_numbers = itertools.count()


def trace_request(spans: int = 1, *, start_ns: int = 0) -> ExportTraceServiceRequest:
    """Return a request with one trace of that many spans, the first of them its root."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    attribute = resource_spans.resource.attributes.add(key="service.name")
    attribute.value.string_value = "tests"
    scope_spans = resource_spans.scope_spans.add()
    trace_id, root = secrets.token_bytes(16), secrets.token_bytes(8)
    start = start_ns or time.time_ns()
    for number in range(spans):
        scope_spans.spans.add(
            trace_id=trace_id,
            span_id=root if number == 0 else secrets.token_bytes(8),
            parent_span_id=b"" if number == 0 else root,
            name=f"span {next(_numbers)}",
            start_time_unix_nano=start + number,
            end_time_unix_nano=start + number + 1_000,
        )
    return request


def metrics_request() -> ExportMetricsServiceRequest:
    """Return a request with one gauge point."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="tests.gauge", unit="1")
    metric.gauge.data_points.add(time_unix_nano=time.time_ns(), as_double=0.5)
    return request


def logs_request() -> ExportLogsServiceRequest:
    """Return a request with one log record."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=time.time_ns())
    record.body.string_value = "hello"
    return request
