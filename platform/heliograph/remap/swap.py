"""Rewriting stored spans: written beside the table, attached to it without its views, and the old rows deleted.

A span is never out of the table: for a moment, or after a crash until the job goes on, it is there twice, once of each
revision. What was attached is recognised by its revision, so that nothing is attached a second time.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from heliograph.clickhouse import client

Columns = Mapping[str, Sequence[Any]]

_WHERE = """
project_id = %(project_id)s
    AND toStartOfMinute(start_time) >= %(start)s AND toStartOfMinute(start_time) < %(end)s
"""
_KEYS = """
SELECT toStartOfMinute(start_time) AS minute, trace_id, span_id,
    byteSize(attributes, input, output, documents, tools, events.attributes) AS size
FROM spans
WHERE {where} AND mapping_revision < %(revision)s
ORDER BY minute, trace_id, span_id
LIMIT %(limit)s
"""
_ROWS = """
SELECT *
FROM spans
WHERE {where} AND mapping_revision < %(revision)s
    AND (toStartOfMinute(start_time), trace_id, span_id) <= (%(last_minute)s, %(last_trace)s, %(last_span)s)
ORDER BY toStartOfMinute(start_time), trace_id, span_id
LIMIT %(limit)s
"""
_PARTITIONS = """
SELECT DISTINCT partition_id
FROM system.parts
WHERE database = currentDatabase() AND table = %(table)s AND active AND %(project_id)s > 0
"""
_STAGED = "SELECT count() AS rows, any(mapping_revision) AS revision FROM {table} WHERE project_id = %(project_id)s"
# What retention or an erasure took out of the table after the batch was read must not come back with it.
_PRUNE = """
DELETE FROM {table}
WHERE project_id = %(project_id)s AND (trace_id, span_id) NOT IN (
    SELECT trace_id, span_id
    FROM spans
    WHERE project_id = %(project_id)s
        AND toStartOfMinute(start_time) IN (SELECT toStartOfMinute(start_time) FROM {table})
        AND (trace_id, span_id) IN (SELECT trace_id, span_id FROM {table})
)
"""
_ATTACHED = """
SELECT count() AS rows
FROM spans
WHERE project_id = %(project_id)s AND mapping_revision = %(revision)s
    AND _partition_id = %(partition)s
    AND toStartOfMinute(start_time) IN (SELECT toStartOfMinute(start_time) FROM {table})
    AND (trace_id, span_id) IN (SELECT trace_id, span_id FROM {table})
"""
_DELETE_OLD = """
DELETE FROM spans
WHERE project_id = %(project_id)s AND mapping_revision < %(revision)s
    AND toStartOfMinute(start_time) IN (SELECT toStartOfMinute(start_time) FROM {table})
    AND (trace_id, span_id) IN (SELECT trace_id, span_id FROM {table})
"""


def staging_table(project_id: int) -> str:
    """Name of the table in which rewritten spans wait: one a project, since one job a project runs."""
    return f"remap_spans_{project_id:d}"


def read_batch(
    project_id: int, start: datetime, end: datetime, revision: int, *, max_rows: int, max_bytes: int
) -> dict[str, Sequence[Any]]:
    """Return the first spans of older revisions between two minutes, by column; {} when there are none.

    At most `max_rows`, and of so many bytes together, but at least one. Raises StoreError.
    """
    given: dict[str, Any] = {"start": start, "end": end, "revision": revision, "limit": max_rows}
    keys = client.query(project_id, _KEYS.format(where=_WHERE), given, tag="remap.keys")
    if not keys:
        return {}
    count = size = 0
    for key in keys:
        size += key["size"]
        if count and size > max_bytes:
            break
        count += 1
    last = keys[count - 1]
    given |= {
        "limit": count,
        "last_minute": last["minute"],
        "last_trace": last["trace_id"],
        "last_span": last["span_id"],
    }
    return client.query_columns(project_id, _ROWS.format(where=_WHERE), given, tag="remap.rows")


def prepare(project_id: int) -> None:
    """Make the staging table anew, of the columns that `spans` has now. Call after `complete`. Raises StoreError."""
    table = staging_table(project_id)
    client.execute_unscoped(f"DROP TABLE IF EXISTS {table} SYNC", tag="remap.drop")
    client.execute_unscoped(f"CREATE TABLE {table} AS spans", tag="remap.create")


def stage(project_id: int, columns: Columns) -> None:
    """Write rewritten spans beside the table. Raises StoreError."""
    # A name of its own: the same rows may have been staged by a worker that was killed.
    client.insert(staging_table(project_id), columns, token=uuid.uuid4().hex)


def complete(project_id: int) -> None:
    """Bring what is staged into the table in place of its older rows, and empty the staging table.

    A staged span that is no longer in the table is given up. Whoever deletes spans for good holds the same lock, so
    that nothing goes between this look and the attaching but what retention takes, and will take again.

    With the ingest's lock held. May be called again after it was interrupted anywhere. Raises StoreError.
    """
    table = staging_table(project_id)
    if not client.execute_unscoped(f"EXISTS TABLE {table}", tag="remap.exists")[0]["result"]:
        return
    client.query(project_id, _PRUNE.format(table=table), tag="remap.prune")
    (staged,) = client.query(project_id, _STAGED.format(table=table), tag="remap.staged")
    if staged["rows"]:
        given = {"revision": staged["revision"]}
        for row in client.query(project_id, _PARTITIONS, {"table": table}, tag="remap.partitions"):
            partition = row["partition_id"]
            (attached,) = client.query(
                project_id, _ATTACHED.format(table=table), given | {"partition": partition}, tag="remap.attached"
            )
            if not attached["rows"]:
                client.execute_unscoped(
                    f"ALTER TABLE spans ATTACH PARTITION ID '{partition}' FROM {table}", tag="remap.attach"
                )
        client.query(project_id, _DELETE_OLD.format(table=table), given, tag="remap.delete")
    client.execute_unscoped(f"TRUNCATE TABLE {table}", tag="remap.truncate")


def drop(project_id: int) -> None:
    """Remove the staging table. Call after `complete`. Raises StoreError."""
    client.execute_unscoped(f"DROP TABLE IF EXISTS {staging_table(project_id)} SYNC", tag="remap.drop")
