"""Compressed bodies, decompressed up to a cap: memory is bounded by the cap, whatever a body promises."""

import zlib
from collections.abc import Callable
from typing import Any

from heliograph.ingest.refusals import MalformedBody, TooLarge, UnsupportedEncoding

try:
    from isal import isal_zlib

    inflater: Any = isal_zlib
except ImportError:  # there are no wheels of it for odd platforms: zlib takes almost three times as long for the same
    inflater = zlib
try:
    import zstandard
except ImportError:  # optional: without it, zstd is answered with 415 and the list of what is spoken
    zstandard = None  # type: ignore[assignment]  # the guard below reads it
try:
    import brotli  # type: ignore[import-untyped]  # published without types
except ImportError:  # optional, as above
    brotli = None

# Concatenated gzip or zstd streams are legal and rare; without a bound, a body of empty ones costs time squared.
MAX_STREAMS = 100
# RFC 8878, 3.1.1.1.2: decoders should take windows of 8 MB and may refuse larger ones.
ZSTD_MAX_WINDOW_BYTES = 8 * 2**20
# 4 bytes of zstd can unfold to 128 KiB, and the library has no cap on one call's output: little goes in at once.
ZSTD_STEP_BYTES = 128
BROTLI_STEP_BYTES = 2**20


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Return `body` without its `Content-Encoding`.

    Raises UnsupportedEncoding, MalformedBody for bytes that are not what they claim, TooLarge beyond `max_bytes`.
    """
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"} or not body:
        return body
    read = _READERS.get(encoding)
    if read is None:
        raise UnsupportedEncoding(
            f"Content-Encoding {encoding!r} is not supported; send one of: identity, {', '.join(sorted(_READERS))}."
        )
    try:
        return read(body, max_bytes)
    except _ERRORS as error:
        raise MalformedBody(f"The body is not valid {encoding}: {error}.") from error


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(
        f"The body is larger than {max_bytes} bytes after decompression (HELIOGRAPH_MAX_DECOMPRESSED_BYTES); "
        "send smaller batches."
    )


def _inflate(body: bytes, max_bytes: int, wbits: int) -> bytes:
    pieces: list[bytes] = []
    left = max_bytes
    for _ in range(MAX_STREAMS):
        stream = inflater.decompressobj(wbits)
        piece = stream.decompress(body, left + 1)
        if len(piece) > left:
            raise _too_large(max_bytes)
        if not stream.eof:
            raise MalformedBody("The compressed body ends too early.")
        left -= len(piece)
        pieces.append(piece)
        body = stream.unused_data
        if not body:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    raise MalformedBody(f"The body holds more than {MAX_STREAMS} compressed streams.")


def _gzip(body: bytes, max_bytes: int) -> bytes:
    return _inflate(body, max_bytes, wbits=16 + zlib.MAX_WBITS)


def _deflate(body: bytes, max_bytes: int) -> bytes:
    # RFC 9110 says zlib, but some senders leave its two-byte header away.
    has_header = len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
    return _inflate(body, max_bytes, wbits=zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def _zstd(body: bytes, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_MAX_WINDOW_BYTES)
    for _ in range(MAX_STREAMS):
        stream: Any = decompressor.decompressobj()
        position = 0
        while not stream.eof:
            if position >= len(body):
                raise MalformedBody("The compressed body ends too early.")
            piece = stream.decompress(body[position : position + ZSTD_STEP_BYTES])
            position += ZSTD_STEP_BYTES
            size += len(piece)
            if size > max_bytes:
                raise _too_large(max_bytes)
            pieces.append(piece)
        body = stream.unused_data + body[position:]
        if not body:
            return b"".join(pieces)
    raise MalformedBody(f"The body holds more than {MAX_STREAMS} compressed streams.")


def _brotli(body: bytes, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    stream = brotli.Decompressor()
    data = body
    while not stream.is_finished():
        if not data and stream.can_accept_more_data():
            raise MalformedBody("The compressed body ends too early.")
        piece = stream.process(data, output_buffer_limit=BROTLI_STEP_BYTES)
        data = b""
        size += len(piece)
        if size > max_bytes:
            raise _too_large(max_bytes)
        pieces.append(piece)
    return b"".join(pieces)


_READERS: dict[str, Callable[[bytes, int], bytes]] = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate}
_ERRORS: tuple[type[Exception], ...] = (inflater.error,)
if zstandard is not None:
    _READERS["zstd"] = _zstd
    _ERRORS += (zstandard.ZstdError,)
if brotli is not None:
    _READERS["br"] = _brotli
    _ERRORS += (brotli.error,)
