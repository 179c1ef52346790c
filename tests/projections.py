"""Every part of a table with its projections, as merges make them of whatever parts the engine chooses."""

from heliograph.clickhouse import client

_NAMES = "SELECT name FROM system.projections WHERE database = currentDatabase() AND table = %(table)s"


def make_projections(table: str) -> None:
    """Make them for the parts that have none, and wait: then the engine may merge any with any."""
    names = [row["name"] for row in client.execute_unscoped(_NAMES, {"table": table})]
    if names:
        commands = ", ".join(f"MATERIALIZE PROJECTION {name}" for name in names)
        client.execute_unscoped(f"ALTER TABLE {table} {commands} SETTINGS mutations_sync = 2")
