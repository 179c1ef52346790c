"""Copying a store to another one: two real engines, killed and started again."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heliograph.clickhouse import client, migrate
from heliograph.clickhouse.copying.end import End, as_it_lies
from heliograph.clickhouse.copying.errors import CopyError
from heliograph.clickhouse.copying.progress import DONE, PLACING, TABLE, Note
from heliograph.clickhouse.copying.run import Copied, Copy
from heliograph.clickhouse.copying.tables import Table, kind_of_tables, partitions
from heliograph.clickhouse.errors import UnavailableError
from tests.conftest import StoreProcess

pytestmark = pytest.mark.timeout(1_800)
PAGE_ROWS = 400
# As a process that dies at a moment of one's choice: `hook` is a class that says when.
KILLED = """
import os, signal, sys
import django
django.setup()
from heliograph.clickhouse.copying.run import Copy
from tests.clickhouse.test_copying import PAGE_ROWS
source, target, where, count = sys.argv[1:]
left = int(count)

def reached(point):
    global left
    if point == where:
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

class Dying(Copy):
    def insert(self, table, page):
        super().insert(table, page)
        reached("page stored")

    def note(self, table, partition, note):
        reached(f"before {note.state}")
        return super().note(table, partition, note)

Dying(source, target, print, PAGE_ROWS).run()
"""
# A server whose administrator defined no policy for a bucket; the embedded one always has its own.
WITHOUT_POLICY = """
from heliograph.clickhouse.embedded import __main__, engine
engine.COLD_POLICY = "another"
__main__.main()
"""
SPANS = """
INSERT INTO spans
    (project_id, trace_id, span_id, parent_span_id, is_entry, start_time, duration_ns, service, name, kind, status,
     model, input_tokens, output_tokens, usage_counted, cost, ttft_ns, session_id, tags, input, attributes,
     `events.time`, `events.name`, `events.attributes`, retention_days)
SELECT
    1 + number % 3, lower(hex(cityHash64(intDiv(number, 4)))), lower(hex(cityHash64(number, 's'))),
    if(number % 4 = 0, '', 'p'), number % 4 = 0,
    toDateTime64(toMonday(today()) - number % 16, 9, 'UTC') + toIntervalNanosecond(number * 61000000007),
    if(number % 9 = 0, NULL, number * 1000003), ['shop', 'search'][1 + number % 2], 'call', 'llm', 'ok',
    'qwen', number, NULL, true, number / 7, number, 'session ' || toString(number % 20), ['a', 'b'],
    concat('text ', unhex('FF00'), toString(number)),
    map('k', toString(number), 'empty', ''), [now64(9, 'UTC')], ['first'], [map('x', 'y')], 90
FROM numbers(1500)
"""
OTHERS = (
    """
    INSERT INTO metric_points (project_id, metric, series, time, type, host, gpu_uuid, value, sum, bounds,
        bucket_counts, `exemplars.time`, `exemplars.value`, `exemplars.trace_id`, `exemplars.span_id`,
        attributes, retention_days)
    SELECT 1, 'hw.power', number % 5, toDateTime64(toMonday(today()) - number % 10, 9, 'UTC'), 'gauge', 'h', 'GPU-1',
        number / 3,
        if(number % 2 = 0, nan, NULL), [0.1, inf], [1, 2, 3], [now64(9, 'UTC')], [1.5], ['t'], ['s'], map('a', 'b'), 90
    FROM numbers(250)
    """,
    """
    INSERT INTO log_records (project_id, time, record_id, body, event_name, retention_days)
    SELECT 2, now64(9, 'UTC'), number, 'a log', 'gpu.xid', 90 FROM numbers(20)
    """,
    "INSERT INTO scores (project_id, score_id, time, name, value, retention_days)"
    " SELECT 1, toString(number), now64(9, 'UTC'), 'relevance', number / 9, 90 FROM numbers(30)",
    "INSERT INTO contents (project_id, hash, text, expires_on)"
    " SELECT 1, hex(number), repeat('long ', 50), today() + 30 FROM numbers(230)",
    "DELETE FROM spans WHERE input_tokens % 50 = 1",
)
CONTENT = "SELECT count() AS n, groupBitXor(cityHash64(formatRow('TSV', *))) AS sum FROM {table}"


def asked(url: str, sql: str) -> list[dict[str, object]]:
    with client.at(url):
        return client.execute_unscoped(sql)


def content(url: str) -> dict[str, dict[str, object]]:
    """Return each table's rows, as a number and a sum; nothing is merged meanwhile."""
    return {table: asked(url, CONTENT.format(table=table))[0] for table in client.tables()}


