"""What coding agents say in log records becomes traces. The records are constructed after the agents' own documents
and sources (named in collectors/semconv/): what their newest versions sent is in test_recorded_agents.py, these are of
Claude Code 2.1, Codex 0.50, Gemini CLI 0.20, and of what seldom happens.
"""

import json
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collectors.otlp import logs, traces
from collectors.otlp.limits import Limits
from tests.collectors.build import NOW, SECOND, TRACE, any_value, as_json, pairs, rows
from tests.collectors.build import request as trace_request
from tests.collectors.build import span as trace_span
from tests.collectors.test_logs import record, request

MS = 1_000_000
# Values as each agent writes them: Claude Code numbers, Codex numbers as text.
CLAUDE = {"session.id": "s-1", "prompt.id": "p-1", "user.id": "u-1", "model": "claude-sonnet-4-5-20250929"}
USAGE = {"input_tokens": 20, "output_tokens": 50, "cache_read_tokens": 1_000, "cache_creation_tokens": 200}
CLAUDE_EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("user_prompt", {"prompt": "Rename the module", "prompt_length": 17}),
    ("api_request", {**USAGE, "cost_usd": 0.0018, "duration_ms": 900, "request_id": "req_1"}),
    ("assistant_response", {"response": "Renamed.", "response_length": 8, "request_id": "req_1"}),
    ("tool_decision", {"tool_name": "Edit", "decision": "accept", "source": "config"}),
    ("tool_result", {"tool_name": "Edit", "success": "true", "duration_ms": 30, "tool_input": '{"path": "a.py"}'}),
    ("api_error", {"error": "Overloaded", "status_code": 529, "duration_ms": 100, "attempt": 1}),
]


def claude(position: int) -> LogRecord:
    name, values = CLAUDE_EVENTS[position]
    return record(
        f"claude_code.{name}",
        {**CLAUDE, "event.name": name, "event.sequence": position, **values},
        time_unix_nano=NOW - 60 * SECOND + position * SECOND,
    )


def spans_of(*records: LogRecord) -> list[dict[str, Any]]:
    decoded = logs.decode(request(*records).SerializeToString(), content_type="protobuf", limits=Limits(), now_ns=NOW)
    made = traces.decode(decoded.spans, content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert not made.rejected
    return rows(made.columns)


def logs_of(*records: LogRecord) -> list[dict[str, Any]]:
    body = request(*records).SerializeToString()
    return rows(logs.decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW).columns)


def test_a_turn_of_claude_code_is_one_trace_beneath_its_prompt() -> None:
    root, call, tool, failed = spans_of(*map(claude, range(6)))
    assert [row["kind"] for row in (root, call, tool, failed)] == ["agent", "llm", "tool", "llm"]
    assert {row["trace_id"] for row in (root, call, tool, failed)} == {root["trace_id"]}
    assert root["parent_span_id"] == ""
    assert {row["parent_span_id"] for row in (call, tool, failed)} == {root["span_id"]}
    assert {row["session_id"] for row in (root, call, tool, failed)} == {"s-1"}
    assert {row["user_id"] for row in (root, call, tool, failed)} == {"u-1"}
    assert {row["dialect"] for row in (root, call, tool, failed)} == {"claude_code"}
    assert [row["name"] for row in (root, call, tool, failed)] == ["user_prompt", "api_request", "Edit", "api_error"]
    assert root["input_preview"] == "Rename the module"
    assert (tool["tool_name"], tool["duration_ns"], tool["status"]) == ("Edit", 30 * MS, "unset")
    assert json.loads(tool["input"]) == {"path": "a.py"}
    assert (failed["status"], failed["status_message"], failed["cost"]) == ("error", "Overloaded", None)


def test_a_call_of_claude_code_has_model_tokens_cost_time_and_answer() -> None:
    call = spans_of(*map(claude, range(6)))[1]
    assert (call["model"], call["provider"], call["response_id"]) == (CLAUDE["model"], "anthropic", "req_1")
    # Anthropic counts cached tokens beside the input.
    assert (call["input_tokens"], call["output_tokens"]) == (1_220, 50)
    assert (call["cache_read_tokens"], call["cache_write_tokens"]) == (1_000, 200)
    assert call["usage_counted"]
    assert call["reported_cost"] == Decimal("0.0018")
    assert call["cost"] > 0
    assert (call["duration_ns"], call["start_time"]) == (900 * MS, NOW - 59 * SECOND - 900 * MS)
    assert call["output_preview"] == "Renamed."


def test_each_record_keeps_its_row_and_names_the_span_that_it_is_about() -> None:
    made = {row["attributes"]["claude_code.event"]: row for row in spans_of(*map(claude, range(6)))}
    told = {row["event_name"]: row for row in logs_of(*map(claude, range(6)))}
    assert len(told) == 6
    for name in ("user_prompt", "api_request", "tool_result", "api_error"):
        assert (told[name]["trace_id"], told[name]["span_id"]) == (made[name]["trace_id"], made[name]["span_id"])
    # What has no span of its own is about another's.
    assert told["assistant_response"]["span_id"] == made["api_request"]["span_id"]
    assert told["tool_decision"]["span_id"] == made["user_prompt"]["span_id"]


