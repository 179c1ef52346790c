"""Codex CLI: the keys of its log events on the spans made of them (`collectors.coding_agents`), and of its own spans.

https://github.com/openai/codex/blob/main/codex-rs/otel/README.md
"""

from typing import Any

from collectors.semconv.convert import count, one_of, unredacted
from collectors.semconv.table import Dialect, Source

_EVENTS = {
    "conversation_starts": "agent",
    "user_prompt": "chain",
    "sse_event": "llm",
    "api_request": "llm",
    "websocket_request": "llm",
    "tool_result": "tool",
}


def part_of_a_turn(value: Any) -> str | None:
    """The kind of Codex's own span of a response: its turn's span sums the tokens, and has the model beside."""
    return "chain" if count(value) is not None else None


DIALECT = Dialect(
    name="codex",
    fields={
        "kind": (Source("codex.event", one_of(_EVENTS)), Source("codex.usage.total_tokens", part_of_a_turn)),
        "provider": ("codex.provider_name",),
        "model_requested": ("codex.model", "codex.slug"),
        # OpenAI's counts: cached tokens are part of the input, reasoning of the output.
        # The second of each is on the turn's own span, while Codex sends traces too.
        "input_tokens": ("codex.input_token_count", "codex.turn.token_usage.input_tokens"),
        "output_tokens": ("codex.output_token_count", "codex.turn.token_usage.output_tokens"),
        "cache_read_tokens": ("codex.cached_token_count", "codex.turn.token_usage.cached_input_tokens"),
        "cache_write_tokens": (
            "codex.cache_write_token_count",
            "codex.turn.token_usage.cache_write_input_tokens",
        ),
        "reasoning_tokens": (
            "codex.reasoning_token_count",
            "codex.turn.token_usage.reasoning_output_tokens",
            "codex.usage.reasoning_output_tokens",
        ),
        "request.reasoning_effort": ("codex.reasoning_effort",),
        "tool_name": ("codex.tool_name",),
        "tool_call_id": ("codex.call_id",),
        "input": (Source("codex.prompt", unredacted), Source("codex.arguments", unredacted)),
        "output": (Source("codex.output", unredacted),),
    },
)
