"""Texts of a span: messages, previews and documents as the columns hold them."""

from typing import Any

from collectors.semconv.convert import from_json, label, parse_json
from collectors.semconv.messages import Message, are_canonical, messages_of, sure_messages_of
from collectors.text import clean, to_json, to_text

PREVIEW_CHARS = 200
# A retriever that answers more chunks than this is not read by anybody; the attribute itself keeps all.
MAX_DOCUMENTS = 1_000


def content_of(value: Any, role: str) -> tuple[str, str]:
    """(text for the column, preview) of a value that may hold messages."""
    messages = messages_of(value, role)
    if messages:
        return to_json(messages), preview(messages, role)
    text = to_text(value)
    return text, clean(text[:PREVIEW_CHARS])


def messages_column(value: Any, role: str) -> tuple[str, list[Message]]:
    """Messages of a value that its key says to be messages, and their text for the column where it need not be written.

    The text is "" where it is not the sender's own: another shape, or escapes that a search for words would miss.
    """
    if isinstance(value, str) and value.startswith("["):
        parsed = parse_json(value)
        if parsed is not None and are_canonical(parsed):
            as_sent = "\\u" not in value and "NaN" not in value and "Infinity" not in value
            return value if as_sent else "", parsed
    return "", sure_messages_of(value, role)


def preview(messages: list[Message], role: str) -> str:
    """The first characters of the last user message, or of the first answer, as plain text."""
    ordered = messages if role == "assistant" else reversed(messages)
    fallback = ""
    for message in ordered:
        text = _plain(message)
        if text and message["role"] == role:
            return text
        fallback = fallback or text
    return fallback


def _plain(message: Message) -> str:
    """Text parts of a message; without any, what it called or got back."""
    pieces: list[str] = []
    size = 0
    for part in message["parts"]:
        if part["type"] == "text":
            text = part.get("content")
            if isinstance(text, str) and text:
                pieces.append(text[:PREVIEW_CHARS])
                size += len(text)
                if size >= PREVIEW_CHARS:
                    break
    if not pieces:
        pieces = [piece for part in message["parts"][:4] if (piece := _other(part))]
    return clean("\n".join(pieces).strip()[:PREVIEW_CHARS])


def _other(part: dict[str, Any]) -> str:
    kind = part["type"]
    if kind == "tool_call":
        return f"{part.get('name', '')}({to_text(part.get('arguments'))[:PREVIEW_CHARS]})"
    if kind == "tool_call_response":
        return to_text(part.get("response"))[:PREVIEW_CHARS]
    if kind in ("blob", "uri", "file"):
        return f"[{part.get('modality', kind)}]"
    return ""


def documents_of(value: Any) -> str:
    """JSON `[{"id"?, "content", "score"?, "metadata"?}]` of a retriever's or reranker's documents, "" without any."""
    parsed = from_json(value)
    if isinstance(parsed, dict):
        parsed = parsed.get("documents", parsed.get("matches", [parsed]))
    if not isinstance(parsed, list) or not parsed:
        return ""
    return to_json([_document(item) for item in parsed[:MAX_DOCUMENTS]])


def found_documents(text: str) -> str:
    """Documents of a retriever's output, as `documents_of`; "" where it is anything but a list of texts or documents.

    `text` is JSON: a list, an object that holds it, or (LangChain) messages, which are none.
    """
    parsed = from_json(text)
    if isinstance(parsed, dict):
        parsed = parsed.get("documents", parsed.get("output", parsed.get("outputs")))
    if not isinstance(parsed, list) or not all(map(_is_document, parsed)):
        return ""
    return documents_of(parsed)


def _is_document(item: Any) -> bool:
    if isinstance(item, str):
        # `<Node ...>` is what Python prints of an object: no text of it.
        return not (item.startswith("<") and item.endswith(">"))
    if not isinstance(item, dict) or "role" in item:
        return False
    return isinstance(item.get("kwargs"), dict) or any(key in item for key in ("content", "page_content", "text"))


def _document(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        return {"content": to_text(item)}
    inner = item.get("document", item.get("kwargs"))
    if isinstance(inner, dict):
        item = {**item, **inner}
    plain = {key.removeprefix("document."): value for key, value in item.items()}
    document: dict[str, Any] = {"content": ""}
    for key in ("content", "page_content", "text", "document"):
        if plain.get(key) is not None:
            document["content"] = to_text(plain[key])
            break
    if (identity := label(plain.get("id", plain.get("document_id")))) is not None:
        document["id"] = identity
    score = plain.get("score", plain.get("relevance_score"))
    if isinstance(score, int | float) and not isinstance(score, bool):
        document["score"] = score
    if plain.get("metadata") is not None:
        document["metadata"] = from_json(plain["metadata"])
    return document


def embedded_texts(value: Any) -> str:
    """What was embedded, a text a line."""
    value = from_json(value)
    if isinstance(value, list):
        lines = [item.get("text") if isinstance(item, dict) else from_json(item) for item in value]
        return "\n".join(to_text(line) for line in lines if line is not None)
    return to_text(value)


def embedding_input(value: Any) -> Any:
    """The texts that an embedding's request to the API took; else the value itself."""
    body = from_json(value) if isinstance(value, str) and value[:1] == "{" else value
    if isinstance(body, dict) and "model" in body and isinstance(texts := body.get("input"), list):
        return embedded_texts(texts) if all(isinstance(text, str) for text in texts) else value
    return value


def object_content(value: Any, role: str) -> tuple[str, str] | None:
    """`content_of` an object without messages, None for anything else.

    LangSmith puts a function's arguments and results where a prompt and an answer stand: `{"output": null}` is none.
    """
    if isinstance(value, str) and value[:1] not in ("{", '"'):
        return None
    body = from_json(value)
    if not isinstance(body, dict) or messages_of(value, role) is not None:
        return None
    return content_of(value, role) if any(each is not None for each in body.values()) else ("", "")
