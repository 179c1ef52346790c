"""Codex CLI: the keys of its log events on the spans made of them (`collectors.coding_agents`).

https://github.com/openai/codex/blob/main/codex-rs/otel/README.md
"""

from collectors.semconv.convert import one_of, unredacted
from collectors.semconv.table import Dialect, Source

_EVENTS = {
    "conversation_starts": "agent",
    "user_prompt": "chain",
    "sse_event": "llm",
    "api_request": "llm",
    "websocket_request": "llm",
    "tool_result": "tool",
}

DIALECT = Dialect(
    name="codex",
    fields={
        "kind": (Source("codex.event", one_of(_EVENTS)),),
        "provider": ("codex.provider_name",),
        "model_requested": ("codex.model", "codex.slug"),
        # OpenAI's counts: cached tokens are part of the input, reasoning of the output.
        "input_tokens": ("codex.input_token_count",),
        "output_tokens": ("codex.output_token_count",),
        "cache_read_tokens": ("codex.cached_token_count",),
        "reasoning_tokens": ("codex.reasoning_token_count",),
        "tool_name": ("codex.tool_name",),
        "tool_call_id": ("codex.call_id",),
        "input": (Source("codex.prompt", unredacted), Source("codex.arguments", unredacted)),
        "output": (Source("codex.output", unredacted),),
    },
)
