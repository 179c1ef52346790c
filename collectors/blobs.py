"""Images, sound and files that came as base64 inside a text: cut out, with a reference in their place.

    blob:sha256-<64 hex digits>;<media type>;<bytes>;until=<day>

The day is the first of which no span refers to the blob any more: whoever keeps the blobs can drop them by it.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from hashlib import sha256

from collectors.contents import MIN_CHARS as CONTENT_CHARS

# Icons and the like stay in the text, where they are found without a second look-up.
MIN_CHARS = 2_048
OTHER = "application/octet-stream"

REFERENCE = re.compile(r"blob:sha256-([0-9a-f]{64});([a-z0-9.+/-]{3,100});(\d{1,12});until=(\d{4}-\d\d-\d\d)")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_RUN = re.compile(r"[A-Za-z0-9+/_-]*+={0,2}")
# A window of this many letters without a blank, a quote or a point is no prose.
_WINDOW = 96
_WINDOW_RUN = re.compile(rf"[A-Za-z0-9+/_-]{{{_WINDOW}}}")
# What stands before or after base64 that says so: a data URL, or the type in a key beside it.
_DATA_URL = re.compile(r"data:([a-z]+/[a-z0-9.+-]{1,80})?(?:;[a-z0-9=_.+-]{1,80}){0,4};base64,$", re.IGNORECASE)
_BESIDE = re.compile(r'(?:mime_?type|media_?type|format)\\?"\s*:\s*\\?"([a-z0-9.+/-]{2,80})', re.IGNORECASE)
_BESIDE_CHARS = 200

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"%PDF-", "application/pdf"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
)
_MAGIC_BYTES = 16


def media_type(data: bytes) -> str:
    """The type of a file by its first bytes: one that a browser shows without running anything, or OTHER."""
    for place, magic, name in _MAGIC:
        if data.startswith(magic, place) and (place != 8 or data.startswith(b"RIFF")):
            return name
    return OTHER


@dataclass(slots=True)
class Cutter:
    """Cuts the blobs out of one request's texts. `found` are their bytes by (sha256, day)."""

    # The first day, `YYYY-MM-DD`, on which the request's spans are gone.
    until: str
    max_bytes: int
    found: dict[str, bytes] = field(default_factory=dict)
    # Texts shorter than this are not looked at.
    min_chars: int = CONTENT_CHARS - 1
    # Whether a text was; whoever reads this sets it back.
    saw_long: bool = False
    # Whether the text before held a blob over the cap, which is gone, and how many bytes.
    dropped: int = 0

    def cut(self, text: str) -> str:
        """Return `text` with references in place of its blobs; `dropped` tells of bytes that were over the cap."""
        self.dropped = 0
        self.saw_long = True
        if not self.until or len(text) < MIN_CHARS:
            return text
        pieces: list[str] = []
        done = 0
        # A run of MIN_CHARS covers one of these windows as a whole, so nothing else need be looked at.
        step = MIN_CHARS - _WINDOW
        place = 0
        while place + _WINDOW <= len(text):
            if _WINDOW_RUN.match(text, place) is None:
                place += step
                continue
            before = text[max(done, place - step) : place]
            start = place - (len(before) - len(before.rstrip(_ALPHABET)))
            run = _RUN.match(text, start)
            end = run.end() if run is not None else place + _WINDOW
            if end - start >= MIN_CHARS and (reference := self._reference(text, start, end)):
                pieces += text[done:start], reference
                done = end
            place = max(end, place + step)
        return "".join((*pieces, text[done:])) if pieces else text

    def _reference(self, text: str, start: int, end: int) -> str:
        """The reference of the run, "" where it is no blob."""
        declared = _DATA_URL.search(text, max(start - _BESIDE_CHARS, 0), start)
        run = text[start:end].rstrip("=")
        size = len(run) * 3 // 4
        head = _decoded(run[: _MAGIC_BYTES * 4])
        kind = media_type(head)
        if kind == OTHER and declared is None:
            around = (text[max(start - _BESIDE_CHARS, 0) : start], text[end : end + _BESIDE_CHARS])
            if not any(_BESIDE.search(each) for each in around):
                return ""
        if size > self.max_bytes:
            self.dropped += size
            return f"[{kind} of {size} bytes, over the cap of {self.max_bytes}]"
        data = _decoded(run)
        if not data:
            return ""
        digest = sha256(data).hexdigest()
        self.found[digest] = data
        return f"blob:sha256-{digest};{kind};{len(data)};until={self.until}"


def _decoded(run: str) -> bytes:
    """The bytes of base64 in either alphabet without its padding; none where it is no base64."""
    try:
        return base64.b64decode(
            run + "=" * (-len(run) % 4), altchars=b"-_" if "-" in run or "_" in run else None, validate=True
        )
    except binascii.Error:
        return b""