def test_records_apart_in_any_order_or_again_are_the_same_spans() -> None:
    together = {(row["trace_id"], row["span_id"], row["parent_span_id"]) for row in spans_of(*map(claude, range(6)))}
    apart = set()
    for position in (5, 4, 1, 0, 1, 4):
        again = claude(position)
        again.observed_time_unix_nano = NOW
        apart |= {(row["trace_id"], row["span_id"], row["parent_span_id"]) for row in spans_of(again)}
    assert apart == together


def test_two_records_that_differ_in_their_place_alone_are_two_spans() -> None:
    first, second = claude(4), claude(4)
    next(pair for pair in second.attributes if pair.key == "event.sequence").value.int_value = 9
    assert len({row["span_id"] for row in spans_of(first, second)}) == 2


@pytest.mark.parametrize(
    ("fields", "attributes", "body"),
    [
        ({"event_name": "claude_code.user_prompt"}, {}, ""),
        ({}, {"event.name": "claude_code.user_prompt"}, ""),
        ({}, {"event_name": "claude_code.user_prompt"}, ""),
        ({}, {"event.name": "user_prompt"}, "claude_code.user_prompt"),
    ],
    ids=["field", "event.name", "event_name", "body"],
)
def test_the_event_s_name_may_stand_in_any_of_its_places(fields: dict, attributes: dict, body: str) -> None:
    (row,) = spans_of(record(body, {**CLAUDE, **attributes}, **fields))
    assert (row["kind"], row["name"]) == ("agent", "user_prompt")


def test_what_the_agent_was_told_to_keep_back_is_no_text() -> None:
    (row,) = spans_of(record("claude_code.user_prompt", {**CLAUDE, "prompt": "<REDACTED>"}))
    assert (row["input"], row["input_preview"]) == ("", "")


def test_a_call_between_two_prompts_is_a_trace_of_its_session_beneath_nothing() -> None:
    without = {key: value for key, value in CLAUDE.items() if key != "prompt.id"}
    (row,) = spans_of(record("claude_code.api_request", {**without, **USAGE, "query_source": "title"}))
    assert (row["kind"], row["parent_span_id"], row["input_tokens"]) == ("llm", "", 1_220)
    # And a record that makes no span points at none.
    (told,) = logs_of(record("claude_code.mcp_server_connection", {**without, "status": "connected"}))
    assert (told["trace_id"], told["span_id"]) == ("", "")


def test_a_record_with_a_trace_of_its_own_stays_in_it_beneath_its_span() -> None:
    own = {"trace_id": b"t" * 16, "span_id": b"s" * 8}
    (row,) = spans_of(record("claude_code.api_request", {**CLAUDE, **USAGE, "request_id": "req_1"}, **own))
    assert (row["trace_id"], row["parent_span_id"]) == ((b"t" * 16).hex(), (b"s" * 8).hex())
    (told,) = logs_of(record("claude_code.api_request", {**CLAUDE, **USAGE}, **own))
    assert (told["trace_id"], told["span_id"]) == ((b"t" * 16).hex(), (b"s" * 8).hex())


def test_records_of_anybody_else_make_no_spans() -> None:
    for made in (
        record("a line about claude_code.api_request", {"session.id": "s"}),
        record("claude_code.api_request", {"model": "claude"}),
        record({"claude_code.api_request": 1}, {"session.id": "s"}),
    ):
        body = request(made).SerializeToString()
        assert logs.decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW).spans == b""


def test_a_conversation_of_codex_is_one_trace_and_each_response_counts_once() -> None:
    common = {"conversation.id": "c-1", "model": "gpt-5-codex", "app.version": "0.50.0"}
    events: list[dict[str, Any]] = [
        {"event.name": "codex.conversation_starts", "provider_name": "OpenAI"},
        {"event.name": "codex.user_prompt", "prompt": "Why does it fail?"},
        {"event.name": "codex.api_request", "duration_ms": "400", "http.response.status_code": 200},
        {"event.name": "codex.sse_event", "event.kind": "response.output_item.done", "duration_ms": "5"},
        {
            "event.name": "codex.sse_event",
            "event.kind": "response.completed",
            "input_token_count": "500",
            "output_token_count": "60",
            "cached_token_count": 400,
            "reasoning_token_count": 40,
            "tool_token_count": "560",
        },
        {
            "event.name": "codex.tool_result",
            "tool_name": "shell",
            "call_id": "call_1",
            "arguments": '{"command": ["ls"]}',
            "duration_ms": "12",
            "success": "false",
            "output": "no such file",
        },
        {"event.name": "codex.api_request", "duration_ms": "90", "error.message": "stream closed"},
    ]
    records = [
        record("", {**common, **values}, time_unix_nano=NOW - SECOND + position)
        for position, values in enumerate(events)
    ]
    found = spans_of(*records)
    assert [row["kind"] for row in found] == ["agent", "chain", "llm", "tool", "llm"]
    assert len({row["trace_id"] for row in found}) == 1
    start, prompt, call, tool, failed = found
    assert {row["parent_span_id"] for row in (prompt, call, tool, failed)} == {start["span_id"]}
    assert {row["session_id"] for row in found} == {"c-1"}
    assert prompt["input_preview"] == "Why does it fail?"
    assert (call["model"], call["input_tokens"], call["output_tokens"]) == ("gpt-5-codex", 500, 60)
    assert (call["cache_read_tokens"], call["reasoning_tokens"], call["dialect"]) == (400, 40, "codex")
    assert (tool["tool_name"], tool["status"], tool["output"]) == ("shell", "error", "no such file")
    assert (failed["status"], failed["status_message"], failed["input_tokens"]) == ("error", "stream closed", None)


