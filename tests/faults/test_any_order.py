"""Spans of one trace come in any order and days apart, and every export comes twice: all count once."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.faults.load import INPUT_TOKENS, OUTPUT_TOKENS, POINTS, PROTOBUF, RECORDS, SPANS, Sent, logs, metrics, traces
from tests.faults.once import is_balanced, is_once
from tests.ingest.books import books
from tests.ingest.stack import Stack, Tenant, eventually

DAY_NS = 86_400 * 10**9


def post(url: str, tenant: Tenant, body: bytes) -> None:
    answer = httpx.post(url, content=body, headers=tenant.headers | PROTOBUF, timeout=180)
    assert answer.status_code == 200, answer.text


def pieces_of_a_trace(days: int) -> tuple[list[bytes], Sent]:
    """Return exports that each hold a day of one trace, so that each but one has no root."""
    body, sent = traces("")
    [(trace_id, [root_id, *_])] = sent.spans.items()
    pieces = []
    for day in range(days):
        request = ExportTraceServiceRequest.FromString(body)
        spans = request.resource_spans[0].scope_spans[0].spans
        for number, span in enumerate(spans):
            span.start_time_unix_nano -= day * DAY_NS
            span.end_time_unix_nano -= day * DAY_NS
            if day:
                span.span_id = bytes([day, number]) * 4
                span.parent_span_id = bytes.fromhex(root_id)
                sent.spans[trace_id].append(span.span_id.hex())
        if day:
            # Its first span would be a second root.
            del spans[0]
            sent.spans[trace_id].remove((bytes([day, 0]) * 4).hex())
        pieces.append(request.SerializeToString())
    return pieces, sent


def test_a_trace_that_comes_in_pieces_days_apart_in_any_order_is_one_trace(stack: Stack, tenant: Tenant) -> None:
    pieces, sent = pieces_of_a_trace(days=12)
    order = pieces * 2
    random.Random(3).shuffle(order)
    for number, piece in enumerate(order):
        post(f"{(stack.http, stack.web_http)[number % 2]}/v1/traces", tenant, piece)
    is_once(stack, tenant, sent)
    [trace_id] = sent.spans
    answer = httpx.get(f"{stack.web_http}/api/v1/traces/{trace_id}", headers=tenant.headers, timeout=180)
    assert answer.status_code == 200, answer.text
    trace: dict[str, Any] = answer.json()
    assert {span["span_id"] for span in trace["spans"]} == set(sent.spans[trace_id])
    assert trace["summary"]["span_count"] == len(sent.spans[trace_id])
    calls = len(sent.spans[trace_id]) - 1
    assert trace["summary"]["input_tokens"] == calls * INPUT_TOKENS
    assert trace["summary"]["output_tokens"] == calls * OUTPUT_TOKENS
    found = eventually(lambda: (now := books(stack, tenant))["requests"] == len(order) and now)
    assert found["accepted"] == 2 * found["stored"] == 2 * found["duplicates"]
    assert is_balanced(found)


def test_exports_that_are_retried_at_once_and_to_either_process_count_once(stack: Stack, tenant: Tenant) -> None:
    sent, posts = Sent(), []
    for number in range(6):
        for signal, make in (("traces", traces), ("metrics", metrics), ("logs", logs)):
            body, more = make(f"sender {number}")
            sent.add(more)
            posts += [(f"{address}/v1/{signal}", body) for address in (stack.http, stack.web_http) * 2]
    random.Random(4).shuffle(posts)
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda one: post(one[0], tenant, one[1]), posts))
    is_once(stack, tenant, sent)
    found = eventually(lambda: (now := books(stack, tenant))["requests"] == 24 and is_balanced(now) and now)
    assert (found["accepted"], found["stored"], found["duplicates"]) == (240, 60, 180)


def test_an_export_of_any_signal_that_is_retried_counts_once_in_the_books(stack: Stack, tenant: Tenant) -> None:
    sent = Sent()
    for signal, make, items in (("traces", traces, SPANS), ("metrics", metrics, POINTS), ("logs", logs, RECORDS)):
        body, more = make("sender")
        sent.add(more)
        for _ in range(3):
            post(f"{stack.http}/v1/{signal}", tenant, body)
        found = eventually(
            lambda signal=signal: (now := books(stack, tenant, signal))["requests"] == 3 and is_balanced(now) and now
        )
        assert (found["accepted"], found["stored"], found["duplicates"]) == (3 * items, items, 2 * items)
    is_once(stack, tenant, sent)


def test_log_records_without_a_time_are_new_each_time_they_come(stack: Stack, tenant: Tenant) -> None:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "tick"
    for _ in range(3):
        post(f"{stack.http}/v1/logs", tenant, request.SerializeToString())
    sql = "SELECT count() FROM log_records FINAL WHERE project_id = %(p)s"
    assert stack.query(sql, p=tenant.id) == [(3,)]
