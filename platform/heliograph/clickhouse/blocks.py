"""How blocks are read and written where clickhouse-driver would lose digits or time."""

import re
from itertools import chain
from typing import Any

from clickhouse_driver.block import BlockInfo, ColumnOrientedBlock
from clickhouse_driver.columns.service import read_column, write_column
from clickhouse_driver.connection import Connection
from clickhouse_driver.defines import (
    DBMS_MIN_REVISION_WITH_BLOCK_INFO,
    DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION,
)
from clickhouse_driver.reader import read_binary_str, read_binary_uint8
from clickhouse_driver.streams.compressed import CompressedBlockInputStream, CompressedBlockOutputStream
from clickhouse_driver.streams.native import BlockInputStream, BlockOutputStream
from clickhouse_driver.varint import read_varint, write_varint
from clickhouse_driver.writer import write_binary_str, write_binary_uint8

from heliograph.clickhouse.encode import encoder
from heliograph.clickhouse.prepared import PreparedBlock

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


def _write(stream: BlockOutputStream, block: ColumnOrientedBlock) -> None:
    revision = stream.context.server_info.used_revision
    if revision >= DBMS_MIN_REVISION_WITH_BLOCK_INFO:
        block.info.write(stream.fout)
    write_varint(block.num_columns, stream.fout)
    write_varint(block.num_rows, stream.fout)
    if isinstance(block, PreparedBlock):
        for piece in chain.from_iterable(block.prepared.content):
            stream.fout.write(piece)
        stream.finalize()
        return
    for position, (name, type_name) in enumerate(block.columns_with_types if block.num_columns else ()):
        write_binary_str(name, stream.fout)
        write_binary_str(type_name, stream.fout)
        if revision >= DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION:
            write_binary_uint8(0, stream.fout)
        items = block.get_column_by_index(position)
        encode = encoder(type_name)
        if encode is None:
            write_column(stream.context, name, type_name, items, stream.fout)
        else:
            encode.write(items, stream.fout)
    stream.finalize()


class _PlainOutput(BlockOutputStream):  # type: ignore[misc]  # see above
    def write(self, block: ColumnOrientedBlock) -> None:
        _write(self, block)


class _CompressedOutput(CompressedBlockOutputStream):  # type: ignore[misc]  # see above
    def write(self, block: ColumnOrientedBlock) -> None:
        _write(self, block)


def output_stream(connection: Connection) -> BlockOutputStream:
    """Return the stream of blocks to the server; a drop-in for `Connection.get_block_out_stream`."""
    if connection.compression:
        parts = connection.compressor_cls, connection.compress_block_size
        return _CompressedOutput(*parts, connection.fout, connection.context)
    return _PlainOutput(connection.fout, connection.context)
