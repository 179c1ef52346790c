"""GenAI events, on spans or as log records: messages, the first token, exceptions."""

from dataclasses import dataclass, field
from typing import Any

from collectors.semconv.convert import from_json, label, unredacted
from collectors.semconv.messages import Message, message_of, messages_of
from collectors.text import to_text

# Time (ns since the epoch), name, attributes; for a log record the body's keys stand among the attributes.
Event = tuple[int, str, dict[str, Any]]

FIRST_TOKEN = frozenset(
    {
        # OpenInference's OpenAI instrumentation.
        "First Token Stream Event",
        "ai.stream.firstChunk",
        "gen_ai.content.completion.chunk",
        "llm.content.completion.chunk",
    }
)
DETAILS = "gen_ai.client.inference.operation.details"
_ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_CHOICE = "gen_ai.choice"
_CONTENT = {
    "gen_ai.content.prompt": ("gen_ai.prompt", "user"),
    "gen_ai.content.completion": ("gen_ai.completion", "assistant"),
    # Claude Code's record of an answer, in both of its spellings.
    "assistant_response": ("response", "assistant"),
    "claude_code.assistant_response": ("response", "assistant"),
}
# What a model thought before its answer: OpenLIT's name, and one that agents write by hand; with the keys of the text.
_REASONING = ("gen_ai.content.reasoning", "gen_ai.reasoning")
_REASONING_KEYS = ("gen_ai.content.reasoning", "gen_ai.reasoning", "reasoning", "content", "gen_ai.completion")
# Names of events that carry messages.
MESSAGE_EVENTS = frozenset({*_ROLES, _CHOICE, *_CONTENT, *_REASONING})
# A document found by a vector database, under Traceloop's names.
_DOCUMENT = "db.query.result"
NAMES = MESSAGE_EVENTS | FIRST_TOKEN | {DETAILS, _DOCUMENT, "exception"}


@dataclass(slots=True)
class EventMeaning:
    """What a span's events say about it; `details` are attributes that belong to the span itself."""

    input_messages: list[Message] = field(default_factory=list)
    output_messages: list[Message] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    documents: list[dict[str, Any]] = field(default_factory=list)
    first_token_at: int | None = None
    exception_type: str = ""
    exception_message: str = ""


def read_events(events: list[Event]) -> EventMeaning:
    """Meaning of events in the order in which they came; unknown names say nothing."""
    meaning = EventMeaning()
    for at, name, attributes in events:
        if name in FIRST_TOKEN:
            if meaning.first_token_at is None or at < meaning.first_token_at:
                meaning.first_token_at = at
        elif name == "exception":
            meaning.exception_type = label(attributes.get("exception.type")) or meaning.exception_type
            meaning.exception_message = label(attributes.get("exception.message")) or meaning.exception_message
        elif name == _DOCUMENT:
            meaning.documents.append({key.removeprefix(f"{_DOCUMENT}."): value for key, value in attributes.items()})
        elif name == DETAILS:
            meaning.details.update(attributes)
        elif name in MESSAGE_EVENTS:
            _add_messages(meaning, name, attributes)
    return meaning


def with_reasoning(reasoning: list[str], messages: list[Message]) -> list[Message]:
    """The answer with what the model thought before it, which came in events of its own; as it is without any, and
    where it has reasoning itself."""
    if not reasoning or any(part["type"] == "reasoning" for each in messages for part in each["parts"]):
        return messages
    parts = [{"type": "reasoning", "content": text} for text in reasoning]
    first = messages[0] if messages else {"role": "assistant", "parts": []}
    return [{**first, "parts": [*parts, *first["parts"]]}, *messages[1:]]


def _add_messages(meaning: EventMeaning, name: str, attributes: dict[str, Any]) -> None:
    body = from_json(attributes.get("gen_ai.event.content"))
    if isinstance(body, dict):
        attributes = {**attributes, **body}
    if name in _REASONING:
        text = next((found for key in _REASONING_KEYS if (found := unredacted(attributes.get(key))) is not None), None)
        if text is not None:
            meaning.reasoning.append(to_text(text))
    elif name in _CONTENT:
        key, role = _CONTENT[name]
        value = unredacted(attributes.get(key))
        if value is None:
            return
        messages = messages_of(value, role) or [message_of(value, role)]
        (meaning.input_messages if role == "user" else meaning.output_messages).extend(messages)
    elif name == _CHOICE:
        meaning.output_messages.append(_choice(attributes))
    else:
        role = _ROLES[name]
        body = {key: attributes[key] for key in ("role", "content", "name", "tool_calls") if key in attributes}
        if role == "tool" and attributes.get("id") is not None:
            body["tool_call_id"] = attributes["id"]
        meaning.input_messages.append(message_of({"role": role, **body}, role))


def _choice(attributes: dict[str, Any]) -> Message:
    inner = from_json(attributes.get("message", attributes.get("content")))
    if not isinstance(inner, dict):
        inner = {"content": inner}
    if "tool_calls" in attributes and "tool_calls" not in inner:
        inner = {**inner, "tool_calls": attributes["tool_calls"]}
    message = message_of({"role": "assistant", **inner}, "assistant")
    reason = label(attributes.get("finish_reason"))
    if reason is not None:
        message["finish_reason"] = reason
    return message
