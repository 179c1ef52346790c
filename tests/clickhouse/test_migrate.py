"""Schema migrations against the real engine."""

from heliograph.clickhouse import client, migrate


def tables() -> set[str]:
    return {row["name"] for row in client.execute_unscoped("SHOW TABLES")}


def test_a_fresh_store_has_every_table_and_its_history(store):
    assert {"spans", "traces", "span_rollups_1m", "scores", "metric_points", "log_records"} <= tables()
    history = client.execute_unscoped("SELECT number, name FROM schema_migrations FINAL ORDER BY number")
    assert [row["name"] for row in history] == [migration.name for migration in migrate.read_migrations()]
