"""Inserts that a killed engine had noted and not done can be sent again; those that were done stay once."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clickhouse_driver import Client

from heliograph.clickhouse.embedded.repair import take_back_what_is_not_there

TABLES = """
CREATE TABLE rows (n UInt32, day Date) ENGINE = MergeTree PARTITION BY day ORDER BY n
SETTINGS non_replicated_deduplication_window = 100;
CREATE TABLE sums (n UInt32, rows SimpleAggregateFunction(sum, UInt64)) ENGINE = AggregatingMergeTree ORDER BY n
SETTINGS non_replicated_deduplication_window = 100;
CREATE MATERIALIZED VIEW sums_from_rows TO sums AS SELECT n, count() AS rows FROM rows GROUP BY n;
"""
COUNTS = "SELECT (SELECT count() FROM rows), (SELECT sum(rows) FROM sums)"


def insert(client: Client, n: int) -> None:
    settings = {"insert_deduplication_token": f"token {n}", "deduplicate_blocks_in_dependent_materialized_views": 1}
    client.execute(f"INSERT INTO rows SELECT {n}, '2026-01-0{n}' FROM numbers(10)", settings=settings)


def folder_of(client: Client, table: str) -> Path:
    [(paths,)] = client.execute("SELECT data_paths FROM system.tables WHERE name = %(t)s", {"t": table})
    return Path(paths[0])


def logs_of(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted((folder / "deduplication_logs").iterdir()))


def test_an_insert_that_was_noted_and_not_done_is_done_when_it_is_sent_again(
    start_store: Callable[..., Any],
) -> None:
    store = start_store()
    client = store.client()
    for statement in filter(str.strip, TABLES.split(";")):
        client.execute(statement)
    folders = {table: folder_of(client, table) for table in ("rows", "sums")}
    for n in (1, 2, 3, 4):
        insert(client, n)
    # What was merged is there, under the name of the whole.
    client.execute("OPTIMIZE TABLE sums FINAL")
    for n in (5, 6):
        insert(client, n)
    store.kill()
    # As a kill between the record and the rename leaves it: of the rows' table, and of the view's.
    last = {table: logs_of(folder).splitlines()[-1].split("\t")[1] for table, folder in folders.items()}
    shutil.rmtree(folders["sums"] / last["sums"])
    [rows_of_5] = folders["rows"].glob("20260105_*")
    shutil.rmtree(rows_of_5)
    # And a record that the kill cut short.
    newest = max((folders["rows"] / "deduplication_logs").iterdir())
    with newest.open("a") as log:
        log.write("1\t20260107_7_7")

    store.start()
    assert client.execute(COUNTS) == [(50, 50)]
    for n in (1, 2, 3, 4, 5, 6):
        insert(client, n)
    assert client.execute(COUNTS) == [(60, 60)]
    assert "2 inserts" not in store.log()
    assert store.log().count("1 inserts into") == 2
    assert store.stop() == 0

    # Nothing is left to repair, and what was sent again is known as such.
    store.start()
    for n in (5, 6):
        insert(client, n)
    assert client.execute(COUNTS) == [(60, 60)]
    assert store.log().count("1 inserts into") == 2
    client.disconnect()


def test_a_folder_that_is_open_is_left_alone(tmp_path: Path) -> None:
    logs = tmp_path / "store" / "abc" / "abcdef" / "deduplication_logs"
    logs.mkdir(parents=True)
    log = logs / "deduplication_log_1.txt"
    noted = "1\tall_1_1_0\tall_1\n1\tall_2_2_0\tall_2\n2\tall_2_2_0\tall_2\n"
    log.write_text(noted)
    assert take_back_what_is_not_there(tmp_path) == 0
    with (tmp_path / "status").open("wb") as status:
        fcntl.flock(status, fcntl.LOCK_EX)
        assert take_back_what_is_not_there(tmp_path) == 0
        assert log.read_text() == noted
    assert take_back_what_is_not_there(tmp_path) == 1
    assert log.read_text() == noted + "2\tall_1_1_0\tall_1\n"
    assert take_back_what_is_not_there(tmp_path) == 0
