"""The native protocol as clickhouse-driver speaks it: the same tests hold for the embedded store and for a server."""

import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import Error, ErrorCodes, NetworkError, ServerException, SocketTimeoutError

SLOW = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1"
DEADLINE_SECONDS = 180


def poll(condition: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def connect(store_url: str) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def new(query: str = "", **parts: str) -> Client:
        url = urlsplit(store_url)._replace(query=query)
        if "password" in parts:
            url = url._replace(netloc=f"{url.username}:{parts['password']}@{url.hostname}:{url.port}")
        clients.append(Client.from_url(urlunsplit(url)))
        return clients[-1]

    yield new
    for client in clients:
        client.disconnect()


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    return connect()


@pytest.fixture
def table(client: Client, project_id: int) -> Iterator[str]:
    name = f"numbers_{project_id}"
    client.execute(f"CREATE TABLE {name} (n UInt32, t String) ENGINE = MergeTree ORDER BY n")
    yield name
    client.execute(f"DROP TABLE {name}")


def running(client: Client, needle: str) -> int:
    sql = "SELECT count() FROM system.processes WHERE query LIKE %(needle)s AND query NOT LIKE '%%system.processes%%'"
    return client.execute(sql, {"needle": f"%{needle}%"})[0][0]


@pytest.mark.parametrize("compression", ["", "compression=lz4"])
@pytest.mark.parametrize("rows", [1, 100_000])
def test_rows_come_back_as_they_were_inserted(connect, table, rows, compression):
    client = connect(compression)
    data = [(number, f"text {number} é \x00") for number in range(rows)]
    assert client.execute(f"INSERT INTO {table} (n, t) VALUES", data) == rows
    assert client.execute(f"SELECT n, t FROM {table} ORDER BY n") == data


@pytest.mark.parametrize("compression", ["", "compression=lz4"])
def test_an_insert_in_many_blocks_is_stored_whole(connect, table, compression):
    client = connect(compression)
    data = [(number, "x" * 100) for number in range(5_000)]
    assert client.execute(f"INSERT INTO {table} VALUES", data, settings={"insert_block_size": 700}) == 5_000
    assert client.execute(f"SELECT count(), sum(n) FROM {table}") == [(5_000, sum(range(5_000)))]


def test_a_result_of_many_blocks_is_streamed(client):
    rows = client.execute_iter("SELECT number FROM numbers(1000000)", settings={"max_block_size": 10_000})
    assert sum(number for (number,) in rows) == sum(range(1_000_000))


def test_columns_are_named_with_and_without_rows(client):
    types = [("a", "UInt8"), ("b", "String")]
    assert client.execute("SELECT 1 AS a, 'x' AS b", with_column_types=True) == ([(1, "x")], types)
    assert client.execute("SELECT 1 AS a, 'x' AS b WHERE 0", with_column_types=True) == ([], types)


def test_statements_follow_each_other_on_one_connection(client, table):
    client.execute(f"INSERT INTO {table} VALUES (1, 'written in the statement')")
    client.execute(f"ALTER TABLE {table} ADD COLUMN extra UInt8 DEFAULT 7")
    client.execute(f"INSERT INTO {table} (n) VALUES", [(2,)])
    assert client.execute(f"SELECT n, extra FROM {table} ORDER BY n") == [(1, 7), (2, 7)]
    assert (table,) in client.execute("SHOW TABLES")
    assert client.execute(f"EXISTS TABLE {table}") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT nothing_like_this", ErrorCodes.UNKNOWN_IDENTIFIER),
        ("SELECT * FROM nothing_like_this", ErrorCodes.UNKNOWN_TABLE),
        ("SELECT 1 +", ErrorCodes.SYNTAX_ERROR),
        ("SELECT throwIf(number = 500000) FROM numbers(1000000)", ErrorCodes.FUNCTION_THROW_IF_VALUE_IS_NON_ZERO),
        ("CREATE TABLE broken (n Nonsense) ENGINE = Memory", ErrorCodes.UNKNOWN_TYPE),
        ("DROP TABLE nothing_like_this", ErrorCodes.UNKNOWN_TABLE),
    ],
)
def test_errors_carry_clickhouses_code_and_text(client, sql, code):
    with pytest.raises(ServerException, match="DB::Exception") as caught:
        client.execute(sql)
    assert caught.value.code == code
    assert client.execute("SELECT 1") == [(1,)]


def test_an_insert_into_an_unknown_table_is_refused_before_its_rows(client):
    with pytest.raises(ServerException) as caught:
        client.execute("INSERT INTO nothing_like_this VALUES", [(1,)])
    assert caught.value.code == ErrorCodes.UNKNOWN_TABLE


def test_a_refused_insert_leaves_the_connection_in_step(client, connect, project_id):
    name = f"checked_{project_id}"
    client.execute(f"CREATE TABLE {name} (n UInt32, CONSTRAINT small CHECK n < 10) ENGINE = Memory")
    with pytest.raises(ServerException) as caught:
        client.execute(f"INSERT INTO {name} VALUES", [(5,), (50,)])
    assert caught.value.code == 469  # VIOLATED_CONSTRAINT
    assert client.execute("SELECT 1") == [(1,)]
    client.execute(f"DROP TABLE {name}")


