"""One schema for one server, for replicas, and for shards with replicas."""

import re

import pytest
from django.conf import settings as django_settings

from heliograph import checks
from heliograph.clickhouse import client, migrate
from heliograph.clickhouse.cluster import SHARD_BY, Topology
from heliograph.clickhouse.migrate import Migration

ONE = Topology()
REPLICATED = Topology("{cluster}")
SHARDED = Topology("{cluster}", is_sharded=True)
TABLES = client.tables()
MIGRATIONS = migrate.read_migrations()
# A small schema with each kind of statement that the files have.
SCHEMA = {
    "CREATE TABLE IF NOT EXISTS traces (trace_id String) ENGINE = AggregatingMergeTree ORDER BY trace_id\n"
    "SETTINGS index_granularity = 256, non_replicated_deduplication_window = 1000": (
        [
            "CREATE TABLE IF NOT EXISTS traces ON CLUSTER '{cluster}' (trace_id String) ENGINE = "
            "ReplicatedAggregatingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}') ORDER BY trace_id\n"
            "SETTINGS index_granularity = 256, replicated_deduplication_window = 1000, "
            "replicated_deduplication_window_seconds = 604800"
        ],
        [
            "CREATE TABLE IF NOT EXISTS traces_local ON CLUSTER '{cluster}' (trace_id String) ENGINE = "
            "ReplicatedAggregatingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}') ORDER BY trace_id\n"
            "SETTINGS index_granularity = 256, replicated_deduplication_window = 1000, "
            "replicated_deduplication_window_seconds = 604800",
            "CREATE TABLE IF NOT EXISTS traces ON CLUSTER '{cluster}' AS traces_local\n"
            "ENGINE = Distributed('{cluster}', currentDatabase(), 'traces_local', cityHash64(trace_id))",
        ],
    ),
    "CREATE TABLE IF NOT EXISTS scores (t DateTime) ENGINE = ReplacingMergeTree(t) ORDER BY t": (
        [
            "CREATE TABLE IF NOT EXISTS scores ON CLUSTER '{cluster}' (t DateTime) ENGINE = "
            "ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', t) ORDER BY t\n"
            "SETTINGS replicated_deduplication_window = 0"
        ],
        [
            "CREATE TABLE IF NOT EXISTS scores_local ON CLUSTER '{cluster}' (t DateTime) ENGINE = "
            "ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', t) ORDER BY t\n"
            "SETTINGS replicated_deduplication_window = 0",
            "CREATE TABLE IF NOT EXISTS scores ON CLUSTER '{cluster}' AS scores_local\n"
            "ENGINE = Distributed('{cluster}', currentDatabase(), 'scores_local', "
            "cityHash64(if(trace_id != '', trace_id, score_id)))",
        ],
    ),
    "CREATE TABLE IF NOT EXISTS span_rollups_removed AS span_rollups_1m": (
        ["CREATE TABLE IF NOT EXISTS span_rollups_removed ON CLUSTER '{cluster}' AS span_rollups_1m"],
        [
            "CREATE TABLE IF NOT EXISTS span_rollups_removed_local ON CLUSTER '{cluster}' AS span_rollups_1m_local",
            "CREATE TABLE IF NOT EXISTS span_rollups_removed ON CLUSTER '{cluster}' AS span_rollups_removed_local\n"
            "ENGINE = Distributed('{cluster}', currentDatabase(), 'span_rollups_removed_local', "
            "cityHash64(project_id, minute))",
        ],
    ),
    "CREATE MATERIALIZED VIEW IF NOT EXISTS traces_from_spans TO traces AS SELECT trace_id FROM spans AS s": (
        [
            "CREATE MATERIALIZED VIEW IF NOT EXISTS traces_from_spans ON CLUSTER '{cluster}' TO traces AS "
            "SELECT trace_id FROM spans AS s"
        ],
        [
            "CREATE MATERIALIZED VIEW IF NOT EXISTS traces_from_spans ON CLUSTER '{cluster}' TO traces_local AS "
            "SELECT trace_id FROM spans_local AS s"
        ],
    ),
    "ALTER TABLE traces_from_spans MODIFY QUERY SELECT trace_id FROM spans AS s": (
        ["ALTER TABLE traces_from_spans ON CLUSTER '{cluster}' MODIFY QUERY SELECT trace_id FROM spans AS s"],
        ["ALTER TABLE traces_from_spans ON CLUSTER '{cluster}' MODIFY QUERY SELECT trace_id FROM spans_local AS s"],
    ),
    "ALTER TABLE spans ADD COLUMN IF NOT EXISTS a Decimal(18, 2), -- one, two\n"
    "    ADD INDEX IF NOT EXISTS i a TYPE minmax": (
        [
            "ALTER TABLE spans ON CLUSTER '{cluster}' ADD COLUMN IF NOT EXISTS a Decimal(18, 2), -- one, two\n"
            "    ADD INDEX IF NOT EXISTS i a TYPE minmax"
        ],
        [
            "ALTER TABLE spans_local ON CLUSTER '{cluster}' ADD COLUMN IF NOT EXISTS a Decimal(18, 2), -- one, two\n"
            "    ADD INDEX IF NOT EXISTS i a TYPE minmax",
            "ALTER TABLE spans ON CLUSTER '{cluster}'\n    ADD COLUMN IF NOT EXISTS a Decimal(18, 2)",
        ],
    ),
    "ALTER TABLE spans MODIFY SETTING ttl_only_drop_parts = 0": (
        ["ALTER TABLE spans ON CLUSTER '{cluster}' MODIFY SETTING ttl_only_drop_parts = 0"],
        ["ALTER TABLE spans_local ON CLUSTER '{cluster}' MODIFY SETTING ttl_only_drop_parts = 0"],
    ),
    "ALTER TABLE spans ATTACH PARTITION ID '20260105' FROM remap_1": (
        ["ALTER TABLE spans ON CLUSTER '{cluster}' ATTACH PARTITION ID '20260105' FROM remap_1"],
        ["ALTER TABLE spans_local ON CLUSTER '{cluster}' ATTACH PARTITION ID '20260105' FROM remap_1_local"],
    ),
    "ALTER TABLE spans DROP PARTITION ID '20260105'": (
        ["ALTER TABLE spans ON CLUSTER '{cluster}' DROP PARTITION ID '20260105'"],
        ["ALTER TABLE spans_local ON CLUSTER '{cluster}' DROP PARTITION ID '20260105'"],
    ),
    "DELETE FROM traces WHERE trace_id IN (SELECT trace_id FROM spans)": (
        ["DELETE FROM traces WHERE trace_id IN (SELECT trace_id FROM spans)"],
        ["DELETE FROM traces_local ON CLUSTER '{cluster}' WHERE trace_id IN (SELECT trace_id FROM spans)"],
    ),
    "CREATE ROW POLICY IF NOT EXISTS wall ON spans USING project_id = 1 TO reader": (
        ["CREATE ROW POLICY IF NOT EXISTS wall ON CLUSTER '{cluster}' ON spans USING project_id = 1 TO reader"],
        [
            "CREATE ROW POLICY IF NOT EXISTS wall ON CLUSTER '{cluster}' ON spans USING project_id = 1 TO reader",
            "CREATE ROW POLICY IF NOT EXISTS wall ON CLUSTER '{cluster}' ON spans_local USING project_id = 1 TO reader",
        ],
    ),
    "TRUNCATE TABLE remap_1": (
        ["TRUNCATE TABLE remap_1 ON CLUSTER '{cluster}'"],
        ["TRUNCATE TABLE remap_1_local ON CLUSTER '{cluster}'"],
    ),
    "DROP TABLE IF EXISTS remap_1 SYNC": (
        ["DROP TABLE IF EXISTS remap_1 ON CLUSTER '{cluster}' SYNC"],
        [
            "DROP TABLE IF EXISTS remap_1 ON CLUSTER '{cluster}' SYNC",
            "DROP TABLE IF EXISTS remap_1_local ON CLUSTER '{cluster}' SYNC",
        ],
    ),
    "INSERT INTO traces (trace_id) SELECT trace_id FROM spans": (
        ["INSERT INTO traces (trace_id) SELECT trace_id FROM spans"],
        ["INSERT INTO traces (trace_id) SELECT trace_id FROM spans"],
    ),
}


