"""ClickHouse's own C++ client, as chDB has it, against the embedded server: one of them, and three as shards."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heliograph.clickhouse import migrate
from tests.conftest import PASSWORD, StoreProcess

pytestmark = pytest.mark.timeout(1_200)
ROWS = 3_000
# chDB in a process of its own: it answers each statement of its input by its rows, or by what went wrong.
ASKING = """
import json, sys
import chdb
connection = chdb.connect(":memory:")
# A second for a connection is too little on a busy machine.
connection.query(
    "SET connect_timeout = 120, connect_timeout_with_failover_ms = 120000, handshake_timeout_ms = 120000,"
    " connection_pool_max_wait_ms = 0, receive_timeout = 300, use_hedged_requests = 0"
)
for line in sys.stdin:
    try:
        print(json.dumps({"rows": json.loads(connection.query(json.loads(line), "JSONCompact").bytes() or '{"data": []}')["data"]}))
    except Exception as error:
        print(json.dumps({"error": str(error)}))
"""  # noqa: E501  # a line is a program's
SPANS = """
SELECT 1 + number % 2, lower(hex(cityHash64(intDiv(number, 3)))), toString(number),
    toDateTime64('2026-01-05 00:00:00', 9, 'UTC') + toIntervalMillisecond(number), ['shop', 'search'][1 + number % 2],
    map('n', toString(number)), ['a', 'b'], number, 20000
FROM numbers({rows})
"""
COLUMNS = "project_id, trace_id, span_id, start_time, service, attributes, tags, input_tokens, retention_days"


def direct(store: StoreProcess, sql: str) -> Any:
    """Ask one server by the client that we use ourselves."""
    with store.client() as client:
        return client.execute(sql)


class Shards:
    """Three embedded servers, and the C++ client that asks them."""

    def __init__(self, stores: list[StoreProcess]) -> None:
        self.stores = stores

    def remote(self, stores: list[StoreProcess], key: str = "") -> str:
        """Return the table function for `spans` of some of them."""
        hosts = ",".join(f"127.0.0.1:{store.port}" for store in stores)
        return f"remote('{hosts}', heliograph, spans, 'heliograph', '{PASSWORD}'{', ' + key if key else ''})"

    def ask(self, *statements: str) -> list[dict[str, Any]]:
        """Ask in a new process; `{one}` is the first server's table, `{all}` all of them, `{spread}` with the key."""
        names = {
            "one": self.remote(self.stores[:1]),
            "all": self.remote(self.stores),
            "spread": self.remote(self.stores, "cityHash64(trace_id)"),
        }
        lines = [json.dumps(statement.format(**names)) for statement in statements]
        result = subprocess.run(
            [sys.executable, "-c", ASKING],
            input="\n".join(lines),
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        return [json.loads(line) for line in result.stdout.splitlines()]

    def rows(self, *statements: str) -> list[Any]:
        """As `ask`, where nothing goes wrong."""
        answers = self.ask(*statements)
        assert not [answer for answer in answers if "error" in answer], answers
        return [answer["rows"] for answer in answers]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shards]:
    """Three servers with `spans` alone, over which rows are spread by their trace."""
    stores = [StoreProcess(tmp_path_factory.mktemp(f"shard-{number}")) for number in range(3)]
    try:
        for store in stores:
            store.start()
            direct(store, migrate.read_migrations()[0].statements[0])
        made = Shards(stores)
        insert = f"INSERT INTO FUNCTION {{spread}} ({COLUMNS}) {SPANS.format(rows=ROWS)}"
        made.rows(f"{insert} SETTINGS distributed_foreground_insert = 1")
        yield made
    finally:
        for store in stores:
            if store.port:
                store.kill()


def counts(shards: Shards) -> list[int]:
    return [direct(store, "SELECT count() FROM spans")[0][0] for store in shards.stores]


def test_inserts_of_the_cpp_client_are_spread_by_the_trace(shards: Shards) -> None:
    held = counts(shards)
    assert sum(held) == ROWS
    assert min(held) > ROWS // 6
    traces = [{row[0] for row in direct(store, "SELECT DISTINCT trace_id FROM spans")} for store in shards.stores]
    assert sum(map(len, traces)) == len(set.union(*traces)) == ROWS // 3


def test_the_cpp_client_is_answered_by_one_server_whatever_it_asks(shards: Shards) -> None:
    (count,) = counts(shards)[:1]
    structure, total, grouped, ordered, joined, plain = shards.rows(
        "DESCRIBE {one}",
        "SELECT count(), uniqExact(trace_id), sum(length(tags)) FROM {one}",
        "SELECT service, count() > 0 FROM {one} WHERE project_id = 1 GROUP BY service ORDER BY service",
        "SELECT start_time FROM {one} ORDER BY start_time LIMIT 1",
        "SELECT count() FROM {one} AS a JOIN {one} AS b ON a.trace_id = b.trace_id AND a.span_id = b.span_id",
        "SELECT count() FROM {one} SETTINGS network_compression_method = 'lz4'",
    )
    types = {row[0]: row[1] for row in structure}
    assert types["attributes"] == "Map(LowCardinality(String), String)"
    assert types["cost"] == "Nullable(Decimal(18, 12))"
    assert types["start_time"] == "DateTime64(9, 'UTC')"
    assert [int(each) for each in total[0]] == [count, count // 3, 2 * count]
    assert grouped == [["shop", 1]]
    assert ordered[0][0].startswith("2026-01-05 00:00:0")
    assert int(joined[0][0]) == int(plain[0][0]) == count


def test_questions_over_all_shards_are_right_where_each_answers_a_whole_one(shards: Shards) -> None:
    total, by_trace = shards.rows(
        # What is asked of a shard is an inner question; what is summed up is summed up by the one that asks.
        "SELECT count(), uniqExact(trace_id), sum(input_tokens) FROM (SELECT trace_id, input_tokens FROM {all})",
        # Rows of one trace are on one shard, so that its sums are whole.
        "SELECT count(), max(n) FROM (SELECT trace_id, count() AS n FROM {all} GROUP BY trace_id"
        " SETTINGS distributed_group_by_no_merge = 1)",
    )
    assert [int(each) for each in total[0]] == [ROWS, ROWS // 3, sum(range(ROWS))]
    assert [int(each) for each in by_trace[0]] == [ROWS // 3, 3]


def test_a_part_of_a_question_is_refused_and_never_answered_wrongly(shards: Shards) -> None:
    for statement in ("SELECT count() FROM {all}", "SELECT span_id FROM {all} ORDER BY span_id LIMIT 3"):
        (answer,) = shards.ask(statement)
        assert "Code: 48" in answer["error"]
        assert "answers whole questions only" in answer["error"]


def test_errors_reach_the_cpp_client_with_their_code(shards: Shards) -> None:
    failed, missing = shards.ask(
        "SELECT throwIf(input_tokens = 0 OR 1, 'as it should') FROM {one}",
        "SELECT 1 FROM {one}".replace("{one}", shards.remote(shards.stores[:1]).replace("spans", "nothing")),
    )
    assert "Code: 395" in failed["error"]
    assert "as it should" in failed["error"]
    assert "There is no table `heliograph`.`nothing` on server" in missing["error"]
    # Asked anew: chDB puts what a failed question had begun to say before the next answer.
    assert shards.rows("SELECT count() > 0 FROM {one}") == [[[1]]]
    assert Path(shards.stores[0].folder / "log").read_text().count("ended with an error") == 0
