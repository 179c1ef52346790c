"""Messages of any sender into one shape: `[{"role", "parts": [{"type", ...}], "finish_reason"?}]`.

The shape is OpenTelemetry's (`gen_ai.input.messages`); `parts` says what the parts are.
"""

import json
from typing import Any

from collectors.semconv.convert import from_json, label
from collectors.semconv.parts import READERS, Part, part_of, parts_of, tool_call, without_none

Message = dict[str, Any]

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool", "bot": "assistant"}
# What LangChain's classes are called, in `type` or as the end of the serialised class path.
_ROLE_OF_TYPE = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "humanmessage": "user",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "systemmessage": "system",
    "toolmessage": "tool",
}
# Where a whole request or response holds its messages, in order.
_LISTS = ("messages", "input", "contents", "prompt", "choices", "output", "generations", "candidates")
# Messages nest in wrappers (`message`, `data`, `kwargs`); a hostile value may nest without end.
_MAX_WRAPPERS = 4
_CANONICAL_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_PLAIN_ROLES = _CANONICAL_ROLES - {"tool"}
_MESSAGE_KEYS = frozenset({"role", "parts", "finish_reason"})
# Of the piece of a message behind which a length limit cut.
CUT_ROLE = ""
_DECODER = json.JSONDecoder()


def messages_of(value: Any, default_role: str) -> list[Message] | None:
    """Canonical messages, or None where `value` has no messages in it.

    Takes structured values, JSON strings (JSON in JSON too), a list of messages, one message, a request or a response
    body of the usual APIs. A JSON array that was cut in the middle gives the messages that are whole, and the rest as
    text.
    """
    parsed = from_json(value)
    if isinstance(parsed, str):
        return _salvaged(parsed, default_role)
    if isinstance(parsed, dict):
        if _is_message(parsed):
            return [message_of(parsed, default_role)]
        return _body_messages(parsed, default_role)
    if isinstance(parsed, list) and parsed:
        # A batch of one conversation, as LangChain sends it.
        if len(parsed) == 1 and isinstance(parsed[0], list):
            parsed = parsed[0]
        if all(isinstance(item, dict) and _is_message(item) for item in parsed):
            return [message_of(item, default_role) for item in parsed]
    return None


def are_canonical(value: Any) -> bool:
    """Whether a parsed value is messages in the canonical shape already, as current senders write them."""
    return type(value) is list and all(map(_is_canonical, value))


def _is_canonical(message: Any) -> bool:
    if type(message) is not dict or not message.keys() <= _MESSAGE_KEYS:
        return False
    role, parts = message.get("role"), message.get("parts")
    if type(role) is not str or role not in _CANONICAL_ROLES or type(parts) is not list:
        return False
    return type(message.get("finish_reason", "")) is str and all(map(_is_canonical_part, parts))


def _is_canonical_part(part: Any) -> bool:
    if type(part) is not dict:
        return False
    kind = part.get("type")
    if kind in ("text", "reasoning"):
        return type(part.get("content")) is str
    if kind == "tool_call":
        return type(part.get("name")) is str and type(part.get("arguments")) is not str
    return kind == "tool_call_response" and "response" in part


def sure_messages_of(value: Any, default_role: str) -> list[Message]:
    """Canonical messages of a value that its key says to be messages: what has no shape becomes a text."""
    if are_canonical(value):
        return list(value)
    found = messages_of(value, default_role)
    if found is not None:
        return found
    parsed = from_json(value)
    items = parsed if isinstance(parsed, list) else [parsed]
    return [message_of(item, default_role) for item in items]


def _body_messages(body: dict[str, Any], default_role: str) -> list[Message] | None:
    """Messages of an API's request or response object, its `system` or `instructions` first."""
    for key in _LISTS:
        found = body.get(key)
        if not isinstance(found, list) or not found:
            continue
        if len(found) == 1 and isinstance(found[0], list):
            found = found[0]
        if all(isinstance(item, dict) and _is_message(item) for item in found):
            messages = [message_of(item, default_role) for item in found]
            system = body.get("system", body.get("instructions"))
            if system and isinstance(system, str | list):
                messages.insert(0, {"role": "system", "parts": parts_of(system)})
            return messages
    return _prompt_messages(body)


def _prompt_messages(body: dict[str, Any]) -> list[Message] | None:
    """Messages of a request whose prompt is one text: an API's, which names a model, or nothing but a prompt."""
    system = body.get("system", body.get("instructions"))
    for key in ("prompt", "input"):
        prompt = body.get(key)
        if isinstance(prompt, str) and ("model" in body or system is not None or body.keys() == {"prompt"}):
            head = [{"role": "system", "parts": parts_of(system)}] if system else []
            return [*head, {"role": "user", "parts": parts_of(prompt)}]
    return None


def _is_message(item: dict[str, Any]) -> bool:
    if "role" in item or "message" in item or _is_gemini(item):
        return True
    kind = item.get("type")
    if kind == "function_call_output" or (kind == "function_call" and "name" in item):
        return True
    if isinstance(kind, str) and kind.lower() in _ROLE_OF_TYPE:
        return "content" in item or "data" in item
    return item.get("lc") == 1 and isinstance(item.get("kwargs"), dict)