def migrated_without_merges(url: str) -> None:
    """Make the tables, whose rows of one key then stay as many as there are, also after a restart."""
    with client.at(url):
        for _ in migrate.migrate():
            pass
        for table in client.tables():
            client.execute_unscoped(
                f"ALTER TABLE {table} MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1,"
                " max_bytes_to_merge_at_min_space_in_pool = 1"
            )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a store with rows of every kind, of which nothing is merged."""
    process = StoreProcess(tmp_path_factory.mktemp("source")).start()
    migrated_without_merges(process.url)
    with client.at(process.url):
        # Two inserts: rows of one key, such as a trace's or a minute's, that stand in two parts.
        client.execute_unscoped(SPANS)
        client.execute_unscoped(SPANS.replace("FROM numbers(1500)", "FROM numbers(1500, 100)"))
        for sql in OTHERS:
            client.execute_unscoped(sql)
    yield process.url
    process.kill()


@pytest.fixture
def target(start_store: Callable[..., StoreProcess]) -> StoreProcess:
    process = start_store()
    migrated_without_merges(process.url)
    return process


def copy(source: str, target: StoreProcess) -> list[Copied]:
    return Copy(source, target.url, lambda line: None, PAGE_ROWS).run()


def killed(source: str, target: StoreProcess, where: str, count: int) -> None:
    """Copy in a process that kills itself at the `count`th moment of a kind."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED, source, target.url, where, str(count)]
    environment = {"PYTHONPATH": f"{root / 'platform'}:{root}", "DJANGO_SETTINGS_MODULE": "heliograph.settings"}
    result = subprocess.run(
        command, env=environment, cwd=target.folder, capture_output=True, text=True, check=False, timeout=360
    )
    assert result.returncode == -9, result.stdout + result.stderr


class Damaging(Copy):
    """Changes a value of a span on its way."""

    def insert(self, table: Table, page: list[list[Any]]) -> None:
        if table.name == "spans":
            page[table.staged_columns.index("retention_days")][0] += 1
        super().insert(table, page)


class Stopping(Copy):
    """Ends when the first partition is begun."""

    def note(self, table: str, partition: str, note: Note) -> Note:
        if table:
            raise UnavailableError("stopped here")
        return super().note(table, partition, note)


class StoppingAmidSpans(Copy):
    """Ends when a partition of the spans is done and the first page of another is noted."""

    def note(self, table: str, partition: str, note: Note) -> Note:
        super().note(table, partition, note)
        done = [known.state == DONE for (of, _), known in self.progress.notes.items() if of == "spans"]
        if table == "spans" and note.key and any(done):
            raise UnavailableError("stopped here")
        return note


class WrittenTo(Copy):
    """Of a store to which somebody writes meanwhile."""

    def note(self, table: str, partition: str, note: Note) -> Note:
        if table == "traces" and note.state == PLACING:
            self._source.rows(
                "INSERT INTO scores (project_id, score_id, time, retention_days)"
                " SELECT 1, 'meanwhile', now64(9, 'UTC'), 90"
            )
        return super().note(table, partition, note)


def test_a_copy_holds_every_row_as_it_was_and_says_so(source: str, target: StoreProcess) -> None:
    before = content(source)
    filled = {table for table, found in before.items() if found["n"]}
    assert {"spans", "traces", "span_rollups_1m", "metric_rollups_1m", "gpu_rollups_1m", "gpu_events"} <= filled
    # Rows that are not what was read are not put in place, and the next run copies them anew.
    with pytest.raises(CopyError, match=r"spans, partition \d+: .* were read"):
        Damaging(source, target.url, lambda line: None, PAGE_ROWS).run()
    assert content(target.url)["spans"]["n"] == 0
    said: list[str] = []
    report = Copy(source, target.url, said.append, PAGE_ROWS).run()
    assert content(target.url) == before == content(source)
    assert "has tables of one server. For replicas," in said[0]
    assert {each.table: each.rows for each in report} == {table: found["n"] for table, found in before.items()}
    assert all((each.checksum != 0) == (each.rows > 0) for each in report)
    # Nothing of the copy's own is left but its notes.
    left = {row["name"] for row in asked(target.url, "SHOW TABLES")}
    assert {name for name in left if str(name).startswith("store_copy")} == {TABLE}
    # A second copy would be into a store that may be in use.
    with pytest.raises(CopyError, match=r"copied to .* already"):
        copy(source, target)


