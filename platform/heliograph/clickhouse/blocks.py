"""How blocks are read and written where clickhouse-driver would lose digits or time."""

import re
from typing import Any

from clickhouse_driver.block import BlockInfo, ColumnOrientedBlock
from clickhouse_driver.columns.service import read_column
from clickhouse_driver.connection import Connection
from clickhouse_driver.defines import (
    DBMS_MIN_REVISION_WITH_BLOCK_INFO,
    DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION,
)
from clickhouse_driver.reader import read_binary_str, read_binary_uint8
from clickhouse_driver.streams.compressed import CompressedBlockInputStream
from clickhouse_driver.streams.native import BlockInputStream
from clickhouse_driver.varint import read_varint

# A datetime has microseconds, so a DateTime64(9) is read as what it is on the wire: nanoseconds since the epoch.
_NANOSECONDS = re.compile(r"DateTime64\(9(?:, *'[^']*')?\)")


def _read(stream: BlockInputStream) -> ColumnOrientedBlock:
    revision = stream.context.server_info.used_revision
    info = BlockInfo()
    if revision >= DBMS_MIN_REVISION_WITH_BLOCK_INFO:
        info.read(stream.fin)
    columns, rows = read_varint(stream.fin), read_varint(stream.fin)
    data: list[Any] = []
    names_and_types: list[tuple[str, str]] = []
    for _ in range(columns):
        name, type_name = read_binary_str(stream.fin), read_binary_str(stream.fin)
        names_and_types.append((name, type_name))
        custom = revision >= DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION and bool(read_binary_uint8(stream.fin))
        if rows:
            exact = _NANOSECONDS.sub("Int64", type_name)
            data.append(read_column(stream.context, exact, rows, stream.fin, has_custom_serialization=custom))
    return ColumnOrientedBlock(columns_with_types=names_and_types, data=data, info=info)


class _PlainInput(BlockInputStream):  # type: ignore[misc]  # clickhouse-driver publishes no types
    def read(self, use_numpy: object = None) -> ColumnOrientedBlock:
        return _read(self)


class _CompressedInput(CompressedBlockInputStream):  # type: ignore[misc]  # see above
    def read(self, use_numpy: object = None) -> ColumnOrientedBlock:
        return _read(self)


def input_stream(connection: Connection) -> BlockInputStream:
    """Return the stream of blocks from the server; a drop-in for `Connection.get_block_in_stream`."""
    stream = _CompressedInput if connection.compression else _PlainInput
    return stream(connection.fin, connection.context)
