"""What the real instrumentations sent (see record.py) means what the calls were."""

import json
from pathlib import Path
from typing import Any

import pytest

from collectors.otlp import logs, metrics, traces
from collectors.otlp.limits import Limits
from collectors.semconv.log_events import content_of_events, log_event
from tests.collectors.build import rows
from tests.stubs.openai_stub import ANSWER, ANSWERED_MODEL

pytestmark = pytest.mark.usefixtures("decoder")

RECORDED = Path(__file__).parent / "recorded"
# A little after the recordings.
NOW = 1_795_500_000_000_000_000
QUESTION = [
    {"role": "system", "parts": [{"type": "text", "content": "Answer in one sentence."}]},
    {"role": "user", "parts": [{"type": "text", "content": "What is the capital of France?"}]},
]
CALL = {"type": "tool_call", "id": "call_stub_1", "name": "get_weather", "arguments": {"city": "Paris"}}
RESPONSE = {"type": "tool_call_response", "id": "call_stub_1", "response": '{"degrees": 21}'}


def recorded(scenario: str, signal: str = "traces") -> list[dict[str, Any]]:
    body = (RECORDED / f"{scenario}.{signal}.bin").read_bytes()
    decoder = {"traces": traces, "metrics": metrics, "logs": logs}[signal]
    decoded = decoder.decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert not decoded.rejected
    return rows(decoded.columns)


def calls(scenario: str) -> list[dict[str, Any]]:
    """Chat spans in the order of record.py's calls: plain, streamed, tool call, tool result, streamed call, picture."""
    found = [row for row in recorded(scenario) if row["kind"] == "llm" and row["name"] != "Response"]
    return sorted(found, key=lambda row: row["start_time"])


@pytest.fixture(params=["openinference_openai", "openai_v2_latest", "openai_v2_events"])
def scenario(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_model_tokens_and_cost_of_each_call(scenario: str) -> None:
    plain, streamed, *_ = calls(scenario)
    for row in (plain, streamed):
        assert (row["model_requested"], row["model"], row["provider"]) == ("gpt-4o", ANSWERED_MODEL, "openai")
        assert (row["input_tokens"], row["output_tokens"]) == (120, 45)
        assert row["usage_counted"]
        assert row["cost"] > 0
        assert (row["service"], row["release"], row["environment"], row["host"]) == ("recorder", "1.0", "test", "alice")


def test_an_error_is_an_error(scenario: str) -> None:
    *_, failed = calls(scenario)
    assert (failed["model"], failed["status"]) == ("broken", "error")
    assert failed["error_type"].endswith("InternalServerError")
    assert "The stub was asked to fail" in failed["status_message"]
    assert failed["cost"] is None


def test_embeddings_have_input_tokens_only(scenario: str) -> None:
    (row,) = [row for row in recorded(scenario) if row["kind"] == "embedding"]
    assert (row["model"], row["input_tokens"], row["output_tokens"]) == ("text-embedding-3-small", 16, None)
    assert row["output"] == ""


def test_all_spans_of_the_conversation_are_one_trace_with_one_entry(scenario: str) -> None:
    found = recorded(scenario)
    assert len({row["trace_id"] for row in found}) == 1
    assert [row["name"] for row in found if row["is_entry"]] == ["conversation"]


@pytest.mark.parametrize("scenario", ["openinference_openai", "openai_v2_latest"])
def test_messages_of_each_call(scenario: str) -> None:
    plain, streamed, call, answered, streamed_call, *_ = calls(scenario)
    for row in (plain, streamed):
        assert json.loads(row["input"]) == QUESTION
        (answer,) = json.loads(row["output"])
        assert (answer["role"], answer["parts"]) == ("assistant", [{"type": "text", "content": ANSWER}])
        assert (row["input_preview"], row["output_preview"]) == ("What is the capital of France?", ANSWER)
        assert row["finish_reason"] == "stop"
    for row in (call, streamed_call):
        assert json.loads(row["output"])[0]["parts"][-1] == CALL
        assert row["finish_reason"] == "tool_calls"
    assert [part for each in json.loads(answered["input"])[2:] for part in each["parts"]] == [CALL, RESPONSE]


def test_openinference_says_what_was_cached_and_thought_and_when_the_first_token_came() -> None:
    plain, streamed, *_ = calls("openinference_openai")
    assert (plain["cache_read_tokens"], plain["reasoning_tokens"], plain["ttft_ns"]) == (64, 17, None)
    assert 0 < streamed["ttft_ns"] <= streamed["duration_ns"]


def test_openinference_records_pictures_as_parts() -> None:
    picture = calls("openinference_openai")[5]
    assert json.loads(picture["input"])[0]["parts"] == [
        {"type": "text", "content": "What is this?"},
        {"type": "uri", "modality": "image", "uri": "https://example.org/tower.png"},
    ]


@pytest.mark.parametrize("scenario", ["openai_v2_events", "openai_v2_latest_events"])
def test_content_sent_as_log_events_finds_its_span(scenario: str) -> None:
    spans = calls(scenario)
    records = recorded(scenario, "logs")
    contents = []
    for row in spans:
        events = [
            log_event(record["time"], record["event_name"], record["body"], record["attributes"])
            for record in records
            if (record["trace_id"], record["span_id"]) == (row["trace_id"], row["span_id"])
        ]
        contents.append(content_of_events(events))
    plain, streamed, call, answered, *_ = contents
    for content in (plain, streamed):
        assert json.loads(content.input) == QUESTION
        assert json.loads(content.output)[0]["parts"] == [{"type": "text", "content": ANSWER}]
        assert (content.output_preview, content.finish_reason) == (ANSWER, "stop")
    assert json.loads(call.output)[0]["parts"] == [CALL]
    assert [part for each in json.loads(answered.input)[2:] for part in each["parts"]] == [CALL, RESPONSE]


def test_client_metrics_arrive_as_histograms() -> None:
    found = recorded("openai_v2_latest", "metrics")
    usage = [row for row in found if row["metric"] == "gen_ai.client.token.usage"]
    assert usage
    for row in usage:
        assert (row["type"], row["temporality"], row["service"], row["host"]) == (
            "histogram",
            "cumulative",
            "recorder",
            "alice",
        )
        assert sum(row["bucket_counts"]) == row["count"] > 0
        assert len(row["bucket_counts"]) == len(row["bounds"]) + 1
    # One series each of input and output tokens, by model and operation.
    assert len({row["series"] for row in usage}) == len(usage)
