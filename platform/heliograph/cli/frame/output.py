"""Answers as tables for people and as JSON for programs."""

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

# What comes from a service may hold escape sequences, which would move the reader's cursor or worse.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Piped into a file or grep, a line is a row however long it is.
_WIDE = 400
MAX_CELL = 200


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's answer goes: standard output, in one of two forms."""

    as_json: bool

    def rows(self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str = "Nothing.") -> None:
        """Print a list: all of it as JSON, or a table of `columns` (field -> heading)."""
        if self.as_json:
            self.json(list(rows))
        elif not rows:
            print(empty, file=sys.stderr)  # noqa: T201  # a command prints
        else:
            table = Table(box=None, header_style="bold", pad_edge=False)
            for field, heading in columns.items():
                table.add_column(heading, justify="right" if _is_number(rows[0].get(field)) else "left")
            for row in rows:
                table.add_row(*(Text(cell(field, row.get(field)), overflow="ellipsis") for field in columns))
            _console().print(table)

    def fields(self, answer: Mapping[str, Any], only: Iterable[str] = ()) -> None:
        """Print one thing: all of it as JSON, or its fields one a line."""
        if self.as_json:
            self.json(answer)
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for field in only or answer:
            table.add_row(field, Text(plain(_short(answer.get(field)))))
        _console().print(table)

    def json(self, answer: Any) -> None:
        """Print JSON, indented where a person may read it."""
        print(json.dumps(answer, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))  # noqa: T201  # a command prints

    def say(self, text: str) -> None:
        """Print a sentence for people; programs asked for JSON and get none of it."""
        if not self.as_json:
            print(plain(text, lines=True))  # noqa: T201  # a command prints


def plain(text: str, *, lines: bool = False) -> str:
    """Return a text that is safe on a terminal, in one line without `lines`."""
    if lines:
        return "\n".join(_CONTROL.sub("\ufffd", line) for line in text.split("\n"))
    return _CONTROL.sub("\ufffd", re.sub(r"[\r\n\t]+", " ", text))


def cell(field: str, value: Any) -> str:
    """Return a value for a table: durations in s, times to the second, money to the cent's hundredth."""
    if value is None:
        return "–"
    if field.endswith("_ns") and isinstance(value, (int, float)):
        return f"{value / 1e9:.3f} s"
    if "cost" in field:
        return _money(value)
    if isinstance(value, str) and (field in {"time", "start_time", "end_time"} or field.endswith("_at")):
        return _time(value)
    text = plain(_short(value))
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(each, (str, int, float)) for each in value):
        return ", ".join(str(each) for each in value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return "–" if value is None else str(value)


def _money(value: Any) -> str:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return plain(_short(value))
    return f"${amount:.4f}"


def _time(value: str) -> str:
    try:
        return f"{datetime.fromisoformat(value):%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return plain(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _console() -> Console:
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=int(os.environ.get("COLUMNS", _WIDE)), no_color=True)
