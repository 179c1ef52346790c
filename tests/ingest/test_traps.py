"""The traps that other receivers fell into (SEMCONV 5.6), each by its number; over real HTTP and gRPC where the trap
is one of transport."""

import gzip
import json
import secrets
import time
import zlib
from typing import Any

import brotli
import httpx
import pytest
import zstandard
from google.rpc.code_pb2 import INVALID_ARGUMENT
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collectors.otlp.limits import Limits
from collectors.otlp.logs import decode as decode_logs
from collectors.otlp.traces import decode
from collectors.semconv.log_events import EVENT_NAMES
from heliograph.ingest import answers, refusals
from heliograph.ingest.refusals import Refusal
from tests.collectors.build import NOW, SECOND, START, as_json, decode_spans, pairs, request, row_of, rows, span
from tests.collectors.test_logs import record
from tests.collectors.test_logs import request as logs_request_of
from tests.ingest.senders import logs_request, metrics_request, trace_request
from tests.ingest.test_grpc import export
from tests.ingest.test_http import JSON, PROTOBUF, peak_memory, post, status_of

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
USAGE = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}


def tokens(*spans: Span) -> int:
    return sum(row["input_tokens"] or 0 for row in rows(decode_spans(*spans).columns) if row["usage_counted"])


# 1 -------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "outer",
    [
        {"gen_ai.operation.name": "invoke_agent", **USAGE},
        {"gen_ai.operation.name": "agent_step", **USAGE},
        {"ai.operationId": "ai.generateText", "ai.usage.inputTokens": 100, "ai.usage.outputTokens": 10},
        {"openinference.span.kind": "AGENT", "llm.token_count.prompt": 100, "llm.token_count.completion": 10},
    ],
    ids=["invoke_agent", "agent_step", "ai.generateText", "AGENT"],
)
def test_trap_1_usage_that_agents_and_outer_spans_repeat_counts_on_the_leaves_alone(outer: dict[str, Any]) -> None:
    assert tokens(span(outer), span(CHAT | USAGE, span_id=2, parent=1), span(CHAT | USAGE, span_id=3, parent=1)) == 200


# 2 -------------------------------------------------------------------------------------------------------------------
def test_trap_2_cache_and_reasoning_are_parts_of_the_whole_in_either_convention() -> None:
    within = CHAT | USAGE | {"gen_ai.usage.cache_read.input_tokens": 60, "gen_ai.usage.reasoning.output_tokens": 4}
    assert (row_of(within)["input_tokens"], row_of(within)["output_tokens"]) == (100, 10)
    # More read from the cache than came in: Anthropic's own counts leave the cache out.
    beside = (
        CHAT | USAGE | {"gen_ai.usage.cache_read.input_tokens": 900, "gen_ai.usage.cache_creation.input_tokens": 50}
    )
    assert (row_of(beside)["input_tokens"], row_of(beside)["cache_read_tokens"]) == (1_050, 900)


# 3 -------------------------------------------------------------------------------------------------------------------
def test_trap_3_one_malformed_span_is_a_partial_success_and_costs_its_neighbours_nothing(stack, tenant) -> None:
    message = trace_request(3)
    message.resource_spans[0].scope_spans[0].spans[1].span_id = b"short"
    response = post(stack, tenant, message.SerializeToString())
    partial = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert (response.status_code, partial.rejected_spans) == (200, 1)
    assert "invalid span id" in partial.error_message
    assert stack.counts(tenant) == (2, 2, 2)


def test_trap_3_only_our_own_limits_ask_to_retry() -> None:
    retried = {}
    for kind in vars(refusals).values():
        if isinstance(kind, type) and issubclass(kind, Refusal) and kind is not Refusal:
            refusal = kind("no", reason="r", retry_after=7) if kind is refusals.Limited else kind("no")
            retried[kind.__name__] = (int(refusal.status), refusal.retry_after is not None)
            assert bool(answers.status(refusal).details) == (refusal.retry_after is not None)
    assert {name: code for name, (code, again) in retried.items() if again} == {"Busy": 503, "Limited": 429}
    assert retried["MalformedBody"] == (400, False)


