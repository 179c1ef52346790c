"""OTLP/gRPC against a real collector, with OpenTelemetry's conventions for errors."""

import grpc
import pytest
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.ingest.senders import logs_request, metrics_request, trace_request

SERVICES = "opentelemetry.proto.collector"
TRACES = (f"/{SERVICES}.trace.v1.TraceService/Export", ExportTraceServiceRequest, ExportTraceServiceResponse)
METRICS = (f"/{SERVICES}.metrics.v1.MetricsService/Export", ExportMetricsServiceRequest, ExportMetricsServiceResponse)
LOGS = (f"/{SERVICES}.logs.v1.LogsService/Export", ExportLogsServiceRequest, ExportLogsServiceResponse)


def export(stack, tenant, request, service=TRACES, *, metadata=None, compression=None):
    path, kind, response = service
    serialize = kind.SerializeToString if isinstance(request, kind) else bytes
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(stack.grpc, options) as channel:
        call = channel.unary_unary(path, serialize, response.FromString)
        sent = [*tenant.headers.items()] if metadata is None else metadata
        return call(request, metadata=sent, timeout=180, compression=compression)


def refusal(stack, tenant, request, **kwargs) -> tuple[grpc.StatusCode, Status]:
    with pytest.raises(grpc.RpcError) as raised:
        export(stack, tenant, request, **kwargs)
    details = dict(raised.value.trailing_metadata())["grpc-status-details-bin"]
    return raised.value.code(), Status.FromString(details)


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_an_answered_export_is_stored(stack, tenant, compression):
    assert export(stack, tenant, trace_request(3), compression=compression) == ExportTraceServiceResponse()
    assert stack.counts(tenant) == (3, 3, 3)


def test_metrics_and_logs_are_stored_too(stack, tenant):
    export(stack, tenant, metrics_request(), METRICS)
    export(stack, tenant, logs_request(), LOGS)
    for table in ("metric_points", "log_records"):
        assert stack.query(f"SELECT count() FROM {table} WHERE project_id = %(p)s", p=tenant.id) == [(1,)]


def test_an_export_over_http_and_grpc_is_counted_once(stack, tenant):
    request = trace_request(4)
    export(stack, tenant, request)
    export(stack, tenant, request)
    assert stack.counts(tenant) == (4, 4, 4)


def test_a_message_above_grpcs_own_limit_of_four_mebibytes_is_taken(stack, tenant):
    request = trace_request(1)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for number in range(10):
        span.attributes.add(key=f"text.{number}").value.string_value = "a" * 900_000
    assert export(stack, tenant, request) == ExportTraceServiceResponse()
    assert stack.counts(tenant) == (1, 1, 1)


def test_a_wrong_key_is_unauthenticated(stack, tenant):
    code, status = refusal(stack, tenant, trace_request(), metadata=[("authorization", "Bearer hg_wrong")])
    assert (code, status.code) == (grpc.StatusCode.UNAUTHENTICATED, code_pb2.UNAUTHENTICATED)
    assert "Unknown, revoked or expired API key" in status.message


def test_a_keyless_export_from_this_machine_goes_to_the_default_project(stack):
    before = stack.counts(stack.default)[0]
    export(stack, stack.default, trace_request(2))
    assert stack.counts(stack.default)[0] == before + 2


def test_a_malformed_message_is_an_invalid_argument_and_nothing_is_stored(stack, tenant):
    code, status = refusal(stack, tenant, b"\xff\xff not protobuf")
    assert (code, status.code) == (grpc.StatusCode.INVALID_ARGUMENT, code_pb2.INVALID_ARGUMENT)
    assert not status.details
    assert stack.counts(tenant) == (0, 0, 0)


def test_a_span_that_cannot_be_kept_is_a_partial_success(stack, tenant):
    request = trace_request(2)
    request.resource_spans[0].scope_spans[0].spans[1].span_id = b"short"
    assert export(stack, tenant, request).partial_success.rejected_spans == 1
    assert stack.counts(tenant) == (1, 1, 1)
