"""Columns to bytes, for the types of our tables: what clickhouse-driver does value by value, done by column.

The bytes are the same (a test compares them); a span of 90 columns takes a third of the time. The compiled kernel makes
those of most columns; what it answers None to, because a value does not fit, is left to Python to name.
"""

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import accumulate, chain
from typing import Any, Protocol

from collectors import kernel

_NAMES = ("UInt8", "UInt16", "UInt32", "UInt64", "Int8", "Int16", "Int32", "Int64", "Float32", "Float64", "Bool")
_FORMATS = dict(zip(_NAMES, "BHIQbhiqfd?", strict=True))
# Those that the kernel writes; it leaves fractions to Python.
_NUMBERS = frozenset("BHIQbhiq?")
_DECIMAL = re.compile(r"Decimal\((\d+), (\d+)\)")
_LOW_CARDINALITY_VERSION = struct.pack("<q", 1)
# The dictionary follows in the block itself, and it is complete.
_LOW_CARDINALITY_FLAGS = 1 << 9 | 1 << 10


class Sink(Protocol):
    """clickhouse-driver's buffered writer."""

    def write(self, data: bytes) -> None: ...
    def write_strings(self, items: Sequence[str], encoding: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Encoder:
    """Writes the values of one type. `prefix` stands before the data of the whole column."""

    prefix: bytes
    data: Callable[[Sequence[Any], Sink], None]
    # Of a number, its type as `struct` names it.
    letter: str = ""

    def write(self, items: Sequence[Any], sink: Sink) -> None:
        """Write a column; a value that does not fit raises struct.error, TypeError, UnicodeError or ArithmeticError."""
        sink.write(self.prefix)
        self.data(items, sink)


def _is_written(sink: Sink, made: bytes | None) -> bool:
    if made is None:
        return False
    sink.write(made)
    return True


def _strings(items: Sequence[str], sink: Sink) -> None:
    if (native := kernel.active()) and _is_written(sink, native.encode_strings(items)):
        return
    sink.write_strings(items, encoding="utf-8")


def _low_cardinality(items: Sequence[str], sink: Sink) -> None:
    if not items:
        return
    if (native := kernel.active()) and _is_written(sink, native.encode_low_cardinality(items)):
        return
    keys = {value: key for key, value in enumerate(dict.fromkeys(items))}
    code, letter = (0, "B") if len(keys) <= 2**8 else (1, "H") if len(keys) <= 2**16 else (2, "I")
    sink.write(struct.pack("<qq", _LOW_CARDINALITY_FLAGS | code, len(keys)))
    _strings(list(keys), sink)
    sink.write(struct.pack(f"<q{len(items)}{letter}", len(items), *map(keys.__getitem__, items)))


def _numbers(items: Sequence[Any], letter: str, *, nullable: bool) -> bytes | None:
    native = kernel.active()
    if native is None or letter not in _NUMBERS:
        return None
    made: bytes | None = native.encode_numbers(items, letter, nullable)
    return made


def _fixed(letter: str) -> Encoder:
    def write(items: Sequence[Any], sink: Sink) -> None:
        if _is_written(sink, _numbers(items, letter, nullable=False)):
            return
        sink.write(struct.pack(f"<{len(items)}{letter}", *items))

    return Encoder(b"", write, letter)


def _decimal(scale: int) -> Encoder:
    factor = Decimal(10) ** scale

    def write(items: Sequence[Any], sink: Sink) -> None:
        units = [int((item if type(item) is Decimal else Decimal(str(item))) * factor) if item else 0 for item in items]
        sink.write(struct.pack(f"<{len(items)}q", *units))

    return Encoder(b"", write)


def _nullable(inner: Encoder) -> Encoder:
    def write(items: Sequence[Any], sink: Sink) -> None:
        if _is_written(sink, _numbers(items, inner.letter, nullable=True)):
            return
        nulls = bytes([item is None for item in items])
        sink.write(nulls)
        inner.data([0 if item is None else item for item in items] if 1 in nulls else items, sink)

    return Encoder(inner.prefix, write)


def _offsets(items: Iterable[Any], count: int, sink: Sink) -> None:
    sink.write(struct.pack(f"<{count}Q", *accumulate(map(len, items))))


def _array(inner: Encoder) -> Encoder:
    def write(items: Sequence[Any], sink: Sink) -> None:
        if not any(items):  # as most columns of tags, events and links are
            sink.write(bytes(8 * len(items)))
            return
        _offsets(items, len(items), sink)
        inner.data(list(chain.from_iterable(items)), sink)

    return Encoder(inner.prefix, write)


def _map(key: Encoder, value: Encoder) -> Encoder:
    is_of_texts = key.data is _low_cardinality and value.data is _strings

    def write(items: Sequence[dict[Any, Any]], sink: Sink) -> None:
        if is_of_texts and (native := kernel.active()) and _is_written(sink, native.encode_maps(items)):
            return
        _offsets(items, len(items), sink)
        key.data(list(chain.from_iterable(items)), sink)
        value.data(list(chain.from_iterable(map(dict.values, items))), sink)

    return Encoder(key.prefix + value.prefix, write)


@cache
def encoder(type_name: str) -> Encoder | None:  # noqa: PLR0911  # one return a kind of type reads best
    """Return the encoder of a ClickHouse type, or None where clickhouse-driver's own has to do."""
    name, _, rest = type_name.partition("(")
    inner = rest[:-1]
    if name in _FORMATS:
        return _fixed(_FORMATS[name])
    if type_name == "String":
        return Encoder(b"", _strings)
    if type_name == "LowCardinality(String)":
        return Encoder(_LOW_CARDINALITY_VERSION, _low_cardinality)
    if name == "DateTime64" and inner.startswith("9"):
        return _fixed("q")
    if match := _DECIMAL.fullmatch(type_name):
        return _decimal(int(match[2])) if 10 <= int(match[1]) <= 18 else None
    if name == "Nullable" and (part := encoder(inner)) and not part.prefix and inner != "String":
        return _nullable(part)
    if name == "Array" and (part := encoder(inner)):
        return _array(part)
    if name == "Map":
        key_name, _, value_name = inner.partition(", ")
        key, value = encoder(key_name), encoder(value_name)
        return _map(key, value) if key and value else None
    return None
