"""Definitions of the tools that a model may call, of any provider's shape, into one.

`[{"name", "description"?, "parameters"?, "type"?}]`: `parameters` is the JSON schema of the arguments, `type` is there
where it is no function (`web_search`, `computer`).
"""

from collections.abc import Iterator
from typing import Any

from collectors.semconv.convert import from_json, label
from collectors.text import to_json, to_text

# A request of more tools than this is a mistake in a loop; the attribute itself keeps them all.
MAX_TOOLS = 1_000
_SCHEMAS = (
    "parameters",
    "input_schema",
    "inputSchema",
    "parameters_json_schema",
    "parametersJsonSchema",
    "json_schema",
)
# Objects in which the definition stands: OpenAI's, Bedrock's, OpenInference's flat keys.
_WRAPPERS = ("function", "toolSpec", "tool")
_MAX_WRAPPERS = 3


def tools_of(value: Any) -> str:
    """JSON of the definitions, "" without any."""
    found = [tool for tool in _tools(value, 0) if tool is not None]
    return to_json(found[:MAX_TOOLS]) if found else ""


def _tools(value: Any, depth: int) -> Iterator[dict[str, Any] | None]:
    parsed = from_json(value)
    if isinstance(parsed, dict):
        # Gemini keeps several in one object, Pydantic AI those of its own and those of the answer's shape apart.
        inner = [
            parsed.get(key) for key in ("functionDeclarations", "function_declarations", "function_tools", "tools")
        ]
        lists = [each for each in inner if isinstance(each, list)]
        if lists and depth < _MAX_WRAPPERS:
            for each in lists:
                yield from _tools(each, depth + 1)
        else:
            yield _tool(parsed)
    elif isinstance(parsed, list) and depth < _MAX_WRAPPERS:
        for item in parsed[:MAX_TOOLS]:
            yield from _tools(item, depth + 1)


def _tool(item: dict[str, Any]) -> dict[str, Any] | None:
    kind = label(item.get("type"))
    for _ in range(_MAX_WRAPPERS):
        # A flat key holds the whole definition as JSON.
        held = next((item[key] for key in _WRAPPERS if key in item), None)
        if held is None and set(item) == {"json_schema"}:
            held = item["json_schema"]
        inner = from_json(held)
        if not isinstance(inner, dict):
            break
        item = inner
        kind = label(item.get("type")) or kind
    name = label(item.get("name")) or kind
    if name is None:
        return None
    tool: dict[str, Any] = {"name": name}
    if kind not in (None, "function", "object") and kind != name:
        tool["type"] = kind
    if item.get("description"):
        tool["description"] = to_text(item["description"])
    schema = next((item[key] for key in _SCHEMAS if item.get(key)), None)
    if schema is not None:
        parsed = from_json(schema)
        # Bedrock wraps it once more.
        tool["parameters"] = parsed["json"] if isinstance(parsed, dict) and set(parsed) == {"json"} else parsed
    return tool
