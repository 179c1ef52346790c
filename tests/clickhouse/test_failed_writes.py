"""A store that cannot write ends before it answers, and nothing that was answered is missing after its next start."""

import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import Error

from tests.conftest import START_SECONDS, StoreProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits the files of a process that runs")

# A write beyond it is refused to the process (EFBIG), as one is on a full disk; unlike that, exactly and every time.
FILE_BYTES = 2**20
TABLE = """
CREATE TABLE rows (n UInt32, text String CODEC(NONE)) ENGINE = MergeTree ORDER BY n
SETTINGS non_replicated_deduplication_window = 100
"""
COUNTS = "SELECT count(), uniqExact(n), sum(length(text)) FROM rows"


def insert(client: Client, first: int, rows: int) -> None:
    """Insert rows of 1 kB under a token of their own."""
    settings = {"insert_deduplication_token": f"from {first}", "max_threads": 1}
    client.execute(
        f"INSERT INTO rows SELECT number, repeat('x', 1000) FROM numbers({first}, {rows})", settings=settings
    )


def limited(store: StoreProcess) -> None:
    resource.prlimit(store.process.pid, resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))


def ended_at_once(store: StoreProcess) -> bool:
    return store.process.wait(START_SECONDS) == -signal.SIGKILL and "writes were refused" in store.log()


def test_an_insert_whose_files_could_not_be_written_is_not_answered_and_is_stored_when_it_is_sent_again(
    start_store: Callable[..., StoreProcess],
) -> None:
    store = start_store()
    client = store.client()
    client.execute(TABLE)
    insert(client, 0, 100)
    limited(store)
    with pytest.raises((Error, EOFError)):
        insert(client, 1_000, 2_000)
    assert ended_at_once(store)

    store.start()
    assert client.execute(COUNTS) == [(100, 100, 100_000)]
    for _ in range(2):
        insert(client, 1_000, 2_000)
    assert client.execute(COUNTS) == [(2_100, 2_100, 2_100_000)]
    client.disconnect()


def test_what_a_merge_damaged_is_there_as_it_was_before(start_store: Callable[..., StoreProcess]) -> None:
    store = start_store()
    client = store.client()
    client.execute(TABLE)
    for first in (0, 1_000, 2_000):
        insert(client, first, 700)
    limited(store)
    with pytest.raises((Error, EOFError)):
        client.execute("OPTIMIZE TABLE rows FINAL")
    assert ended_at_once(store)

    store.start()
    assert client.execute(COUNTS) == [(2_100, 2_100, 2_100_000)]
    assert "put aside in `detached` of their tables: broken-on-start_" in store.log()
    client.execute("OPTIMIZE TABLE rows FINAL")
    assert client.execute(COUNTS) == [(2_100, 2_100, 2_100_000)]
    for first in (0, 1_000, 2_000):
        insert(client, first, 700)
    assert client.execute(COUNTS) == [(2_100, 2_100, 2_100_000)], "sent again, each is known"
    client.disconnect()


def test_a_refused_write_is_found_without_a_statement_that_asks() -> None:
    program = (
        "import itertools, time\n"
        "from heliograph.clickhouse.embedded.failed_writes import FailedWrites\n"
        "FailedWrites(lambda counts=itertools.chain([3], itertools.repeat(4)): next(counts))\n"
        "time.sleep(60)"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, timeout=180)
    assert ended.returncode == -signal.SIGKILL
    assert b"1 writes were refused" in ended.stderr


def test_a_look_that_the_engine_does_not_answer_is_followed_by_the_next() -> None:
    program = (
        "import time\n"
        "from heliograph.clickhouse.embedded.errors import EngineError\n"
        "from heliograph.clickhouse.embedded.failed_writes import FailedWrites\n"
        "answers = iter([3, EngineError(241, 'no memory'), 4])\n"
        "def ask():\n"
        "    answer = next(answers)\n"
        "    if isinstance(answer, EngineError): raise answer\n"
        "    return answer\n"
        "FailedWrites(ask)\n"
        "time.sleep(60)"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, timeout=180)
    assert ended.returncode == -signal.SIGKILL
    assert b"could not be asked" in ended.stderr


def test_what_was_refused_before_it_looked_ends_nothing(tmp_path: Path) -> None:
    program = (
        "from heliograph.clickhouse.embedded.failed_writes import FailedWrites\n"
        "writes = FailedWrites(lambda: 3)\n"
        "writes.end_if_any()\n"
        "writes.close()"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, timeout=180, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr


def test_the_engine_begins_nothing_on_the_last_of_the_disk(start_store: Callable[..., Any]) -> None:
    client = start_store().client()
    [(kept,)] = client.execute("SELECT keep_free_space FROM system.disks WHERE name = 'default'")
    assert 0 < kept <= 256 * 2**20
    client.disconnect()
