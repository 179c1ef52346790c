"""Records of JSON, JSONL, CSV and Parquet files, plain or gzipped, one at a time where the format allows it."""

import csv
import gzip
import importlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

# A trace of thousands of spans with their texts is some tens of megabytes.
MAX_LINE_BYTES = 128 * 2**20
# A JSON array is read as a whole and takes about ten times its size as objects.
MAX_JSON_BYTES = 512 * 2**20
_PARQUET_ROWS = 500


class UnreadableError(Exception):
    """A file that is not what its name says, or too large for its format; the text says what to do."""


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield a file's records. Raises UnreadableError."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        yield from _parquet(path)
        return
    try:
        with _open(path) as stream:
            if name.endswith(".csv"):
                yield from _csv(stream)
            elif name.endswith((".jsonl", ".ndjson")):
                yield from _lines(path, stream)
            else:
                yield from _json(path, stream)
    except (OSError, EOFError) as error:
        raise UnreadableError(f"{path} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{path} is not UTF-8: {error}") from error


def _open(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")  # type: ignore[return-value]  # reads as one


def _lines(path: Path, stream: BinaryIO) -> Iterator[dict[str, Any]]:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise UnreadableError(f"{path} line {number} is longer than {MAX_LINE_BYTES // 2**20} MiB.")
        if line.strip():
            yield _record(path, number, line)


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path} line {number} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnreadableError(f"{path} line {number} is no JSON object; JSONL has one a line.")
    return found


def _json(path: Path, stream: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield the objects of an array, or of the list in an API's answer (`data`, `traces`), or the one object."""
    text = stream.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        raise UnreadableError(f"{path} is larger than {MAX_JSON_BYTES // 2**20} MiB: make it JSONL (jq -c '.[]').")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path} is no JSON ({error}); name files with an object a line .jsonl.") from error
    if isinstance(found, dict):
        lists = [found[name] for name in ("data", "traces", "spans") if isinstance(found.get(name), list)]
        found = lists[0] if lists and "observations" not in found and "info" not in found else [found]
    if not isinstance(found, list):
        raise UnreadableError(f"{path} holds neither objects nor a list of them.")
    for number, each in enumerate(found, 1):
        if not isinstance(each, dict):
            raise UnreadableError(f"{path} item {number} is no JSON object.")
        yield each


def _csv(stream: BinaryIO) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(MAX_LINE_BYTES)
    with io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
        for row in csv.DictReader(text):
            yield {name: _cell(value) for name, value in row.items() if name is not None and value not in (None, "")}


def _cell(value: Any) -> Any:
    """Return what a cell with JSON holds; a number stays a text, since an id may look like one."""
    if isinstance(value, str) and value[:1] in {"{", "[", '"'}:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise UnreadableError("Parquet needs pyarrow. Run: pip install 'heliograph[parquet]'") from error
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_PARQUET_ROWS):
                yield from batch.to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these
        raise UnreadableError(f"{path} cannot be read as Parquet: {error}") from error
