"""What real instrumented OpenAI clients send is right in the list, the page and the API."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.conftest import Platform, eventually
from tests.stubs.openai_stub import ANSWER, openai_stub

RECORDER = Path(__file__).parents[1] / "collectors" / "record.py"
SENDERS = {
    "openinference_openai": {},
    "openai_v2_latest": {
        "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
    },
}


@pytest.fixture(scope="module", params=SENDERS)
def spans(request: pytest.FixtureRequest, platform: Platform) -> list[dict[str, Any]]:
    """Drive the sender against a stub and return the spans of its trace, with their texts, from the API."""
    marker = f"sender-{request.param}"
    environment = os.environ | SENDERS[request.param]
    with openai_stub() as base_url:
        command = [sys.executable, str(RECORDER), "--drive", request.param, base_url, platform.otlp]
        subprocess.run(command, check=True, env=environment, timeout=360, capture_output=True)
    listed = eventually(lambda: platform.api("traces", limit=1, service="recorder")["items"])
    trace = platform.api(f"traces/{listed[0]['trace_id']}")
    assert trace["spans"], marker
    path = f"traces/{trace['summary']['trace_id']}/spans"
    return [platform.api(f"{path}/{span['span_id']}") for span in trace["spans"]]


def calls(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [span for span in spans if span["kind"] == "llm"]


def is_openinference(spans: list[dict[str, Any]]) -> bool:
    return any(span["dialect"] == "openinference" for span in spans)


def test_a_plain_call_has_its_model_tokens_cost_and_messages(spans: list[dict[str, Any]]) -> None:
    call = next(span for span in calls(spans) if span["status"] != "error" and span["output_tokens"])
    assert call["model"] == "gpt-4o-2024-08-06"
    assert (call["input_tokens"], call["output_tokens"]) == (120, 45)
    assert float(call["cost"]) > 0
    assert "capital of France" in str(call["input"])
    assert ANSWER in str(call["output"])


def test_cached_tokens_are_a_part_of_the_input_or_unknown_where_the_sender_says_nothing(
    spans: list[dict[str, Any]],
) -> None:
    known = {span["cache_read_tokens"] for span in calls(spans)}
    assert known - {None} == ({64} if is_openinference(spans) else set())
    assert all(span["input_tokens"] in {120, None} for span in calls(spans))


def test_a_tool_call_is_in_the_conversation(spans: list[dict[str, Any]]) -> None:
    assert any("get_weather" in str(span["output"]) and "Paris" in str(span["output"]) for span in calls(spans))


def test_the_failed_call_is_an_error_with_its_reason(spans: list[dict[str, Any]]) -> None:
    (failed,) = [span for span in calls(spans) if span["status"] == "error"]
    assert failed["error_type"] or failed["status_message"]


def test_a_streamed_call_tells_when_its_first_token_came_if_its_sender_does(spans: list[dict[str, Any]]) -> None:
    # openai-v2 2.4b0 measures the time to first token in no span attribute; it stays unknown, never 0.
    times = [span["ttft_ns"] for span in calls(spans) if span["ttft_ns"] is not None]
    assert bool(times) == is_openinference(spans)
    assert all(time > 0 for time in times)


def test_the_embedding_call_is_an_embedding(spans: list[dict[str, Any]]) -> None:
    assert any(span["kind"] == "embedding" for span in spans)
