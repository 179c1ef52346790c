"""ClickHouse's native protocol: bytes in and out, at the one revision this server speaks.

Revision 54453 is the last before custom serialization (54454): up to there the blocks on the wire are, after their
BlockInfo, byte for byte what the engine reads and writes as `FORMAT Native`.
"""

import socket
import struct
from collections.abc import Callable, Iterator

import lz4.block  # type: ignore[import-untyped]  # publishes no types
import zstandard
from clickhouse_cityhash.cityhash import CityHash128
from clickhouse_driver.bufferedreader import CompressedBufferedReader
from clickhouse_driver.varint import read_varint

from heliograph.clickhouse.embedded.errors import (
    NOT_IMPLEMENTED,
    TOO_LARGE,
    UNEXPECTED_PACKET,
    ClientGoneError,
    ProtocolError,
    ServerError,
)

REVISION = 54453
# Small enough that the allocator reuses the memory instead of asking the kernel for fresh pages each time.
RECEIVE_BYTES = 2**16
# SQL, names and settings; ClickHouse's own max_query_size is 256 KiB, but an IN list may have been raised above it.
MAX_STRING_BYTES = 2**24
# One block of an insert; clickhouse-driver sends a whole `execute` of up to a million rows as one.
MAX_BLOCK_BYTES = 2**29
# What a frame of a compressed result carries, as in ClickHouse.
FRAME_BYTES = 2**20

_LZ4 = 0x82
_ZSTD = 0x90
_UNCOMPRESSED = 0x02
_SIZES = struct.Struct("<BII")
# is_overflows = 0 and bucket_number = -1, the BlockInfo of an ordinary block.
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"


def varint(number: int) -> bytes:
    """Return an unsigned LEB128."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def string(text: str | bytes) -> bytes:
    """Return a text with its length before it."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    return varint(len(raw)) + raw


class Source:
    """A buffered byte source that can keep what was read from it since a mark.

    `fill` returns the next bytes, never none; it raises `ClientGoneError` at the end.
    """

    def __init__(self, fill: Callable[[], bytes]) -> None:
        self._fill = fill
        self._kept: list[bytes] | None = None
        self._kept_bytes = 0
        self._mark = 0
        # clickhouse-driver's reader is compiled and takes its bytes from any callable.
        self.reader = CompressedBufferedReader(self._next, 0)

    def _next(self) -> bytes:
        chunk = self._fill()
        if self._kept is not None:
            self._kept.append(chunk)
            self._kept_bytes += len(chunk)
            if self._kept_bytes > MAX_BLOCK_BYTES:
                raise ProtocolError(TOO_LARGE, f"A block may hold at most {MAX_BLOCK_BYTES} bytes; send smaller blocks")
        return chunk

    @property
    def buffered(self) -> int:
        """How many bytes were received and not read yet."""
        return int(self.reader.current_buffer_size - self.reader.position)

    def keep(self) -> None:
        """Begin to keep what is read."""
        current = bytes(self.reader.buffer[: self.reader.current_buffer_size]) if self.buffered else b""
        self._mark = self.reader.position if current else 0
        self._kept = [current]
        self._kept_bytes = len(current)

    def kept(self) -> list[memoryview]:
        """Return what was read since `keep`, in pieces, and stop keeping."""
        assert self._kept is not None
        pieces = [memoryview(piece) for piece in self._kept]
        self._kept = None
        # From the end: where everything came in one piece, both cuts are in it.
        pieces[-1] = pieces[-1][: len(pieces[-1]) - self.buffered]
        pieces[0] = pieces[0][self._mark :]
        return pieces

    def take(self, size: int) -> bytes:
        """Return exactly `size` bytes; the caller has bounded `size`."""
        return bytes(self.reader.read(size))

    def skip(self, size: int) -> None:
        """Read past `size` bytes without holding more than one buffer of them."""
        while size > 0:
            step = min(size, RECEIVE_BYTES)
            self.reader.read(step)
            size -= step

    def varint(self) -> int:
        return int(read_varint(self.reader))

    def number(self, layout: str) -> int:
        """Return one little-endian number of a `struct` layout."""
        return int(struct.unpack("<" + layout, self.take(struct.calcsize(layout)))[0])

    def raw_string(self) -> bytes:
        size = self.varint()
        if size > MAX_STRING_BYTES:
            raise ProtocolError(TOO_LARGE, f"A text of {size} bytes is over the limit of {MAX_STRING_BYTES}")
        return self.take(size)

    def string(self) -> str:
        return self.raw_string().decode("utf-8", "replace")


