"""Tokens, costs and times, whatever the sender's convention."""

from decimal import Decimal
from typing import Any

import pytest

from tests.collectors.build import SECOND, START, decode_spans, row_of, rows, span

pytestmark = pytest.mark.usefixtures("decoder")

MODEL = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}


def usage(**counts: int) -> dict[str, Any]:
    keys = {
        "given": "gen_ai.usage.input_tokens",
        "out": "gen_ai.usage.output_tokens",
        "read": "gen_ai.usage.cache_read.input_tokens",
        "write": "gen_ai.usage.cache_creation.input_tokens",
        "reasoning": "gen_ai.usage.reasoning.output_tokens",
        "total": "gen_ai.usage.total_tokens",
    }
    return {keys[name]: count for name, count in counts.items()}


def counted(attributes: dict[str, Any]) -> tuple[int | None, int | None]:
    row = row_of({**MODEL, **attributes})
    return row["input_tokens"], row["output_tokens"]


def test_cached_tokens_within_the_input_are_left_as_they_are() -> None:
    assert counted(usage(given=100, out=10, read=80)) == (100, 10)


def test_more_cached_tokens_than_input_means_that_input_was_counted_without_them() -> None:
    assert counted(usage(given=10, out=5, read=80, write=10)) == (100, 5)


def test_a_total_that_sums_all_parts_shows_that_they_are_counted_apart() -> None:
    assert counted(usage(given=100, out=10, read=80, total=190)) == (180, 10)
    assert counted(usage(given=100, out=10, reasoning=7, total=117)) == (100, 17)


def test_more_reasoning_than_output_means_that_output_was_counted_without_it() -> None:
    assert counted(usage(given=100, out=10, reasoning=50)) == (100, 60)


def test_a_total_alone_is_input_and_completes_a_missing_part() -> None:
    assert counted(usage(total=40)) == (40, None)
    assert counted(usage(total=40, given=30)) == (30, 10)
    assert counted(usage(total=40, out=10)) == (30, 10)


@pytest.mark.parametrize("value", ["120", 120, 120.0, " 120 "])
def test_counts_may_be_numeric_strings(value: Any) -> None:
    assert counted({"gen_ai.usage.input_tokens": value})[0] == 120


@pytest.mark.parametrize("value", [-1, True, "many", 1.5, 2**32, float("nan"), "1e999", [1], "9" * 5000])
def test_a_count_that_is_none_is_absent(value: Any) -> None:
    assert counted({"gen_ai.usage.input_tokens": value})[0] is None


def test_the_next_key_is_taken_where_the_first_is_unusable() -> None:
    assert counted({"gen_ai.usage.input_tokens": "?", "gen_ai.usage.prompt_tokens": 7})[0] == 7


def test_usage_of_agents_is_not_counted_again() -> None:
    decoded = decode_spans(
        span({"gen_ai.operation.name": "invoke_agent", **MODEL, **usage(given=100, out=10)}, span_id=1),
        span({"gen_ai.operation.name": "chat", **MODEL, **usage(given=100, out=10)}, span_id=2, parent=1),
    )
    agent, call = rows(decoded.columns)
    assert (agent["kind"], agent["usage_counted"], call["kind"], call["usage_counted"]) == ("agent", False, "llm", True)
    assert agent["cost"] is None
    assert agent["cost_note"] == "repeats its children's usage"


def test_of_model_calls_within_each_other_the_innermost_counts() -> None:
    outer = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 100}
    decoded = decode_spans(
        span(outer, span_id=1),
        span({}, span_id=2, parent=1),
        span({"gen_ai.operation.name": "chat", **MODEL, **usage(given=100)}, span_id=3, parent=2),
    )
    assert [row["usage_counted"] for row in rows(decoded.columns)] == [False, False, True]


def test_spans_that_are_each_others_parents_end_the_search() -> None:
    call = {**MODEL, **usage(given=1)}
    decoded = decode_spans(span(call, span_id=1, parent=2), span(call, span_id=2, parent=1))
    assert decoded.accepted == 2


def test_a_call_is_priced_by_its_model_and_tokens() -> None:
    row = row_of({**MODEL, **usage(given=1_000, out=100)})
    assert row["cost"] == row["input_cost"] + row["output_cost"]
    assert (row["input_cost"], row["output_cost"]) == (Decimal("0.0025"), Decimal("0.001"))
    assert row["cost_source"].startswith("genai-prices")


def test_a_model_without_a_price_says_so() -> None:
    row = row_of({"gen_ai.provider.name": "openai", "gen_ai.request.model": "no-such-model", **usage(given=10, out=1)})
    assert row["cost"] is None
    assert row["cost_note"] != ""


