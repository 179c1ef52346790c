"""Messages that arrive in the canonical shape already, as current senders write them: checked and read in one pass.

The shape is OpenTelemetry's (`messages`). What is in it needs no rewriting, only a preview and the finish reason, so
the JSON is decoded by msgspec straight into these types, which takes a tenth of decoding it and looking at each value.
Anything else is left to `messages`.
"""

from typing import Any, Literal, NamedTuple

import msgspec

from collectors.text import clean

# Characters of a preview; `content` has the same for every other shape.
PREVIEW_CHARS = 200


class Text(msgspec.Struct, tag_field="type", tag="text", gc=False):
    """A text part."""

    content: str


class Reasoning(msgspec.Struct, tag_field="type", tag="reasoning", gc=False):
    """What a model thought before it answered."""

    content: str


class ToolCall(msgspec.Struct, tag_field="type", tag="tool_call", gc=False):
    """A call of a tool; arguments that are a text are not canonical."""

    name: str
    arguments: dict[str, Any] | list[Any] | float | bool | None = None


class ToolCallResponse(msgspec.Struct, tag_field="type", tag="tool_call_response", gc=False):
    """What a tool answered."""

    response: msgspec.Raw


class Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    parts: list[Text | Reasoning | ToolCall | ToolCallResponse]
    finish_reason: str | msgspec.UnsetType = msgspec.UNSET


class Said(NamedTuple):
    """What the columns take of messages beside their text. `finish_reason` is None where no message has one."""

    preview: str
    finish_reason: str | None


_decode = msgspec.json.Decoder(list[Message]).decode


def read(value: Any, role: str) -> Said | None:
    """Preview and finish reason of JSON that can be stored as it came; None for anything that `messages` must read.

    The preview is of the last user message or of the first answer, after `role`.
    """
    # An escape would hide words from a search.
    if type(value) is not str or not value.startswith("[") or "\\u" in value:
        return None
    try:
        messages = _decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):  # another shape, or cut in the middle
        return None
    finish_reason = None
    for message in messages:
        if type(message.finish_reason) is str:
            finish_reason = message.finish_reason
            break
    fallback = ""
    for message in messages if role == "assistant" else reversed(messages):
        text = _plain(message)
        if text is None:
            return None
        if text and message.role == role:
            return Said(text, finish_reason)
        fallback = fallback or text
    return Said(fallback, finish_reason)


def _plain(message: Message) -> str | None:
    """The beginning of a message's text parts; None where it has parts and none of them is a text."""
    pieces: list[str] = []
    size = 0
    for part in message.parts:
        if type(part) is Text and part.content:
            pieces.append(part.content[:PREVIEW_CHARS])
            size += len(part.content)
            if size >= PREVIEW_CHARS:
                break
    if not pieces:
        return None if message.parts else ""
    text = pieces[0] if len(pieces) == 1 else "\n".join(pieces)
    return clean(text.strip()[:PREVIEW_CHARS])
