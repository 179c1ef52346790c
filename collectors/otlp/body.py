"""A request's body to its message, in either encoding."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from google.protobuf.message import DecodeError, Message

from collectors.otlp import hostile, json_wire
from collectors.otlp.errors import Malformed

ContentType = Literal["protobuf", "json"]


def read_body(body: bytes, request: Message, content_type: ContentType) -> int:
    """Fill `request` from `body`; return how many spans, points or records were unreadable and left out.

    An empty body is a valid empty request. Raises Malformed where nothing can be kept.
    """
    if content_type == "json":
        hostile.check_json(body)
        return json_wire.parse(body, request)
    hostile.check_protobuf(body, request.DESCRIPTOR)
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        hint = (
            "it looks like JSON: send it as application/json" if body[:1] == b"{" else "check what is sent to this path"
        )
        raise Malformed(f"the body is no protobuf {request.DESCRIPTOR.name}; {hint}") from error
    return 0


def each_scope(resources: Sequence[Any], scopes: str, cap: int) -> Iterator[tuple[Any, Any]]:
    """(resource's part, scope's part) of a request, `scopes` being the name of the latter's field.

    A body may hold millions of empty parts, which cost time and hold nothing: raises Malformed beyond `cap` of them.
    """
    seen = 0
    if len(resources) <= cap:
        for resource in resources:
            parts = getattr(resource, scopes)
            seen += len(parts)
            if seen > cap:
                break
            for part in parts:
                yield resource, part
        else:
            return
    raise Malformed(f"more than {cap} resources or scopes in one request; send them in several")