# 4 -------------------------------------------------------------------------------------------------------------------
def test_trap_4_json_ids_are_hex_integers_may_be_texts_enums_names_and_unknown_fields_are_ignored(
    stack, tenant
) -> None:
    trace_id, span_id, at = secrets.token_hex(16), secrets.token_hex(8), time.time_ns()
    one = {
        "traceId": trace_id.upper(),
        "spanId": span_id,
        "name": "x",
        "kind": "SPAN_KIND_CLIENT",
        "startTimeUnixNano": str(at),
        "endTimeUnixNano": at + 5,
        "status": {"code": 2, "newer": [1]},
        "aFieldOfTomorrow": {"a": [None]},
        "attributes": [{"key": "gen_ai.usage.input_tokens", "value": {"intValue": "7"}}],
    }
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one]}], "schemaUrl": None}]})
    assert post(stack, tenant, body, JSON).json() == {}
    sql = "SELECT trace_id, span_id, span_kind, status, duration_ns, input_tokens FROM spans WHERE project_id = %(p)s"
    assert stack.query(sql, p=tenant.id) == [(trace_id, span_id, "client", "error", 5, 7)]


# 5 -------------------------------------------------------------------------------------------------------------------
def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


ENCODINGS = {
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "deflate as zlib": ("deflate", zlib.compress),
    "deflate raw": ("deflate", raw_deflate),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "br": ("br", brotli.compress),
}
SIGNALS = {
    "traces": (lambda: trace_request(2), "spans", 2),
    "metrics": (metrics_request, "metric_points", 1),
    "logs": (logs_request, "log_records", 1),
}


@pytest.mark.parametrize("signal", SIGNALS)
def test_trap_5_every_encoding_of_every_signal_is_read_with_a_charset_and_in_chunks(stack, tenant, signal) -> None:
    make, table, each = SIGNALS[signal]
    sent = 0
    for encoding, compress in ENCODINGS.values():
        body = compress(make().SerializeToString())
        for chunked in (False, True):
            headers = {"content-type": "application/x-protobuf; charset=utf-8", "content-encoding": encoding}
            content: Any = (body[place : place + 7] for place in range(0, len(body), 7)) if chunked else body
            response = post(stack, tenant, content, headers, f"/v1/{signal}")
            assert (response.status_code, response.content) == (200, b""), (encoding, chunked)
            assert ("transfer-encoding" in response.request.headers) == chunked
        # The same body twice is one of traces and logs; each body is another.
        sent += each
    sql = f"SELECT count() FROM {table} FINAL WHERE project_id = %(p)s"
    sql = sql.replace(" FINAL", "") if table == "spans" else sql
    assert stack.query(sql, p=tenant.id) == [(sent,)]
    assert post(stack, tenant, b"", PROTOBUF, f"/v1/{signal}").status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
def test_trap_5_a_bomb_over_the_cap_is_refused_within_bounded_memory(stack, tenant, encoding) -> None:
    # The test of HTTP sends one of a gibibyte as gzip.
    compress = {"gzip": gzip.compress, "deflate": zlib.compress, "br": lambda data: brotli.compress(data, quality=1)}
    bomb = compress.get(encoding, zstandard.ZstdCompressor().compress)(bytes(160 * 2**20))
    before = peak_memory(stack)
    response = post(stack, tenant, bomb, PROTOBUF | {"content-encoding": encoding})
    assert response.status_code == 413
    assert peak_memory(stack) - before < 400 * 2**20
    assert stack.counts(tenant) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["resources", "spans", "json"])
