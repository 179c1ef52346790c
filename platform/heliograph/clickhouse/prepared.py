"""Rows as the bytes of a block, made before a connection is asked for: an insert then only has to send them.

A block's bytes follow from the columns' types, which the server names at each insert. Those it named last are
remembered; where it names others, because a table was altered meanwhile, the rows are encoded again.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from clickhouse_driver import Client
from clickhouse_driver.block import ColumnOrientedBlock
from clickhouse_driver.bufferedwriter import CompressedBufferedWriter
from clickhouse_driver.defines import DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION
from clickhouse_driver.writer import write_binary_str, write_binary_uint8

from heliograph.clickhouse.encode import encoder

# Of a column: most are smaller, and a larger one is written in pieces.
_BUFFER_BYTES = 2**17


class Shape(NamedTuple):
    """What the server said of an INSERT's columns: (name, type) each, and whether its blocks have a flag a column."""

    columns: tuple[tuple[str, str], ...]
    has_flags: bool


class Prepared(NamedTuple):
    """One block; `columns` are what it was made of. A tuple, as clickhouse-driver's `execute` expects of rows."""

    shape: Shape
    rows: int
    # The bytes of each column, in pieces.
    content: list[list[bytes]]
    columns: list[Sequence[Any]]

    def encoded_again(self, name: str) -> "Prepared | None":
        """Return the block with one column as it is now; None where its values do not fit any more."""
        place = next(place for place, (column, _) in enumerate(self.shape.columns) if column == name)
        pieces = _encoded(self.shape, place, self.columns[place])
        if pieces is None:
            return None
        return self._replace(content=[*self.content[:place], pieces, *self.content[place + 1 :]])


# By the columns' names, of which each of our few inserts has its own.
_shapes: dict[tuple[str, ...], Shape] = {}


def prepare(columns: Mapping[str, Sequence[Any]]) -> Prepared | None:
    """Return the columns as a block; None where their types are not known yet or a value does not fit them.

    `client.insert` then encodes the columns itself, and raises what is to be said of such a value.
    """
    shape = _shapes.get(tuple(columns))
    rows = len(next(iter(columns.values()), ()))
    if shape is None or any(len(items) != rows for items in columns.values()):
        return None
    content = []
    for place, items in enumerate(columns.values()):
        pieces = _encoded(shape, place, items)
        if pieces is None:
            return None
        content.append(pieces)
    return Prepared(shape, rows, content, list(columns.values()))


def _encoded(shape: Shape, place: int, items: Sequence[Any]) -> list[bytes] | None:
    """Return a column with its head, None where clickhouse-driver has to encode it or a value does not fit."""
    name, type_name = shape.columns[place]
    encode = encoder(type_name)
    if encode is None:
        return None
    content = _Content()
    sink = CompressedBufferedWriter(content, _BUFFER_BYTES)
    write_binary_str(name, sink)
    write_binary_str(type_name, sink)
    if shape.has_flags:
        write_binary_uint8(0, sink)
    try:
        encode.write(items, sink)
    except (ValueError, TypeError, AttributeError, ArithmeticError, struct.error):
        return None
    sink.flush()
    return content.pieces


class _Content:
    """Takes what clickhouse-driver's writer has buffered."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)


class PreparedBlock(ColumnOrientedBlock):  # type: ignore[misc]  # clickhouse-driver publishes no types
    """A block whose columns are bytes already (see `blocks`)."""

    def __init__(self, prepared: Prepared) -> None:
        super().__init__()
        self.prepared = prepared

    @property
    def num_columns(self) -> int:
        """How many columns."""
        return len(self.prepared.shape.columns)

    @property
    def num_rows(self) -> int:
        """How many rows."""
        return self.prepared.rows


class BlockClient(Client):  # type: ignore[misc]  # see above
    """A clickhouse-driver client that also takes a `Prepared` for rows."""

    def send_data(
        self, sample_block: ColumnOrientedBlock, data: Any, types_check: bool = False, columnar: bool = False
    ) -> int:
        """Send an INSERT's rows."""
        revision = self.connection.server_info.used_revision
        shape = Shape(tuple(sample_block.columns_with_types), revision >= DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION)
        _shapes[tuple(name for name, _ in shape.columns)] = shape
        if not isinstance(data, Prepared):
            return int(super().send_data(sample_block, data, types_check=types_check, columnar=columnar))
        if data.shape != shape:
            return int(super().send_data(sample_block, data.columns, types_check=types_check, columnar=True))
        self.connection.send_data(PreparedBlock(data))
        self.receive_profile_events()
        self.connection.send_data(ColumnOrientedBlock())
        self.receive_profile_events()
        return data.rows
