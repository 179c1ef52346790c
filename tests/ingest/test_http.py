"""OTLP/HTTP against a real collector and a real store."""

import base64
import gzip
import json
import socket
import zlib
from urllib.parse import urlsplit

import brotli
import httpx
import pytest
import zstandard
from django.conf import settings
from google.protobuf.json_format import MessageToDict, Parse
from google.rpc.code_pb2 import INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAUTHENTICATED
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collectors import kernel
from tests.ingest.senders import logs_request, metrics_request, trace_request
from tests.ingest.stack import Stack, Tenant

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


def post(stack: Stack, tenant: Tenant, body, headers=PROTOBUF, path="/v1/traces") -> httpx.Response:
    return httpx.post(stack.http + path, content=body, headers=tenant.headers | headers, timeout=180)


def status_of(response: httpx.Response) -> Status:
    if response.headers["content-type"] == JSON["content-type"]:
        return Parse(response.content, Status())
    assert response.headers["content-type"] == PROTOBUF["content-type"]
    return Status.FromString(response.content)


def json_body(request) -> bytes:
    """Return OTLP/JSON, whose ids are hex where protobuf's own JSON has base64."""
    data = MessageToDict(request)
    for resource_spans, plain in zip(data["resourceSpans"], request.resource_spans, strict=True):
        for scope_spans, plain_scope in zip(resource_spans["scopeSpans"], plain.scope_spans, strict=True):
            for span, plain_span in zip(scope_spans["spans"], plain_scope.spans, strict=True):
                for name, value in (
                    ("traceId", plain_span.trace_id),
                    ("spanId", plain_span.span_id),
                    ("parentSpanId", plain_span.parent_span_id),
                ):
                    span[name] = value.hex()
    return json.dumps(data).encode()


def test_an_answered_export_is_stored_and_counted_everywhere(stack, tenant):
    response = post(stack, tenant, trace_request(3).SerializeToString())
    assert (response.status_code, response.headers["content-type"]) == (200, "application/x-protobuf")
    assert ExportTraceServiceResponse.FromString(response.content) == ExportTraceServiceResponse()
    assert stack.counts(tenant) == (3, 3, 3)


def test_json_ids_are_hex_and_the_answer_is_json(stack, tenant):
    request = trace_request(2)
    response = post(stack, tenant, json_body(request), JSON | {"content-type": "application/json; charset=utf-8"})
    assert (response.status_code, response.headers["content-type"], response.json()) == (200, "application/json", {})
    stored = stack.query("SELECT trace_id, span_id FROM spans WHERE project_id = %(project)s", project=tenant.id)
    sent = [(span.trace_id.hex(), span.span_id.hex()) for span in request.resource_spans[0].scope_spans[0].spans]
    assert sorted(stored) == sorted(sent)


@pytest.mark.parametrize(
    ("path", "request_of", "table"),
    [("/v1/metrics", metrics_request, "metric_points"), ("/v1/logs", logs_request, "log_records")],
)
@pytest.mark.parametrize("headers", [PROTOBUF, JSON], ids=["protobuf", "json"])
def test_metrics_and_logs_are_stored_too(stack, tenant, path, request_of, table, headers):
    request = request_of()
    body = request.SerializeToString() if headers is PROTOBUF else json.dumps(MessageToDict(request)).encode()
    assert post(stack, tenant, body, headers, path).status_code == 200
    assert stack.query(f"SELECT count() FROM {table} WHERE project_id = %(p)s", p=tenant.id) == [(1,)]


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstandard.ZstdCompressor().compress),
        ("br", brotli.compress),
        ("identity", bytes),
    ],
)
def test_every_encoding_is_read(stack, tenant, encoding, compress):
    body = compress(trace_request(2).SerializeToString())
    assert post(stack, tenant, body, PROTOBUF | {"content-encoding": encoding}).status_code == 200
    assert stack.counts(tenant) == (2, 2, 2)


def test_a_chunked_body_without_a_length_is_read(stack, tenant):
    body = trace_request(50).SerializeToString()
    response = post(stack, tenant, (body[place : place + 100] for place in range(0, len(body), 100)))
    assert response.request.headers["transfer-encoding"] == "chunked"
    assert response.status_code == 200
    assert stack.counts(tenant) == (50, 50, 50)


