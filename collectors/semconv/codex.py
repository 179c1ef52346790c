"""Codex CLI: the keys of its log events on the spans made of them (`collectors.coding_agents`), and of its own spans.

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
        # The second of each is on the turn's own span, while Codex sends traces too.
        "input_tokens": ("codex.input_token_count", "codex.turn.token_usage.input_tokens"),
        "output_tokens": ("codex.output_token_count", "codex.turn.token_usage.output_tokens"),
        "cache_read_tokens": ("codex.cached_token_count", "codex.turn.token_usage.cached_input_tokens"),
        "cache_write_tokens": ("codex.turn.token_usage.cache_write_input_tokens",),
        "reasoning_tokens": (
            "codex.reasoning_token_count",
            "codex.turn.token_usage.reasoning_output_tokens",
            "codex.usage.reasoning_output_tokens",
        ),
        "tool_name": ("codex.tool_name",),
        "tool_call_id": ("codex.call_id",),
        "input": (Source("codex.prompt", unredacted), Source("codex.arguments", unredacted)),
        "output": (Source("codex.output", unredacted),),
    },
)