def test_a_turn_of_gemini_cli_as_json_is_one_trace() -> None:
    common = {"session.id": "g-1", "prompt_id": "g-1########0"}
    usage = {
        "input_token_count": 1_000,
        "output_token_count": 30,
        "cached_content_token_count": 600,
        "thoughts_token_count": 20,
        "tool_token_count": 0,
        "total_token_count": 1_050,
    }
    model = {"model": "gemini-2.5-pro"}
    events: list[dict[str, Any]] = [
        {"event.name": "gemini_cli.user_prompt", "prompt": "What is here?"},
        {"event.name": "gemini_cli.api_request", **model},
        {"event.name": "gemini_cli.api_response", **model, "duration_ms": 700, **usage, "finish_reasons": ["STOP"]},
        {"event.name": "gemini_cli.tool_call", "function_name": "ls", "function_args": "{}", "success": True},
    ]
    body = as_json(request(*(record("an event", {**common, **values}) for values in events)))
    decoded = logs.decode(body, content_type="json", limits=Limits(), now_ns=NOW)
    prompt, call, tool = rows(
        traces.decode(decoded.spans, content_type="protobuf", limits=Limits(), now_ns=NOW).columns
    )
    assert (prompt["kind"], prompt["input_preview"], prompt["session_id"]) == ("agent", "What is here?", "g-1")
    assert (call["kind"], call["provider"], call["model"]) == ("llm", "gcp.gemini", "gemini-2.5-pro")
    assert (call["input_tokens"], call["output_tokens"]) == (1_000, 50)
    assert (call["cache_read_tokens"], call["reasoning_tokens"], call["finish_reason"]) == (600, 20, "STOP")
    assert (tool["kind"], tool["tool_name"], tool["parent_span_id"]) == ("tool", "ls", prompt["span_id"])


def test_the_spans_stand_where_their_records_came_from() -> None:
    body = request(claude(0), resource={"service.name": "claude-code", "host.name": "alice"}).SerializeToString()
    decoded = logs.decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW)
    (row,) = rows(traces.decode(decoded.spans, content_type="protobuf", limits=Limits(), now_ns=NOW).columns)
    assert (row["service"], row["host"], row["scope_name"]) == ("claude-code", "alice", "scope")


@pytest.mark.parametrize("value", [None, [], {}, "x" * 300, 10**30 % 2**62, -1, "\x00", b"\xff"])
@pytest.mark.parametrize("key", ["session.id", "prompt.id", "duration_ms", "request_id", "response", "success"])
def test_any_value_of_a_key_makes_at_most_one_span(key: str, value: Any) -> None:
    made = record("claude_code.api_request", {**CLAUDE, **USAGE})
    made.attributes.extend(pairs({key: value}))
    made.attributes[-1].value.CopyFrom(any_value(value))
    body = request(made).SerializeToString()
    decoded = logs.decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW)
    found = traces.decode(decoded.spans, content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert found.accepted <= 1
    assert decoded.accepted == 1


def test_a_span_of_claude_code_s_own_tracing_has_its_tokens_and_counts_once_with_its_record() -> None:
    own = {
        "span.type": "llm_request",
        "model": CLAUDE["model"],
        "gen_ai.system": "anthropic",
        "gen_ai.request.model": CLAUDE["model"],
        "gen_ai.response.id": "req_1",
        "ttft_ms": 250,
        **USAGE,
        "session.id": "s-1",
        "success": True,
        "stop_reason": "tool_use",
    }
    call = trace_span(own, name="claude_code.llm_request")
    told = record(
        "claude_code.api_request", {**CLAUDE, **USAGE, "request_id": "req_1"}, trace_id=TRACE, span_id=b"i" * 8
    )
    decoded = logs.decode(request(told).SerializeToString(), content_type="protobuf", limits=Limits(), now_ns=NOW)
    # Two requests joined are one, in protobuf.
    body = trace_request(call).SerializeToString() + decoded.spans
    found = rows(traces.decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW).columns)
    assert [(row["kind"], row["input_tokens"], row["output_tokens"]) for row in found] == [("llm", 1_220, 50)] * 2
    assert (found[0]["ttft_ns"], found[0]["finish_reason"]) == (250 * MS, "tool_use")
    assert [row["usage_counted"] for row in found] == [True, False]
