"""Each dialect's own spans: what its SDK sends and what the columns then say."""

import json
from decimal import Decimal
from typing import Any

import pytest

from collectors.semconv.dialects import DIALECTS, INDEX
from collectors.semconv.table import FIELDS
from tests.collectors.build import SECOND, START, decode_spans, row_of, rows, span

pytestmark = pytest.mark.usefixtures("decoder")

KINDS = {
    *(
        "agent",
        "chain",
        "llm",
        "embedding",
        "retriever",
        "reranker",
        "tool",
        "guardrail",
        "evaluator",
        "prompt",
        "other",
    )
}
QUESTION = [{"role": "user", "parts": [{"type": "text", "content": "How many?"}]}]
OPENAI_QUESTION = json.dumps([{"role": "user", "content": "How many?"}])
ANSWER = [{"role": "assistant", "parts": [{"type": "text", "content": "12"}]}]


def check(attributes: dict[str, Any], expected: dict[str, Any], **fields: Any) -> None:
    row = row_of(attributes, **fields)
    for column in ("input", "output"):
        if column in expected and not isinstance(expected[column], str):
            row[column] = json.loads(row[column])
    assert {column: row[column] for column in expected} == expected


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name or "general")
def test_a_dialect_fills_known_fields_with_known_kinds(dialect: Any) -> None:
    assert set(dialect.fields) <= set(FIELDS)
    assert set(dialect.flat.values()) <= set(FIELDS)
    assert set(dialect.operations.values()) <= KINDS
    keys = [source if isinstance(source, str) else source.key for each in dialect.fields.values() for source in each]
    assert len(keys) == len(set(keys)), "a key means one thing"


def test_no_key_is_claimed_by_two_dialects() -> None:
    owners: dict[str, str] = {}
    for dialect in DIALECTS:
        for sources in dialect.fields.values():
            for source in sources:
                key = source if isinstance(source, str) else source.key
                assert owners.setdefault(key, dialect.name) == dialect.name, key


def test_an_index_full_of_keys_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on the first day: what other tests taught it would make room for more keys here.
    monkeypatch.setattr(INDEX, "known", dict(INDEX._plain))
    monkeypatch.setattr(INDEX, "plans", {})
    monkeypatch.setattr("collectors.semconv.table.MAX_KEYS", len(INDEX.known) + 2)
    for each in range(10):
        assert INDEX.lookup(f"unknown.{each}") is None
    assert len(INDEX.known) <= len(INDEX._plain) + 10
    assert row_of({"gen_ai.request.model": "m"})["model"] == "m"


def test_the_vercel_sdk_calls_within_and_the_wrapper_around() -> None:
    usage = {"ai.usage.inputTokens": 100, "ai.usage.outputTokens": 20, "ai.usage.cachedInputTokens": 60}
    model = {"ai.model.id": "gpt-4o", "ai.model.provider": "openai.chat"}
    wrapper = span(
        {"ai.operationId": "ai.streamText", "ai.prompt": '{"prompt": "How many?"}', **model, **usage}, span_id=1
    )
    call = {
        "ai.operationId": "ai.streamText.doStream",
        "gen_ai.system": "openai.chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.finish_reasons": ["stop"],
        "ai.prompt.messages": OPENAI_QUESTION,
        "ai.response.text": "12",
        "ai.response.msToFirstChunk": 250.5,
        "ai.telemetry.metadata.sessionId": "s",
        **model,
        **usage,
    }
    outer, inner = rows(decode_spans(wrapper, span(call, span_id=2, parent=1)).columns)
    assert (outer["kind"], outer["usage_counted"], outer["input_preview"]) == ("chain", False, "How many?")
    assert (inner["kind"], inner["usage_counted"], inner["dialect"]) == ("llm", True, "vercel")
    assert (inner["provider"], inner["model"], inner["cache_read_tokens"]) == ("openai", "gpt-4o", 60)
    assert (inner["ttft_ns"], inner["session_id"]) == (250_500_000, "s")
    assert (json.loads(inner["input"]), json.loads(inner["output"])) == (QUESTION, ANSWER)


