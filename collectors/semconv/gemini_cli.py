"""Gemini CLI: the keys of its log events on the spans made of them (`collectors.coding_agents`).

https://github.com/google-gemini/gemini-cli/blob/main/docs/cli/telemetry.md
"""

from typing import Any

from collectors.semconv.convert import from_json, label, one_of, unredacted
from collectors.semconv.table import Dialect, Source

# How it describes itself on its own spans; the other keys there are OpenTelemetry's.
_SELF = "Gemini CLI is an open-source AI agent"
_EVENTS = {"user_prompt": "agent", "api_response": "llm", "api_error": "llm", "tool_call": "tool"}


def model_and_provider(value: Any) -> dict[str, str]:
    """The model, and its maker where the name says it."""
    name = label(value)
    if name is None:
        return {}
    return {"model_requested": name, **({"provider": "gcp.gemini"} if name.startswith("gemini") else {})}


def kind_of_own_span(value: Any) -> str | None:
    """That of its own spans, which it sends beside its records: a call and a tool are told by the records already."""
    return "chain" if isinstance(value, str) and value.startswith(_SELF) else None


def streamed(value: Any) -> Any:
    """One message of the pieces that a response was streamed in; what is no list of pieces stays as it is."""
    pieces = from_json(value)
    if not isinstance(pieces, list) or not pieces:
        return unredacted(value)
    parts: list[Any] = []
    for piece in pieces:
        candidates = piece.get("candidates") if isinstance(piece, dict) else None
        first = candidates[0] if isinstance(candidates, list) and candidates else None
        content = first.get("content") if isinstance(first, dict) else None
        said = content.get("parts") if isinstance(content, dict) else None
        for part in said if isinstance(said, list) else ():
            if _is_text(part) and parts and _is_text(parts[-1]):
                parts[-1] = {"text": parts[-1]["text"] + part["text"]}
            else:
                parts.append(part)
    return [{"role": "model", "parts": parts}] if parts else unredacted(value)


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.keys() == {"text"} and isinstance(part["text"], str)


DIALECT = Dialect(
    name="gemini_cli",
    fields={
        "kind": (Source("gemini_cli.event", one_of(_EVENTS)), Source("gen_ai.agent.description", kind_of_own_span)),
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
        "output_messages": (Source("gemini_cli.response_text", streamed),),
        "several": (Source("gemini_cli.model", model_and_provider),),
    },
)
