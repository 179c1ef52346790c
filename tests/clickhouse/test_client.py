"""The door: what goes in comes out, and every failure has a class."""

import datetime as dt
import io
import multiprocessing
import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_driver.bufferedwriter import CompressedBufferedWriter
from clickhouse_driver.columns.service import write_column
from clickhouse_driver.context import Context
from clickhouse_driver.errors import ErrorCodes, ServerException
from clickhouse_driver.util.escape import escape_param
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from heliograph.clickhouse import client, errors
from heliograph.clickhouse.embedded import native, wire
from heliograph.clickhouse.encode import encoder
from heliograph.clickhouse.pool import MAX_CONNECTIONS, Pool

NOW_NS = 1_790_000_000_123_456_789
TABLES = ("spans", "scores", "metric_points", "log_records")


def value_for(type_name: str, row: int) -> Any:  # noqa: C901, PLR0911  # one line a type
    """A value that fits the type and differs from row to row; NULL in every third row where that is possible."""
    name, _, rest = type_name.partition("(")
    inner = rest[:-1]
    if name == "Nullable":
        return None if row % 3 == 0 else value_for(inner, row)
    if name == "Array":
        return [value_for(inner, row + position) for position in range(row % 3)]
    if name == "Map":
        of_values = inner.rpartition(", ")[2]
        return {f"key {position}": value_for(of_values, row) for position in range(row % 4)}
    if name == "LowCardinality":
        return value_for(inner, row % 5)
    if name == "SimpleAggregateFunction":
        return value_for(inner.partition(", ")[2], row)
    if name == "String":
        return f"text {row} \x00 é 漢"
    if name == "Bool":
        return row % 2 == 0
    if name == "DateTime64":
        nanoseconds = NOW_NS + row
        if inner.startswith("9"):
            return nanoseconds
        seconds = dt.datetime.fromtimestamp(nanoseconds // 10**9, dt.UTC)
        return seconds.replace(microsecond=row)
    if name == "DateTime":
        return dt.datetime.fromtimestamp(NOW_NS // 10**9, dt.UTC) + dt.timedelta(seconds=row)
    if name == "Decimal":
        return Decimal(row).scaleb(-12)
    if name.startswith("Float"):
        return row / 4
    return 2 ** int(re.sub(r"\D", "", name) or 8) // 2 - 1 - row % 100


def types_of(table: str) -> dict[str, str]:
    return {row["name"]: row["type"] for row in client.execute_unscoped(f"DESCRIBE TABLE {table}")}


@pytest.mark.parametrize("compression", ["", "?compression=lz4"])
@pytest.mark.parametrize("table", TABLES)
def test_every_column_type_of_the_schema_comes_back_as_it_went_in(store, settings, project_id, table, compression):
    settings.CLICKHOUSE_URL = store + compression
    types = types_of(table)
    rows = 50
    columns = {name: [value_for(kind, row) for row in range(rows)] for name, kind in types.items()}
    for name in types:  # the parts of one Nested have equal lengths
        if "." in name:
            columns[name] = [[value_for(types[name][6:-1], row)] for row in range(rows)]
    columns |= {"project_id": [project_id] * rows, "retention_days": [3650] * rows}
    for name in {"start_time", "time"} & types.keys():
        columns[name] = [NOW_NS + row for row in range(rows)]
    client.insert(table, columns)
    order = "span_id" if table == "spans" else "time" if "time" in types else "score_id"
    sql = f"SELECT * FROM {table} WHERE project_id = %(project_id)s ORDER BY {order}"
    stored = client.query(project_id, sql, tag="test.types")
    sent = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    key = lambda row: repr([row[name] for name in sorted(row)])  # noqa: E731  # used twice, one line down
    assert sorted(stored, key=key) == sorted(sent, key=key)
    client.close_connections()


def encoded(type_name: str, items: list[Any], *, ours: bool) -> bytes:
    out = io.BytesIO()
    sink = CompressedBufferedWriter(out, 1 << 20)
    if ours:
        encode = encoder(type_name)
        assert encode is not None
        encode.write(items, sink)
    else:
        context = Context()
        context.client_settings = {"strings_as_bytes": False, "use_numpy": False, "input_format_null_as_default": False}
        context.settings = {}
        write_column(context, "name", type_name, list(items), sink)
    sink.flush()
    return out.getvalue()


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("rows", [1, 7, 256, 300])
@pytest.mark.parametrize(
    "type_name",
    [
        *("String", "LowCardinality(String)", "Array(String)", "Array(LowCardinality(String))", "Bool", "UInt8"),
        *("Nullable(UInt32)", "Nullable(Float64)", "Nullable(Decimal(18, 12))", "Array(UInt64)", "Float32"),
        *("Map(LowCardinality(String), String)", "Array(Map(LowCardinality(String), String))", "Int64"),
    ],
)
def test_columns_are_written_as_clickhouse_driver_writes_them(type_name, rows):
    items = [value_for(type_name, row) for row in range(rows)]
    ours = encoded(type_name, items, ours=True)
    if type_name != "LowCardinality(String)" or rows != 256:  # there clickhouse-driver takes wider keys than needed
        assert ours == encoded(type_name, items, ours=False)
    block = wire.varint(1) + wire.varint(rows) + wire.string("c") + wire.string(type_name) + ours
    assert native.split_blocks(block) == [block]


@given(st.lists(st.decimals(min_value=-99999, max_value=99999, places=12) | st.none(), max_size=30))
@hypothesis_settings(deadline=None)
def test_money_is_written_exactly(items):
    kind = "Nullable(Decimal(18, 12))"
    assert encoded(kind, items, ours=True) == encoded(kind, items, ours=False)


def test_a_value_that_does_not_fit_is_permanent_and_the_door_stays_open(store, project_id):
    for columns in ({"value": ["text"]}, {"name": [7]}, {"name": ["\ud800"]}):
        with pytest.raises(errors.UserError):
            client.insert("scores", {"project_id": [project_id], "score_id": ["a"], "time": [NOW_NS], **columns})
    with pytest.raises(errors.Permanent):
        client.insert("scores", {"project_id": [project_id], "no_such_column": [1]})
    client.ping()


def test_columns_of_different_lengths_are_refused(store):
    with pytest.raises(ValueError, match="different lengths"):
        client.insert("scores", {"project_id": [1, 2], "score_id": ["a"]})


@pytest.mark.parametrize("name", ["scores; DROP TABLE scores", "Scores", "", "a b", "`scores`"])
def test_only_plain_names_reach_the_sql(store, name):
    with pytest.raises(ValueError, match="not a name"):
        client.insert(name, {"project_id": [1]})
    with pytest.raises(ValueError, match="not a name"):
        client.insert("scores", {name: [1]})


def test_an_insert_leaves_the_callers_lists_alone(store, project_id):
    columns = {"project_id": [project_id], "score_id": ["a"], "time": [NOW_NS], "value": [None]}
    client.insert("scores", columns)
    assert columns == {"project_id": [project_id], "score_id": ["a"], "time": [NOW_NS], "value": [None]}


def test_a_query_without_its_project_or_tag_is_refused(store):
    with pytest.raises(client.ProjectMissing):
        client.query(1, "SELECT count() FROM spans", tag="test")
    with pytest.raises(client.ProjectMissing):
        client.query(1, "SELECT %(project_id)s", {"project_id": 2}, tag="test")
    with pytest.raises(client.TagMissing):
        client.query(1, "SELECT %(project_id)s", tag="")


@given(st.text())
@hypothesis_settings(deadline=None, max_examples=200)
def test_any_text_is_bound_as_a_value(text):
    literal = escape_param(text, Context())
    body = literal[1:-1]
    assert literal[0] == literal[-1] == "'"
    assert re.fullmatch(r"(?:[^'\\]|\\.)*", body, re.DOTALL)


@pytest.mark.parametrize(
    "value",
    ["'; DROP TABLE spans; --", "\\", "%", "\x00\n\t\b", "漢字 🦊", 7, -1.5, True, None, Decimal("0.1"), ["a", "'"]],
)
def test_a_bound_value_comes_back_as_it_is(store, value):
    rows = client.query(1, "SELECT %(value)s AS value, %(project_id)s AS p", {"value": value}, tag="test.bind")
    answer = rows[0]["value"]
    assert (float(answer) if isinstance(value, Decimal) else answer) == (
        float(value) if isinstance(value, Decimal) else value
    )


def test_an_object_that_cannot_be_escaped_is_refused(store):
    class Hostile:
        def __str__(self) -> str:
            return "1; DROP TABLE spans"

    for value in (Hostile(), b"bytes", {"a": 1}, [Hostile()]):
        with pytest.raises(TypeError, match="cannot be bound"):
            client.query(1, "SELECT %(value)s, %(project_id)s", {"value": value}, tag="test.bind")


def test_limits_are_set_at_the_door(store, settings):
    settings.QUERY_TIMEOUT_SECONDS = 1
    sql = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = %(project_id)s"
    with pytest.raises(errors.CapacityError) as caught:
        client.query(1, sql, tag="test.slow")
    assert caught.value.code == ErrorCodes.TIMEOUT_EXCEEDED
    settings.QUERY_TIMEOUT_SECONDS = 30
    settings.QUERY_MEMORY_BYTES = 10_000_000
    with pytest.raises(errors.CapacityError) as caught:
        client.query(1, "SELECT groupArray(number + %(project_id)s) FROM numbers(100000000)", tag="test.large")
    assert caught.value.code == ErrorCodes.MEMORY_LIMIT_EXCEEDED


def test_columns_are_returned_by_name(store):
    sql = "SELECT number AS n, toString(number) AS t FROM numbers(3) WHERE number < %(project_id)s"
    assert client.query_columns(9, sql, tag="test.columns") == {"n": (0, 1, 2), "t": ("0", "1", "2")}
    assert client.query_columns(0, sql, tag="test.columns") == {"n": (), "t": ()}


def test_a_store_that_is_away_is_retryable(settings):
    settings.CLICKHOUSE_URL = "clickhouse://heliograph:x@127.0.0.1:1/heliograph"
    for call in (client.ping, lambda: client.insert("scores", {"project_id": [1]})):
        with pytest.raises(errors.UnavailableError):
            call()


def test_a_wrong_password_is_not_retried(store, settings):
    settings.CLICKHOUSE_URL = re.sub(r":[^:@/]+@", ":wrong@", store)
    with pytest.raises(errors.AccessError):
        client.ping()


def test_the_door_opens_again_after_a_restart(start_store, settings):
    own = start_store()
    settings.CLICKHOUSE_URL = own.url
    client.ping()
    own.kill()
    with pytest.raises(errors.Retryable):
        client.ping()
    own.start()
    client.ping()
    client.close_connections()


def test_more_threads_than_connections_all_get_their_answer(store):
    sql = "SELECT %(n)s AS n, sleep(0.01), %(project_id)s AS p"
    numbers = list(range(MAX_CONNECTIONS * 4))
    with ThreadPoolExecutor(MAX_CONNECTIONS * 2) as threads:
        rows = list(threads.map(lambda n: client.query(1, sql, {"n": n}, tag="test.threads")[0]["n"], numbers))
    assert rows == numbers


def _ask_in_child(answers: Any) -> None:
    answers.put(client.query(1, "SELECT %(project_id)s AS p", tag="test.fork")[0]["p"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # threads of other tests' fixtures live while this forks
def test_a_forked_child_has_connections_of_its_own(store):
    client.ping()
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    children = [fork.Process(target=_ask_in_child, args=(answers,)) for _ in range(3)]
    for child in children:
        child.start()
    assert [answers.get(timeout=20) for _ in children] == [1, 1, 1]
    for child in children:
        child.join(20)
    client.ping()


def test_an_abandoned_connection_is_not_lent_again(store):
    pool = Pool(store, 30)

    def abandon() -> None:
        with pool.connection() as lent:
            lent.connection.force_connect()
            lent.connection.send_query("SELECT 1")
            raise KeyError

    with pytest.raises(KeyError):
        abandon()
    with pool.connection() as again:
        assert again.execute("SELECT 2") == [(2,)]
    pool.close()


CODES = {name: code for name, code in vars(ErrorCodes).items() if name.isupper()}


@pytest.mark.parametrize("name", sorted(CODES))
def test_every_code_of_clickhouse_has_one_class_that_says_whether_to_retry(name):
    error = errors.from_foreign(ServerException("DB::Exception: text. Stack trace:\n\n", CODES[name]))
    assert isinstance(error, errors.Retryable) != isinstance(error, errors.Permanent)
    assert type(error) not in (errors.StoreError, errors.Retryable, errors.Permanent)
    assert str(error) == "DB::Exception: text."
    assert error.user_text


def test_no_code_is_in_two_classes():
    listed = [getattr(ErrorCodes, name) for names in errors._NAMES.values() for name in names]
    listed += [number for numbers in errors._NUMBERS.values() for number in numbers]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ErrorCodes.NETWORK_ERROR, errors.UnavailableError),
        (ErrorCodes.MEMORY_LIMIT_EXCEEDED, errors.CapacityError),
        (ErrorCodes.TOO_MANY_PARTS, errors.CapacityError),
        (ErrorCodes.CANNOT_PARSE_DATETIME, errors.UserError),
        (ErrorCodes.UNKNOWN_TABLE, errors.DefectError),
        (516, errors.AccessError),
        (99999, errors.DefectError),
        (None, errors.DefectError),
    ],
)
def test_codes_are_classed_as_their_meaning_asks(code, kind):
    assert type(errors.from_foreign(ServerException("text", code))) is kind


@pytest.mark.parametrize("error", [EOFError("x"), ConnectionResetError("x"), TimeoutError("x"), BrokenPipeError("x")])
def test_a_broken_connection_is_retryable(error):
    assert isinstance(errors.from_foreign(error), errors.UnavailableError)


def test_every_table_of_the_schema_has_a_project_and_stands_behind_the_wall(store):
    stored = client.execute_unscoped(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
        " AND name != 'schema_migrations' AND NOT startsWith(name, 'remap_')"
    )
    with_project = client.execute_unscoped(
        "SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'project_id'"
    )
    assert {row["name"] for row in stored} == set(client.tables())
    assert set(client.tables()) <= {row["table"] for row in with_project}


def test_a_question_that_forgets_its_project_finds_nothing_of_others(store, project_id):
    theirs = project_id + 10**6
    columns = {"project_id": [project_id, theirs], "hash": ["a", "b"], "expires_on": [dt.date(2099, 1, 1)] * 2}
    client.insert("contents", columns)
    forgetful = (
        "SELECT project_id FROM contents WHERE %(project_id)s > 0",
        "SELECT project_id FROM (SELECT * FROM contents FINAL) WHERE %(project_id)s > 0",
        "SELECT c.project_id AS project_id FROM contents AS p, contents AS c WHERE p.project_id = %(project_id)s",
        "WITH found AS (SELECT project_id FROM contents) SELECT project_id FROM found WHERE %(project_id)s > 0"
        " UNION ALL SELECT project_id FROM contents",
        "SELECT project_id FROM contents WHERE hash IN (SELECT hash FROM contents) AND %(project_id)s > 0",
    )
    for sql in forgetful:
        assert {row["project_id"] for row in client.query(project_id, sql, tag="test")} == {project_id}, sql
        assert set(client.query_columns(project_id, sql, tag="test")["project_id"]) == {project_id}, sql
