"""How much of the store's room is used, by disk and by week."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from heliograph.clickhouse import client

# What telemetry fills, and what may be dropped by the week. Sums made of it are small, and stay for their own time.
TABLES = ("spans", "metric_points", "log_records")

_DISKS = """
SELECT sum(total_space) AS total, sum(unreserved_space) AS free, groupArray(name) AS names
FROM system.disks
WHERE type = 'Local'
"""
# What lies in a bucket takes no room here, and dropping it makes none.
_USED = """
SELECT sum(bytes_on_disk) AS used FROM system.parts
WHERE active AND database = currentDatabase()
    AND disk_name IN (SELECT name FROM system.disks WHERE type = 'Local')
"""
_WEEKS = """
SELECT table, partition_id AS week, sum(bytes_on_disk) AS bytes,
    sumIf(bytes_on_disk, disk_name NOT IN %(disks)s) AS away
FROM system.parts
WHERE active AND database = currentDatabase() AND table IN %(tables)s
GROUP BY table, week
ORDER BY week, table
"""
# Of the traces that somebody pinned, the weeks in which they have spans.
_PINNED = """
SELECT DISTINCT toString(toYYYYMMDD(toStartOfWeek(arrayJoin(minutes), 1))) AS week
FROM traces
WHERE project_id = %(project_id)s AND trace_id IN %(trace_ids)s
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of the store's tables, of its disks, and of those what is free."""

    used: int
    total: int
    free: int

    def share(self, budget: int) -> float:
        """Return how full it is, 0 to 1 and above: the fuller of the disk and the budget (bytes; 0 for none)."""
        of_disk = 1 - self.free / self.total if self.total else 0.0
        return max(of_disk, self.used / budget if budget else 0.0)


@dataclass(frozen=True, slots=True)
class Week:
    """One week of one table; `name` is its Monday, as 20261123. Of its bytes `away` are on disks not asked for."""

    table: str
    name: str
    bytes: int
    away: int = 0


def usage() -> Usage:
    """Ask the store. Raises StoreError."""
    [disks] = client.execute_unscoped(_DISKS, tag="disk.disks")
    [parts] = client.execute_unscoped(_USED, tag="disk.used")
    return Usage(parts["used"], disks["total"], disks["free"])


def weeks_by_disk(disks: Iterable[str]) -> list[Week]:
    """Return all weeks, oldest first, with what is on other disks than these. Raises StoreError."""
    rows = client.execute_unscoped(_WEEKS, {"tables": list(TABLES), "disks": list(disks)}, tag="disk.weeks")
    return [Week(row["table"], row["week"], row["bytes"], row["away"]) for row in rows]


def weeks() -> list[Week]:
    """Return what may be dropped, oldest first; the week that goes on is not among it. Raises StoreError."""
    [disks] = client.execute_unscoped(_DISKS, tag="disk.disks")
    today = datetime.now(UTC).date()
    this_week = f"{today - timedelta(days=today.weekday()):%Y%m%d}"
    return [week for week in weeks_by_disk(disks["names"]) if week.name < this_week and not week.away]


def weeks_of(project_id: int, trace_ids: Iterable[str]) -> set[str]:
    """Return the weeks in which these traces have spans. Raises StoreError."""
    given = {"trace_ids": tuple(trace_ids)}
    return (
        {row["week"] for row in client.query(project_id, _PINNED, given, tag="disk.pinned")}
        if given["trace_ids"]
        else set()
    )


def alter(week: Week, command: str, rest: str = "", *, tag: str) -> None:
    """Do something with a week of a table as a whole: nothing is read or rewritten. Raises StoreError."""
    assert week.table in TABLES
    assert week.name.isdecimal()
    client.execute_unscoped(f"ALTER TABLE {week.table} {command} PARTITION ID '{week.name}' {rest}", tag=tag)


def drop(week: Week) -> None:
    """Drop a week of a table. Raises StoreError."""
    alter(week, "DROP", tag="disk.drop")
