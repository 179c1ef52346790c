"""One export request as it came, and as it is decoded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from django.conf import settings

from collectors.otlp import traces
from collectors.otlp.errors import Malformed
from heliograph.blobs.store import gone_on
from heliograph.ingest.bodies import decompress
from heliograph.ingest.longtexts import NONE as NO_TEXTS
from heliograph.ingest.longtexts import LongTexts, split
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
    # Of the API key, 0 without one.
    key_id: int = 0
    # Of an export that was acknowledged and spooled: how many items were accepted; else 0.
    items: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """An export and its columns."""

    export: Export
    decoded: Decoded
    # Of the body after decompression.
    size: int
    # What the rows refer to; stored before them.
    texts: LongTexts = NO_TEXTS
    # By SHA-256; safe before the rows are.
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    # The blob store is away: the request has to wait in the spool.
    lacks_blobs: bool = False

    @property
    def blobs_until(self) -> str:
        """The day until which the request's blobs are kept."""
        return gone_on(self.export.received_ns, self.export.retention_days).isoformat()


def decode(export: Export) -> Batch:
    """Decompress and decode an export.

    Raises a Refusal: UnsupportedEncoding, MalformedBody or TooLarge.
    """
    body = decompress(export.body, export.content_encoding, settings.MAX_DECOMPRESSED_BYTES)
    try:
        decoded = _decode(export, body)
    except Malformed as error:
        raise MalformedBody(f"Malformed {export.signal} request: {error}.") from error
    if not isinstance(decoded, traces.DecodedSpans):
        return Batch(export, decoded, len(body))
    # Last of all that touches the texts: from here on they are references.
    texts = split(decoded.columns, decoded.long_rows, export.project_id, export.retention_days)
    return Batch(export, decoded, len(body), texts, decoded.blobs)


def _decode(export: Export, body: bytes) -> Decoded:
    content_type = cast(ContentType, export.content_type)
    if export.signal != "traces":
        return SIGNALS[export.signal].decode(
            body, content_type=content_type, limits=LIMITS, now_ns=export.received_ns
        )
    until = gone_on(export.received_ns, export.retention_days).isoformat()
    return traces.decode(
        body, content_type=content_type, limits=LIMITS, now_ns=export.received_ns, blobs_until=until
    )
