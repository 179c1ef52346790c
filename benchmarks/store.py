"""What a span costs to store: the engine alone, the engine behind the protocol, and the whole door from Python lists.

    python benchmarks/store.py [--spans 2000] [--rounds 15]

The three take turns in one run on one machine, so their ratios mean something where their seconds do not. CPU seconds
are those of the process that works: for the last two the client's and the server's together.
"""

import argparse
import io
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]
_FOLDER = tempfile.TemporaryDirectory(prefix="heliograph-benchmark-")
FOLDER = Path(_FOLDER.name)
os.environ |= {"HELIOGRAPH_DATA_DIR": str(FOLDER / "data"), "DJANGO_SETTINGS_MODULE": "heliograph.settings"}

import django  # noqa: E402  # the settings read the environment above

django.setup()

from clickhouse_driver import Client  # noqa: E402  # the path comes first
from clickhouse_driver.bufferedwriter import CompressedBufferedWriter  # noqa: E402  # as above
from django.conf import settings  # noqa: E402  # as above

from heliograph.clickhouse import client, migrate  # noqa: E402  # as above
from heliograph.clickhouse.embedded import wire  # noqa: E402  # as above
from heliograph.clickhouse.embedded.engine import BlockFile, Engine  # noqa: E402  # as above
from heliograph.clickhouse.embedded.statements import InsertOfBlocks, insert_of_blocks  # noqa: E402  # as above
from heliograph.clickhouse.encode import encoder  # noqa: E402  # as above

TEXT_BYTES = 1000  # input and output each: a span of 2 KB of text
ATTRIBUTES = 25
Columns = dict[str, list[Any]]


