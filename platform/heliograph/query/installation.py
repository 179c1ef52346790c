"""How the store itself is, of all projects together: for those who run the installation, never for a project's page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from heliograph.clickhouse import client

# ClickHouse itself slows inserts at 1,000 active parts in a partition and refuses them at 3,000.
MANY_PARTS = 300
SLOW_ROWS = 20

SELECT_TABLES = """
SELECT table AS name, sum(rows) AS rows, sum(bytes_on_disk) AS bytes, count() AS parts,
    max(parts_of_partition) AS most_parts
FROM
(
    SELECT table, rows, bytes_on_disk, count() OVER (PARTITION BY table, partition_id) AS parts_of_partition
    FROM system.parts
    WHERE active AND database = currentDatabase()
)
GROUP BY table
ORDER BY bytes DESC, name
LIMIT 200
"""
SELECT_DISKS = """
SELECT name, free_space AS free, total_space AS total, type != 'Local' AS is_bucket,
    (SELECT sumMap(map(disk_name, bytes_on_disk)) FROM system.parts WHERE active AND database = currentDatabase())[name]
        AS used
FROM system.disks
ORDER BY name
LIMIT 100
"""
SELECT_RUNNING = """
SELECT elapsed AS seconds, memory_usage AS memory, Settings['log_comment'] AS tag
FROM system.processes
WHERE Settings['log_comment'] != 'installation.running'
ORDER BY elapsed DESC
LIMIT %(rows)s
"""
# Sampling of whole traces and re-applied rules delete rows, which is done in seconds.
SELECT_MUTATIONS = """
SELECT count() AS n FROM system.mutations
WHERE NOT is_done AND database = currentDatabase()
    AND (create_time < now() - INTERVAL 15 MINUTE OR latest_fail_reason != '')
"""
# The server's log of queries, which an embedded engine does not keep.
HAS_QUERY_LOG = "EXISTS TABLE system.query_log"
SELECT_SLOW = """
SELECT
    log_comment AS tag, count() AS times, max(query_duration_ms) / 1000 AS worst, avg(query_duration_ms) / 1000 AS mean
FROM system.query_log
WHERE type = 'QueryFinish' AND event_date >= yesterday() AND event_time > now() - INTERVAL 1 HOUR AND log_comment != ''
GROUP BY log_comment
ORDER BY worst DESC
LIMIT %(rows)s
"""
# The minute is known from a row a minute, and the index of arrival finds its spans.
SELECT_LAST = """
SELECT max(received_at) AS last FROM spans
WHERE received_at >= (SELECT max(minute) FROM ingest_stored_1m WHERE minute > now() - INTERVAL 1 DAY)
    AND received_at > now() - INTERVAL 1 DAY
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows, bytes on disk, active parts, and the most of them in one partition, which is what inserts wait for."""

    name: str
    rows: int
    bytes: int
    parts: int
    most_parts: int


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes free and in all of a disk that the store uses, and those that the tables have there.

    A bucket has no bounds, and what ClickHouse says of them is a very large number.
    """

    name: str
    free: int
    total: int
    is_bucket: bool
    used: int


@dataclass(frozen=True, slots=True)
class Running:
    """A question that runs now: seconds until now, bytes of memory, and its tag."""

    seconds: float
    memory: int
    tag: str


@dataclass(frozen=True, slots=True)
class Slow:
    """A question of the last hour: how often, its slowest and its mean time in seconds."""

    tag: str
    times: int
    worst: float
    mean: float


@dataclass(frozen=True, slots=True)
class StoreState:
    """`slow` is None where the engine keeps no log of queries. `mutations` fail, or have rewritten
    parts for over a quarter of an hour.
    """

    tables: Sequence[Table]
    disks: Sequence[Disk]
    running: Sequence[Running]
    slow: Sequence[Slow] | None
    mutations: int
    last_span: datetime | None

    @property
    def bytes(self) -> int:
        return sum(table.bytes for table in self.tables)

    @property
    def parts(self) -> int:
        return sum(table.parts for table in self.tables)

    @property
    def most_parts(self) -> int:
        return max((table.most_parts for table in self.tables), default=0)


def store_state() -> StoreState:
    """Ask the store how it is. Raises StoreError."""
    rows = {"rows": SLOW_ROWS}
    slow = None
    if client.execute_unscoped(HAS_QUERY_LOG, tag="installation.has_log")[0]["result"]:
        slow = [Slow(**row) for row in client.execute_unscoped(SELECT_SLOW, rows, tag="installation.slow")]
    last = client.execute_unscoped(SELECT_LAST, tag="installation.last")[0]["last"]
    return StoreState(
        tables=[Table(**row) for row in client.execute_unscoped(SELECT_TABLES, tag="installation.tables")],
        disks=[
            Disk(**row | {"is_bucket": bool(row["is_bucket"])})
            for row in client.execute_unscoped(SELECT_DISKS, tag="installation.disks")
        ],
        running=[Running(**row) for row in client.execute_unscoped(SELECT_RUNNING, rows, tag="installation.running")],
        slow=slow,
        mutations=int(client.execute_unscoped(SELECT_MUTATIONS, tag="installation.mutations")[0]["n"]),
        # 1970: nothing came in a day.
        last_span=last if last.year > 1970 else None,
    )
