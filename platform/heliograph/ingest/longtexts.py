"""Long texts of spans on their way to the store: taken out of the rows, written before them, each once a project."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from collectors.contents import MIN_CHARS, SIDES, Splitter, long_values
from heliograph.blobs.store import gone_on
from heliograph.clickhouse import client
from heliograph.ingest.signals import Columns

# Hashes that this process has written lately. One takes about 100 bytes, so two generations take 20 MB.
REMEMBERED = 100_000
# A store that was emptied or brought back from a copy lacks what was written to it: that heals in this time.
REMEMBERED_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class LongTexts:
    """Texts of one project by hash, and the day from which none of the request's spans refers to them."""

    project_id: int = 0
    expires_on: date = date.max
    texts: dict[str, str] = field(default_factory=dict)


NONE = LongTexts()


def split(columns: Columns, long_rows: Sequence[int], project_id: int, retention_days: int) -> LongTexts:
    """Put references into the place of long texts, add the column `contents`, and return the texts.

    `long_rows` are the rows that may hold any; the others cost nothing.
    """
    used = columns["contents"] = [_NO_CONTENTS] * len(columns["span_id"])
    if not long_rows:
        return NONE
    splitter = Splitter(project_id.to_bytes(8, "big"))
    for row in long_rows:
        used[row] = _split_row(splitter, columns, row)
    if not splitter.texts:
        return NONE
    latest = max(columns["start_time"][row] for row in long_rows)
    return LongTexts(project_id, gone_on(latest, retention_days), splitter.texts)


_NO_CONTENTS: list[str] = []


def _split_row(splitter: Splitter, columns: Columns, row: int) -> list[str]:
    used: list[str] = []
    for name, side in SIDES:
        text = columns[name][row]
        if len(text) >= MIN_CHARS:
            columns[name][row] = splitter.split(text, used, side)
    for attributes in (columns["attributes"][row], *columns["events.attributes"][row]):
        _split_attributes(splitter, attributes, used)
    return list(dict.fromkeys(used))


def _split_attributes(splitter: Splitter, attributes: dict[str, Any], used: list[str]) -> None:
    for key in long_values(attributes):
        attributes[key] = splitter.split(attributes[key], used, "x", key)


class TextWriter:
    """Writes long texts that this process has not written lately. For one thread."""

    def __init__(self) -> None:
        self._new: set[str] = set()
        self._old: set[str] = set()
        self._since = time.monotonic()

    def store(self, group: Iterable[LongTexts]) -> None:
        """Store the texts of a group of requests; what is stored already replaces itself. Raises StoreError."""
        self._forget()
        rows: dict[str, tuple[int, str, str, date]] = {}
        for texts in group:
            day = texts.expires_on.toordinal()
            for hash_, text in texts.texts.items():
                # The hash is keyed by the project. A later day is another row, which takes the place of this one.
                key = f"{hash_}{day}"
                if key not in self._new and key not in self._old:
                    rows[key] = (texts.project_id, hash_, text, texts.expires_on)
        if not rows:
            return
        names = ("project_id", "hash", "text", "expires_on")
        client.insert("contents", dict(zip(names, zip(*rows.values(), strict=True), strict=True)))
        self._new.update(rows)

    def _forget(self) -> None:
        now = time.monotonic()
        if len(self._new) >= REMEMBERED or now - self._since >= REMEMBERED_SECONDS:
            self._old, self._new, self._since = self._new, set(), now