def parses(statement: str) -> bool:
    """Say whether the engine reads it; raises StoreError if not."""
    return bool(client.execute_unscoped(f"EXPLAIN AST {statement}"))


@pytest.mark.parametrize("statement", SCHEMA, ids=lambda statement: statement[:40])
def test_a_statement_is_rendered_for_each_kind_of_store_and_the_engine_reads_it(statement: str, store: str) -> None:
    replicated, sharded = SCHEMA[statement]
    assert ONE.render(statement, TABLES) == [statement]
    assert REPLICATED.render(statement, TABLES) == replicated
    assert SHARDED.render(statement, TABLES) == sharded
    assert all(parses(each) for each in (statement, *replicated, *sharded))


@pytest.mark.parametrize("migration", MIGRATIONS, ids=lambda migration: migration.name)
def test_a_schema_file_is_as_it_stands_for_one_server_and_read_by_the_engine_for_a_cluster(
    migration: Migration, store: str
) -> None:
    assert migrate.rendered(migration, ONE) == migration.statements
    for topology in (REPLICATED, SHARDED):
        made = migrate.rendered(migration, topology)
        assert len(made) >= len(migration.statements)
        for statement in made:
            assert parses(statement)
            if not statement.startswith("INSERT"):
                assert statement.count("ON CLUSTER '{cluster}'") == 1, statement
            if re.search(r"ENGINE = \w*MergeTree", statement):
                assert re.search(r"ENGINE = Replicated\w+\('/clickhouse/tables/\{uuid\}/\{shard\}', '", statement)
                assert statement.count("replicated_deduplication_window =") == 1
                assert "non_replicated" not in statement


