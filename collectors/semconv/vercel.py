"""The Vercel AI SDK's telemetry: `ai.*`.

Only the `.do*` spans are model calls; the spans around them repeat their usage and are chains.
https://ai-sdk.dev/docs/ai-sdk-core/telemetry
"""

from typing import Any

from collectors.semconv.convert import Spread, count, from_json, json_label, label, milliseconds
from collectors.semconv.table import Dialect, Source

OPERATIONS = {
    **dict.fromkeys(("ai.generatetext", "ai.streamtext", "ai.generateobject", "ai.streamobject"), "chain"),
    **dict.fromkeys(("ai.embed", "ai.embedmany", "ai.rerank"), "chain"),
    **dict.fromkeys(("ai.generatetext.dogenerate", "ai.streamtext.dostream"), "llm"),
    **dict.fromkeys(("ai.generateobject.dogenerate", "ai.streamobject.dostream"), "llm"),
    **dict.fromkeys(("ai.embed.doembed", "ai.embedmany.doembed"), "embedding"),
    "ai.rerank.dorerank": "reranker",
    "ai.toolcall": "tool",
}


def function_of(value: Any) -> str | None:
    """`ai.streamText.doStream my-function` to the SDK's function; other libraries' `operation.name` is not ours."""
    name = label(value)
    return name.split()[0] if name is not None and name.startswith("ai.") else None


def anthropic_cache_writes(value: Any) -> dict[str, int]:
    """Tokens written to Anthropic's caches of five minutes and of an hour, from what the provider itself answered."""
    held = from_json(value)
    for key in ("anthropic", "usage", "cache_creation"):
        held = held.get(key) if isinstance(held, dict) else None
    if not isinstance(held, dict):
        return {}
    names = {"cache_write_5m_tokens": "ephemeral_5m_input_tokens", "cache_write_1h_tokens": "ephemeral_1h_input_tokens"}
    found = {name: count(held.get(key)) for name, key in names.items()}
    return {name: number for name, number in found.items() if number is not None}


DIALECT = Dialect(
    name="vercel",
    fields={
        # The SDK's own operation decides over `gen_ai.operation.name`, which it also sets on the spans around a call.
        "operation": ("ai.operationId", Source("operation.name", function_of)),
        "provider": ("ai.model.provider", "aisdk.model.provider"),
        "model_requested": ("ai.model.id", "aisdk.model.id"),
        "model_answered": ("ai.response.model",),
        "input_tokens": ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
        "output_tokens": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
        "total_tokens": ("ai.usage.totalTokens",),
        "cache_read_tokens": ("ai.usage.cachedInputTokens", "ai.usage.inputTokenDetails.cacheReadTokens"),
        "cache_write_tokens": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
        "reasoning_tokens": ("ai.usage.reasoningTokens", "ai.usage.outputTokenDetails.reasoningTokens"),
        # What is left of the output without its reasoning.
        "tokens.text_output": ("ai.usage.outputTokenDetails.textTokens",),
        "ttft_ns": (
            Source("ai.response.msToFirstChunk", milliseconds),
            Source("ai.stream.msToFirstChunk", milliseconds),
        ),
        "finish_reason": ("ai.response.finishReason", "ai.finishReason", "gen_ai.finishReason"),
        "response_id": ("ai.response.id",),
        "request.temperature": ("ai.settings.temperature",),
        "request.top_p": ("ai.settings.topP",),
        "request.top_k": ("ai.settings.topK",),
        "request.max_tokens": ("ai.settings.maxOutputTokens", "ai.settings.maxTokens"),
        "request.stop_sequences": ("ai.settings.stopSequences",),
        "request.seed": ("ai.settings.seed",),
        "request.frequency_penalty": ("ai.settings.frequencyPenalty",),
        "request.presence_penalty": ("ai.settings.presencePenalty",),
        "request.output_type": ("ai.settings.output",),
        "request.tool_choice": ("ai.prompt.toolChoice",),
        "tools": ("ai.prompt.tools",),
        "session_id": (
            "ai.telemetry.metadata.sessionId",
            "ai.telemetry.metadata.session_id",
            "ai.settings.context.sessionId",
        ),
        "user_id": (
            "ai.telemetry.metadata.userId",
            "ai.telemetry.metadata.user_id",
            "ai.settings.context.userId",
        ),
        "tags": ("ai.telemetry.metadata.tags",),
        "tool_name": ("ai.toolCall.name",),
        "tool_call_id": ("ai.toolCall.id",),
        "input_messages": ("ai.prompt.messages", "ai.prompt"),
        "output_tool_calls": ("ai.response.toolCalls", "ai.result.toolCalls"),
        "output_reasoning": ("ai.response.reasoning",),
        "embedded_texts": ("ai.values", "ai.value"),
        "documents": ("ai.documents",),
        "input": ("ai.toolCall.args",),
        "output": (
            "ai.response.text",
            "ai.response.object",
            "ai.toolCall.result",
            "ai.result.text",
            "ai.result.object",
            "ai.ranking",
        ),
        "several": (
            Source(
                "ai.telemetry.metadata.langfusePrompt",
                Spread({"name": ("prompt_name", json_label), "version": ("prompt_version", json_label)}),
            ),
            Source("ai.response.providerMetadata", anthropic_cache_writes),
        ),
    },
    operations=OPERATIONS,
)
