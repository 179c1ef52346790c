"""Claude Code: the keys of its log events on the spans made of them (`collectors.coding_agents`), and those of its own
spans while its tracing is on.

https://docs.anthropic.com/en/docs/claude-code/monitoring-usage
"""

from typing import Any

from collectors.semconv.convert import label, milliseconds, one_of, unredacted
from collectors.semconv.table import Dialect, Source

_EVENTS = {
    "user_prompt": "agent",
    "api_request": "llm",
    "api_error": "llm",
    "api_refusal": "llm",
    "tool_result": "tool",
}
_SPANS = {"interaction": "agent", "llm_request": "llm", "tool": "tool", "tool.execution": "chain", "hook": "chain"}


def model_and_provider(value: Any) -> dict[str, str]:
    """The model, and its maker where the name is the maker's own rather than a cloud's."""
    name = label(value)
    if name is None:
        return {}
    return {"model_requested": name, **({"provider": "anthropic"} if name.startswith("claude") else {})}


DIALECT = Dialect(
    name="claude_code",
    fields={
        "kind": (Source("claude_code.event", one_of(_EVENTS)), Source("span.type", one_of(_SPANS))),
        # Anthropic counts cached tokens beside the input.
        "exclusive_input_tokens": ("claude_code.input_tokens",),
        "output_tokens": ("claude_code.output_tokens",),
        "cache_read_tokens": ("claude_code.cache_read_tokens",),
        "cache_write_tokens": ("claude_code.cache_creation_tokens",),
        "reported_cost": ("claude_code.cost_usd",),
        "ttft_ns": (Source("claude_code.ttft_ms", milliseconds),),
        # While its tracing is on as well, its span of the call has the same id, so that the call counts once.
        "response_id": ("claude_code.request_id",),
        "finish_reason": ("claude_code.stop_reason",),
        "session_id": ("claude_code.session_id",),
        "tool_name": ("claude_code.tool_name",),
        "tool_call_id": ("claude_code.tool_use_id",),
        "error_type": ("claude_code.error_type",),
        "error_message": ("claude_code.error",),
        "input": (
            Source("claude_code.prompt", unredacted),
            Source("claude_code.tool_input", unredacted),
            Source("claude_code.tool_parameters", unredacted),
        ),
        "output": (Source("claude_code.response", unredacted),),
        "several": (Source("claude_code.model", model_and_provider),),
    },
)
# On its own spans the counts have bare names, beside OpenTelemetry's for the rest: they yield to any convention's.
SPANS = Dialect(
    name="claude_code_spans",
    fields={
        "exclusive_input_tokens": ("input_tokens",),
        "output_tokens": ("output_tokens",),
        "cache_read_tokens": ("cache_read_tokens",),
        "cache_write_tokens": ("cache_creation_tokens",),
        "reported_cost": ("cost_usd",),
        "ttft_ns": (Source("ttft_ms", milliseconds),),
        "finish_reason": ("stop_reason",),
        "input": (Source("user_prompt", unredacted), Source("full_command", unredacted)),
    },
)
