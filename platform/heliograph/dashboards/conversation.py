"""A model call as the conversation that it was: turns with text, tool calls, results and attachments."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from collectors.blobs import REFERENCE
from heliograph.query.messages import Document, Message
from heliograph.query.spans import SpanDetail

# Of one part: pages of a document sent as pictures; more would make the page slow, and are in the attributes.
MAX_BLOBS = 50


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a turn. `kind` is text, tool_call, tool_result, reasoning or attachment; `title` names a tool."""

    kind: str
    title: str
    body: str
    blob: "Blob | None" = None


@dataclass(frozen=True, slots=True)
class Blob:
    """An attachment that is kept apart. `kind` is image, audio, video or file."""

    kind: str
    media_type: str
    size: int
    until: str
    digest: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What one role said."""

    role: str
    parts: tuple[Part, ...]
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Input turns, output turns and retrieved documents of a span; texts without roles are plain."""

    inputs: tuple[Turn, ...]
    outputs: tuple[Turn, ...]
    documents: tuple[Document, ...]

    @classmethod
    def of(cls, span: SpanDetail) -> "Conversation":
        """Read a span's stored messages."""
        return cls(_turns(span.input_messages, "input"), _turns(span.output_messages, "output"), span.retrieved)

    @property
    def is_empty(self) -> bool:
        """Whether the span carried no content, such as when the sender does not capture it."""
        return not (self.inputs or self.outputs or self.documents)


def _turns(messages: Iterable[Message], plain_role: str) -> tuple[Turn, ...]:
    return tuple(
        Turn(
            message.role or plain_role,
            tuple(piece for part in message.parts for piece in _with_blobs(part)),
            message.finish_reason,
        )
        for message in messages
    )


def _with_blobs(part: dict[str, Any]) -> Iterable[Part]:
    """A part and the blobs inside it: a picture of its own, or those in a text or in a tool's result."""
    shown = _part(part)
    blobs = [_blob(found) for found in islice(REFERENCE.finditer(json.dumps(part)), MAX_BLOBS)]
    if shown.kind != "attachment" or not blobs:
        yield shown
    for blob in blobs:
        yield Part("attachment", "", "", blob)


def _blob(found: re.Match[str]) -> Blob:
    digest, media_type, size, until = found.groups()
    kind = media_type.partition("/")[0]
    return Blob(kind if kind in ("image", "audio", "video") else "file", media_type, int(size), until, digest)


def _part(part: dict[str, Any]) -> Part:
    kind = part.get("type")
    if kind == "text":
        return Part("text", "", _text(part.get("content")))
    if kind == "reasoning":
        return Part("reasoning", "", _text(part.get("content")))
    if kind == "tool_call":
        return Part("tool_call", _text(part.get("name")), _text(part.get("arguments")))
    if kind == "tool_call_response":
        return Part("tool_result", _text(part.get("id")), _text(part.get("response", part.get("result"))))
    # What lies elsewhere is named, never fetched: the reader's browser must not call an address out of a trace.
    described = part.get("uri") or part.get("mime_type") or part.get("modality") or ""
    return Part("attachment", _text(kind), _text(described))


def _text(value: object) -> str:
    """Return text as it is, JSON texts and other values indented."""
    if isinstance(value, str):
        if not value.startswith(("{", "[")):
            return value
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return str(value)
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)
