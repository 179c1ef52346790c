"""Stored rows through other rules, with the long texts of their attributes and events back in place."""

from collections.abc import Mapping, Sequence
from typing import Any

from collectors.contents import references
from collectors.otlp.remap import remap
from collectors.semconv.table import Index
from heliograph.conventions.prices import prices_of
from heliograph.query import contents

# Characters of long texts put back into one batch's attributes, below contents.MOST_CHARS, which would leave out some.
BATCH_LONG_CHARS = 32 * 2**20


def remapped(
    project_id: int, columns: Mapping[str, Sequence[Any]], was: Sequence[Index], now: Index
) -> dict[str, list[Any]]:
    """Return MAPPED_COLUMNS of stored rows by the table `now` and the project's prices; `was` is each row's table.

    `columns` are those of `spans`, as stored. Raises StoreError.
    """
    names = ("attributes", "events.attributes")
    restored = {name: list(columns[name]) for name in names}
    chunk: list[int] = []
    size = 0
    for row, used in enumerate(columns["contents"]):
        if used:
            chunk.append(row)
            size += _long_chars(columns, row)
            if size >= BATCH_LONG_CHARS:
                _restore(project_id, columns, restored, chunk)
                chunk, size = [], 0
    _restore(project_id, columns, restored, chunk)
    return remap({**columns, **restored}, was=was, now=now, price_overrides=prices_of(project_id) or None)


def _long_chars(columns: Mapping[str, Sequence[Any]], row: int) -> int:
    used = columns["contents"][row]
    found: dict[str, int] = {}
    for attributes in (columns["attributes"][row], *columns["events.attributes"][row]):
        for text in attributes.values():
            found |= references(text, used)
    return sum(found.values())


def _restore(
    project_id: int, columns: Mapping[str, Sequence[Any]], restored: dict[str, list[Any]], chosen: Sequence[int]
) -> None:
    rows = [{"contents": columns["contents"][row], **{name: columns[name][row] for name in restored}} for row in chosen]
    contents.restore(project_id, rows, tuple(restored))
    for place, row in zip(chosen, rows, strict=True):
        for name, values in restored.items():
            values[place] = row[name]
