"""Files of rows: CSV, JSON lines and Parquet as records, one after the other, each fault with its line.

Parquet is read by a process of its own (`parquet_process`): what a hostile file unpacks to bounds that process and not
this one.
"""

import csv
import io
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Literal, get_args

from heliograph.datasets.content import MAX_ROW_BYTES

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
# A version of 100,000 rows at 600 bytes; kept in memory while it is read.
MAX_UPLOAD_BYTES = 64 * 2**20
# What a Parquet file may unpack to, as JSON.
MAX_UNPACKED_BYTES = 192 * 2**20
# Of a file of MAX_UPLOAD_BYTES on a busy machine.
PARQUET_SECONDS = 120.0
# Of `parquet_process`, where it says what is wrong.
UNREADABLE_STATUS = 3
_ENDINGS: dict[str, Format] = {
    "csv": "csv",
    "tsv": "csv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
    "pq": "parquet",
}
# A table that people look at has tens of columns.
MAX_COLUMNS = 500

# The csv module's own bound is 128 KiB for everybody in the process.
csv.field_size_limit(MAX_ROW_BYTES)


class UnreadableTableError(ValueError):
    """A file none of whose rows can be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one row; `line` counts from 1 in the file, the header included. `column` may be ''."""

    line: int
    column: str
    message: str


@dataclass(frozen=True, slots=True)
class Record:
    """One row as its file has it."""

    line: int
    values: dict[str, Any]


def format_of(name: str) -> Format:
    """Return the format that a file's name tells. Raises UnreadableTableError."""
    ending = name.lower().rpartition(".")[2]
    if ending not in _ENDINGS:
        raise UnreadableTableError("The file's name must end in .csv, .tsv, .jsonl, .ndjson, .parquet or .pq.")
    return _ENDINGS[ending]


def records(file: BinaryIO, kind: Format) -> Iterator[Record | Fault]:
    """Yield the rows of a file. Raises UnreadableTableError where nothing more can be read."""
    readers = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}
    return readers[kind](file)


def _csv(file: BinaryIO) -> Iterator[Record | Fault]:
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    try:
        head = text.read(64 * 1024)
        text.seek(0)
        first = head.partition("\n")[0]
        # The header has no texts, so the separator is the one that it holds most of.
        delimiter = max(",;\t", key=first.count)
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        names = [name.strip() for name in next(reader, [])]
        _check_names(names)
        yield from _csv_rows(reader, names)
    except UnicodeDecodeError as error:
        raise UnreadableTableError(
            f"The file is not UTF-8: {error.reason} at byte {error.start:,} of a part. Save it as CSV UTF-8."
        ) from error
    finally:
        text.detach()


def _csv_rows(reader: Any, names: list[str]) -> Iterator[Record | Fault]:
    while True:
        # Of the row's first line: a quoted text may hold line breaks.
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # Where a quote is wrong, nobody knows where the next row begins.
            yield Fault(line, "", f"is no CSV: {error}. Nothing after it was read.")
            return
        if not values:
            continue
        if len(values) != len(names):
            yield Fault(line, "", f"has {len(values)} values; the header names {len(names)} columns")
        else:
            yield Record(line, dict(zip(names, values, strict=True)))


def _check_names(names: list[str]) -> None:
    if not any(names):
        raise UnreadableTableError("The file is empty: its first line must name the columns.")
    if len(names) > MAX_COLUMNS:
        raise UnreadableTableError(f"The file has {len(names)} columns; at most {MAX_COLUMNS} are read.")
    double = {name for name in names if names.count(name) > 1}
    if double or "" in names:
        which = ", ".join(sorted(double)) if double - {""} else "one without a name"
        raise UnreadableTableError(f"Each column needs a name of its own; the header has {which}.")


def _jsonl(file: BinaryIO) -> Iterator[Record | Fault]:
    for line, raw in _lines(file):
        if raw is None:
            yield Fault(line, "", f"has more than {MAX_ROW_BYTES:,} bytes")
            continue
        if not raw.strip():
            continue
        try:
            value = json.loads(raw.decode("utf-8-sig" if line == 1 else "utf-8"))
        except UnicodeDecodeError:
            yield Fault(line, "", "is not UTF-8")
        except (ValueError, RecursionError) as error:
            yield Fault(line, "", f"is no JSON: {getattr(error, 'msg', 'it is nested too deeply')}")
        else:
            if not isinstance(value, dict):
                yield Fault(line, "", "is no JSON object")
            elif len(value) > MAX_COLUMNS:
                yield Fault(line, "", f"has {len(value)} fields; at most {MAX_COLUMNS} are read")
            else:
                yield Record(line, value)


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Yield numbered lines, None for one that is too long."""
    number = 0
    while raw := file.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(raw) <= MAX_ROW_BYTES or raw.endswith(b"\n"):
            yield number, raw
            continue
        while raw and not raw.endswith(b"\n"):
            raw = file.readline(MAX_ROW_BYTES)
        yield number, None


def _parquet(file: BinaryIO) -> Iterator[Record | Fault]:
    with tempfile.NamedTemporaryFile(suffix=".parquet") as copy, tempfile.TemporaryFile() as complaints:
        while piece := file.read(2**20):
            copy.write(piece)
        copy.flush()
        command = [sys.executable, "-m", "heliograph.datasets.parquet_process", "read", copy.name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints)
        assert process.stdout is not None
        watch = threading.Timer(PARQUET_SECONDS, process.kill)
        watch.start()
        try:
            yield from _parquet_rows(process.stdout)
            status = process.wait()
        finally:
            watch.cancel()
            process.kill()
            process.stdout.close()
            process.wait()
        if status:
            complaints.seek(0)
            said = complaints.read(2_000).decode("utf-8", "replace").strip().splitlines()
            known = said[-1] if said and status == UNREADABLE_STATUS else ""
            raise UnreadableTableError(known or "The file is broken, or unpacks to more than one file may.")


def _parquet_rows(lines: IO[bytes]) -> Iterator[Record | Fault]:
    size = 0
    for line, raw in _lines(lines):
        size += len(raw or b"")
        if size > MAX_UNPACKED_BYTES:
            raise UnreadableTableError(f"The file unpacks to more than {MAX_UNPACKED_BYTES:,} bytes.")
        if raw is None:
            yield Fault(line, "", f"has more than {MAX_ROW_BYTES:,} bytes")
        else:
            yield Record(line, json.loads(raw))
