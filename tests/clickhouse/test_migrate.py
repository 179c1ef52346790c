"""Schema migrations against the real engine."""

import io
import threading
import time
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from heliograph.clickhouse import client, migrate
from heliograph.clickhouse.embedded.errors import EngineError
from heliograph.clickhouse.embedded.view_identity import InsertGate

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
        "-- a ; in a comment\n"
        "CREATE TABLE IF NOT EXISTS second (t String DEFAULT ';', m UInt8) ENGINE = MergeTree ORDER BY t;\n"
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


def test_a_statement_for_newer_engines_is_left_out_where_its_setting_is_not_known(empty_store, folder):
    (folder / "0002_newer.sql").write_text(
        "-- where known: setting_of_the_year_3000\nALTER TABLE first MODIFY SETTING setting_of_the_year_3000 = 1;\n\n"
        "-- why\n-- where known: merge_max_block_size\nALTER TABLE first MODIFY SETTING merge_max_block_size = 1000;\n"
        "ALTER TABLE first ADD COLUMN IF NOT EXISTS more UInt8;\n"
    )
    assert [migration.number for migration in migrate.migrate(folder)] == [1, 2]
    [made] = client.execute_unscoped("SHOW CREATE TABLE first")
    assert "merge_max_block_size = 1000" in made["statement"]
    assert "more" in made["statement"]


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


def test_what_was_inserted_under_a_token_is_known_in_every_view_after_a_restart(start_store, settings):
    store = start_store()
    settings.CLICKHOUSE_URL = store.url
    list(migrate.migrate())
    targets = [
        row["t"]
        for row in client.execute_unscoped(
            "SELECT DISTINCT extract(create_table_query, ' TO (?:\\\\w+\\\\.)?(\\\\w+) ') AS t"
            " FROM system.tables WHERE engine = 'MaterializedView' AND create_table_query LIKE '%%FROM %%spans%%'"
        )
    ]
    assert "span_rollups_1m" in targets

    def insert_and_count() -> dict[str, int]:
        columns = {"project_id": [7], "trace_id": ["a" * 32], "span_id": ["b" * 16], "start_time": [time.time_ns()]}
        columns |= {"retention_days": [30]}
        client.insert("spans", columns, token="the same")
        return {t: client.execute_unscoped(f"SELECT sum(cityHash64(*)) AS n FROM {t}")[0]["n"] for t in targets}

    before = insert_and_count()
    assert client.execute_unscoped("SELECT sum(spans) AS n FROM span_rollups_1m") == [{"n": 1}]
    store.kill()
    client.close_connections()
    store.start()
    assert insert_and_count() == before
    client.close_connections()


def test_inserts_meet_every_view_while_it_is_altered(empty_store):
    for statement in (
        "CREATE TABLE rows (n UInt32) ENGINE = MergeTree ORDER BY n",
        "CREATE TABLE sums (n UInt64) ENGINE = MergeTree ORDER BY n",
        "CREATE MATERIALIZED VIEW sums_from_rows TO sums AS SELECT count() AS n FROM rows",
    ):
        client.execute_unscoped(statement)
    altering = threading.Event()

    def alter() -> None:
        try:
            for number in range(30):
                client.execute_unscoped(
                    f"ALTER TABLE sums_from_rows MODIFY QUERY SELECT count() + 0 * {number} AS n FROM rows"
                )
        finally:
            altering.set()

    thread = threading.Thread(target=alter)
    thread.start()
    inserts = 0
    while not altering.is_set() or inserts < 10:
        client.insert("rows", {"n": list(range(10))})
        client.execute_unscoped("INSERT INTO rows SELECT number FROM numbers(10)")
        inserts += 1
    thread.join()
    [counted] = client.execute_unscoped("SELECT (SELECT count() FROM rows) AS n, (SELECT sum(n) FROM sums) AS in_view")
    assert counted == {"n": 20 * inserts, "in_view": 20 * inserts}


def test_a_view_is_not_altered_while_an_insert_does_not_end_and_inserts_go_on_afterwards():
    gate = InsertGate(patience_seconds=0.05)
    with gate.passing(), pytest.raises(EngineError, match="Inserts do not end"), gate.shut():
        pytest.fail("an insert is under way")
    with gate.passing():
        pass
    with gate.shut():
        pass


def test_a_view_that_a_killed_engine_left_aside_has_its_name_again(start_store, settings):
    store = start_store()
    settings.CLICKHOUSE_URL = store.url
    client.execute_unscoped("CREATE TABLE rows (n UInt32) ENGINE = MergeTree ORDER BY n")
    client.execute_unscoped("CREATE TABLE sums (n UInt64) ENGINE = MergeTree ORDER BY n")
    client.execute_unscoped("CREATE MATERIALIZED VIEW all_rows TO sums AS SELECT count() AS n FROM rows")
    client.execute_unscoped("RENAME TABLE all_rows TO all_rows_aside")
    store.kill()
    client.close_connections()
    store.start()
    assert tables() == {"rows", "sums", "all_rows"}
    client.insert("rows", {"n": [1, 2]})
    assert client.execute_unscoped("SELECT sum(n) AS n FROM sums") == [{"n": 2}]
    client.close_connections()


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


def test_a_rewrite_waits_for_the_operator_on_a_store_in_use(empty_store, folder):
    rewrite = folder / "0002_rewrites.sql"
    rewrite.write_text(
        "-- rewrites: every part of second, an hour a terabyte\nALTER TABLE second MODIFY COLUMN m UInt16;\n"
    )
    plan = migrate.read_migrations(folder)
    assert [migration.dangers for migration in plan] == [[], []]
    rewrite_text = rewrite.read_text()
    rewrite.unlink()
    list(migrate.migrate(folder))
    rewrite.write_text(rewrite_text)
    (folder / "0003_third.sql").write_text(
        "CREATE TABLE IF NOT EXISTS third (n UInt8) ENGINE = MergeTree ORDER BY n;\n"
    )
    with pytest.raises(migrate.RewriteNotAcceptedError, match=r"an hour a terabyte[\s\S]*--accept-rewrites"):
        list(migrate.migrate(folder))
    # Nothing of the version was applied, so that the old one goes on.
    assert "third" not in tables()
    assert [each.number for each in migrate.migrate(folder, accept_rewrites=True)] == [2, 3]


def test_a_new_store_has_nothing_to_rewrite(empty_store, folder):
    (folder / "0002_rewrites.sql").write_text("-- rewrites: much\nALTER TABLE second MODIFY COLUMN m UInt16;\n")
    assert [each.number for each in migrate.migrate(folder)] == [1, 2]
