"""What the store has of some traces, for whoever removes it, keeps it or rewrites it.

The conditions take `traces`, their ids, and `minutes`, the epoch seconds of every minute in which they have a span: the
key of `spans` begins with these, and without them all of a project is read. Every function raises StoreError.
"""

import re
from collections.abc import Sequence
from typing import Any

from heliograph.clickhouse import client

# Of a table that has the traces' ids, and of `spans`.
OF_TRACES = "project_id = %(project_id)s AND trace_id IN %(traces)s"
OF_SPANS = """
project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN (SELECT arrayJoin(arrayMap(m -> toDateTime(m, 'UTC'), %(minutes)s)))
    AND trace_id IN %(traces)s
"""
SPANS = f"SELECT * FROM spans WHERE {OF_SPANS}"  # noqa: S608  (a constant)

# What a view refused is in `spans` alone.
_MINUTES = f"""
SELECT arrayDistinct(groupArrayArray(minutes)) AS minutes FROM
(
    SELECT groupUniqArrayArray(arrayMap(m -> toUnixTimestamp(m), minutes)) AS minutes FROM traces WHERE {OF_TRACES}
    UNION ALL
    SELECT groupUniqArray(toUnixTimestamp(toStartOfMinute(start_time))) AS minutes FROM spans WHERE {OF_TRACES}
)
"""  # noqa: S608  (constants)
_TEXTS = f"SELECT DISTINCT substring(arrayJoin(contents), 2) AS hash FROM spans WHERE {OF_SPANS}"  # noqa: S608  (a constant)
_WITH_BLOBS = f"""
SELECT concat(input, output, documents, tools, toString(attributes), toString(events.attributes)) AS text
FROM spans
WHERE {OF_SPANS} AND position(text, 'blob:sha256-') > 0
"""  # noqa: S608  (a constant)
_BLOB = re.compile(r"blob:sha256-([0-9a-f]{64});[a-z0-9.+/-]{3,100};\d{1,12};until=(\d{4}-\d\d-\d\d)")


def with_minutes(project_id: int, traces: Sequence[str]) -> dict[str, Any]:
    """Return what the conditions take of some traces: `traces` and `minutes`, never empty."""
    given: dict[str, Any] = {"traces": list(traces)}
    (row,) = client.query(project_id, _MINUTES, given, tag="rows_of_traces.minutes")
    # An empty list cannot be bound; nothing is as old as this.
    return given | {"minutes": sorted(int(minute) for minute in row["minutes"]) or [0]}


def texts(project_id: int, given: dict[str, Any]) -> list[str]:
    """Return the hashes of the long texts that the spans of some traces refer to."""
    return [row["hash"] for row in client.query(project_id, _TEXTS, _bound(given), tag="rows_of_traces.texts")]


def blobs(project_id: int, given: dict[str, Any]) -> list[str]:
    """Return the blobs that these spans refer to, as `<day>/<sha256>`."""
    rows = client.query(project_id, _WITH_BLOBS, _bound(given), tag="rows_of_traces.blobs")
    return sorted({f"{day}/{digest}" for row in rows for digest, day in _BLOB.findall(row["text"])})


def _bound(given: dict[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in ("traces", "minutes")}
