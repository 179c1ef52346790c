"""What only the embedded store promises: it survives its clients, its end, and kill -9."""

import os
import secrets
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver.errors import Error, NetworkError, ServerException
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.clickhouse.embedded import native, wire
from heliograph.clickhouse.embedded.errors import ClientGoneError, ProtocolError
from heliograph.clickhouse.embedded.server import MAX_CONNECTIONS
from heliograph.clickhouse.embedded.statements import insert_of_blocks

SLOW = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1"
DEADLINE_SECONDS = 180
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads a process's memory from /proc")


def poll(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def memory_bytes(process_id: int) -> int:
    """What the process allocated itself: the engine's library alone maps hundreds of megabytes of file."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


def test_what_is_stored_is_there_after_a_clean_end(start_store):
    store = start_store()
    client = store.client()
    client.execute("CREATE TABLE kept (n UInt32) ENGINE = MergeTree ORDER BY n")
    client.execute("INSERT INTO kept VALUES", [(7,)])
    assert store.stop() == 0
    store.start()
    assert client.execute("SELECT n FROM kept") == [(7,)]
    client.disconnect()
    assert store.stop() == 0


def test_a_query_that_runs_does_not_hold_up_the_end(start_store):
    store = start_store()
    client = store.client()
    failures: list[Exception] = []

    def ask() -> None:
        try:
            client.execute(SLOW)
        except (Error, EOFError) as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    watcher = store.client()
    thread.start()
    poll(lambda: watcher.execute("SELECT count() FROM system.processes WHERE query LIKE '%sipHash%1)%'") != [(0,)])
    watcher.disconnect()
    started = time.monotonic()
    assert store.stop() == 0
    assert time.monotonic() - started < DEADLINE_SECONDS
    thread.join(DEADLINE_SECONDS)
    assert len(failures) == 1


def test_killed_during_inserts_nothing_acknowledged_is_lost(start_store):
    store = start_store()
    client = store.client()
    client.execute("CREATE TABLE acknowledged (n UInt64) ENGINE = MergeTree ORDER BY n")
    acknowledged: set[int] = set()
    attempted: set[int] = set()

    def write(writer: int, rounds: int) -> None:
        own = store.client()
        for number in range(10_000):
            value = (rounds * 10 + writer) * 10_000 + number
            attempted.add(value)
            try:
                own.execute("INSERT INTO acknowledged VALUES", [(value,)])
            except (Error, EOFError, OSError):
                return
            acknowledged.add(value)

    for rounds in range(3):
        threads = [threading.Thread(target=write, args=(writer, rounds)) for writer in range(3)]
        for thread in threads:
            thread.start()
        before = len(acknowledged)
        poll(lambda before=before: len(acknowledged) >= before + 150)
        store.kill()
        for thread in threads:
            thread.join(DEADLINE_SECONDS)
        store.start()
        stored = [value for (value,) in client.execute("SELECT n FROM acknowledged")]
        assert acknowledged <= set(stored) <= attempted
        assert len(stored) == len(set(stored))
    client.disconnect()


def test_a_client_connects_again_after_a_restart(start_store):
    store = start_store()
    client = store.client()
    assert client.execute("SELECT 1") == [(1,)]
    store.kill()
    with pytest.raises((NetworkError, EOFError)):
        client.execute("SELECT 1")
    store.start()
    assert client.execute("SELECT 1") == [(1,)]
    client.disconnect()


def test_a_second_server_on_one_folder_says_why_it_cannot_start(start_store):
    store = start_store()
    other = type(store)(store.folder.parent / "other")
    (other.folder / "store").symlink_to(store.folder / "store")
    with pytest.raises(RuntimeError, match="Cannot start"):
        other.start()
    assert other.process.returncode == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00" * 100,
        b"\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        os.urandom(5000),
    ],
)
def test_garbage_on_the_port_hurts_nobody(start_store, garbage):
    store = start_store()
    with socket.create_connection(("127.0.0.1", store.port), timeout=DEADLINE_SECONDS) as stranger:
        stranger.sendall(garbage)
        stranger.shutdown(socket.SHUT_WR)
        while stranger.recv(4096):
            pass
    client = store.client()
    assert client.execute("SELECT 1") == [(1,)]
    client.disconnect()


def test_only_so_many_clients_are_let_in_and_the_next_is_told_why(start_store):
    store = start_store()
    clients = [store.client() for _ in range(MAX_CONNECTIONS)]
    for client in clients:
        client.execute("SELECT 1")
    late = store.client()
    with pytest.raises(ServerException, match="Too many connections") as caught:
        late.execute("SELECT 1")
    assert caught.value.code == 202
    clients.pop().disconnect()

    def served() -> bool:
        try:
            return late.execute("SELECT 1") == [(1,)]
        except ServerException:
            return False

    poll(served)
    for client in [*clients, late]:
        client.disconnect()


@on_linux
def test_the_engine_keeps_within_its_memory(start_store):
    limit = 600 * 2**20
    store = start_store("--max-memory", str(limit))
    client = store.client()
    with pytest.raises(ServerException) as caught:
        client.execute("SELECT groupArray(toString(number)) FROM numbers(200000000)")
    assert caught.value.code == 241
    assert client.execute("SELECT 1") == [(1,)]
    assert memory_bytes(store.process.pid) < limit + 200 * 2**20
    client.disconnect()


@on_linux
def test_a_large_insert_does_not_stay_in_memory(start_store):
    store = start_store()
    client = store.client()
    client.execute("CREATE TABLE large (t String) ENGINE = MergeTree ORDER BY tuple()")
    text = secrets.token_hex(500)
    before = memory_bytes(store.process.pid)
    rows = ((text,) for _ in range(300_000))
    assert client.execute("INSERT INTO large VALUES", rows, settings={"insert_block_size": 10_000}) == 300_000
    assert client.execute("SELECT count(), sum(length(t)) FROM large") == [(300_000, 300_000_000)]
    assert memory_bytes(store.process.pid) - before < 300 * 2**20
    client.disconnect()


def test_later_parts_of_one_insert_are_not_taken_for_repetitions(start_store):
    store = start_store()
    client = store.client()
    client.execute(
        "CREATE TABLE once (n UInt64, t String) ENGINE = MergeTree ORDER BY n"
        " SETTINGS non_replicated_deduplication_window = 100"
    )
    rows = [(number, "x" * 1000) for number in range(100_000)]  # more than one part of 64 MiB
    options: dict[str, Any] = {"insert_block_size": 20_000, "insert_deduplication_token": "token"}
    for _ in range(2):
        client.execute("INSERT INTO once VALUES", rows, settings=dict(options))
        assert client.execute("SELECT count(), uniqExact(n) FROM once") == [(100_000, 100_000)]
    client.disconnect()


def test_inserts_work_without_files_in_memory(start_store, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    store = start_store()
    store.stop()
    store.program = [
        "-c",
        "import os, runpy; os.__dict__.pop('memfd_create', None);"  # as on macOS
        "runpy.run_module('heliograph.clickhouse.embedded', run_name='__main__')",
    ]
    store.start()
    client = store.client()
    client.execute("CREATE TABLE plain (n UInt32) ENGINE = MergeTree ORDER BY n")
    client.execute("INSERT INTO plain VALUES", [(number,) for number in range(1000)])
    assert client.execute("SELECT count() FROM plain") == [(1000,)]
    assert list(tmp_path.glob("heliograph-insert-*")) == []
    client.disconnect()


def test_no_log_table_grows_behind_the_users_back(start_store):
    store = start_store()
    client = store.client()
    for _ in range(20):
        client.execute("SELECT 1")
    logs = client.execute("SELECT name FROM system.tables WHERE database = 'system' AND engine LIKE '%MergeTree'")
    assert logs == []
    client.disconnect()


def source_of(raw: bytes) -> wire.Source:
    chunks = iter([raw])

    def fill() -> bytes:
        try:
            return next(chunks)
        except StopIteration:
            raise ClientGoneError("end") from None

    return wire.Source(fill)


@given(st.binary(max_size=2000))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_a_block_or_a_named_failure(raw):
    try:
        native.skip_block(source_of(raw))
    except (ProtocolError, ClientGoneError, EOFError, MemoryError):
        return


@given(st.text(alphabet="ABCDNULowrdinaityMpTuple(), '`0123456789", max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_type_name_has_a_layout_or_a_named_failure(name):
    try:
        native._skip_column(source_of(b""), name, 0)
    except ProtocolError:
        return


@pytest.mark.parametrize("columns", [2**14, 2**40])
def test_a_block_of_absurd_size_is_refused_at_once(columns):
    with pytest.raises(ProtocolError, match="over the limit"):
        native.skip_block(source_of(wire.varint(columns) + wire.varint(2**40)))


def test_a_corrupted_compressed_block_is_recognised():
    frame = bytearray(b"".join(wire.compressed(b"x" * 1000)))
    assert wire.decompressed(source_of(bytes(frame))).take(1000) == b"x" * 1000
    frame[-1] ^= 1
    with pytest.raises(ProtocolError, match="Checksum"):
        wire.decompressed(source_of(bytes(frame))).take(1000)


def test_a_compressed_frame_that_claims_gigabytes_is_refused():
    frame = b"\x00" * 16 + struct.pack("<BII", 0x82, 100, 2**32 - 1)
    with pytest.raises(ProtocolError, match="not possible"):
        wire.decompressed(source_of(frame)).take(1)


@pytest.mark.parametrize(
    ("sql", "sample"),
    [
        ("INSERT INTO t VALUES", "SELECT * FROM t"),
        ('  insert into `a b`."c" (`x.y`, z) values ;', 'SELECT `x.y`, z FROM `a b`."c"'),
        ("INSERT INTO t (a) SETTINGS async_insert = 0 FORMAT Native", "SELECT a FROM t"),
        ("INSERT INTO t (`odd)name`) VALUES", "SELECT `odd)name` FROM t"),
        ("INSERT INTO t VALUES (1)", None),
        ("INSERT INTO t SELECT 1", None),
        ("SELECT 'INSERT INTO t VALUES'", None),
        ("INSERT INTO t (" + "`a`, " * 2000 + "!", None),
    ],
)
def test_an_insert_that_waits_for_blocks_is_recognised(sql, sample):
    insert = insert_of_blocks(sql)
    assert (insert.sample if insert else None) == sample


def test_the_store_starts_without_django():
    code = "import sys, heliograph.clickhouse.embedded.__main__; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("size", [2**31, 2**40, 2**63])
def test_a_text_that_claims_more_than_it_brings_reserves_no_memory(size):
    block = wire.varint(1) + wire.varint(1) + wire.string("c") + wire.string("String") + wire.varint(size) + b"abc"
    with pytest.raises((ClientGoneError, ProtocolError)):
        native.skip_block(source_of(block))