def test_a_copy_that_is_killed_again_and_again_copies_nothing_twice(source: str, target: StoreProcess) -> None:
    before = content(source)
    # A page is stored and not noted; a partition is in its place and not noted.
    killed(source, target, "page stored", 12)
    killed(source, target, "before done", 2)
    # The server it copies to dies, too.
    target.kill()
    with pytest.raises(UnavailableError):
        copy(source, target)
    target.start()
    said: list[str] = []
    report = Copy(source, target.url, said.append, PAGE_ROWS).run()
    assert content(target.url) == before
    assert sum(each.rows for each in report) == sum(int(str(found["n"])) for found in before.values())
    # It went on and did not begin again: what was done is not read once more.
    assert not [line for line in said if line.startswith(f"{client.tables()[0]} ")]


def test_a_target_with_rows_or_another_schema_or_of_another_store_is_refused(
    source: str, start_store: Callable[..., StoreProcess]
) -> None:
    target = start_store()
    with pytest.raises(CopyError, match="is the store itself"):
        Copy(source, source, lambda line: None).run()
    asked(target.url, "CREATE TABLE mine (n UInt8) ENGINE = MergeTree ORDER BY n")
    asked(target.url, "INSERT INTO mine SELECT 1")
    with pytest.raises(CopyError, match="not empty: mine"):
        copy(source, target)
    asked(target.url, "DROP TABLE mine SYNC")
    with pytest.raises(UnavailableError, match="stopped here"):
        Stopping(source, target.url, lambda line: None).run()  # with nothing but the tables, which it makes itself
    asked(target.url, "INSERT INTO scores (project_id, score_id) SELECT 9, 'x'")
    with pytest.raises(CopyError, match="rows of its own in scores"):
        copy(source, target)
    asked(target.url, "TRUNCATE TABLE scores")
    asked(target.url, "INSERT INTO schema_migrations (number, name, checksum) SELECT 9999, 'later', 'x'")
    with pytest.raises(CopyError, match="another schema"):
        copy(source, target)
    asked(target.url, "ALTER TABLE schema_migrations DELETE WHERE number = 9999 SETTINGS mutations_sync = 2")
    asked(target.url, f"INSERT INTO {TABLE} (source, table, partition, version) SELECT 'another', 'x', 'y', 1")
    with pytest.raises(CopyError, match="Another store"):
        copy(source, target)
    assert content(target.url)["spans"]["n"] == 0


def test_a_store_that_ever_had_a_bucket_for_old_weeks_is_copied_to_a_server_that_knows_none(
    source: str, tmp_path: Path
) -> None:
    target = StoreProcess(tmp_path / "target")
    target.program = ["-c", WITHOUT_POLICY]
    target.start()
    try:
        asked(source, "ALTER TABLE spans MODIFY SETTING storage_policy = 'tiered'")  # as disk/cold.py does; it stays
        migrated_without_merges(target.url)
        copy(source, target)
        assert content(target.url) == content(source)
    finally:
        target.kill()


def test_what_came_and_went_between_two_runs_is_at_the_target_as_it_is_in_the_store(
    source: str, target: StoreProcess
) -> None:
    def stopped() -> None:
        with pytest.raises(UnavailableError, match="stopped here"):
            StoppingAmidSpans(source, target.url, lambda line: None, PAGE_ROWS).run()

    def add_to(day: str) -> None:
        asked(
            source,
            "INSERT INTO spans (project_id, trace_id, span_id, start_time, name, retention_days)"
            f" SELECT 1, 'late', 's', toDateTime64({day}, 9, 'UTC'), '', 90",
        )

    stopped()
    weeks = "SELECT DISTINCT partition_id AS id FROM system.parts WHERE active AND table = 'spans' ORDER BY id"
    [done, begun, *_] = [str(row["id"]) for row in asked(source, weeks)]
    # Before the rows of a half done week that are in the stage.
    add_to(f"parseDateTimeBestEffort('{begun}')")
    asked(source, f"DELETE FROM spans IN PARTITION ID '{done}' WHERE input_tokens % 5 = 0")
    stopped()
    # In a week that is done, and in one that stands before it.
    add_to(f"parseDateTimeBestEffort('{done}')")
    add_to("toMonday(today()) - 35")
    asked(source, "ALTER TABLE contents DELETE WHERE hash = hex(7) SETTINGS mutations_sync = 2")
    for row in asked(source, weeks.replace("spans", "log_records")):
        asked(source, f"ALTER TABLE log_records DROP PARTITION ID '{row['id']}'")
    with pytest.raises(CopyError, match=r"while it was copied \(scores "):
        WrittenTo(source, target.url, lambda line: None, PAGE_ROWS).run()
    copy(source, target)
    assert content(target.url) == content(source)