def test_the_vercel_sdk_keeps_text_reasoning_and_tool_calls_apart() -> None:
    call = {"toolCallId": "c1", "toolName": "count", "input": {"of": "apples"}}
    row = row_of(
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.response.text": "Let me count.",
            "ai.response.reasoning": "hm",
            "ai.response.toolCalls": json.dumps([call]),
        }
    )
    assert json.loads(row["output"])[0]["parts"] == [
        {"type": "reasoning", "content": "hm"},
        {"type": "text", "content": "Let me count."},
        {"type": "tool_call", "id": "c1", "name": "count", "arguments": {"of": "apples"}},
    ]


def test_the_vercel_sdk_embeds_texts_that_are_json_strings() -> None:
    check(
        {"ai.operationId": "ai.embedMany.doEmbed", "ai.values": ['"one"', '"two"'], "ai.usage.tokens": 5},
        {"kind": "embedding", "input": "one\ntwo", "input_tokens": 5, "usage_counted": True},
    )


def test_langfuse_overrides_what_is_below_and_counts_each_part_beside_the_others() -> None:
    check(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.input": OPENAI_QUESTION,
            "langfuse.observation.output": '{"role": "assistant", "content": "12"}',
            "langfuse.observation.usage_details": '{"input": 40, "input_cached_tokens": 60, "output": 20}',
            "langfuse.observation.cost_details": '{"input": 0.1, "output": 0.2}',
            "langfuse.observation.prompt.name": "counting",
            "langfuse.observation.prompt.version": 3,
            "langfuse.observation.level": "ERROR",
            "langfuse.observation.status_message": "ran out",
            "langfuse.session.id": "s",
            "langfuse.user.id": "u",
            "langfuse.trace.tags": ["a", "b"],
            "langfuse.environment": "prod",
            "langfuse.release": "v2",
        },
        {
            "dialect": "langfuse",
            "kind": "llm",
            "model": "gpt-4o",
            "input": QUESTION,
            "output": ANSWER,
            "input_tokens": 100,
            "output_tokens": 20,
            "cache_read_tokens": 60,
            "reported_cost": Decimal("0.3"),
            "prompt_name": "counting",
            "prompt_version": "3",
            "status": "error",
            "status_message": "ran out",
            "session_id": "s",
            "user_id": "u",
            "tags": ["a", "b"],
            "environment": "prod",
            "release": "v2",
        },
    )


def test_langfuse_says_when_the_first_token_came_as_a_json_string() -> None:
    at = '"2026-09-21T14:12:21.500000Z"'
    row = row_of({"langfuse.observation.type": "generation", "langfuse.observation.completion_start_time": at})
    # START is 2026-09-21T14:12:20Z.
    assert row["ttft_ns"] == SECOND * 3 // 2


def test_mlflow_sends_every_value_as_a_json_string() -> None:
    check(
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.spanInputs": json.dumps({"messages": json.loads(OPENAI_QUESTION), "model": "gpt-4o"}),
            "mlflow.spanOutputs": json.dumps({"choices": [{"message": {"role": "assistant", "content": "12"}}]}),
            "mlflow.chat.tokenUsage": '{"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}',
            "mlflow.llm.model": '"gpt-4o"',
            "mlflow.llm.provider": '"openai"',
            "mlflow.llm.cost": '{"total_cost": 0.5}',
            "mlflow.trace.session": '"s"',
            "mlflow.linkedPrompts": '[{"name": "counting", "version": "3"}]',
        },
        {
            "dialect": "mlflow",
            "kind": "llm",
            "input": QUESTION,
            "output": ANSWER,
            "input_tokens": 100,
            "output_tokens": 20,
            "model": "gpt-4o",
            "provider": "openai",
            "reported_cost": Decimal("0.5"),
            "session_id": "s",
            "prompt_name": "counting",
            "prompt_version": "3",
        },
    )


