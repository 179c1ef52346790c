"""Where a block of `FORMAT Native` ends, found without making values of its columns.

The layout is ClickHouse's: for each column its name and type, then the data. Some types put a prefix before the data
of the whole column (LowCardinality its version), and that prefix comes before the offsets of the arrays around it.
"""

import functools
import re
from dataclasses import dataclass

from heliograph.clickhouse.embedded.errors import NOT_IMPLEMENTED, TOO_LARGE, UNKNOWN_TYPE, ProtocolError, ServerError
from heliograph.clickhouse.embedded.wire import MAX_BLOCK_BYTES, Source

MAX_COLUMNS = 4096
MAX_TYPE_DEPTH = 32
# Texts are read in slices, so that a made-up row count cannot reserve memory that no bytes stand behind.
_STRINGS_AT_ONCE = 8192

_WIDTHS = {
    **dict.fromkeys(("UInt8", "Int8", "Bool", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("UInt16", "Int16", "Enum16", "Date", "BFloat16"), 2),
    **dict.fromkeys(("UInt32", "Int32", "Float32", "DateTime", "Date32", "IPv4", "Decimal32", "Time"), 4),
    **dict.fromkeys(("UInt64", "Int64", "Float64", "DateTime64", "Decimal64", "Time64"), 8),
    **dict.fromkeys(("UInt128", "Int128", "UUID", "IPv6", "Decimal128"), 16),
    **dict.fromkeys(("UInt256", "Int256", "Decimal256"), 32),
}
_LOW_CARDINALITY_WIDTHS = (1, 2, 4, 8)
_ELEMENT_NAME = re.compile(r"^(?:`(?:[^`\\]|\\.|``)*`|\w+)\s+(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the values of one type lie in a block. `kind`: fixed string nullable array tuple low_cardinality."""

    kind: str
    width: int = 0
    parts: tuple["Layout", ...] = ()


def _arguments(text: str) -> list[str]:
    """Split `A, B(C, D)` at its outer commas."""
    parts, depth, start, quote = [], 0, 0, ""
    position = 0
    while position < len(text):
        letter = text[position]
        if quote:
            if letter == "\\":
                position += 1
            elif letter == quote:
                quote = ""
        elif letter in "'`":
            quote = letter
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
        position += 1
    return [*parts, text[start:].strip()]


@functools.lru_cache(maxsize=4096)
def layout(type_name: str, depth: int = 0) -> Layout:  # noqa: PLR0911  # one return a kind reads best
    """Return the layout of a ClickHouse type; raise ProtocolError for one that this server cannot follow."""
    if depth > MAX_TYPE_DEPTH:
        raise ProtocolError(TOO_LARGE, f"Types nested more than {MAX_TYPE_DEPTH} deep are not accepted")
    name, _, rest = type_name.partition("(")
    inner = rest[:-1]
    if name == "String":
        return Layout("string")
    if name in _WIDTHS or name.startswith("Interval"):
        return Layout("fixed", _WIDTHS.get(name, 8))
    if name == "FixedString" and inner.isdigit():
        return Layout("fixed", int(inner))
    if name == "Decimal":
        precision = int(_arguments(inner)[0])
        return Layout("fixed", 4 if precision <= 9 else 8 if precision <= 18 else 16 if precision <= 38 else 32)
    if name in ("Nullable", "Array", "LowCardinality"):
        kind = {"Nullable": "nullable", "Array": "array", "LowCardinality": "low_cardinality"}[name]
        if name == "LowCardinality":
            # The dictionary of LowCardinality(Nullable(T)) holds T; its first key stands for NULL.
            inner = inner.removeprefix("Nullable(").removesuffix(")") if inner.startswith("Nullable(") else inner
        return Layout(kind, parts=(layout(inner, depth + 1),))
    if name == "SimpleAggregateFunction":
        return layout(_arguments(inner)[1], depth + 1)
    if name in ("Tuple", "Map", "Nested"):
        parts = tuple(layout(_ELEMENT_NAME.sub("", part), depth + 1) for part in _arguments(inner) if part)
        row = Layout("tuple", parts=parts)
        return row if name == "Tuple" else Layout("array", parts=(row,))
    raise ProtocolError(NOT_IMPLEMENTED, f"Inserting type {type_name} through the native protocol is not supported")


def _skip_prefix(source: Source, shape: Layout) -> None:
    if shape.kind == "low_cardinality":
        source.skip(8)
    for part in shape.parts:
        _skip_prefix(source, part)


def _bounded(count: int) -> int:
    if count > MAX_BLOCK_BYTES:
        raise ProtocolError(TOO_LARGE, f"A block of {count} values is over the limit of {MAX_BLOCK_BYTES}")
    return count


def _skip_data(source: Source, shape: Layout, rows: int) -> None:
    if rows == 0:
        return
    if shape.kind == "fixed":
        source.skip(shape.width * rows)
    elif shape.kind == "string":
        for start in range(0, rows, _STRINGS_AT_ONCE):
            source.reader.read_strings(min(rows - start, _STRINGS_AT_ONCE))
    elif shape.kind == "nullable":
        source.skip(rows)
        _skip_data(source, shape.parts[0], rows)
    elif shape.kind == "array":
        source.skip(8 * (rows - 1))
        _skip_data(source, shape.parts[0], _bounded(source.number("Q")))
    elif shape.kind == "tuple":
        for part in shape.parts:
            _skip_data(source, part, rows)
    else:
        width = _LOW_CARDINALITY_WIDTHS[source.number("Q") & 0x3]
        _skip_data(source, shape.parts[0], _bounded(source.number("Q")))
        source.skip(width * _bounded(source.number("Q")))


def _begin_block(source: Source) -> tuple[int, int]:
    columns, rows = source.varint(), _bounded(source.varint())
    if columns > MAX_COLUMNS:
        raise ProtocolError(TOO_LARGE, f"A block of {columns} columns is over the limit of {MAX_COLUMNS}")
    return columns, rows


def _skip_column(source: Source, type_name: str, rows: int) -> None:
    try:
        shape = layout(type_name)
    except (ValueError, IndexError) as error:
        raise ProtocolError(UNKNOWN_TYPE, f"Unknown type {type_name!r} in a block") from error
    if rows:
        _skip_prefix(source, shape)
        _skip_data(source, shape, rows)


def skip_block(source: Source) -> int:
    """Read past one block (without its BlockInfo) and return its number of rows."""
    columns, rows = _begin_block(source)
    for _ in range(columns):
        source.raw_string()
        _skip_column(source, source.string(), rows)
    return rows


def _over(raw: bytes) -> Source:
    pieces = iter((raw,))
    return Source(lambda: next(pieces, b""))


def split_blocks(raw: bytes) -> list[bytes]:
    """Split the concatenated blocks of one result that the engine returned as a whole."""
    source = _over(raw)
    blocks: list[bytes] = []
    while not blocks or source.buffered:
        source.keep()
        skip_block(source)
        blocks.append(b"".join(source.kept()))
    return blocks


def columns_of(block: bytes) -> list[tuple[str, str]]:
    """Return (name, type) of a result's columns. Raises ServerError for a type that cannot be walked past."""
    source = _over(block)
    columns: list[tuple[str, str]] = []
    try:
        count, rows = _begin_block(source)
        while len(columns) < count:
            if columns:
                _skip_column(source, columns[-1][1], rows)
            columns.append((source.string(), source.string()))
    except ProtocolError as error:
        # It is the engine's block: the client's stream is as sound as before.
        raise ServerError(error.code, error.text) from error
    return columns


def checked(block: bytes, rows: int) -> bytes:
    """Return `block` if it is one block of that many rows; anything else would leave the client out of step."""
    source = _over(block[:32])
    if source.varint() <= MAX_COLUMNS and source.varint() == rows:
        return block
    raise ServerError(NOT_IMPLEMENTED, "The result is not in blocks; leave out the FORMAT clause")
