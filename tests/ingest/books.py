"""The ledger of a stack, read beside Heliograph's own questions."""

import sqlite3
from collections import Counter
from typing import Any

from tests.ingest.stack import Stack, Tenant


def books(stack: Stack, tenant: Tenant, signal: str = "traces") -> Counter[str]:
    """Return what the ledger says of a project's signal: sums by `what`, and by `what: reason`."""
    rows = stack.query(
        """
        SELECT what, reason, sum(n) FROM ingest_ledger
        WHERE project_id = %(project)s AND signal = %(signal)s GROUP BY what, reason
        """,
        project=tenant.id,
        signal=signal,
    )
    found: Counter[str] = Counter()
    for what, reason, n in rows:
        found[what] += n
        if reason:
            found[f"{what}: {reason}"] += n
    if signal == "traces":
        [(spans,)] = stack.query(
            "SELECT sum(spans) FROM ingest_stored_1m WHERE project_id = %(project)s", project=tenant.id
        )
        found["stored"] += spans
    return found


def limit(stack: Stack, tenant: Tenant, **limits: int) -> None:
    """Set limits of the tenant's key, before it is first used."""
    _update(stack, "accounts_apikey", "project_id", tenant, limits)


def change_project(stack: Stack, tenant: Tenant, **fields: int) -> None:
    """Set fields of the tenant's project, before its key is first used."""
    _update(stack, "accounts_project", "id", tenant, fields)


def _update(stack: Stack, table: str, column: str, tenant: Tenant, fields: dict[str, Any]) -> None:
    sets = ", ".join(f"{name} = ?" for name in fields)
    with sqlite3.connect(stack.folder / "heliograph.sqlite3", timeout=20) as database:
        done = database.execute(f"UPDATE {table} SET {sets} WHERE {column} = ?", [*fields.values(), tenant.id])
    assert done.rowcount == 1
    database.close()
