"""What a day of a project holds, minute by minute, and the engine's writing of it as Parquet.

- `minutes(project_id, signal, start, end) -> [(minute, rows)]`, the minutes that have rows
- `weight(project_id, signal, start, end) -> bytes` of the first SAMPLE rows
- `write(project_id, signal, start, end, function, bound) -> rows` of the file that was written
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from heliograph.clickhouse import client
from heliograph.query.filters import to_ns

# Columns as they are stored, with the project's number left to the file's path.
_ROWS = """
SELECT * EXCEPT (project_id)
FROM {table}
WHERE project_id = %(project_id)s
  AND {time} >= fromUnixTimestamp64Nano(%(start)s, 'UTC') AND {time} < fromUnixTimestamp64Nano(%(end)s, 'UTC')
"""
# The long texts that the spans of a file refer to; each once a file.
_TEXTS = """
SELECT hash, text
FROM contents
WHERE project_id = %(project_id)s AND hash IN
(
    SELECT substring(arrayJoin(contents), 2)
    FROM spans
    WHERE project_id = %(project_id)s AND notEmpty(contents)
      AND start_time >= fromUnixTimestamp64Nano(%(start)s, 'UTC')
      AND start_time < fromUnixTimestamp64Nano(%(end)s, 'UTC')
)
LIMIT 1 BY hash
"""
_MINUTES = """
SELECT toUnixTimestamp(toStartOfMinute({time})) AS minute, count() AS rows
FROM {table}
WHERE project_id = %(project_id)s
  AND {time} >= fromUnixTimestamp64Nano(%(start)s, 'UTC') AND {time} < fromUnixTimestamp64Nano(%(end)s, 'UTC')
GROUP BY minute
ORDER BY minute
"""
# How many rows are weighed: a text is read with the 127 beside it.
SAMPLE = 100
_WEIGHT = """
SELECT sum(byteSize(*)) AS bytes
FROM (SELECT * FROM {table}
      WHERE project_id = %(project_id)s
        AND {time} >= fromUnixTimestamp64Nano(%(start)s, 'UTC') AND {time} < fromUnixTimestamp64Nano(%(end)s, 'UTC')
      LIMIT %(sample)s)
"""
# Of the long texts, those of so many spans.
_WEIGHT_OF_TEXTS = """
SELECT sum(length(text)) AS bytes
FROM (SELECT text FROM contents
      WHERE project_id = %(project_id)s AND hash IN
      (
          SELECT substring(arrayJoin(contents), 2)
          FROM (SELECT contents FROM spans
                WHERE project_id = %(project_id)s
                  AND start_time >= fromUnixTimestamp64Nano(%(start)s, 'UTC')
                  AND start_time < fromUnixTimestamp64Nano(%(end)s, 'UTC')
                LIMIT %(sample)s)
      )
      LIMIT 1 BY hash)
"""
# A row group is what the writer holds in memory, and what a reader skips.
_WRITE = """
INSERT INTO FUNCTION {function}
{rows}
SETTINGS
    engine_file_truncate_on_insert = 1, s3_truncate_on_insert = 1, s3_retry_attempts = 3,
    output_format_parquet_compression_method = 'zstd', output_format_parquet_row_group_size = 50000,
    output_format_parquet_row_group_size_bytes = 67108864, max_threads = 2
"""
# Of the file's own footer; the project is bound because every question binds one.
_COUNT = "SELECT count() AS rows FROM {function} WHERE %(project_id)s = %(project_id)s"


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the rows of a signal are, and the time by which they belong to a day."""

    table: str
    time: str
    rows: str = _ROWS
    weight: str = _WEIGHT
    # One of several versions of a row counts: the newest, as everywhere.
    final: str = ""


_SOURCES: Final = {
    "spans": _Source("spans", "start_time"),
    "contents": _Source("spans", "start_time", _TEXTS, _WEIGHT_OF_TEXTS),
    "scores": _Source("scores", "time", final=" FINAL"),
    "logs": _Source("log_records", "time", final=" FINAL"),
    "metrics": _Source("metric_points", "time", final=" FINAL"),
}


def minutes(project_id: int, signal: str, start: datetime, end: datetime) -> list[tuple[datetime, int]]:
    """Return the minutes of a signal that have rows, and how many; of long texts, those of the spans."""
    source = _SOURCES[signal]
    sql = _MINUTES.format(table=source.table, time=source.time)
    rows = client.query(project_id, sql, _between(start, end), tag="archive.minutes")
    return [(datetime.fromtimestamp(row["minute"], UTC), row["rows"]) for row in rows]


def weight(project_id: int, signal: str, start: datetime, end: datetime) -> int:
    """Return the bytes, before they are compressed, of the first SAMPLE rows, which may be fewer; texts by spans."""
    source = _SOURCES[signal]
    sql = source.weight.format(table=source.table, time=source.time)
    [found] = client.query(project_id, sql, {**_between(start, end), "sample": SAMPLE}, tag="archive.weight")
    return int(found["bytes"])


def write(project_id: int, signal: str, start: datetime, end: datetime, function: str, bound: Mapping[str, str]) -> int:
    """Write a signal's rows of a time range into one file, over what is there; return the rows of the file.

    `function` is the engine's table function over the file, and `bound` what it binds. Raises StoreError.
    """
    source = _SOURCES[signal]
    rows = source.rows.format(table=source.table + source.final, time=source.time)
    client.query(
        project_id,
        _WRITE.format(function=function, rows=rows),
        {**_between(start, end), **bound},
        tag="archive.write",
    )
    [counted] = client.query(project_id, _COUNT.format(function=function), bound, tag="archive.count")
    return int(counted["rows"])


def _between(start: datetime, end: datetime) -> dict[str, int]:
    return {"start": to_ns(start), "end": to_ns(end)}
