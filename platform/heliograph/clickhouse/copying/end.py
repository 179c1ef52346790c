"""A connection to one of the two stores, through which values pass as they lie in a block.

Times, dates and decimals are read and written as the whole numbers that they are on the wire, texts as bytes: nothing
is rounded, moved between time zones or decoded on the way.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit

from clickhouse_driver import Client
from clickhouse_driver.block import BlockInfo, ColumnOrientedBlock
from clickhouse_driver.columns.service import read_column, write_column
from clickhouse_driver.connection import Connection
from clickhouse_driver.defines import DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION
from clickhouse_driver.errors import Error as DriverError
from clickhouse_driver.reader import read_binary_str, read_binary_uint8
from clickhouse_driver.streams.compressed import CompressedBlockInputStream, CompressedBlockOutputStream
from clickhouse_driver.util.helpers import parse_url
from clickhouse_driver.varint import read_varint, write_varint
from clickhouse_driver.writer import write_binary_str, write_binary_uint8

from heliograph.clickhouse.errors import from_foreign

CONNECT_SECONDS = 10
# Reading a week's rows for their checksum, or replacing a partition, says nothing until it is done.
ANSWER_SECONDS = 3 * 3_600
_WHOLE_NUMBERS = (
    (re.compile(r"DateTime64\([^()]*\)"), "Int64"),
    (re.compile(r"\bDateTime\b(?:\('[^']*'\))?"), "UInt32"),
    (re.compile(r"\bDate32\b"), "Int32"),
    (re.compile(r"\bDate\b"), "UInt16"),
    (re.compile(r"\bBool\b"), "UInt8"),
)
_DECIMAL = re.compile(r"Decimal\((\d+), *\d+\)")
_KEPT = re.compile(r"SimpleAggregateFunction\(\w+(?:\([^()]*\))?, (.*)\)", re.DOTALL)


@cache
def as_it_lies(type_name: str) -> str:
    """Return the type of plain numbers and texts that has the same bytes in a block."""
    if match := _KEPT.fullmatch(type_name):
        return as_it_lies(match[1])
    for pattern, plain in _WHOLE_NUMBERS:
        type_name = pattern.sub(plain, type_name)
    return _DECIMAL.sub(_of_digits, type_name)


def _of_digits(match: re.Match[str]) -> str:
    digits = int(match[1])
    return "Int32" if digits <= 9 else "Int64" if digits <= 18 else "Int128" if digits <= 38 else "Int256"


class _Input(CompressedBlockInputStream):  # type: ignore[misc]  # clickhouse-driver publishes no types
    def read(self, use_numpy: object = None) -> ColumnOrientedBlock:
        info = BlockInfo()
        info.read(self.fin)
        columns, rows = read_varint(self.fin), read_varint(self.fin)
        has_flags = self.context.server_info.used_revision >= DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION
        named, data = [], []
        for _ in range(columns):
            name, type_name = read_binary_str(self.fin), read_binary_str(self.fin)
            named.append((name, type_name))
            custom = has_flags and bool(read_binary_uint8(self.fin))
            if rows:
                plain = as_it_lies(type_name)
                data.append(read_column(self.context, plain, rows, self.fin, has_custom_serialization=custom))
        return ColumnOrientedBlock(columns_with_types=named, data=data, info=info)


class _Output(CompressedBlockOutputStream):  # type: ignore[misc]  # see above
    def write(self, block: ColumnOrientedBlock) -> None:
        block.info.write(self.fout)
        write_varint(block.num_columns, self.fout)
        write_varint(block.num_rows, self.fout)
        has_flags = self.context.server_info.used_revision >= DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION
        for position, (name, type_name) in enumerate(block.columns_with_types if block.num_columns else ()):
            write_binary_str(name, self.fout)
            write_binary_str(type_name, self.fout)
            if has_flags:
                write_binary_uint8(0, self.fout)
            items = block.get_column_by_index(position)
            write_column(self.context, name, as_it_lies(type_name), items, self.fout)
        self.finalize()


def _in(connection: Connection) -> _Input:
    return _Input(connection.fin, connection.context)


def _out(connection: Connection) -> _Output:
    parts = connection.compressor_cls, connection.compress_block_size
    return _Output(*parts, connection.fout, connection.context)


class End:
    """One store. Every method raises StoreError."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.name = f"{parts.hostname}:{parts.port or 9000}{parts.path}"  # without the password
        host, options = parse_url(url)
        options |= {"connect_timeout": CONNECT_SECONDS, "send_receive_timeout": ANSWER_SECONDS, "compression": "lz4"}
        self._plain = Client(host, **options)
        self._values = Client(host, **options, settings={"strings_as_bytes": True})
        for connection in (self._values.connection, *self._values.connections):
            connection.get_block_in_stream = partial(_in, connection)
            connection.get_block_out_stream = partial(_out, connection)

    def close(self) -> None:
        """Close the connections."""
        self._plain.disconnect()
        self._values.disconnect()

    def rows(self, sql: str, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run any statement and return its rows by column name."""
        with _ours():
            rows, columns = self._plain.execute(sql, params, with_column_types=True, settings=_LABEL)
        names = [name for name, _ in columns]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def blocks(self, sql: str, limits: dict[str, Any]) -> Iterator[list[Sequence[Any]]]:
        """Yield the blocks of a SELECT, each as one sequence a column. The rest may be left."""
        is_read = False
        try:
            with _ours(), self._values.disconnect_on_error(sql, _LABEL | limits):
                self._values.connection.send_query(sql)
                self._values.connection.send_external_tables(None)
                for packet in self._values.packet_generator():
                    block = getattr(packet, "block", None)
                    if block is not None and block.num_rows:
                        yield block.get_columns()
            is_read = True
        finally:
            if not is_read:
                self._values.disconnect()  # the rest of the answer is still on its way

    def insert(self, table: str, columns: Sequence[str], data: list[Any], settings: dict[str, Any]) -> None:
        """Store one block, given by column in the order of `columns`."""
        names = ", ".join(f"`{name}`" for name in columns)
        with _ours():
            self._values.execute(
                f"INSERT INTO {table} ({names}) VALUES", data, columnar=True, settings=_LABEL | settings
            )


_LABEL = {"log_comment": "store.copy"}


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except (DriverError, EOFError, OSError, struct.error, TypeError, ValueError, AttributeError) as error:
        raise from_foreign(error) from error
