"""A dead letter's body for people: as its items, by the project's rules of redaction, else as text, else as bytes."""

import json
from contextlib import suppress
from dataclasses import dataclass

from django.conf import settings

from heliograph.ingest.bodies import decompress
from heliograph.ingest.exports import Export, decode_by_rules
from heliograph.ingest.refusals import Refusal

# What a person reads of a body before downloading it.
MAX_ROWS = 5
MAX_CHARS = 20_000
MAX_HEX_BYTES = 1_024


@dataclass(frozen=True, slots=True)
class LetterView:
    """`kind` is items, text or bytes; `fault` says why it is not items; `is_cut` that there is more."""

    kind: str
    text: str
    fault: str
    is_cut: bool


def view_of(export: Export) -> LetterView:
    """Return what can be shown of a request's body, bounded."""
    try:
        decoded = decode_by_rules(export).decoded
    except Refusal as refusal:
        return _undecoded(export, refusal.message)
    columns = decoded.columns
    rows = [
        {name: values[place] for name, values in columns.items() if values[place] not in (None, "", [], {})}
        for place in range(min(MAX_ROWS, decoded.accepted))
    ]
    text = json.dumps(rows, indent=2, default=str, ensure_ascii=False)
    return LetterView("items", text[:MAX_CHARS], "", len(text) > MAX_CHARS or decoded.accepted > MAX_ROWS)


def _undecoded(export: Export, fault: str) -> LetterView:
    body = export.body
    # Where that fails, `fault` says it, and what is shown is the body as it came.
    with suppress(Refusal):
        body = decompress(body, export.content_encoding, settings.MAX_DECOMPRESSED_BYTES)
    if export.content_type == "json":
        text = body[: 4 * MAX_CHARS].decode(errors="replace")
        return LetterView("text", text[:MAX_CHARS], fault, len(text) > MAX_CHARS or len(body) > 4 * MAX_CHARS)
    return LetterView("bytes", _hex(body[:MAX_HEX_BYTES]), fault, len(body) > MAX_HEX_BYTES)


def _hex(data: bytes) -> str:
    lines = []
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<47}  {shown}")
    return "\n".join(lines)
