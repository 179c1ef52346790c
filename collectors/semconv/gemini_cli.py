"""Gemini CLI: the keys of its log events on the spans made of them (`collectors.coding_agents`).

https://github.com/google-gemini/gemini-cli/blob/main/docs/cli/telemetry.md
"""

from typing import Any

from collectors.semconv.convert import label, one_of, unredacted
from collectors.semconv.table import Dialect, Source

_EVENTS = {"user_prompt": "agent", "api_response": "llm", "api_error": "llm", "tool_call": "tool"}


def model_and_provider(value: Any) -> dict[str, str]:
    """The model, and its maker where the name says it."""
    name = label(value)
    if name is None:
        return {}
    return {"model_requested": name, **({"provider": "gcp.gemini"} if name.startswith("gemini") else {})}


DIALECT = Dialect(
    name="gemini_cli",
    fields={
        "kind": (Source("gemini_cli.event", one_of(_EVENTS)),),
        # Thoughts are counted beside the output, as the total shows.
        "input_tokens": ("gemini_cli.input_token_count",),
        "exclusive_output_tokens": ("gemini_cli.output_token_count",),
        "total_tokens": ("gemini_cli.total_token_count",),
        "cache_read_tokens": ("gemini_cli.cached_content_token_count",),
        "reasoning_tokens": ("gemini_cli.thoughts_token_count",),
        "finish_reason": ("gemini_cli.finish_reasons",),
        "tool_name": ("gemini_cli.function_name",),
        "error_type": ("gemini_cli.error_type",),
        "error_message": ("gemini_cli.error",),
        "input": (
            Source("gemini_cli.prompt", unredacted),
            Source("gemini_cli.request_text", unredacted),
            Source("gemini_cli.function_args", unredacted),
        ),
        "output": (Source("gemini_cli.response_text", unredacted),),
        "several": (Source("gemini_cli.model", model_and_provider),),
    },
)