def test_a_partition_is_the_same_after_a_merge_and_another_one_after_a_deletion(
    start_store: Callable[..., StoreProcess],
) -> None:
    url = start_store().url
    asked(url, "CREATE TABLE few (n UInt64) ENGINE = MergeTree PARTITION BY n % 2 ORDER BY n")
    for first in (0, 10):
        asked(url, f"INSERT INTO few SELECT number FROM numbers({first}, 10)")
    # What is inserted later is merged with what a deletion rewrote.
    asked(url, "DELETE FROM few WHERE n = 2")
    asked(url, "INSERT INTO few SELECT 20")
    end = End(url)
    before = partitions(end)["few"]
    asked(url, "OPTIMIZE TABLE few FINAL")
    assert asked(url, "SELECT count() AS n FROM system.parts WHERE active AND table = 'few'") == [{"n": 2}]
    merged = partitions(end)["few"]
    assert {name: each.state for name, each in merged.items()} == {name: each.state for name, each in before.items()}
    asked(url, "DELETE FROM few WHERE n = 4")
    deleted = partitions(end)["few"]
    assert deleted["0"].state != merged["0"].state
    asked(url, "INSERT INTO few SELECT 1")
    later = partitions(end)["few"]
    assert (later["0"].state, later["1"].state != deleted["1"].state) == (deleted["0"].state, True)
    assert [later[name].is_newer(deleted[name]) for name in "01"] == [False, True]
    asked(url, "ALTER TABLE few DROP PARTITION ID '0'")
    assert list(partitions(end)["few"]) == ["1"]
    end.close()


def table_of(name: str, engine: str, order_by: str = "n") -> Table:
    return Table(name, engine, (("n", "UInt64"),), "", order_by, order_by, "")


def test_tables_of_one_server_and_tables_with_replicas_are_not_mixed() -> None:
    mine, theirs = table_of("scores", "ReplacingMergeTree"), table_of("spans", "ReplicatedMergeTree")
    assert kind_of_tables([theirs]) == "tables with replicas"
    with pytest.raises(CopyError, match=r"some have not \(scores\)"):
        kind_of_tables([mine, theirs])


def test_a_key_is_split_between_its_expressions_and_nowhere_within_them() -> None:
    key = r"project_id, replaceOne(name, 'it\'s, (', ','), intDiv(toUnixTimestamp(time), 60)"
    expected = ["project_id", r"replaceOne(name, 'it\'s, (', ',')", "intDiv(toUnixTimestamp(time), 60)"]
    assert table_of("spans", "MergeTree", key).key == expected


@pytest.mark.parametrize(
    ("type_name", "plain"),
    [
        ("DateTime64(9, 'UTC')", "Int64"),
        ("Array(DateTime('UTC'))", "Array(UInt32)"),
        ("Nullable(Decimal(18, 12))", "Nullable(Int64)"),
        ("SimpleAggregateFunction(sum, Decimal(38, 12))", "Int128"),
        ("SimpleAggregateFunction(groupUniqArrayArray(512), Array(UInt32))", "Array(UInt32)"),
        ("SimpleAggregateFunction(anyLast, Map(String, String))", "Map(String, String)"),
        ("Map(LowCardinality(String), String)", "Map(LowCardinality(String), String)"),
        ("Date", "UInt16"),
        ("Bool", "UInt8"),
    ],
)
def test_values_pass_as_numbers_and_texts(type_name: str, plain: str) -> None:
    assert as_it_lies(type_name) == plain
