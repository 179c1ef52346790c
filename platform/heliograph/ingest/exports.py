"""One export request as it came, and as it is decoded."""

from dataclasses import dataclass
from typing import cast

from django.conf import settings

from collectors.otlp.errors import Malformed
from heliograph.ingest.bodies import decompress
from heliograph.ingest.refusals import MalformedBody
from heliograph.ingest.signals import LIMITS, SIGNALS, ContentType, Decoded


@dataclass(frozen=True, slots=True)
class Export:
    """One authenticated request: everything that decoding needs, now or when it is replayed from disk."""

    signal: str
    project_id: int
    retention_days: int
    content_type: str
    content_encoding: str
    # Nanoseconds since the epoch; decoding judges start times by it.
    received_ns: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """An export and its columns."""

    export: Export
    decoded: Decoded
    # Of the body after decompression.
    size: int


def decode(export: Export) -> Batch:
    """Decompress and decode an export.

    Raises a Refusal: UnsupportedEncoding, MalformedBody or TooLarge.
    """
    body = decompress(export.body, export.content_encoding, settings.MAX_DECOMPRESSED_BYTES)
    try:
        decoded = SIGNALS[export.signal].decode(
            body, content_type=cast(ContentType, export.content_type), limits=LIMITS, now_ns=export.received_ns
        )
    except Malformed as error:
        raise MalformedBody(f"Malformed {export.signal} request: {error}.") from error
    return Batch(export, decoded, len(body))