def test_traceloop_flat_prompts_and_completions() -> None:
    check(
        {
            "llm.request.type": "chat",
            "gen_ai.system": "OpenAI",
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "How many?",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.finish_reason": "tool_calls",
            "gen_ai.completion.0.tool_calls.0.id": "c1",
            "gen_ai.completion.0.tool_calls.0.name": "count",
            "gen_ai.completion.0.tool_calls.0.arguments": '{"of": "apples"}',
            "gen_ai.usage.prompt_tokens": 100,
            "llm.usage.total_tokens": 120,
            "traceloop.association.properties.session_id": "s",
        },
        {
            "kind": "llm",
            "provider": "openai",
            "input": QUESTION,
            "output": [
                {
                    "role": "assistant",
                    "parts": [{"type": "tool_call", "id": "c1", "name": "count", "arguments": {"of": "apples"}}],
                    "finish_reason": "tool_calls",
                }
            ],
            "input_tokens": 100,
            "output_tokens": 20,
            "finish_reason": "tool_calls",
            "session_id": "s",
        },
    )


def test_traceloop_entities_name_tools_and_nothing_else() -> None:
    entity = {"traceloop.entity.name": "count", "traceloop.entity.input": "apples", "traceloop.entity.output": "12"}
    check({"traceloop.span.kind": "tool", **entity}, {"kind": "tool", "tool_name": "count", "input": "apples"})
    check({"traceloop.span.kind": "workflow", **entity}, {"kind": "chain", "tool_name": "", "output": "12"})


def test_documents_of_a_vector_database_are_events() -> None:
    found = {"db.query.result.id": "d", "db.query.result.document": "text", "db.query.result.score": 0.5}
    row = row_of({"db.vector.query.top_k": 1}, events=[(START + 1, "db.query.result", found)])
    assert row["kind"] == "retriever"
    assert json.loads(row["documents"]) == [{"content": "text", "id": "d", "score": 0.5}]


def test_vllm_measures_queue_prefill_and_decode() -> None:
    check(
        {
            "gen_ai.response.model": "qwen2.5-7b-instruct-awq",
            "gen_ai.request.id": "r1",
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 20,
            "gen_ai.latency.time_in_queue": 0.25,
            "gen_ai.latency.time_to_first_token": 0.5,
            "gen_ai.latency.time_in_model_prefill": 0.125,
            "gen_ai.latency.time_in_model_decode": 1.5,
        },
        {
            "kind": "llm",
            "model_family": "qwen",
            "response_id": "r1",
            "input_tokens": 100,
            "queue_ns": SECOND // 4,
            "ttft_ns": SECOND // 2,
            "prefill_ns": SECOND // 8,
            "decode_ns": SECOND * 3 // 2,
        },
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [("1.5s", 1_500_000_000), ("56.7ms", 56_700_000), ("12.3µs", 12_300), ("40ns", 40), ("1.5", None), ("soon", None)],
)
def test_tgi_writes_durations_as_rust_prints_them(said: str, expected: int | None) -> None:
    assert row_of({"queue_time": said, "gen_ai.request.model": "m"})["queue_ns"] == expected


def test_litellm_sends_finish_reasons_as_json_and_its_cost_breakdown() -> None:
    check(
        {
            "gen_ai.operation.name": "acompletion",
            "gen_ai.response.finish_reasons": '["stop"]',
            "gen_ai.cost.input_cost": 0.1,
            "gen_ai.cost.output_cost": 0.2,
            "llm.is_streaming": "True",
            "metadata.user_api_key_user_id": "u",
        },
        {"kind": "llm", "finish_reason": "stop", "reported_cost": Decimal("0.3"), "user_id": "u"},
    )


def test_openlit_token_details_and_costs() -> None:
    check(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.prompt_tokens_details.cached_tokens": 64,
            "gen_ai.usage.completion_tokens_details.reasoning_tokens": 5,
            "gen_ai.usage.cost": 0.25,
            "gen_ai.environment": "prod",
        },
        {"cache_read_tokens": 64, "reasoning_tokens": 5, "reported_cost": Decimal("0.25"), "environment": "prod"},
    )


def test_pydantic_ai_usage_details_and_tools() -> None:
    check(
        {
            "gen_ai.operation.name": "invoke_agent",
            "pydantic_ai.all_messages": json.dumps(QUESTION),
            "final_result": "12",
            "gen_ai.usage.details.cache_read_tokens": 64,
        },
        {"kind": "agent", "input": QUESTION, "output": "12", "cache_read_tokens": 64, "usage_counted": False},
    )
    check(
        {"gen_ai.tool.name": "count", "tool_arguments": "{}", "tool_response": "12"}, {"kind": "tool", "output": "12"}
    )