def test_a_cost_beyond_its_column_is_none_with_a_note() -> None:
    row = row_of(
        {"gen_ai.provider.name": "openai", "gen_ai.request.model": "o1-pro", **usage(given=4 * 10**9, out=4 * 10**9)}
    )
    assert (row["cost"], row["cost_note"]) == (None, "out of range")


def test_the_reported_cost_stands_beside_the_computed_one() -> None:
    assert row_of({"openinference.span.kind": "LLM", "llm.cost.total": 0.25})["reported_cost"] == Decimal("0.25")
    both = {"openinference.span.kind": "LLM", "llm.cost.prompt": "0.1", "llm.cost.completion": 0.2}
    assert row_of(both)["reported_cost"] == Decimal("0.3")
    assert row_of({"openinference.span.kind": "LLM", "llm.cost.total": -1})["reported_cost"] is None


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.25}, SECOND // 4),
        ({"gen_ai.response.time_to_first_chunk": "0.25"}, SECOND // 4),
        ({"gen_ai.server.time_to_first_token": 2}, 2 * SECOND),
        ({"gen_ai.response.time_to_first_chunk": float("inf")}, None),
        ({"gen_ai.response.time_to_first_chunk": -1.0}, None),
        ({"gen_ai.response.time_to_first_chunk": 1e12}, None),
    ],
)
def test_the_time_to_first_token_is_in_nanoseconds(attributes: dict[str, Any], expected: int | None) -> None:
    assert row_of({**MODEL, **attributes})["ttft_ns"] == expected


def test_the_first_token_may_be_an_event() -> None:
    events = [(START + 9_000, "First Token Stream Event", {}), (START + 7_000, "gen_ai.content.completion.chunk", {})]
    assert row_of({"openinference.span.kind": "LLM"}, events=events)["ttft_ns"] == 7_000


def test_a_first_token_before_the_start_is_no_time() -> None:
    assert row_of(MODEL, events=[(START - 5, "First Token Stream Event", {})])["ttft_ns"] is None


@pytest.mark.parametrize(
    ("said", "folded"),
    [("openai.responses", "openai"), ("vertex_ai", "gcp.vertex_ai"), ("Bedrock", "aws.bedrock"), ("xai", "x_ai")],
)
def test_providers_are_folded_to_one_spelling(said: str, folded: str) -> None:
    assert row_of({"gen_ai.system": said})["provider"] == folded


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"gen_ai.operation.name": "chat"}, "llm"),
        ({"gen_ai.operation.name": "Embeddings"}, "embedding"),
        ({"gen_ai.operation.name": "execute_tool"}, "tool"),
        ({"gen_ai.operation.name": "invoke_agent"}, "agent"),
        ({"gen_ai.operation.name": "retrieval"}, "retriever"),
        ({"gen_ai.operation.name": "something new", "gen_ai.request.model": "m"}, "llm"),
        ({"openinference.span.kind": "RERANKER"}, "reranker"),
        ({"openinference.span.kind": "Guardrail"}, "guardrail"),
        ({"openinference.span.kind": "UNKNOWN"}, "other"),
        ({"gen_ai.tool.name": "search"}, "tool"),
        ({"llm.model_name": "m"}, "llm"),
        ({"user.id": "u"}, "other"),
    ],
)
def test_the_kind_of_a_span(attributes: dict[str, Any], kind: str) -> None:
    assert row_of(attributes)["kind"] == kind


def test_the_answered_model_is_the_model_and_the_asked_one_is_kept() -> None:
    row = row_of({"gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024-08-06"})
    assert (row["model_requested"], row["model"]) == ("gpt-4o", "gpt-4o-2024-08-06")
    row = row_of({"openinference.span.kind": "LLM", "llm.model_name": "qwen2.5-7b-instruct-awq"})
    assert (row["model_requested"], row["model"]) == ("qwen2.5-7b-instruct-awq",) * 2
    assert (row["model_family"], row["model_quantization"], row["model_params_b"]) == ("qwen", "AWQ", 7.0)


def test_the_finish_reason_may_be_an_array_a_text_or_a_json_array() -> None:
    for said in (["length", "stop"], '["length"]', "length"):
        assert row_of({"gen_ai.response.finish_reasons": said})["finish_reason"] == "length"


def test_sessions_users_and_tags() -> None:
    row = row_of({"openinference.span.kind": "CHAIN", "session.id": "s", "user.id": 7, "tag.tags": '["a", "b", "a"]'})
    assert (row["session_id"], row["user_id"], row["tags"]) == ("s", "7", ["a", "b"])
    assert row_of({"openinference.span.kind": "CHAIN", "metadata": '{"thread_id": "t"}'})["session_id"] == "t"
    assert row_of({"gen_ai.conversation.id": "c", "session.id": "s"})["session_id"] == "c"