def _is_gemini(item: dict[str, Any]) -> bool:
    """Whether the message is below `content`, as in Gemini's candidates."""
    content = item.get("content")
    return isinstance(content, dict) and "parts" in content


def _salvaged(text: str, default_role: str) -> list[Message] | None:
    """The whole messages of a JSON array that a length limit cut; the piece behind them as a text of its own."""
    if not text.lstrip().startswith(("[{", "[ {")):
        return None
    messages: list[Message] = []
    start = text.index("{")
    while start < len(text):
        try:
            item, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            break
        if not isinstance(item, dict) or not _is_message(item):
            return None
        messages.append(message_of(item, default_role))
        start = end + 1
        while start < len(text) and text[start].isspace():
            start += 1
    if not messages and '"role"' not in text[:200]:
        return None
    messages.append({"role": CUT_ROLE, "parts": [{"type": "text", "content": text[start:]}]})
    return messages


def message_of(item: Any, default_role: str, depth: int = 0) -> Message:
    """One canonical message of whatever stands for one."""
    if not isinstance(item, dict):
        return {"role": default_role, "parts": parts_of(item)}
    if len(item) == 2:
        role, text = item.get("role"), item.get("content")
        # The commonest message by far.
        if type(role) is str and role in _PLAIN_ROLES and type(text) is str and text[:1] != "[":
            return {"role": role, "parts": [{"type": "text", "content": text}] if text else []}
    inner = item["content"] if _is_gemini(item) else item.get("message", item.get("data", item.get("kwargs")))
    if isinstance(inner, dict) and depth < _MAX_WRAPPERS and "role" not in item:
        class_path = item.get("id")
        kind = class_path[-1] if isinstance(class_path, list) and class_path else item.get("type")
        role = _ROLE_OF_TYPE.get(kind.lower(), default_role) if isinstance(kind, str) else default_role
        message = message_of(inner, role, depth + 1)
    else:
        message = {"role": _role(item, default_role), "parts": _message_parts(item)}
        name = label(item.get("name"))
        if name is not None and "role" in item:
            message["name"] = name
    reason = label(item.get("finish_reason", item.get("finishReason")))
    if reason is not None:
        message["finish_reason"] = reason
    return message


def _role(item: dict[str, Any], default_role: str) -> str:
    role = item.get("role")
    if isinstance(role, str) and role:
        lower = role.lower()
        # Streamed answers reach some instrumentations without a role.
        return default_role if lower == "unknown" else _ROLES.get(lower, lower)[:64]
    kind = item.get("type")
    if kind == "function_call":
        return "assistant"
    if kind == "function_call_output":
        return "tool"
    return _ROLE_OF_TYPE.get(kind.lower(), default_role) if isinstance(kind, str) else default_role


def _message_parts(item: dict[str, Any]) -> list[Part]:
    reader = READERS.get(item.get("type", "")) if "role" not in item and isinstance(item.get("type"), str) else None
    if reader is not None and "content" not in item:
        return [reader(item)]
    parts: list[Part] = []
    reasoning = item.get("reasoning_content", item.get("reasoning", item.get("thinking")))
    if isinstance(reasoning, str) and reasoning:
        parts.append({"type": "reasoning", "content": reasoning})
    # OpenInference names several parts `contents`, OpenTelemetry and Gemini `parts`; the older `content` may be either.
    content = item.get("parts", item.get("contents"))
    if content is None:
        content = item.get("content", item.get("text"))
    if item.get("tool_call_id") is not None or (item.get("role") in ("tool", "function") and "parts" not in item):
        return [*parts, _tool_message(item, content)]
    parts.extend(parts_of(content))
    calls = item.get("tool_calls", item.get("toolCalls"))
    calls = from_json(calls)
    if isinstance(calls, list):
        # Anthropic's content holds the calls already, and OpenInference names them a second time.
        known = {part.get("id") for part in parts if part["type"] == "tool_call"} - {None}
        found = [tool_call(call) for call in calls if isinstance(call, dict)]
        parts.extend(call for call in found if call.get("id") not in known)
    function = item.get("function_call")
    if isinstance(function, dict):
        parts.append(tool_call(function))
    elif (name := label(item.get("function_call_name"))) is not None:
        parts.append(tool_call({"name": name, "arguments": item.get("function_call_arguments_json")}))
    refusal = item.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append({"type": "text", "content": refusal})
    return parts


def _tool_message(item: dict[str, Any], content: Any) -> Part:
    """What a tool answered: one response part, whatever shape its content has."""
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        only = part_of(content[0])
        if only["type"] == "tool_call_response":
            return only
        if only["type"] == "text":
            content = only["content"]
    return without_none(
        {
            "type": "tool_call_response",
            "id": label(item.get("tool_call_id", item.get("id"))),
            "name": label(item.get("name")),
            "response": content,
        }
    )
