"""Senders whose spans are constructed here, after their sources and documents, and not recorded: model servers need a
GPU and their weights, and an agent's own traces a subscription. docs/senders.md says so of each."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.collectors.build import SECOND, START, decode_spans, row_of, rows, span

MS = SECOND // 1_000


def llm_request(latency: dict[str, float], **more: Any) -> dict[str, Any]:
    """A span `llm_request` of a model server."""
    return {
        "gen_ai.request.id": "cmpl-1",
        "gen_ai.response.model": "Qwen/Qwen2.5-7B-Instruct-AWQ",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 256,
        "gen_ai.usage.prompt_tokens": 1_000,
        "gen_ai.usage.completion_tokens": 64,
        **{f"gen_ai.latency.{name}": seconds for name, seconds in latency.items()},
        **more,
    }


def check(row: dict[str, Any]) -> None:
    assert (row["kind"], row["usage_counted"], row["response_id"]) == ("llm", True, "cmpl-1")
    assert (row["model_family"], row["model_quantization"]) == ("qwen", "AWQ")
    assert (row["input_tokens"], row["output_tokens"]) == (1_000, 64)
    assert (row["ttft_ns"], row["queue_ns"]) == (180 * MS, 20 * MS)


def test_vllm_s_span_says_tokens_queue_prefill_and_decode() -> None:
    row = row_of(
        llm_request(
            {
                "time_in_queue": 0.02,
                "time_to_first_token": 0.18,
                "e2e": 1.5,
                "time_in_scheduler": 0.001,
                "time_in_model_prefill": 0.15,
                "time_in_model_decode": 1.3,
                "time_in_model_inference": 1.45,
            },
            **{"gen_ai.usage.num_sequences": 1},
        ),
        name="llm_request",
    )
    check(row)
    assert (row["prefill_ns"], row["decode_ns"]) == (150 * MS, 1_300 * MS)
    assert (row["cost"], row["cost_note"]) == (None, "unknown model")


def test_sglang_s_span_says_what_was_read_from_its_cache() -> None:
    row = row_of(
        llm_request(
            {"time_in_queue": 0.02, "time_to_first_token": 0.18, "e2e": 1.5, "time_in_request": 1.5},
            **{"gen_ai.usage.cached_tokens": 768},
        ),
        name="Req",
    )
    check(row)
    assert row["cache_read_tokens"] == 768


def test_a_server_s_span_below_its_client_s_counts_the_call_once() -> None:
    client = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "qwen", "gen_ai.usage.input_tokens": 1_000}
    found = rows(decode_spans(span(client), span(llm_request({}), span_id=2, parent=1)).columns)
    assert [row["usage_counted"] for row in found] == [False, True]


def test_datadog_s_tracer_of_vllm_and_tgi_say_the_same_in_keys_of_their_own() -> None:
    datadog = {"vllm.latency.ttft": 0.18, "vllm.latency.queue": 0.02, "vllm.usage.prompt_tokens": 5}
    tgi = {"gen_ai.request.model": "m", "queue_time": "20ms", "inference_time": "1.5s", "total_time": "1.6s"}
    assert (row_of(datadog)["ttft_ns"], row_of(datadog)["queue_ns"], row_of(datadog)["kind"]) == (
        180 * MS,
        20 * MS,
        "llm",
    )
    assert (row_of(tgi)["queue_ns"], row_of(tgi)["decode_ns"]) == (20 * MS, 1_500 * MS)


def test_the_ai_sdk_with_anthropic_tells_writes_to_both_of_its_caches() -> None:
    written = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 12}
    metadata = json.dumps({"anthropic": {"usage": {"cache_creation": written}}})
    call = {"ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "claude-sonnet-4-5"}
    row = row_of(call | {"ai.usage.inputTokens": 100, "ai.response.providerMetadata": metadata})
    assert (row["input_tokens"], row["cache_write_tokens"]) == (100, 42)
    for odd in ("null", "[]", '{"anthropic": 1}', metadata.replace("30", '"x"').replace("12", "-1")):
        assert row_of(call | {"ai.response.providerMetadata": odd})["cache_write_tokens"] is None


def test_a_turn_of_codex_s_own_traces_has_its_tokens() -> None:
    prefix = "codex.turn.token_usage."
    usage = {"input_tokens": 500, "cached_input_tokens": 400, "output_tokens": 60, "reasoning_output_tokens": 40}
    row = row_of({f"{prefix}{name}": value for name, value in usage.items()}, name="session_task.turn")
    assert (row["input_tokens"], row["output_tokens"], row["cache_read_tokens"]) == (500, 60, 400)
    assert (row["reasoning_tokens"], row["dialect"], row["usage_counted"]) == (40, "codex", True)


LEAF = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5", "gen_ai.usage.input_tokens": 10}


@pytest.mark.parametrize("outer", ["invoke_agent", "agent_step"])
def test_the_ai_sdk_of_version_7_repeats_usage_around_its_calls(outer: str) -> None:
    make: Callable[..., Any] = span
    around = {"gen_ai.operation.name": outer, "gen_ai.usage.input_tokens": 20, "ai.usage.inputTokens": 20}
    found = rows(decode_spans(make(around), make(LEAF, span_id=2, parent=1), make(LEAF, span_id=3, parent=1)).columns)
    assert [row["usage_counted"] for row in found] == [False, True, True]
    assert found[0]["start_time"] == START
