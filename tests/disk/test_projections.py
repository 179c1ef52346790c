"""Projections are made by merges and not by inserts, and for those parts that no merge will ever take."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_django import Settings

from heliograph.clickhouse import client, migrate
from heliograph.disk import projections
from tests.conftest import StoreProcess

PATIENCE = 120
START = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp())
# In bytes; mutations go on.
NO_MERGES = "max_bytes_to_merge_at_max_space_in_pool"
PARTS = "SELECT name, level, projections FROM system.parts WHERE active AND table = %(table)s ORDER BY min_block_number"


@pytest.fixture
def quiet_store(start_store: Any, settings: Settings) -> Iterator[StoreProcess]:
    """A store of its own, in which nothing merges that is not asked for."""
    store = start_store()
    settings.CLICKHOUSE_URL = store.url
    for _ in migrate.migrate():
        pass
    for table in ("spans", "span_rollups_1m"):
        client.execute_unscoped(f"ALTER TABLE {table} MODIFY SETTING {NO_MERGES} = 1")
    yield store
    client.close_connections()


def parts(table: str) -> list[dict[str, Any]]:
    return client.execute_unscoped(PARTS, {"table": table})


def insert(number: int) -> None:
    columns = {"project_id": [1], "trace_id": [f"{number:032x}"], "span_id": [f"{number:016x}"], "kind": ["llm"]}
    columns |= {"start_time": [(START + number) * 10**9], "user_id": ["ann"], "retention_days": [90]}
    client.insert("spans", columns, token=f"insert-{number}")


def until_made(table: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(part["projections"] for part in parts(table)):
        assert time.monotonic() < deadline, parts(table)
        time.sleep(0.1)


@pytest.mark.usefixtures("quiet_store")
def test_an_insert_makes_no_projection_and_a_merge_makes_all() -> None:
    for number in range(6):
        insert(number)
    for table in ("spans", "span_rollups_1m"):
        assert [part["projections"] for part in parts(table)] == [[]] * 6
        names = client.execute_unscoped("SELECT name FROM system.projections WHERE table = %(table)s", {"table": table})
        client.execute_unscoped(f"ALTER TABLE {table} RESET SETTING {NO_MERGES}")
        client.execute_unscoped(f"OPTIMIZE TABLE {table} FINAL")
        assert [set(part["projections"]) for part in parts(table)] == [{row["name"] for row in names}]
        assert len(names) >= 3


@pytest.mark.usefixtures("quiet_store")
def test_parts_that_merges_left_are_given_theirs_once_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projections, "MOST_LEFT", 3)
    insert(1)
    insert(2)
    assert projections.make_for_parts_left(settled_seconds=0) == 0
    insert(3)
    # What was just inserted may be merged yet.
    assert projections.make_for_parts_left() == 0
    # Of spans three, and of the rollup.
    assert projections.make_for_parts_left(settled_seconds=0) == 6
    until_made("spans")
    until_made("span_rollups_1m")
    assert projections.make_for_parts_left(settled_seconds=0) == 0
    sums = "SELECT countIf(kind = 'llm') AS calls FROM spans WHERE user_id = 'ann'"
    assert client.execute_unscoped(sums)[0]["calls"] == 3