@pytest.mark.parametrize("headers", [PROTOBUF, JSON], ids=["protobuf", "json"])
def test_an_empty_body_is_a_valid_empty_request(stack, tenant, headers):
    response = post(stack, tenant, b"", headers)
    assert (response.status_code, response.content) == (200, b"" if headers is PROTOBUF else b"{}")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (PROTOBUF, b"\xff\xff\xff not protobuf"),
        (PROTOBUF, trace_request(3).SerializeToString()[:-5]),
        (JSON, b'{"resourceSpans": ['),
        (JSON, b"[1, 2]"),
        (PROTOBUF | {"content-encoding": "gzip"}, b"not gzip"),
        (PROTOBUF | {"content-encoding": "gzip"}, gzip.compress(trace_request(9).SerializeToString())[:-20]),
    ],
    ids=["protobuf", "cut protobuf", "json", "another json", "gzip", "cut gzip"],
)
def test_a_malformed_body_is_400_with_the_reason_in_its_own_encoding_and_nothing_is_stored(
    stack, tenant, headers, body
):
    response = post(stack, tenant, body, headers)
    assert response.status_code == 400
    assert response.headers["content-type"] == headers["content-type"]
    assert status_of(response).code == INVALID_ARGUMENT
    assert len(status_of(response).message) > 20
    assert "retry-after" not in response.headers
    assert stack.counts(tenant) == (0, 0, 0)
    assert post(stack, tenant, trace_request(1).SerializeToString()).status_code == 200


def test_a_span_that_cannot_be_kept_costs_its_neighbours_nothing(stack, tenant):
    request = trace_request(3)
    request.resource_spans[0].scope_spans[0].spans[1].trace_id = bytes(16)
    response = post(stack, tenant, request.SerializeToString())
    partial = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert (response.status_code, partial.rejected_spans) == (200, 1)
    assert "trace id" in partial.error_message
    in_json = post(stack, tenant, json_body(request), JSON).json()
    assert in_json["partialSuccess"]["rejectedSpans"] == "1"
    assert stack.counts(tenant) == (2, 2, 2)


@pytest.mark.parametrize("key", ["hg_wrong", "sk-of-somebody-else", "hg_" + "x" * 500])
@pytest.mark.parametrize("headers", [PROTOBUF, JSON], ids=["protobuf", "json"])
def test_a_wrong_key_is_401_even_on_ones_own_machine(stack, key, headers):
    for name, value in (("authorization", f"Bearer {key}"), ("x-api-key", key)):
        response = post(stack, Tenant(0, ""), trace_request().SerializeToString(), headers | {name: value})
        assert (response.status_code, status_of(response).code) == (401, UNAUTHENTICATED)
        assert key not in response.text


def test_a_key_is_taken_from_either_header(stack, tenant):
    body = trace_request().SerializeToString()
    assert post(stack, Tenant(0, ""), body, PROTOBUF | {"x-api-key": tenant.key}).status_code == 200
    assert stack.counts(tenant) == (1, 1, 1)


@pytest.mark.parametrize("path", ["/api/public/otel/v1/traces", "/api/otel/v1/traces", "/otel/v1/traces"])
def test_the_sdks_of_other_vendors_are_served_where_they_post_with_the_key_as_a_password(stack, tenant, path):
    basic = base64.b64encode(f"pk-anything:{tenant.key}".encode()).decode()
    headers = PROTOBUF | {"authorization": f"Basic {basic}"}
    response = post(stack, Tenant(0, ""), trace_request(2).SerializeToString(), headers, path)
    assert (response.status_code, response.content) == (200, b"")
    assert stack.counts(tenant) == (2, 2, 2)


@pytest.mark.parametrize("basic", ["cGs6aGdfd3Jvbmc=", "not base64!", "cGs=", "/////w=="])
def test_basic_credentials_without_a_key_of_ours_open_nothing_but_ones_own_machine(stack, basic):
    headers = PROTOBUF | {"authorization": f"Basic {basic}", "x-forwarded-for": "192.0.2.1"}
    response = post(stack, Tenant(0, ""), trace_request().SerializeToString(), headers)
    assert response.status_code == 401