def test_settings_hold_for_their_query_only(client):
    sql = "SELECT getSetting('max_threads'), getSetting('log_comment')"
    default = client.execute(sql)
    assert client.execute(sql, settings={"max_threads": 1, "log_comment": "it's \\ a test"}) == [(1, "it's \\ a test")]
    assert client.execute(sql) == default


def test_an_unknown_setting_is_ignored_unless_it_is_important(connect):
    assert connect().execute("SELECT 1", settings={"no_such_setting": 1}) == [(1,)]
    with pytest.raises(ServerException) as caught:
        connect("settings_is_important=1").execute("SELECT 1", settings={"no_such_setting": 1})
    assert caught.value.code == ErrorCodes.UNKNOWN_SETTING


def test_a_query_that_takes_too_long_is_stopped(client):
    started = time.monotonic()
    with pytest.raises(ServerException) as caught:
        client.execute(SLOW, settings={"max_execution_time": 1})
    assert caught.value.code == ErrorCodes.TIMEOUT_EXCEEDED
    assert time.monotonic() - started < DEADLINE_SECONDS


def test_a_query_that_takes_too_much_memory_is_stopped(client):
    with pytest.raises(ServerException) as caught:
        client.execute("SELECT groupArray(number) FROM numbers(100000000)", settings={"max_memory_usage": 10_000_000})
    assert caught.value.code == ErrorCodes.MEMORY_LIMIT_EXCEEDED
    assert client.execute("SELECT 1") == [(1,)]


def test_two_slow_queries_run_at_the_same_time(connect):
    sql = "SELECT sleepEachRow(0.5) FROM numbers(4) SETTINGS max_block_size = 1"
    clients = [connect(), connect()]
    threads = [threading.Thread(target=client.execute, args=(sql,)) for client in clients]
    watcher = connect()
    for thread in threads:
        thread.start()
    poll(lambda: running(watcher, "sleepEachRow(0.5)") == 2)
    for thread in threads:
        thread.join(DEADLINE_SECONDS)


def test_the_queries_of_a_page_are_answered_while_a_heavy_one_runs(connect, project_id):
    heavy, page, watcher = connect(), connect(), connect()
    heavy.connection.force_connect()
    heavy.connection.send_query(f"{SLOW} -- {project_id}")
    heavy.connection.send_external_tables(None)
    poll(lambda: running(watcher, str(project_id)) == 1)
    for number in range(5):
        assert page.execute(f"SELECT {number}, count() > 0 FROM system.databases") == [(number, 1)]
    assert running(watcher, str(project_id)) == 1
    heavy.disconnect()
    poll(lambda: running(watcher, str(project_id)) == 0)


def test_a_cancelled_query_ends_and_its_connection_goes_on(client, connect, project_id):
    sql = f"SELECT number, '{project_id}' FROM system.numbers"
    rows = client.execute_iter(sql)
    next(rows)
    client.cancel()
    assert client.execute("SELECT 1") == [(1,)]
    watcher = connect()
    poll(lambda: running(watcher, str(project_id)) == 0)


def test_a_query_without_a_result_yet_is_cancelled_too(client, connect, project_id):
    watcher = connect()
    client.connection.force_connect()
    client.connection.send_query(f"{SLOW} -- {project_id}")
    client.connection.send_external_tables(None)
    poll(lambda: running(watcher, str(project_id)) == 1)
    started = time.monotonic()
    client.connection.send_cancel()
    while client.connection.receive_packet().type != 5:  # end of stream
        pass
    assert time.monotonic() - started < DEADLINE_SECONDS
    poll(lambda: running(watcher, str(project_id)) == 0)


def test_the_query_of_a_client_that_vanishes_is_stopped(client, connect, project_id):
    watcher = connect()
    client.connection.force_connect()
    client.connection.send_query(f"{SLOW} -- {project_id}")
    client.connection.send_external_tables(None)
    poll(lambda: running(watcher, str(project_id)) == 1)
    client.disconnect()
    poll(lambda: running(watcher, str(project_id)) == 0)


def test_a_client_that_vanishes_in_the_middle_of_an_insert_stores_nothing_and_hurts_nobody(client, connect, table):
    victim = connect()
    victim.connection.force_connect()
    victim.connection.send_query(f"INSERT INTO {table} VALUES")
    victim.connection.send_external_tables(None)
    victim.receive_sample_block()
    victim.connection.fout.write(b"\x02\x00\x01\x00\x02\xff\xff\xff\xff\x00\x02\xe8\x07\x01n")
    victim.connection.fout.flush()
    victim.disconnect()
    assert client.execute(f"SELECT count() FROM {table}") == [(0,)]


def test_a_wrong_password_is_refused(connect):
    with pytest.raises(ServerException) as caught:
        connect(password="wrong").execute("SELECT 1")
    assert caught.value.code == 516  # AUTHENTICATION_FAILED


def test_an_unknown_database_is_refused(store_url):
    client = Client.from_url(urlunsplit(urlsplit(store_url)._replace(path="/nowhere")))
    with pytest.raises(ServerException) as caught:
        client.execute("SELECT 1")
    assert caught.value.code == ErrorCodes.UNKNOWN_DATABASE
    client.disconnect()


def test_a_ping_is_answered(client):
    client.execute("SELECT 1")
    assert client.connection.ping()


def test_network_errors_are_the_drivers():
    with pytest.raises((NetworkError, SocketTimeoutError)) as caught:
        Client("127.0.0.1", 1).execute("SELECT 1")
    assert isinstance(caught.value, Error)
