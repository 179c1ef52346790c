"""OpenTelemetry's GenAI conventions, from `gen_ai.system` and `prompt_tokens` (1.26) to message attributes (1.37 on).

https://github.com/open-telemetry/semantic-conventions-genai
"""

import re
from typing import Any

from collectors.semconv.convert import json_label, said_messages
from collectors.semconv.table import Dialect, Source

OPERATIONS = {
    **dict.fromkeys(("chat", "text_completion", "generate_content", "completion", "generate"), "llm"),
    **dict.fromkeys(("acompletion", "atext_completion", "responses", "aresponses"), "llm"),
    **dict.fromkeys(("embeddings", "embedding", "aembedding"), "embedding"),
    **dict.fromkeys(("retrieval", "search_memory"), "retriever"),
    **dict.fromkeys(("rerank", "arerank"), "reranker"),
    **dict.fromkeys(("execute_tool", "create_memory", "create_memory_store", "update_memory"), "tool"),
    **dict.fromkeys(("upsert_memory", "delete_memory", "delete_memory_store"), "tool"),
    **dict.fromkeys(("create_agent", "invoke_agent"), "agent"),
    # The Model Context Protocol's method.
    "tools/call": "tool",
    **dict.fromkeys(("invoke_workflow", "plan", "agent_step"), "chain"),
}

# Gemini CLI puts the id of a session there, with a counter behind it.
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(#+\d+)?")


def name_of_prompt(value: Any) -> str | None:
    """A prompt's name, which no random id is."""
    name = json_label(value)
    return None if name is not None and _ID.fullmatch(name) else name


DIALECT = Dialect(
    name="otel_genai",
    fields={
        "operation": ("gen_ai.operation.name", "mcp.method.name"),
        "agent_name": ("gen_ai.agent.name", "gen_ai.agent.id", "gen_ai.agent"),
        "provider": ("gen_ai.provider.name", "gen_ai.system", "gen_ai.request.provider"),
        "model_requested": ("gen_ai.request.model",),
        "model_answered": ("gen_ai.response.model",),
        "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        "total_tokens": ("gen_ai.usage.total_tokens",),
        "cache_read_tokens": (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.cache_read_tokens",
        ),
        "cache_write_tokens": (
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_write_tokens",
        ),
        "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"),
        "tokens.audio_input": (
            "gen_ai.usage.audio.input_tokens",
            "gen_ai.usage.audio_input_tokens",
            "gen_ai.usage.input_audio_tokens",
        ),
        "tokens.audio_output": (
            "gen_ai.usage.audio.output_tokens",
            "gen_ai.usage.audio_output_tokens",
            "gen_ai.usage.output_audio_tokens",
        ),
        "tokens.text_input": ("gen_ai.usage.text.input_tokens",),
        "tokens.text_output": ("gen_ai.usage.text.output_tokens",),
        "tokens.image_input": ("gen_ai.usage.image.input_tokens",),
        "tokens.image_output": ("gen_ai.usage.image.output_tokens",),
        "tokens.video_input": ("gen_ai.usage.video.input_tokens",),
        "tokens.video_output": ("gen_ai.usage.video.output_tokens",),
        "ttft_ns": (
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.client.operation.time_to_first_chunk",
            "gen_ai.server.time_to_first_token",
        ),
        "finish_reason": (
            "gen_ai.response.finish_reasons",
            "gen_ai.response.finish_reason",
            "gen_ai.response.stop_reason",
            # Anthropic's own SDK.
            "anthropic.message.stop_reason",
        ),
        "response_id": ("gen_ai.response.id",),
        "request.temperature": ("gen_ai.request.temperature",),
        "request.top_p": ("gen_ai.request.top_p",),
        "request.top_k": ("gen_ai.request.top_k",),
        "request.max_tokens": ("gen_ai.request.max_tokens", "gen_ai.request.max_completion_tokens"),
        "request.stop_sequences": ("gen_ai.request.stop_sequences",),
        "request.seed": ("gen_ai.request.seed", "gen_ai.openai.request.seed"),
        "request.frequency_penalty": ("gen_ai.request.frequency_penalty",),
        "request.presence_penalty": ("gen_ai.request.presence_penalty",),
        "request.repetition_penalty": ("gen_ai.request.repetition_penalty",),
        # vLLM's `n` beside the conventions' own.
        "request.choice_count": ("gen_ai.request.choice.count", "gen_ai.request.n"),
        "request.stream": ("gen_ai.request.stream", "gen_ai.request.is_stream", "gen_ai.is_streaming"),
        "request.output_type": ("gen_ai.output.type",),
        "request.response_format": ("gen_ai.openai.request.response_format",),
        "request.tool_choice": ("gen_ai.request.tool_choice",),
        "request.reasoning_effort": ("gen_ai.request.reasoning_effort", "gen_ai.openai.request.reasoning_effort"),
        "request.service_tier": (
            "openai.request.service_tier",
            "gen_ai.openai.request.service_tier",
            "anthropic.request.service_tier",
            "gen_ai.request.service_tier",
        ),
        "request.encoding_formats": ("gen_ai.request.encoding_formats",),
        "request.dimensions": ("gen_ai.embeddings.dimension.count", "gen_ai.request.embedding_dimension"),
        "response.system_fingerprint": (
            "openai.response.system_fingerprint",
            "gen_ai.openai.response.system_fingerprint",
            "gen_ai.openai.system_fingerprint",
            "gen_ai.response.system_fingerprint",
        ),
        "response.service_tier": (
            "openai.response.service_tier",
            "gen_ai.openai.response.service_tier",
            "anthropic.response.service_tier",
            "gen_ai.response.service_tier",
        ),
        "tools": ("gen_ai.tool.definitions",),
        "session_id": ("gen_ai.conversation.id", "gen_ai.openai.conversation.id", "gen_ai.openai.thread.id"),
        "prompt_name": (Source("gen_ai.prompt.name", name_of_prompt),),
        "prompt_version": ("gen_ai.prompt.version",),
        "tool_name": ("gen_ai.tool.name",),
        "tool_call_id": ("gen_ai.tool.call.id",),
        "system_instructions": ("gen_ai.system_instructions",),
        "input_messages": ("gen_ai.input.messages",),
        "output_messages": (Source("gen_ai.output.messages", said_messages),),
        "output_tool_calls": ("gen_ai.response.tool_calls",),
        "input": (
            "gen_ai.tool.call.arguments",
            "gen_ai.retrieval.query.text",
            "gen_ai.retrieval.query",
            "gen_ai.memory.query.text",
            "mcp.request.argument",
        ),
        "output": ("gen_ai.tool.call.result", "gen_ai.memory.records", "mcp.response.value"),
        "documents": ("gen_ai.retrieval.documents",),
    },
    operations=OPERATIONS,
)
