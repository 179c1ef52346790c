"""From the version before, on filled databases: what was stored is there afterwards, whatever was killed on the way."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db.migrations.loader import MigrationLoader

from heliograph.clickhouse import client, migrate
from tests.backup.installation import Installation
from tests.upgrade.released import STATE, state_of

BEFORE = json.loads(STATE.read_text(encoding="utf-8"))
ROWS = 200
KILL_SECONDS = 300
# Tables that are filled by us; the others are filled by views of these.
BASE_TABLES = (
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%%MergeTree'"
    " AND name NOT IN (SELECT extract(create_table_query, ' TO (?:\\\\w+\\\\.)?(\\\\w+) ') FROM system.tables"
    " WHERE engine = 'MaterializedView') AND name != 'schema_migrations' ORDER BY name"
)
COLUMNS = (
    "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = %(table)s"
    " AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') ORDER BY position"
)
TABLES = (
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%%MergeTree'"
    " AND name != 'schema_migrations' ORDER BY name"
)


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Installation]:
    """An installation of the version before, with rows in every table, and its store running."""
    one = Installation(tmp_path / "data", tmp_path / "backups")
    process = one.store()
    kept, settings.CLICKHOUSE_URL = settings.CLICKHOUSE_URL, process.url
    try:
        subprocess.run(
            [sys.executable, "-m", "tests.upgrade.metadata", "fill", str(STATE)],
            env=one.environment, check=True, timeout=KILL_SECONDS,
        )  # fmt: skip
        schema = tmp_path / "schema"
        schema.mkdir()
        for migration in migrate.read_migrations():
            if migration.number <= BEFORE["store"]:
                shutil.copy(migrate.SCHEMA_DIR / migration.name, schema)
        list(migrate.migrate(schema))
        for table in names(BASE_TABLES):
            fill(table)
        yield one
    finally:
        client.close_connections()
        settings.CLICKHOUSE_URL = kept
        process.kill()


def names(sql: str) -> list[str]:
    return [row["name"] for row in client.execute_unscoped(sql)]


def fill(table: str) -> None:
    """Store what the engine makes up, of the last minutes: no partition too many, and none that expires."""
    columns = {row["name"]: row["type"] for row in client.execute_unscoped(COLUMNS, {"table": table})}
    columns = {name: kind for name, kind in columns.items() if "AggregateFunction" not in kind}
    given = {name: made(name, kind) for name, kind in columns.items()}
    structure = ", ".join(f"`{name}` {kind}" for name, kind in columns.items()).replace("'", "\\'")
    listed = ", ".join(f"`{name}`" for name in columns)
    client.execute_unscoped(
        f"INSERT INTO {table} ({listed}) SELECT {', '.join(given.values())} FROM"  # names are ours
        f" (SELECT *, rowNumberInAllBlocks() AS made_row FROM generateRandom('{structure}', 1, 8, 2) LIMIT {ROWS})"
        # One block, so one part: merging several would add up states of one key.
        " SETTINGS max_threads = 1"
    )


def made(name: str, kind: str) -> str:
    """Return a column's value: the engine's own, where any will do."""
    quoted = kind.replace("'", "\\'")
    if name == "expires_on":
        return "today() + 3650"
    if kind.startswith("Date"):
        return f"CAST(now() - toIntervalSecond(made_row), '{quoted}')"
    if name == "retention_days":
        return "3650"
    if name == "metric":
        # The one of which a view of the version before makes rows.
        return f"if(modulo(made_row, 2) = 0, 'gpu.process.info', `{name}`)"
    if kind.startswith(("Decimal", "Nullable(Decimal")):
        # Of any size their sums would overflow, which is no upgrade's concern.
        return f"CAST(1 + modulo(made_row, 7), '{quoted}')"
    # The columns of a nested structure are as long as one another.
    return f"arrayResize(`{name}`, 2)" if "." in name else f"`{name}`"


def stored(tables: dict[str, list[str]]) -> dict[str, Any]:
    """Return rows and sums of the columns that there were."""
    return {
        table: client.execute_unscoped(
            f"SELECT count() AS rows, sum(cityHash64({', '.join(columns)})) AS sum FROM {table}"
        )
        for table, columns in tables.items()
    }


def metadata(one: Installation) -> dict[str, list[dict[str, Any]]]:
    """Return each table's rows."""
    command = [sys.executable, "-m", "tests.upgrade.metadata", "rows"]
    done = subprocess.run(command, env=one.environment, check=True, timeout=KILL_SECONDS, stdout=subprocess.PIPE)
    found: dict[str, list[dict[str, Any]]] = {}
    for table, row in map(json.loads, done.stdout.splitlines()):
        found.setdefault(table, []).append(row)
    return found


def applied(one: Installation) -> int:
    """Return how many of Django's migrations are done."""
    with closing(sqlite3.connect(one.folder / "heliograph.sqlite3", timeout=KILL_SECONDS)) as file:
        return int(file.execute("SELECT count(*) FROM django_migrations").fetchone()[0])


def behind() -> int:
    """Return how many files the store has not applied."""
    return len(migrate.pending(migrate.read_migrations()))


def test_a_filled_installation_of_the_version_before_is_upgraded_through_kills_and_loses_nothing(
    before: Installation,
) -> None:
    tables = {
        table: [row["name"] for row in client.execute_unscoped(COLUMNS, {"table": table})] for table in names(TABLES)
    }
    was, said = stored(tables), metadata(before)
    assert [table for table, (row,) in was.items() if not row["rows"]] == []
    missing = [each.name for each in migrate.pending(migrate.read_migrations())]
    assert missing

    plan = before.run("migrate", "--dry-run")
    assert [name for name in missing if name not in plan] == []
    assert (stored(tables), metadata(before)) == (was, said)

    for progress in (lambda: applied(before), behind):
        killed_in_the_middle(before, progress)
    assert behind() > 0, "it was done before it was killed"
    before.run("migrate")

    assert behind() == 0
    assert stored(tables) == was
    now = metadata(before)
    for table, rows in said.items():
        for row in rows:
            if is_taken_away(table, row):
                continue
            assert any(row.items() <= each.items() for each in now[table]), (table, row, now[table])
    assert "No planned migration operations" in before.run("migrate", "--dry-run")


def is_taken_away(table: str, row: dict[str, Any]) -> bool:
    """What a migration shall take away, with its reason: all else has to stay."""
    # Monitors look for drift since evals 0006, and the check before them has nothing to go on with.
    return table == "evals_run" and row["kind"] == "drift"


def killed_in_the_middle(one: Installation, progress: Callable[[], int]) -> None:
    """Start the upgrade, and kill it once there is progress."""
    was, deadline = progress(), time.monotonic() + KILL_SECONDS
    command = [sys.executable, "-m", "heliograph.cli", "migrate"]
    started = subprocess.Popen(command, env=one.environment, stdout=subprocess.DEVNULL)
    try:
        while progress() == was:
            assert started.poll() is None, "it ended without progress"
            assert time.monotonic() < deadline
    finally:
        started.kill()
        started.wait()


def test_the_version_before_is_one_whose_schemas_this_one_knows() -> None:
    known = MigrationLoader(None).disk_migrations
    assert [node for node in BEFORE["metadata"].items() if node not in known] == []
    assert BEFORE["store"] in {each.number for each in migrate.read_migrations()}
    now = json.loads(state_of("next"))
    assert now["store"] >= BEFORE["store"]
    assert now["metadata"].keys() >= BEFORE["metadata"].keys()
