"""The oldest weeks in a bucket: a week of a table is moved as a whole, by the engine, and read where it lies.

A move copies, and takes the copy for the original when it is whole: a store that is killed meanwhile has the rows where
they were. With HELIOGRAPH_COLD_AFTER_DAYS = 0 everything comes back for which the disk has room.
"""

import logging
from datetime import date, timedelta

from django.conf import settings

from heliograph.clickhouse import client
from heliograph.clickhouse.errors import Retryable
from heliograph.disk.guard import lowest_bound
from heliograph.disk.usage import TABLES, Usage, Week, alter, usage, weeks_by_disk

log = logging.getLogger(__name__)

VOLUME, BACK = "object", "default"
# Of a look: each takes minutes, with its bytes over the network.
MOVES_AT_ONCE = 3

_POLICIES = """
SELECT name FROM system.tables
WHERE database = currentDatabase() AND name IN %(tables)s AND storage_policy != %(policy)s
"""
_DISKS = """
SELECT arrayJoin(disks) AS name FROM system.storage_policies
WHERE policy_name = %(policy)s AND volume_name = %(volume)s
"""
_MOVING = "SELECT count() AS n FROM system.moves WHERE database = currentDatabase()"


def move_old_weeks(today: date) -> int:
    """Ask the store to move the next weeks, which it does in the background; return how many. Raises StoreError."""
    policy = settings.COLD_POLICY
    if not policy:
        return 0
    for row in client.execute_unscoped(_POLICIES, {"tables": list(TABLES), "policy": policy}, tag="cold.policies"):
        assert row["name"] in TABLES
        client.execute_unscoped(
            f"ALTER TABLE {row['name']} MODIFY SETTING storage_policy = %(policy)s",
            {"policy": policy},
            tag="cold.policy",
        )
    if client.execute_unscoped(_MOVING, tag="cold.moving")[0]["n"]:
        return 0
    days = settings.COLD_AFTER_DAYS
    volume = VOLUME if days else BACK
    disks = client.execute_unscoped(_DISKS, {"policy": policy, "volume": volume}, tag="cold.disks")
    # The week of a Monday is over seven days later.
    until = today - timedelta(days=7 + days) if days else date.max
    # Also weeks of which a part is not there yet: one that came late, or that was just being merged.
    found = [
        week for week in weeks_by_disk(row["name"] for row in disks) if week.away and week.name <= f"{until:%Y%m%d}"
    ]
    found = found[:MOVES_AT_ONCE]
    return sum(_move(week, volume) for week in (found if days else _with_room(found)))


def _with_room(found: list[Week]) -> list[Week]:
    """Return the first weeks after which the disk is not as full as where its guard begins, which would drop them."""
    disk, bound = usage(), lowest_bound()
    used, free = disk.used, disk.free
    for count, week in enumerate(found):
        used, free = used + week.away, free - week.away
        share = Usage(used, disk.total, free).share(settings.DISK_BUDGET_BYTES)
        if share >= bound:
            log.warning(
                "the week of %s of %s stays in the bucket: its %d bytes would fill the disk to %.0f %% (bound: %.0f)",
                week.name,
                week.table,
                week.away,
                share * 100,
                bound * 100,
            )
            return found[:count]
    return found


def _move(week: Week, volume: str) -> bool:
    rest = f"TO VOLUME '{volume}' SETTINGS alter_move_to_space_execute_async = 1"
    try:
        alter(week, "MOVE", rest, tag="cold.move")
    except Retryable:  # parts of it are being merged
        log.info("the week of %s of %s moves later", week.name, week.table, exc_info=True)
        return False
    log.info("the week of %s of %s moves to %s", week.name, week.table, volume)
    return True
