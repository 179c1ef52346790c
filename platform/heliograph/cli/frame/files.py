"""Rows into files of three formats, so that a page that was written stays written."""

import csv
import gzip
import importlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import click

FORMATS = ["jsonl", "csv", "parquet"]
# A cell that begins so is a formula to a spreadsheet, and what a service's users wrote may be made to be one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Writer(Protocol):
    """Takes pages of rows."""

    def write(self, rows: list[dict[str, Any]]) -> int | None:
        """Write rows; return the file's length, at which a later run may go on, or None where it may not."""

    def close(self) -> None:
        """End the file."""


def format_of(path: Path) -> str:
    """Return the format that a file's name says. Raises UsageError for one that says none."""
    name = path.name.lower().removesuffix(".gz")
    for form in FORMATS:
        if name.endswith(f".{form}"):
            return form
    raise click.UsageError(f"{path.name} says no format; end it with .jsonl, .csv or .parquet, or give --format.")


@contextmanager
def open_writer(path: Path, form: str, *, at: int | None) -> Iterator[Writer]:
    """Open a file for its owner only, cut at `at` bytes where it is gone on with. Raises ClickException for a fault."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as stream:
            stream.truncate(at or 0)
            stream.seek(0, os.SEEK_END)
            is_packed = path.name.lower().endswith(".gz")
            kinds = {"jsonl": _Jsonl, "csv": _Csv}
            writer: Writer = _Parquet(stream) if form == "parquet" else kinds[form](stream, is_packed, bool(at))
            yield writer
            writer.close()
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror or error}") from error


class _Text:
    """Each page is a member of a gzip file of its own, so the file may be cut behind any."""

    def __init__(self, stream: BinaryIO, is_packed: bool, is_begun: bool) -> None:
        self._stream, self._is_packed, self._is_begun = stream, is_packed, is_begun

    def write(self, rows: list[dict[str, Any]]) -> int | None:
        text = self._text(rows).encode()
        self._stream.write(gzip.compress(text, 6) if self._is_packed else text)
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return self._stream.tell()

    def close(self) -> None:
        """The stream's owner closes it."""

    def _text(self, rows: list[dict[str, Any]]) -> str:
        raise NotImplementedError


class _Jsonl(_Text):
    def _text(self, rows: list[dict[str, Any]]) -> str:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


class _Csv(_Text):
    def _text(self, rows: list[dict[str, Any]]) -> str:
        out = io.StringIO()
        for row in rows:
            cells = {name: _cell(value) for name, value in row.items()}
            writer = csv.DictWriter(out, list(cells))
            if not self._is_begun:
                writer.writeheader()
                self._is_begun = True
            writer.writerow(cells)
        return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


class _Parquet:
    """Numbers as numbers, times as texts, what is nested as JSON; the first page settles the columns."""

    def __init__(self, stream: BinaryIO) -> None:
        try:
            self._arrow = importlib.import_module("pyarrow")
            self._parquet = importlib.import_module("pyarrow.parquet")
        except ModuleNotFoundError as error:
            raise click.ClickException("Parquet needs pyarrow. Run: pip install 'heliograph[parquet]'") from error
        self._stream, self._writer, self._schema = stream, None, None  # type: BinaryIO, Any, Any

    def write(self, rows: list[dict[str, Any]]) -> int | None:
        if not rows:
            return None
        if self._writer is None:
            self._schema = self._arrow.schema([(name, self._kind(name, rows)) for name in rows[0]])
            self._writer = self._parquet.ParquetWriter(self._stream, self._schema, compression="zstd")
        columns = {field.name: [self._value(row.get(field.name), field.type) for row in rows] for field in self._schema}
        self._writer.write_table(self._arrow.table(columns, schema=self._schema))
        return None

    def close(self) -> None:
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._stream, self._arrow.schema([]))
        self._writer.close()

    def _kind(self, name: str, rows: list[dict[str, Any]]) -> Any:
        kinds = {type(row.get(name)) for row in rows} - {type(None)}
        if kinds == {bool}:
            return self._arrow.bool_()
        # A column without a value on the first page: counts and durations are whole numbers.
        if kinds == {int} or (not kinds and name.endswith(("_ns", "_tokens", "_count"))):
            return self._arrow.int64()
        return self._arrow.float64() if kinds and kinds <= {int, float} else self._arrow.string()

    def _value(self, value: Any, kind: Any) -> Any:
        if value is None:
            return None
        if kind == self._arrow.string():
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if kind == self._arrow.float64():
            return float(value) if isinstance(value, (int, float)) else None
        return value