def test_trap_5_a_body_within_the_cap_that_unfolds_in_memory_is_refused_within_bounded_memory(
    stack, tenant, kind
) -> None:
    # Two bytes each, and a hundred in memory: 128 MiB on the cap would take ten gigabytes.
    empty = {"resources": b"\x0a\x00" * 2**26, "spans": b"\x12\x00" * (2**26 - 16), "json": b"{}," * (2**27 // 3 - 9)}
    body = empty[kind]
    if kind == "spans":
        body = nested(0x0A, nested(0x12, body))
    if kind == "json":
        body = b'{"resourceSpans":[' + body + b"{}]}"
    before = peak_memory(stack)
    headers = (JSON if kind == "json" else PROTOBUF) | {"content-encoding": "gzip"}
    response = post(stack, tenant, gzip.compress(body, 1), headers)
    assert response.status_code == 400
    assert "more than 4,000,000 values" in status_of(response).message
    assert peak_memory(stack) - before < 500 * 2**20


def nested(tag: int, data: bytes) -> bytes:
    """A field of protobuf that holds a message."""
    length, size = bytearray(), len(data)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([tag, *length, size]) + data


def test_trap_5_a_path_that_an_exporter_joined_twice_is_served_and_the_answer_says_so(stack, tenant) -> None:
    body = trace_request(1).SerializeToString()
    response = post(stack, tenant, body, path="/v1/traces/v1/traces")
    partial = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert (response.status_code, partial.rejected_spans) == (200, 0)
    assert partial.error_message == "Posted to /v1/traces/v1/traces: the endpoint should end before /v1/traces."
    assert stack.counts(tenant) == (1, 1, 1)


# 6 -------------------------------------------------------------------------------------------------------------------
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]


@pytest.mark.parametrize(
    "value",
    [ASKED, json.dumps(ASKED), json.dumps(json.dumps(ASKED)), json.dumps(json.dumps(json.dumps(ASKED)))],
    ids=["structured", "json", "twice", "three times"],
)
def test_trap_6_messages_are_the_same_structured_as_json_and_encoded_twice(value: Any) -> None:
    row = row_of(CHAT | {"gen_ai.input.messages": value})
    assert json.loads(row["input"]) == ASKED
    assert row["input_preview"] == "hi"


def test_trap_6_json_that_a_length_limit_cut_gives_its_whole_messages_and_says_that_it_was_cut() -> None:
    whole = json.dumps([*ASKED, {"role": "assistant", "parts": [{"type": "text", "content": "a long answer"}]}])
    row = row_of(CHAT | {"gen_ai.input.messages": whole[:-25]})
    assert json.loads(row["input"])[0] == ASKED[0]
    assert row["truncated"] == ["input"]


# 7 -------------------------------------------------------------------------------------------------------------------
def test_trap_7_flat_indexes_may_have_gaps_any_order_and_two_digits() -> None:
    flat = {}
    for number in (10, 9, 2, 0):
        flat |= {f"gen_ai.prompt.{number}.role": "user", f"gen_ai.prompt.{number}.content": f"text {number}"}
    texts = [message["parts"][0]["content"] for message in json.loads(row_of(CHAT | flat)["input"])]
    assert texts == ["text 0", "text 2", "text 9", "text 10"]


@pytest.mark.parametrize(
    "key",
    [
        "gen_ai.prompt.999999999999.content",
        "gen_ai.prompt.4294967295.role",
        "gen_ai.prompt.0.__proto__.polluted",
        "gen_ai.prompt.0.constructor.prototype",
        "gen_ai.prompt." + "0." * 100 + "content",
        "llm.input_messages.18446744073709551616.message.content",
    ],
)
def test_trap_7_a_hostile_index_or_name_costs_nothing_and_stays_an_attribute(key: str) -> None:
    row = row_of(CHAT | {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "hi", key: "x"})
    assert row["attributes"][key] == "x"
    assert json.loads(row["input"])[0]["role"] == "user"
    assert len(row["input"]) < 500


# 8 -------------------------------------------------------------------------------------------------------------------
def test_trap_8_an_end_before_the_start_takes_no_time_and_no_end_is_a_span_that_runs() -> None:
    assert row_of({}, end_time_unix_nano=START - SECOND)["duration_ns"] == 0
    assert row_of({}, end_time_unix_nano=0)["duration_ns"] is None


def test_trap_8_skewed_clocks_late_parents_retries_and_a_root_that_never_comes_leave_one_whole_trace(
    stack, tenant
) -> None:
    trace_id, now = secrets.token_bytes(16), time.time_ns() - 3_600 * SECOND

    def one(number: int, parent: int, at: int) -> bytes:
        made = span(
            span_id=number, parent=parent, trace_id=trace_id, start_time_unix_nano=at, end_time_unix_nano=at + SECOND
        )
        return request(made).SerializeToString()

    # The child first, its parent an hour later by a clock that runs behind, twice; their root is never sent.
    for body in (one(3, 2, now), one(2, 1, now - 90 * SECOND), one(3, 2, now), one(2, 1, now - 90 * SECOND)):
        assert post(stack, tenant, body).status_code == 200
    assert stack.counts(tenant) == (2, 2, 2)
    sql = (
        "SELECT sum(span_count), max(has_root), dateDiff('second', min(start_time), max(end_time)),"
        " max(latest_entry) > 0 FROM traces WHERE project_id = %(p)s"
    )
    assert stack.query(sql, p=tenant.id) == [(2, 0, 91, 1)]
    assert post(stack, tenant, one(1, 0, now - 100 * SECOND)).status_code == 200
    assert stack.query(sql, p=tenant.id) == [(3, 1, 101, 1)]


# 9 -------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "attributes"),
    [
        ({"event_name": "gen_ai.choice"}, {}),
        ({}, {"event.name": "gen_ai.choice"}),
        ({}, {"event_name": "gen_ai.choice"}),
        ({"event_name": "gen_ai.choice"}, {"event.name": "another", "event_name": "a third"}),
    ],
    ids=["field", "event.name", "event_name", "the field wins"],
)
def test_trap_9_the_event_s_name_is_found_in_all_three_places(fields: dict, attributes: dict) -> None:
    body = logs_request_of(record({"index": 0}, attributes, **fields)).SerializeToString()
    (row,) = rows(decode_logs(body, content_type="protobuf", limits=Limits(), now_ns=NOW).columns)
    # tests/query/test_log_events.py stores such records before, after and days from their span.
    assert row["event_name"] == "gen_ai.choice"
    assert row["event_name"] in EVENT_NAMES