def test_every_table_has_rows_on_shards_and_one_name_over_them() -> None:
    made = [each for migration in MIGRATIONS for each in migrate.rendered(migration, SHARDED)]
    for table in TABLES:
        assert sum(each.startswith(f"CREATE TABLE IF NOT EXISTS {table}_local ON") for each in made) == 1
        over = [each for each in made if each.startswith(f"CREATE TABLE IF NOT EXISTS {table} ON")]
        assert [SHARD_BY[table] in each for each in over] == [True]
    views = [each for each in made if re.match(r"CREATE MATERIALIZED VIEW|ALTER TABLE \w+_from_", each)]
    assert len(views) > 10
    for view in views:
        # A view is set off by its shard's rows, and adds to its shard.
        named = re.findall(r"\b(?:FROM|TO|JOIN) (\w+)", view)
        assert all(name.endswith("_local") for name in named if name.removesuffix("_local") in TABLES), view


def test_no_table_of_the_schema_is_without_a_key_to_spread_its_rows_by() -> None:
    assert set(TABLES) <= set(SHARD_BY)
    with pytest.raises(ValueError, match="by what are its rows spread"):
        SHARDED.render("CREATE TABLE new (n UInt8) ENGINE = MergeTree ORDER BY n", TABLES)
    # Working tables are made by name and number, or as another one.
    for statement in ("CREATE TABLE remap_traces_17 (trace_id String) ENGINE = MergeTree ORDER BY trace_id",
                      "CREATE TABLE remap_17 AS spans"):  # fmt: skip
        assert "cityHash64(trace_id)" in SHARDED.render(statement, TABLES)[1]


def test_the_history_of_the_schema_is_the_same_on_every_server() -> None:
    (made,) = SHARDED.render(migrate.CREATE_MIGRATIONS.strip(), TABLES)
    assert "ON CLUSTER '{cluster}'" in made
    assert "ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/all', '{replica}', applied_at)" in made


def test_a_question_is_walled_on_the_shards_too_and_an_insert_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert client._walled(7, "SELECT 1 FROM spans", "test") == client._limits("test") | {
        "additional_table_filters": "{'spans': 'project_id = 7'}"
    }
    assert not {"distributed_product_mode", "distributed_foreground_insert"} & set(client._limits("test"))
    assert "distributed_foreground_insert" not in client._insert_settings("spans", "")
    monkeypatch.setattr(django_settings, "CLICKHOUSE_CLUSTER", "{cluster}")
    monkeypatch.setattr(django_settings, "CLICKHOUSE_SHARDED", True)
    walled = client._walled(7, "SELECT 1 FROM spans", "test")
    assert walled["additional_table_filters"] == "{'spans': 'project_id = 7', 'spans_local': 'project_id = 7'}"
    # An IN over another table of the cluster would be refused without.
    assert walled["distributed_product_mode"] == "global"
    # Also what is derived by INSERT ... SELECT is on the shards before the next step looks there.
    assert walled["distributed_foreground_insert"] == 1
    assert client._insert_settings("spans", "")["distributed_foreground_insert"] == 1


@pytest.mark.parametrize(
    ("cluster", "sharded", "url_is_given", "said"),
    [
        ("", False, False, ""),
        ("{cluster}", True, True, ""),
        ("", True, True, "needs HELIOGRAPH_CLICKHOUSE_CLUSTER"),
        ("a'b", False, True, "is not a name of a cluster"),
        ("main", False, False, "the embedded store is one server"),
    ],
)
def test_settings_of_a_cluster_that_cannot_be_are_said(
    cluster: str, sharded: bool, url_is_given: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(django_settings, "CLICKHOUSE_CLUSTER", cluster)
    monkeypatch.setattr(django_settings, "CLICKHOUSE_SHARDED", sharded)
    monkeypatch.setattr(django_settings, "EMBEDDED_STORE", not url_is_given)
    found = checks.cluster_is_one()
    assert [said in str(each.msg) for each in found] == ([True] if said else [])
