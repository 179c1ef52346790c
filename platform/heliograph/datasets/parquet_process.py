"""Parquet to JSON lines and back, in a process that its bounds end: `python -m heliograph.datasets.parquet_process`.

`read FILE` prints a line a row; `write FILE` reads lines from standard input, whose first names the columns. Where a
file cannot be read, the exit status is 3 and standard error says why, in words for people.
"""

import base64
import json
import math
import resource
import sys
from collections.abc import Callable, Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# Address space, of which Arrow's allocator and the interpreter reserve a part; processor seconds.
MEMORY_BYTES = 4 * 2**30
CPU_SECONDS = 100
# The footer of a file of some thousand columns and row groups.
FOOTER_BYTES = 16 * 2**20
BATCH_ROWS = 256
MAX_COLUMNS = 500


def read(path: str) -> None:
    """Print the rows of a file."""
    try:
        file = pq.ParquetFile(path, thrift_string_size_limit=FOOTER_BYTES, thrift_container_size_limit=100_000)
        if len(file.schema_arrow.names) > MAX_COLUMNS:
            raise pa.ArrowInvalid(f"it has more than {MAX_COLUMNS} columns")
        for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            for row in batch.to_pylist():
                sys.stdout.write(json.dumps(_plain(row), ensure_ascii=False) + "\n")
    except (pa.ArrowException, OSError, ValueError) as error:
        print(f"This is no Parquet file that can be read: {str(error)[:500]}", file=sys.stderr)  # noqa: T201  # the parent reads it
        sys.exit(3)


def write(path: str) -> None:
    """Write the rows that come on standard input; every column is text."""
    names = json.loads(sys.stdin.readline())
    schema = pa.schema([(name, pa.string()) for name in names])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _batches():
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))


def _batches() -> Iterator[list[dict[str, Any]]]:
    rows = []
    for line in sys.stdin:
        rows.append(json.loads(line))
        if len(rows) == 4 * BATCH_ROWS:
            yield rows
            rows = []
    if rows:
        yield rows


def _plain(value: Any) -> Any:
    """Return what JSON can hold: times as ISO 8601, decimals as text, bytes as text or base64, no number as null."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    for kind, plain in _PLAIN.items():
        if isinstance(value, kind):
            return plain(value)
    return value


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode("ascii")


_PLAIN: dict[type, Callable[[Any], Any]] = {
    bytes: _text,
    date: lambda value: value.isoformat(),
    time: lambda value: value.isoformat(),
    timedelta: lambda value: value.total_seconds(),
    Decimal: str,
    float: lambda value: value if math.isfinite(value) else None,
}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    {"read": read, "write": write}[sys.argv[1]](sys.argv[2])
