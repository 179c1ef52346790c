"""A request's body to its message, in either encoding."""

from typing import Literal

from google.protobuf.message import DecodeError, Message

from collectors.otlp import json_wire
from collectors.otlp.errors import Malformed

ContentType = Literal["protobuf", "json"]


def read_body(body: bytes, request: Message, content_type: ContentType) -> int:
    """Fill `request` from `body`; return how many spans, points or records were unreadable and left out.

    An empty body is a valid empty request. Raises Malformed where nothing can be kept.
    """
    if content_type == "json":
        return json_wire.parse(body, request)
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        hint = (
            "it looks like JSON: send it as application/json" if body[:1] == b"{" else "check what is sent to this path"
        )
        raise Malformed(f"the body is no protobuf {request.DESCRIPTOR.name}; {hint}") from error
    return 0
