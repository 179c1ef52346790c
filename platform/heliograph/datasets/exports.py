"""A version as a file, in the forms that an upload reads back to the same rows."""

import csv
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from heliograph.datasets.models import DatasetVersion, Row
from heliograph.datasets.tables import PARQUET_SECONDS, Format

COLUMNS = ("id", "split", "input", "expected", "context", "metadata", "trace_id", "span_id")
_JSON_COLUMNS = ("input", "expected", "context", "metadata")
CONTENT_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
_READ = 1_000


def export(version: DatasetVersion, kind: Format, split: str = "") -> IO[bytes]:
    """Return a temporary file of the version's rows, at its beginning; closing removes it."""
    writers = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}
    return writers[kind](version, split)


def _rows(version: DatasetVersion, split: str) -> Iterator[Row]:
    return Row.objects.of(version, split).iterator(chunk_size=_READ)


def _jsonl(version: DatasetVersion, split: str) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    for row in _rows(version, split):
        file.write(json.dumps(row.as_dict(), ensure_ascii=False).encode() + b"\n")
    file.seek(0)
    return file


def _csv(version: DatasetVersion, split: str) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in _rows(version, split):
        writer.writerow(_cell(name, value) for name, value in row.as_dict().items())
    text.detach()
    file.seek(0)
    return file


def _parquet(version: DatasetVersion, split: str) -> IO[bytes]:
    file = tempfile.NamedTemporaryFile(suffix=".parquet")  # noqa: SIM115  # the caller closes it
    command = [sys.executable, "-m", "heliograph.datasets.parquet_process", "write", file.name]
    with tempfile.TemporaryFile() as lines:
        lines.write(json.dumps(COLUMNS).encode() + b"\n")
        for row in _rows(version, split):
            cells = {name: _cell(name, value) for name, value in row.as_dict().items()}
            lines.write(json.dumps(cells, ensure_ascii=False).encode() + b"\n")
        lines.seek(0)
        subprocess.run(command, stdin=lines, check=True, timeout=PARQUET_SECONDS)
    file.seek(0)
    return file


def _cell(name: str, value: Any) -> str | None:
    """Return a text as it is, anything else as JSON; metadata always as JSON, so that it is read back as an object."""
    if value is None or (isinstance(value, str) and name != "metadata"):
        return value
    return json.dumps(value, ensure_ascii=False) if name in _JSON_COLUMNS else str(value)
