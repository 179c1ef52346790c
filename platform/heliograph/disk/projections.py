"""Small parts that merges have left without projections, which are made for them then.

Projections are made by merges (docs/adr/0077), and the engine merges parts with parts of the same projections alone. So
a part whose neighbours were merged without it stays as its insert made it, and would for good: about one in some
thousand inserts. Questions read such a part by its rows, which costs little, until there are many.
"""

import logging

from heliograph.clickhouse import client
from heliograph.clickhouse.cluster import LOCAL

log = logging.getLogger(__name__)

# In a week of a table. The store delays inserts at 1,000 parts in one; each that is there costs a question 0.1 ms.
MOST_LEFT = 50
# Younger parts are about to be merged.
SETTLED_SECONDS = 600

_LEFT = """
SELECT p.table AS name, p.partition_id AS week, any(made.names) AS projections, count() AS parts
FROM system.parts AS p
INNER JOIN (
    SELECT table, groupArray(name) AS names FROM system.projections WHERE database = currentDatabase() GROUP BY table
) AS made ON made.table = p.table
WHERE p.active AND p.database = currentDatabase() AND empty(p.projections)
    AND p.modification_time <= now() - %(settled)s
    AND p.table NOT IN (SELECT table FROM system.mutations WHERE database = currentDatabase() AND NOT is_done)
GROUP BY name, week
HAVING parts >= %(most)s
ORDER BY name, week
"""


def make_for_parts_left(*, settled_seconds: int = SETTLED_SECONDS) -> int:
    """Have the store make the projections of such parts, in the background; return of how many. Raises StoreError."""
    asked = {"most": MOST_LEFT, "settled": settled_seconds}
    found = client.execute_unscoped(_LEFT, asked, tag="projections.left")
    for row in found:
        table = row["name"].removesuffix(LOCAL)
        commands = ", ".join(f"MATERIALIZE PROJECTION {name} IN PARTITION ID %(week)s" for name in row["projections"])
        statement = f"ALTER TABLE {table} {commands} SETTINGS mutations_sync = 0"
        client.execute_unscoped(statement, {"week": row["week"]}, tag="projections.make")
        log.info("projections of %d parts of %s, week %s, are being made", row["parts"], table, row["week"])
    return sum(row["parts"] for row in found)