def test_a_keyless_export_from_this_machine_goes_to_the_default_project(stack):
    before = stack.counts(stack.default)[0]
    assert post(stack, stack.default, trace_request(2).SerializeToString()).status_code == 200
    assert stack.counts(stack.default)[0] == before + 2


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded"])
def test_a_keyless_export_through_a_proxy_on_this_machine_is_refused(stack, header):
    response = post(stack, stack.default, trace_request().SerializeToString(), PROTOBUF | {header: "127.0.0.1"})
    assert response.status_code == 401


def test_the_same_ids_of_two_projects_are_two_spans(stack, tenant):
    other = next(stack.tenants)
    body = trace_request(2).SerializeToString()
    assert post(stack, tenant, body).status_code == post(stack, other, body).status_code == 200
    assert stack.counts(tenant) == stack.counts(other) == (2, 2, 2)


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/plain"}], ids=["missing", "unknown"])
def test_a_content_type_that_is_missing_or_unknown_is_415_and_says_what_to_send(stack, tenant, headers):
    response = post(stack, tenant, trace_request().SerializeToString(), headers)
    assert response.status_code == 415
    assert "application/x-protobuf or application/json" in status_of(response).message


def test_an_unknown_encoding_is_415_and_lists_those_accepted(stack, tenant):
    response = post(stack, tenant, b"x", PROTOBUF | {"content-encoding": "compress"})
    assert response.status_code == 415
    assert "br, deflate, gzip" in status_of(response).message


def test_a_gzip_bomb_of_a_gibibyte_is_413_and_the_server_serves_on(stack, tenant):
    stream = zlib.compressobj(9, wbits=31)
    bomb = b"".join(stream.compress(bytes(2**20)) for _ in range(1024)) + stream.flush()
    before = peak_memory(stack)
    for headers in (PROTOBUF, JSON):
        response = post(stack, tenant, bomb, headers | {"content-encoding": "gzip"})
        assert (response.status_code, status_of(response).code) == (413, RESOURCE_EXHAUSTED)
    assert peak_memory(stack) - before < 400 * 2**20
    assert post(stack, tenant, trace_request().SerializeToString()).status_code == 200


def peak_memory(stack: Stack) -> int:
    assert stack.collector.popen
    with open(f"/proc/{stack.collector.popen.pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_over_the_cap_is_413(stack, tenant, chunked):
    pieces = [bytes(2**20)] * 33
    response = post(stack, tenant, iter(pieces) if chunked else b"".join(pieces))
    assert response.status_code == 413
    assert "HELIOGRAPH_MAX_BODY_BYTES" in status_of(response).message


@pytest.mark.parametrize("path", ["/v1/traces/v1/traces", "/v1/metrics/v1/traces", "/v1/traces/", "//v1/traces"])
def test_a_path_that_was_joined_twice_is_served_with_a_hint_in_the_log(stack, tenant, path):
    assert post(stack, tenant, trace_request().SerializeToString(), path=path).status_code == 200
    assert stack.counts(tenant) == (1, 1, 1)
    assert f"a sender posts to '{path}'" in stack.collector.log.read_text()


def test_another_method_is_405_and_another_path_404(stack):
    response = httpx.get(stack.http + "/v1/traces")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert httpx.post(stack.http + "/v1/profiles").status_code == 404


def test_health_and_readiness_are_answered(stack):
    assert httpx.get(stack.http + "/healthz").text == "ok\n"
    decoder = "kernel" if settings.DECODER == "auto" and not kernel.MISSING else "python"
    parts = {"store": "ok", "metadata": "ok", "broker": "ok", "decoder": decoder}
    assert httpx.get(stack.http + "/readyz").json() == {"status": "ok", **parts}


def test_a_sender_that_goes_away_in_the_middle_harms_nobody(stack, tenant):
    address = urlsplit(stack.http)
    with socket.create_connection((address.hostname, address.port)) as line:
        line.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n")
        line.sendall(f"authorization: Bearer {tenant.key}\r\ncontent-length: 1000\r\n\r\nhalf".encode())
    assert post(stack, tenant, trace_request().SerializeToString()).status_code == 200
    assert stack.counts(tenant) == (1, 1, 1)
