"""A fresh database takes squashed migrations, an older one those that they replace; both end alike (docs/adr/0080)."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import ConnectionHandler

from tests.backup.installation import COMMAND_SECONDS, Installation
from tests.upgrade.metadata import last_before_squashing, unreplaced

RULES = (
    "SELECT project_id, name, evaluator, filter, enabled, rate, wait, curve, spans_us, complete_us, given_up_us,"
    " swept_us, judged_before_us, in_flight, batch, error"
    " FROM evals_evaluationrule JOIN evals_rulestate ON rule_id = id ORDER BY project_id"
)
DONE = "SELECT app, name FROM django_migrations ORDER BY app, name"


def migrated(one: Installation, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "tests.upgrade.metadata", *arguments],
        env=one.environment, check=True, timeout=COMMAND_SECONDS,
    )  # fmt: skip


def asked(file: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(sql).fetchall()


def schema(file: Path) -> list[tuple[object, ...]]:
    """Return each table, index and trigger; a table's columns by their names, for SQLite moves one that is altered."""
    found = asked(file, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")
    return [(*named, clauses(str(sql)) if named[0] == "table" else sql) for *named, sql in found]


def clauses(sql: str) -> list[str]:
    """Split what makes a table at its outermost commas, and sort."""
    _, _, body = sql.removesuffix(")").partition("(")
    depth, parts = 0, [""]
    for letter in body:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return sorted(part.strip() for part in parts)


@pytest.mark.django_db
def test_a_fresh_sqlite_database_is_what_each_former_migration_makes(django_db_setup: Path, tmp_path: Path) -> None:
    former, half = (Installation(tmp_path / name, tmp_path) for name in ("former", "half"))
    files = [one.folder / "heliograph.sqlite3" for one in (former, half)]
    # With projects that are older than all but their own tables.
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"metadata": {"accounts": "0005_gpu_models"}}), encoding="utf-8")
    for one in (former, half):
        one.folder.mkdir()
    migrated(former, "fill", str(state))
    shutil.copy(*files)

    migrated(former, "unsquashed")
    before = asked(files[0], DONE)
    for one in (former, half):
        one.run("migrate", "--verbosity", "0")
    for file in files:
        assert schema(file) == schema(django_db_setup)
        assert asked(file, DONE) == asked(django_db_setup, DONE)
    squashed = MigrationLoader(None).replacements.keys()
    assert squashed
    assert not squashed & set(before)
    assert squashed | set(before) <= set(asked(django_db_setup, DONE))
    assert len(asked(files[0], RULES)) == 2
    assert asked(files[0], RULES) == asked(files[1], RULES)


@pytest.mark.services
def test_a_fresh_postgresql_database_is_what_each_former_migration_makes(postgres_url: str, tmp_path: Path) -> None:
    one = Installation(tmp_path / "data", tmp_path, {"DATABASE_URL": postgres_url})
    one.folder.mkdir()
    dumps = []
    for former in (True, False):
        with psycopg.connect(postgres_url) as database:
            database.execute("DROP SCHEMA public CASCADE")
            database.execute("CREATE SCHEMA public")
        if former:
            migrated(one, "unsquashed")
        one.run("migrate", "--verbosity", "0")
        dumps.append(dumped(postgres_url))
    assert "CREATE TRIGGER audit_entry_stays" in dumps[0]
    assert dumps[0] == dumps[1]


def dumped(url: str) -> str:
    command = ["pg_dump", "--schema-only", "--no-owner", f"--dbname={url}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    # A key of this very dump, against what a restored name might make psql do.
    return os.linesep.join(line for line in done.stdout.splitlines() if not line.startswith("\\"))


def test_an_installation_that_stopped_after_any_former_migration_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: dict[tuple[str, str], None] = {}
    monkeypatch.setattr(MigrationRecorder, "applied_migrations", lambda _: dict(applied))
    executor = MigrationExecutor(connection)
    executor.loader = unreplaced()
    squashed = dict(executor.loader.replacements)
    known = sorted(executor.loader.disk_migrations.keys() - squashed.keys())
    former = [
        (each.app_label, each.name) for each, _ in executor.migration_plan(last_before_squashing(executor.loader))
    ]
    assert {node for each in squashed.values() for node in each.replaces} < set(former) <= set(known)

    executor.loader = MigrationLoader(connection)
    fewest = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    assert fewest == len(known) - sum(len(each.replaces) - 1 for each in squashed.values())
    for number, node in enumerate(former):
        applied = dict.fromkeys(former[: number + 1])
        executor.loader.build_graph()
        plan = [each for each, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
        left = [done for each in plan for done in each.replaces or [(each.app_label, each.name)]]
        assert sorted([*applied, *left]) == known, node
        # What a run for a single app writes down of all the others.
        applied |= dict.fromkeys(key for key, each in squashed.items() if applied.keys() >= set(each.replaces))
        executor.loader.check_consistent_history(connection)


@pytest.mark.django_db
def test_tables_that_were_made_at_once_go_and_come_back(django_db_setup: Path, tmp_path: Path) -> None:
    file = tmp_path / "heliograph.sqlite3"
    shutil.copy(django_db_setup, file)
    database = ConnectionHandler({"default": {**settings.DATABASES["default"], "NAME": file}})["default"]
    # What nothing else needs, and what much else hangs on.
    for app in ("gates", "datasets"):
        target = MigrationExecutor(database).loader.graph.leaf_nodes(app)
        MigrationExecutor(database).migrate([(app, None)])
        assert [each for each in schema(file) if str(each[2]).startswith(app)] == []
        assert ("accounts_project",) in asked(file, "SELECT name FROM sqlite_master")
        MigrationExecutor(database).migrate(target)
    MigrationExecutor(database).migrate(MigrationExecutor(database).loader.graph.leaf_nodes())
    database.close()
    assert schema(file) == schema(django_db_setup)