def test_the_google_adk_keeps_requests_and_responses_as_json() -> None:
    check(
        {
            "gen_ai.operation.name": "generate_content",
            "gcp.vertex.agent.session_id": "s",
            "gcp.vertex.agent.llm_request": '{"contents": [{"role": "user", "parts": [{"text": "How many?"}]}]}',
            "gcp.vertex.agent.llm_response": '{"content": {"role": "model", "parts": [{"text": "12"}]}}',
        },
        {"kind": "llm", "session_id": "s", "input": QUESTION, "output": ANSWER},
    )


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (
            {"langsmith.span.kind": "retriever", "langsmith.metadata.thread_id": "t", "langsmith.span.tags": "a"},
            {"kind": "retriever", "session_id": "t", "tags": ["a"]},
        ),
        (
            {"lmnr.span.type": "LLM", "lmnr.span.input": OPENAI_QUESTION, "lmnr.span.output": '"12"'},
            {"kind": "llm", "input": QUESTION, "output": ANSWER},
        ),
        (
            {
                "lmnr.span.type": "LLM",
                "gen_ai.usage.input_tokens": 10,
                "gen_ai.usage.cache_creation.input_tokens.ephemeral_5m": 30,
                "gen_ai.usage.cache_creation.input_tokens.ephemeral_1h": 60,
            },
            {"cache_write_tokens": 90, "input_tokens": 100},
        ),
        (
            {
                "langwatch.span.type": "rag",
                "langwatch.thread.id": "t",
                "langwatch.rag.contexts": '[{"document_id": "d", "content": "text"}]',
            },
            {"kind": "retriever", "session_id": "t", "documents": '[{"content":"text","id":"d"}]'},
        ),
        (
            {
                "langwatch.span.type": "llm",
                "langwatch.timestamps": json.dumps({"first_token_at": START // 10**6 + 250}),
            },
            {"ttft_ns": SECOND // 4},
        ),
        (
            {
                "ai.observability.span_type": "generation",
                "ai.observability.cost.num_prompt_tokens": 100,
                "ai.observability.generation.time_to_first_token_ms": 250,
                "ai.observability.cost.model": "gpt-4o",
            },
            {"kind": "llm", "input_tokens": 100, "ttft_ns": SECOND // 4, "model": "gpt-4o"},
        ),
        (
            {
                "mastra.span.type": "model_generation",
                "gen_ai.usage.input_tokens": 100,
                "gen_ai.usage.cached_input_tokens": 64,
            },
            {"kind": "llm", "cache_read_tokens": 64},
        ),
        ({"weave.span.kind": "guardrail", "wandb.thread_id": "t"}, {"kind": "guardrail", "session_id": "t"}),
        (
            {"lk.chat_ctx": json.dumps({"items": []}), "lk.response.text": "12", "gen_ai.request.model": "m"},
            {"kind": "llm", "output": ANSWER},
        ),
        ({"opik.tags": ["a"], "opik.thread_id": "t", "gen_ai.request.model": "m"}, {"tags": ["a"], "session_id": "t"}),
        ({"flue.turn.input": "How many?", "flue.turn.output": "12"}, {"input": "How many?", "output": "12"}),
        (
            {"mcp.method.name": "tools/call", "mcp.request.argument": "{}", "mcp.response.value": "12"},
            {"kind": "tool", "input": "{}", "output": "12"},
        ),
        ({"gen_ai.agent.name": "planner"}, {"kind": "agent"}),
        ({"guardrail_name": "pii", "guardrail_response": "masked"}, {"kind": "guardrail", "output": "masked"}),
        ({"operation.name": "ai.embed.doEmbed my-app", "ai.usage.tokens": 5}, {"kind": "embedding", "input_tokens": 5}),
        ({"operation.name": "http.request", "input": "x"}, {"kind": "other", "dialect": "", "input": ""}),
        (
            {"genkit:metadata:subtype": "tool", "genkit:name": "count", "genkit:input": '"apples"'},
            {"kind": "tool", "tool_name": "count"},
        ),
    ],
)
def test_further_dialects(attributes: dict[str, Any], expected: dict[str, Any]) -> None:
    check(attributes, expected)
