"""Schema migrations against the real engine."""

import io
import threading
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from heliograph.clickhouse import client, migrate

HISTORY = "SELECT number, name, checksum FROM schema_migrations FINAL ORDER BY number"


def tables() -> set[str]:
    return {row["name"] for row in client.execute_unscoped("SHOW TABLES")}


@pytest.fixture
def empty_store(start_store, settings):
    settings.CLICKHOUSE_URL = start_store().url
    yield
    client.close_connections()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text(
        "-- why\nCREATE TABLE IF NOT EXISTS first (n UInt8) ENGINE = MergeTree ORDER BY n;\n\n"
        "-- a ; in a comment\nCREATE TABLE IF NOT EXISTS second (t String DEFAULT ';') ENGINE = MergeTree ORDER BY t;\n"
    )
    return tmp_path


def test_a_fresh_store_has_every_table_and_its_history(store):
    assert {"spans", "traces", "span_rollups_1m", "scores", "metric_points", "log_records"} <= tables()
    history = client.execute_unscoped(HISTORY)
    assert [row["name"] for row in history] == [migration.name for migration in migrate.read_migrations()]


def test_a_second_run_changes_nothing(empty_store, folder):
    assert [migration.name for migration in migrate.migrate(folder)] == ["0001_first.sql"]
    assert tables() == {"first", "second", "schema_migrations"}
    assert list(migrate.migrate(folder)) == []


def test_a_new_file_is_applied_after_the_old_ones(empty_store, folder):
    list(migrate.migrate(folder))
    (folder / "0002_more.sql").write_text("ALTER TABLE first ADD COLUMN IF NOT EXISTS more UInt8;\n")
    assert [migration.number for migration in migrate.migrate(folder)] == [2]
    assert len(client.execute_unscoped("DESCRIBE TABLE first")) == 2


def test_an_applied_file_may_not_change(empty_store, folder):
    list(migrate.migrate(folder))
    path = folder / "0001_first.sql"
    path.write_text(path.read_text() + "-- changed\n")
    with pytest.raises(migrate.ChangedMigrationError, match=r"0001_first.sql was applied with another content"):
        list(migrate.migrate(folder))


def test_a_crash_between_two_statements_is_made_good_by_the_next_run(empty_store, folder):
    client.execute_unscoped(migrate.read_migrations(folder)[0].statements[0])
    list(migrate.migrate(folder))
    assert {"first", "second"} <= tables()


def test_two_processes_may_migrate_at_once(empty_store):
    failures: list[Exception] = []
    start = threading.Barrier(4)

    def run() -> None:
        start.wait()
        try:
            list(migrate.migrate())
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(client.execute_unscoped(HISTORY)) == len(migrate.read_migrations())


def test_a_dry_run_prints_the_sql_and_runs_nothing(empty_store):
    out = io.StringIO()
    call_command("migrate_store", dry_run=True, stdout=out)
    assert "CREATE TABLE IF NOT EXISTS spans" in out.getvalue()
    assert tables() == set()
    call_command("migrate_store", stdout=out)
    out = io.StringIO()
    call_command("migrate_store", dry_run=True, stdout=out)
    assert out.getvalue() == ""


def test_a_store_that_is_away_is_explained(settings):
    settings.CLICKHOUSE_URL = "clickhouse://heliograph:x@127.0.0.1:1/heliograph"
    with pytest.raises(CommandError, match="refused"):
        call_command("migrate_store")


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE first UPDATE n = 1 WHERE 1",
        "ALTER TABLE first DELETE WHERE 1",
        "DELETE FROM first WHERE 1",
        "ALTER TABLE first MODIFY COLUMN n UInt16",
        "ALTER TABLE first MODIFY TTL now()",
        "ALTER TABLE first DROP COLUMN n",
        "DROP TABLE first",
        "TRUNCATE TABLE first",
        "OPTIMIZE TABLE first FINAL",
        "CREATE TABLE first (n UInt8) ENGINE = Memory",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS v ENGINE = Memory POPULATE AS SELECT 1",
        "ALTER TABLE first ADD COLUMN m UInt8",
        "INSERT INTO first VALUES (1)",
    ],
)
def test_a_rewrite_must_be_meant(tmp_path, statement):
    path = tmp_path / "0001_danger.sql"
    path.write_text(f"-- harmless comment\n{statement};\n")
    assert migrate.read_migrations(tmp_path)[0].dangers
    path.write_text(f"-- dangerous: because\n{statement};\n")
    assert migrate.read_migrations(tmp_path)[0].dangers == []


def test_the_schema_itself_is_harmless():
    assert [danger for migration in migrate.read_migrations() for danger in migration.dangers] == []


def test_a_dangerous_file_is_not_applied(empty_store, folder):
    list(migrate.migrate(folder))
    (folder / "0002_loses.sql").write_text("DROP TABLE first;\n")
    with pytest.raises(migrate.DangerousMigrationError, match="loses or hides stored data"):
        list(migrate.migrate(folder))
    assert "first" in tables()


def test_a_file_of_a_number_that_was_left_free_is_applied_when_it_comes(empty_store, folder):
    create = "CREATE TABLE IF NOT EXISTS {} (n UInt8) ENGINE = MergeTree ORDER BY n;\n"
    (folder / "0003_third.sql").write_text(create.format("third"))
    assert [migration.number for migration in migrate.migrate(folder)] == [1, 3]
    (folder / "0002_late.sql").write_text(create.format("late"))
    assert [migration.number for migration in migrate.migrate(folder)] == [2]
    assert {"third", "late"} <= tables()


@pytest.mark.parametrize("names", [["0002_gap.sql"], ["0001_a.sql", "0001_b.sql"], ["first.sql"]])
def test_numbers_are_in_order(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("SELECT 1;\n")
    with pytest.raises(ValueError, match=r"must count from 1|is not named like"):
        migrate.read_migrations(tmp_path)
