"""OpenTelemetry's GenAI conventions, from `gen_ai.system` and `prompt_tokens` (1.26) to message attributes (1.37 on).

https://github.com/open-telemetry/semantic-conventions-genai
"""

from collectors.semconv.convert import said_messages
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
        "session_id": ("gen_ai.conversation.id", "gen_ai.openai.conversation.id", "gen_ai.openai.thread.id"),
        "prompt_name": ("gen_ai.prompt.name",),
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
