"""Answers to exporters, in the content type of their request, the same for HTTP and gRPC."""

from collections import Counter

from google.protobuf import duration_pb2
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # published without types

from heliograph.ingest.refusals import Refusal
from heliograph.ingest.signals import ContentType, Signal


def success(signal: Signal, rejected: Counter[str] | Message, hint: str = "") -> Message:
    """Return the export response; with refused items it is a partial success, which tells the sender not to retry.

    A hint without refused items is what the protocol calls a warning: everything was taken.
    """
    if isinstance(rejected, Message):  # the centre has answered an edge
        return rejected
    response = signal.response()
    said = [f"{count}: {reason}" for reason, count in rejected.most_common()]
    if said or hint:
        partial = response.partial_success  # type: ignore[attr-defined]  # each of the three responses has it
        setattr(partial, signal.rejected_field, rejected.total())
        partial.error_message = "; ".join([*said, *([hint] if hint else [])])
    return response


def status(refusal: Refusal) -> status_pb2.Status:
    """Return a refusal as google.rpc.Status; with RetryInfo exactly where the sender shall retry."""
    message = status_pb2.Status(code=refusal.code, message=refusal.message)
    if refusal.retry_after is not None:
        delay = duration_pb2.Duration(seconds=refusal.retry_after)
        message.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return message


def serialize(message: Message, content_type: ContentType) -> bytes:
    """Return a message in one of the two encodings."""
    if content_type == "json":
        return MessageToJson(message, indent=None).encode()
    return message.SerializeToString()