# 10 ------------------------------------------------------------------------------------------------------------------
def test_trap_10_numbers_may_be_texts_and_a_boolean_is_no_number() -> None:
    said = {"gen_ai.usage.input_tokens": "12", "gen_ai.usage.output_tokens": 3.0, "llm.is_streaming": "True"}
    row = row_of(CHAT | said)
    assert (row["input_tokens"], row["output_tokens"], row["attributes"]["llm.is_streaming"]) == (12, 3, "True")
    assert row_of(CHAT | {"gen_ai.usage.input_tokens": True})["input_tokens"] is None


@pytest.mark.parametrize(
    ("key", "value", "column"),
    [
        ("gen_ai.response.time_to_first_chunk", 0.25, "ttft_ns"),
        ("ai.response.msToFirstChunk", 250, "ttft_ns"),
        ("ai.response.msToFirstChunk", "250", "ttft_ns"),
        ("gen_ai.latency.time_to_first_token", "0.25", "ttft_ns"),
        ("queue_time", "250ms", "queue_ns"),
        ("queue_time", "250000µs", "queue_ns"),
        ("queue_time", "0.25s", "queue_ns"),
        ("queue_time", "250000000ns", "queue_ns"),
    ],
)
def test_trap_10_durations_come_in_s_ms_us_and_ns(key: str, value: Any, column: str) -> None:
    assert row_of(CHAT | {key: value})[column] == SECOND // 4


# 11 ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "ids",
    [{"trace_id": bytes(16)}, {"trace_id": b"x" * 8}, {"span_id": bytes(8)}, {"span_id": b"x" * 16}, {"trace_id": b""}],
)
def test_trap_11_an_id_that_is_all_zero_or_too_short_is_refused_alone(ids: dict[str, bytes]) -> None:
    bad, good = span(), span(span_id=2)
    for name, value in ids.items():
        setattr(bad, name, value)
    for body, kind in ((request(bad, good).SerializeToString(), "protobuf"), (as_json(request(bad, good)), "json")):
        decoded = decode(body, content_type=kind, limits=Limits(), now_ns=NOW)  # type: ignore[arg-type]  # of the two
        assert (decoded.accepted, decoded.rejected.total()) == (1, 1)


# 12 ------------------------------------------------------------------------------------------------------------------
def test_trap_12_a_message_over_grpc_s_default_of_four_mebibytes_is_taken(stack, tenant) -> None:
    message = trace_request(1)
    attributes = message.resource_spans[0].scope_spans[0].spans[0].attributes
    attributes.extend(pairs({f"text.{number}": "a" * 900_000 for number in range(10)}))
    assert export(stack, tenant, message) == ExportTraceServiceResponse()
    assert stack.counts(tenant) == (1, 1, 1)


# 13 ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/v1/traces", "/v1/metrics", "/v1/logs"])
@pytest.mark.parametrize("headers", [PROTOBUF, JSON], ids=["protobuf", "json"])
def test_trap_13_answers_and_errors_come_in_the_request_s_content_type(stack, tenant, path, headers) -> None:
    good = post(stack, tenant, b"", headers, path)
    assert (good.status_code, good.headers["content-type"]) == (200, headers["content-type"])
    bad = post(stack, tenant, b"\xff{", headers, path)
    status: Status = status_of(bad)
    assert (bad.status_code, bad.headers["content-type"], status.code) == (
        400,
        headers["content-type"],
        INVALID_ARGUMENT,
    )
    unknown = httpx.post(stack.http + path, content=b"", headers=headers | {"x-api-key": "hg_wrong"})
    assert (unknown.status_code, status_of(unknown).code) == (401, 16)
