"""The tables as their SQL states them, and whether a decoded row fits one."""

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[2] / "platform" / "heliograph" / "clickhouse" / "schema"
# The writer adds these.
NOT_DECODED = {"project_id", "retention_days", "received_at", "contents", "mapping_revision"}


def columns_of(file: str) -> dict[str, str]:
    """Type by column, in the order of the table."""
    text = (SCHEMA / file).read_text()
    body = text[text.index("(\n") : text.index("\n)\nENGINE")]
    found: dict[str, str] = {}
    nested = ""
    for line in map(str.strip, body.splitlines()):
        if match := re.match(r"(\w+) Nested$", line):
            nested = f"{match[1]}."
        elif line.startswith(")"):
            nested = ""
        elif (match := re.match(r"(\w+) ([A-Z]\w+(?:\(\w+)?)", line)) and match[1] not in {"INDEX", *NOT_DECODED}:
            found[nested + match[1]] = f"Array({match[2]}" if nested else match[2]
    return found | _added(file.partition("_")[2].removesuffix(".sql"))


def _added(table: str) -> dict[str, str]:
    """Type by column of what later files add to a table, in their order."""
    found: dict[str, str] = {}
    for path in sorted(SCHEMA.glob("*.sql")):
        for statement in re.findall(rf"^ALTER TABLE {table}\n(.*?);$", path.read_text(), re.MULTILINE | re.DOTALL):
            columns = re.findall(r"ADD COLUMN IF NOT EXISTS `?([\w.]+)`? ([A-Z]\w+(?:\(\w+(?:\(\w+)?)?)", statement)
            found |= {name: kind for name, kind in columns if name not in NOT_DECODED}
    return found


def _text(value: Any) -> bool:
    if type(value) is not str:
        return False
    value.encode()
    return True


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds


_FITS: dict[str, Callable[[Any], bool]] = {
    "String": _text,
    "LowCardinality(String": _text,
    "Bool": _is(bool),
    "Map(LowCardinality": lambda value: type(value) is dict and all(map(_text, [*value, *value.values()])),
    "Map(LowCardinality(String": lambda value: (
        type(value) is dict
        and all(map(_text, value))
        and all(_text(each) if type(each) is str else type(each) is int and 0 < each < 2**32 for each in value.values())
    ),
    "Array(LowCardinality": lambda value: type(value) is list and all(map(_text, value)),
    "Array(LowCardinality(String": lambda value: type(value) is list and all(map(_text, value)),
    "Array(String": lambda value: type(value) is list and all(map(_text, value)),
    "Array(Map(LowCardinality": lambda value: type(value) is list and all(map(_FITS["Map(LowCardinality"], value)),
    "Array(DateTime64(9": lambda value: all(type(each) is int and 0 <= each < 2**63 for each in value),
    "Array(Float64": lambda value: all(type(each) is float for each in value),
    "Array(UInt64": lambda value: all(type(each) is int and 0 <= each < 2**64 for each in value),
    "DateTime64(9": lambda value: type(value) is int and 0 <= value < 2**63,
    "Nullable(Decimal": lambda value: value is None or (type(value) is Decimal and abs(value) < 10**6),
    "Nullable(Float32": lambda value: value is None or type(value) in (int, float),
    "Nullable(Float64": lambda value: value is None or type(value) is float,
    "Nullable(Int32": lambda value: value is None or (type(value) is int and -(2**31) <= value < 2**31),
    "Int32": lambda value: type(value) is int and -(2**31) <= value < 2**31,
    **{
        f"{nullable}UInt{bits}": lambda value, nullable=nullable, bits=bits: (
            (bool(nullable) and value is None) or (type(value) is int and 0 <= value < 2**bits)
        )
        for nullable in ("", "Nullable(")
        for bits in (8, 16, 32, 64)
    },
}


def misfits(file: str, row: dict[str, Any]) -> dict[str, Any]:
    """Columns of a decoded row whose value the table would refuse."""
    return {name: row[name] for name, kind in columns_of(file).items() if not _FITS[kind](row[name])}