def socket_source(connection: socket.socket) -> Source:
    """Return a source over a socket; its timeout is the socket's."""

    def fill() -> bytes:
        try:
            chunk = connection.recv(RECEIVE_BYTES)
        except OSError as error:
            raise ClientGoneError(str(error)) from error
        if not chunk:
            raise ClientGoneError("closed")
        return chunk

    return Source(fill)


def decompressed(raw: Source) -> Source:
    """Return a source over the checked, unpacked content of ClickHouse's compressed frames."""

    def fill() -> bytes:
        high, low = struct.unpack("<QQ", raw.take(16))
        head = raw.take(_SIZES.size)
        method, packed_size, size = _SIZES.unpack(head)
        if packed_size < _SIZES.size or max(packed_size, size) > MAX_BLOCK_BYTES or size == 0:
            raise ProtocolError(TOO_LARGE, f"A compressed frame of {packed_size} bytes for {size} is not possible")
        packed = raw.take(packed_size - _SIZES.size)
        if CityHash128(head + packed) != (high << 64) + low:
            raise ProtocolError(40, "DB::Exception: Checksum doesn't match: corrupted data")
        if method == _UNCOMPRESSED:
            return packed
        try:
            if method == _LZ4:
                return bytes(lz4.block.decompress(packed, uncompressed_size=size))
            if method == _ZSTD:
                if zstandard.get_frame_parameters(packed).content_size not in (size, zstandard.CONTENTSIZE_UNKNOWN):
                    raise ProtocolError(TOO_LARGE, f"A frame that says {size} bytes holds another number of them")
                return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
        except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
            raise ProtocolError(271, f"Cannot decompress: {error}") from error
        raise ProtocolError(NOT_IMPLEMENTED, f"Compression method {method:#x} is not supported; use lz4 or zstd")

    return Source(fill)


def compressed(block: bytes) -> Iterator[bytes]:
    """Yield a block as LZ4 frames of at most FRAME_BYTES each."""
    for start in range(0, len(block), FRAME_BYTES):
        part = block[start : start + FRAME_BYTES]
        packed = lz4.block.compress(part, store_size=False)
        body = _SIZES.pack(_LZ4, len(packed) + _SIZES.size, len(part)) + packed
        digest = CityHash128(body)
        yield struct.pack("<QQ", digest >> 64, digest & 0xFFFFFFFFFFFFFFFF) + body


def data_packet(block: bytes, *, compress: bool) -> bytes:
    """Return a Data packet around the `FORMAT Native` bytes of one block."""
    content = BLOCK_INFO + block
    return b"\x01\x00" + (b"".join(compressed(content)) if compress else content)


def header_block(columns: list[tuple[str, str]]) -> bytes:
    """Return a block of no rows that names columns and types."""
    return varint(len(columns)) + b"\x00" + b"".join(string(name) + string(kind) for name, kind in columns)


END_OF_STREAM = b"\x05"
PONG = b"\x04"


def exception_packet(error: ServerError) -> bytes:
    """Return an Exception packet with ClickHouse's code and text, without a stack trace."""
    text = error.text if error.text.startswith("DB::") else f"DB::Exception: {error.text}"
    return b"\x02" + struct.pack("<i", error.code) + string("DB::Exception") + string(text) + string("") + b"\x00"


def hello_packet(version: tuple[int, int, int], timezone: str, name: str) -> bytes:
    major, minor, patch = version
    return (
        b"\x00"
        + string("ClickHouse")
        + varint(major)
        + varint(minor)
        + varint(REVISION)
        + string(timezone)
        + string(name)
        + varint(patch)
    )


def tables_status_packet(tables: list[tuple[str, str]]) -> bytes:
    """Return a TablesStatusResponse: of those asked for, the tables that there are; none is replicated."""
    named = (string(database) + string(table) + b"\x00" for database, table in tables)
    return b"\x09" + varint(len(tables)) + b"".join(named)


def skip_block_info(source: Source) -> None:
    while field := source.varint():
        if field == 1:
            source.skip(1)
        elif field == 2:
            source.skip(4)
        else:
            raise ProtocolError(UNEXPECTED_PACKET, f"Unknown field {field} in a block's info")
