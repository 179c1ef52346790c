"""Parts of messages of any sender into OpenTelemetry's: `{"type", ...}`.

`text` and `reasoning` {content}, `tool_call` {id?, name, arguments}, `tool_call_response` {id?, name?, response},
`blob` {mime_type?, modality?, content}, `uri` {uri, mime_type?, modality?}; a part of another type keeps its keys.
"""

from collections.abc import Callable
from typing import Any

from collectors.semconv.convert import label, parse_json
from collectors.text import to_text

Part = dict[str, Any]


def parts_of(content: Any) -> list[Part]:
    """Parts of a message's content: nothing, a text, a part or a list of them; a JSON list of parts is read."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        if content.startswith('[{"'):
            parsed = parse_json(content)
            if isinstance(parsed, list) and all(isinstance(item, dict) and "type" in item for item in parsed):
                return [part_of(item) for item in parsed]
        return [{"type": "text", "content": content}]
    if isinstance(content, list):
        return [part_of(item) for item in content]
    return [part_of(content)]


def part_of(item: Any) -> Part:
    """One canonical part."""
    if not isinstance(item, dict):
        return {"type": "text", "content": to_text(item)}
    kind = item.get("type")
    reader = READERS.get(kind) if isinstance(kind, str) else None
    if reader is not None:
        return reader(item)
    # Gemini and Bedrock name the part by its key instead of a type.
    for key, read in _BY_KEY.items():
        if key in item:
            return read(item)
    return {**item, "type": kind if isinstance(kind, str) and kind else "generic"}


def without_none(part: Part) -> Part:
    """The part without the keys that its sender left out."""
    return {key: value for key, value in part.items() if value is not None}


def _text(item: dict[str, Any]) -> Part:
    text = item.get("content", item.get("text", item.get("value", item.get("data"))))
    return {"type": "text", "content": to_text(text)}


def _reasoning(item: dict[str, Any]) -> Part:
    text = item.get("content", item.get("text", item.get("thinking", item.get("summary", item.get("data")))))
    return {"type": "reasoning", "content": to_text(text)}


def tool_call(item: dict[str, Any]) -> Part:
    """A tool call in any library's shape; arguments that are a JSON object or array in a string are parsed."""
    inner = item.get("tool_call", item.get("function", item.get("functionCall", item.get("toolUse"))))
    function = inner if isinstance(inner, dict) else item
    if isinstance(function.get("function"), dict):
        function = function["function"]
    arguments = None
    for key in ("arguments", "args", "input", "parameters"):
        if key in function:
            arguments = function[key]
            break
    if isinstance(arguments, str) and arguments[:1] in ("{", "["):
        parsed = parse_json(arguments)
        arguments = arguments if parsed is None else parsed
    identity = item.get("call_id", item.get("id", item.get("toolCallId", item.get("tool_call_id"))))
    if identity is None and isinstance(inner, dict):
        identity = inner.get("id", inner.get("toolUseId"))
    name = function.get("name", item.get("name", item.get("toolName")))
    return without_none({"type": "tool_call", "id": label(identity), "name": label(name) or "", "arguments": arguments})


def _tool_response(item: dict[str, Any]) -> Part:
    inner = item.get("functionResponse", item.get("toolResult"))
    source = inner if isinstance(inner, dict) else item
    response = None
    for key in ("response", "result", "output", "content"):
        if key in source:
            response = source[key]
            break
    identity = None
    for key in ("id", "tool_use_id", "toolCallId", "tool_call_id", "call_id", "toolUseId"):
        if source.get(key) is not None:
            identity = source[key]
            break
    name = label(source.get("name", source.get("toolName")))
    return without_none({"type": "tool_call_response", "id": label(identity), "name": name, "response": response})


def _blob(item: dict[str, Any]) -> Part:
    modality = label(item.get("modality"))
    return without_none(
        {
            "type": "blob",
            "modality": modality,
            "mime_type": label(item.get("mime_type", item.get("mimeType", item.get("media_type")))),
            "content": item.get("content", item.get("data")),
        }
    )


def _uri(item: dict[str, Any]) -> Part:
    mime_type = label(item.get("mime_type", item.get("mimeType")))
    uri = item.get("uri", item.get("url", item.get("file_uri", item.get("fileUri"))))
    return without_none({"type": "uri", "modality": label(item.get("modality")), "mime_type": mime_type, "uri": uri})


def _image(item: dict[str, Any]) -> Part:
    """An image by URL, by `data:` URL or by bytes, in the shapes of the chat APIs and of OpenInference."""
    source: Any = item
    # `image_url: {url}`, `image: {image: {url}}`, `source: {type: base64, media_type, data}`: at most three deep.
    for _ in range(3):
        for key in ("image_url", "image", "source", "inlineData", "inline_data", "url"):
            if isinstance(source, dict) and key in source:
                source = source[key]
                break
    if isinstance(source, str):
        if source.startswith("data:"):
            head, _, data = source.partition(",")
            return {"type": "blob", "modality": "image", "mime_type": head[5:].split(";")[0], "content": data}
        if source.startswith(("http://", "https://", "gs://", "s3://", "file://")):
            return {"type": "uri", "modality": "image", "uri": source}
        return {"type": "blob", "modality": "image", "content": source}
    if isinstance(source, dict):
        return {**_blob(source), "modality": "image"}
    return {"type": "generic", "content": to_text(item)}


def _audio(item: dict[str, Any]) -> Part:
    source = item.get("input_audio", item.get("audio", item))
    return {**_blob(source), "modality": "audio"} if isinstance(source, dict) else _text(item)


# By what senders call the type of a part.
READERS: dict[str, Callable[[dict[str, Any]], Part]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "refusal"), _text),
    **dict.fromkeys(("reasoning", "thinking", "redacted_thinking"), _reasoning),
    **dict.fromkeys(("tool_call", "tool-call", "tool_use", "function_call", "function"), tool_call),
    **dict.fromkeys(("tool_call_response", "tool-result", "tool_result", "function_call_output"), _tool_response),
    **dict.fromkeys(("image", "image_url", "input_image"), _image),
    **dict.fromkeys(("audio", "input_audio"), _audio),
    "blob": _blob,
    "uri": _uri,
}
# Of parts without a type, by the key that says what they are.
_BY_KEY: dict[str, Callable[[dict[str, Any]], Part]] = {
    "functionCall": tool_call,
    "toolUse": tool_call,
    "functionResponse": _tool_response,
    "toolResult": _tool_response,
    "inlineData": _image,
    "inline_data": _image,
    "fileData": lambda item: _uri(item["fileData"]) if isinstance(item["fileData"], dict) else _text(item),
    "text": _text,
    "content": _text,
}
