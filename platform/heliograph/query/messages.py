"""The stored JSON of a conversation and of retrieved documents, read leniently: what it is not, it is as text.

- `parse_messages(stored) -> tuple[Message, ...]`
- `parse_documents(stored) -> tuple[Document, ...]`
- `parse_tools(stored) -> tuple[ToolDefinition, ...]`
- `text_of(stored, role=None) -> str`
"""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `parts` are as OpenTelemetry's gen_ai.input.messages has them: {"type": "text", "content": ...}, ..."""

    role: str
    parts: tuple[dict[str, Any], ...]
    finish_reason: str = ""

    @property
    def text(self) -> str:
        """The text parts, one a line."""
        texts = (part.get("content") for part in self.parts if part.get("type") == "text")
        return "\n".join(text for text in texts if isinstance(text, str))


@dataclass(frozen=True, slots=True)
class Document:
    """What a retriever found."""

    content: str
    id: str = ""
    score: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool that a model could call: `parameters` is the JSON schema of its arguments, `type` '' is a function."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    type: str = ""


def parse_messages(stored: str) -> tuple[Message, ...]:
    """Return the messages of a stored input or output; a plain text is one message with the role ''."""
    if stored in ("", "[]"):
        return ()
    turns = _objects(stored)
    if not turns or not all("parts" in turn or "role" in turn for turn in turns):
        return (Message("", ({"type": "text", "content": stored},)),)
    return tuple(Message(_string(turn.get("role")), _parts(turn), _string(turn.get("finish_reason"))) for turn in turns)


def parse_documents(stored: str) -> tuple[Document, ...]:
    """Return the documents of a stored list; an empty tuple where it holds none."""
    found = (entry for entry in _objects(stored) if isinstance(entry.get("content"), str))
    return tuple(_document(entry) for entry in found)


def parse_tools(stored: str) -> tuple[ToolDefinition, ...]:
    """Return the tools of a stored list; an empty tuple where it holds none."""
    return tuple(
        ToolDefinition(
            _string(entry.get("name")),
            _string(entry.get("description")),
            parameters if isinstance(parameters := entry.get("parameters"), dict) else {},
            _string(entry.get("type")),
        )
        for entry in _objects(stored)
    )


def text_of(stored: str, role: str | None = None) -> str:
    """Return the last message's text, of the given role where one is named; '' where there is none.

    A plain text has no role and answers for every role.
    """
    messages = parse_messages(stored)
    for message in reversed(messages):
        if message.text and (role is None or message.role in (role, "")):
            return message.text
    return ""


def _objects(stored: str) -> list[dict[str, Any]]:
    """Return a JSON list of objects, or nothing where the text is anything else."""
    if not stored.startswith("["):
        return []
    try:
        value = json.loads(stored)
    except (ValueError, RecursionError):
        # A text that was cut at its cap, or a text that only begins like a list.
        return []
    return value if isinstance(value, list) and all(isinstance(entry, dict) for entry in value) else []


def _parts(turn: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    parts = turn.get("parts")
    return tuple(part for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ()


def _document(entry: dict[str, Any]) -> Document:
    score, metadata = entry.get("score"), entry.get("metadata")
    number = float(score) if isinstance(score, int | float) and not isinstance(score, bool) else None
    return Document(entry["content"], _string(entry.get("id")), number, metadata if isinstance(metadata, dict) else {})


def _string(value: object) -> str:
    return "" if value is None else str(value)