def spans(count: int, seed: int) -> Columns:
    """Return `count` spans of traces of ten, with 2 KB of text and 25 attributes each."""
    choice = random.Random(seed)
    texts = ["".join(choice.choices("abcdefghij klmnop", k=TEXT_BYTES)) for _ in range(50)]
    traces = [f"{choice.getrandbits(128):032x}" for _ in range(count // 10 + 1)]
    ids = [f"{choice.getrandbits(64):016x}" for _ in range(count)]
    start, rows = time.time_ns(), range(count)
    some = lambda value: [value if row % 2 else None for row in rows]  # noqa: E731  # half the spans are model calls
    return {
        "project_id": [1] * count,
        "trace_id": [traces[row // 10] for row in rows],
        "span_id": ids,
        "parent_span_id": ["" if row % 10 == 0 else ids[row // 10 * 10] for row in rows],
        "is_entry": [row % 10 == 0 for row in rows],
        "start_time": [start + row * 1000 for row in rows],
        "duration_ns": [choice.randrange(10**10) for _ in rows],
        **{name: [f"{name}-{row % 5}" for row in rows] for name in ("service", "host", "model", "provider", "release")},
        "name": [f"chat {row % 7}" for row in rows],
        "kind": ["llm" if row % 2 else "chain" for row in rows],
        "status": ["ok"] * count,
        **{name: some(1234) for name in ("input_tokens", "output_tokens", "cache_read_tokens", "ttft_ns")},
        **{name: some(Decimal("0.001234")) for name in ("input_cost", "output_cost", "cost")},
        "usage_counted": [bool(row % 2) for row in rows],
        "session_id": [f"session {row % 100}" for row in rows],
        "tags": [["a", "b"] if row % 5 == 0 else [] for row in rows],
        "input": [texts[row % 50] for row in rows],
        "output": [texts[(row + 7) % 50] for row in rows],
        "input_preview": [texts[row % 50][:200] for row in rows],
        "output_preview": [texts[(row + 7) % 50][:200] for row in rows],
        "attributes": [{f"gen_ai.key.{key}": f"value {row * key % 97}" for key in range(ATTRIBUTES)} for row in rows],
        "resource": [{"service.name": "shop", "host.name": "a", "telemetry.sdk.name": "opentelemetry"}] * count,
        "retention_days": [90] * count,
    }


def native_block(columns: Columns, types: dict[str, str]) -> bytes:
    """Return the columns as one block of FORMAT Native."""
    out = io.BytesIO()
    sink = CompressedBufferedWriter(out, 2**20)
    sink.write(wire.varint(len(columns)) + wire.varint(len(columns["span_id"])))
    for name, items in columns.items():
        sink.write(wire.string(name) + wire.string(types[name]))
        encode = encoder(types[name])
        assert encode is not None, types[name]
        encode.write(items, sink)
    sink.flush()
    return out.getvalue()


@contextmanager
def server() -> Iterator[int]:
    """Start an embedded store, point the settings at it, migrate it; yield its process id."""
    port_file = FOLDER / "port"
    command = [sys.executable, "-m", "heliograph.clickhouse.embedded", "--path", str(FOLDER / "served"), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "platform")}
    process = subprocess.Popen([*command, "--port-file", str(port_file)], env=environment, stderr=subprocess.DEVNULL)
    try:
        while not port_file.exists():
            assert process.poll() is None, "the store did not start"
            time.sleep(0.02)
        settings.CLICKHOUSE_URL = f"clickhouse://heliograph:@127.0.0.1:{port_file.read_text()}/heliograph"
        for _ in migrate.migrate():
            pass
        yield process.pid
        client.close_connections()
    finally:
        process.terminate()
        process.wait()


def cpu_seconds(server_pid: int | None) -> float:
    """Return the CPU seconds of this process, and of the server where Linux tells."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    total = own.ru_utime + own.ru_stime
    stat = Path(f"/proc/{server_pid}/stat")
    if server_pid is not None and stat.exists():
        fields = stat.read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def send_block(bare: Client, sql: str, block: bytes) -> None:
    """Insert a ready block over the protocol, without making values of it."""
    with bare.disconnect_on_error(sql, dict(client._insert_settings("spans", ""))):
        bare.connection.send_query(sql)
        bare.connection.send_external_tables(None)
        bare.receive_sample_block()
        out = bare.connection.fout
        for content in (block, b"\x00\x00"):
            out.write(b"\x02\x00" + wire.BLOCK_INFO + content)
        out.flush()
        bare.receive_end_of_insert_query()


@dataclass
class Way:
    """One way to store the same spans."""

    name: str
    run: Callable[[int], None]
    server_pid: int | None
    wall: list[float]
    cpu: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--spans", type=int, default=2000, help="in one insert; the collector's group commit makes about this many"
    )
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    samples = [spans(arguments.spans, seed) for seed in range(5)]
    names = ", ".join(f"`{name}`" for name in samples[0])
    sql = f"INSERT INTO spans ({names}) VALUES"

    engine = Engine(FOLDER / "raw", 4 * 2**30)
    session = engine.session()
    for migration in migrate.read_migrations():
        for statement in migration.statements:
            list(session.blocks(statement, engine.new_mark()))
    types = dict(session.columns(f"SELECT {names} FROM spans"))
    blocks = [native_block(columns, types) for columns in samples]
    insert = insert_of_blocks(sql)
    assert isinstance(insert, InsertOfBlocks)
    session.configure({name: (str(value), False) for name, value in client._insert_settings("spans", "").items()})
    file = BlockFile()

    def raw(number: int) -> None:
        file.append([blocks[number]])
        session.insert(insert, file, engine.new_mark())
        file.clear()

    with server() as pid:
        bare = Client.from_url(settings.CLICKHOUSE_URL)
        ways = [
            Way("engine", raw, None, [], []),
            Way("protocol", lambda number: send_block(bare, sql, blocks[number]), pid, [], []),
            Way("door", lambda number: client.insert("spans", samples[number]), pid, [], []),
        ]
        for turn in range(arguments.rounds + 1):
            for way in ways:
                wall, cpu = time.perf_counter(), cpu_seconds(way.server_pid)
                for number in range(5):
                    way.run(number)
                if turn:  # the first round warms up
                    way.wall.append((time.perf_counter() - wall) / 5)
                    way.cpu.append((cpu_seconds(way.server_pid) - cpu) / 5)
        bare.disconnect()

    size = len(blocks[0]) / arguments.spans
    print(f"{arguments.spans} spans an insert, {size:.0f} bytes a span, {arguments.rounds} rounds of 5")
    wall_of_engine, cpu_of_engine = (statistics.median(figures) for figures in (ways[0].wall, ways[0].cpu))
    for way in ways:
        wall, cpu = statistics.median(way.wall), statistics.median(way.cpu)
        print(
            f"{way.name:10}{arguments.spans / wall:10,.0f} spans/s, {wall / wall_of_engine:.2f} of the engine's time;"
            f"{cpu * 1000 / arguments.spans:9.4f} CPU s per 1,000 spans, {cpu / cpu_of_engine:.2f} of the engine's"
        )
    file.close()
    sys.stdout.flush()
    os._exit(0)  # chDB's own threads need no farewell; the folder is temporary


if __name__ == "__main__":
    try:
        main()
    finally:
        _FOLDER.cleanup()
