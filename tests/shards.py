"""A sharded cluster of real ClickHouse servers on this machine, for the same tests: `HELIOGRAPH_TEST_SHARDS=3 pytest`.

chDB has ClickHouse's own server for its protocol within, as `clickhouse-local` has: a process that finds a port in
`config.xml` opens it by SYSTEM START LISTEN. So these are servers of the engine's own code, unlike the embedded server,
which speaks the protocol itself: they answer parts of questions to each other.

What they lack is a Keeper, and with it replicas and `ON CLUSTER`. So `running` does for such a statement what servers
with one would, which is to run it on each of them, and makes tables that are not replicated.
"""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from clickhouse_driver import Client
from django.test import override_settings

from heliograph.clickhouse.prepared import BlockClient

START_SECONDS = 120
CLUSTER, PASSWORD = "main", "tests-only"
_SERVE = """
import sys
from chdb import _chdb
_chdb.query(
    "SYSTEM START LISTEN TCP; SELECT sleepEachRow(3) FROM numbers(1000000) FORMAT Null"
    " SETTINGS function_sleep_max_microseconds_per_block = 0, max_block_size = 1",
    path=sys.argv[1],
)
"""
_CONFIG = """
<clickhouse>
    <listen_host>127.0.0.1</listen_host><tcp_port>{port}</tcp_port>
    <users_config>users.xml</users_config>
    <macros><cluster>{cluster}</cluster><shard>{number}</shard><replica>one</replica></macros>
    <remote_servers><{cluster}>{shards}</{cluster}></remote_servers>
</clickhouse>
"""
_SHARD = """
<shard>
    <internal_replication>true</internal_replication>
    <replica><host>127.0.0.1</host><port>{port}</port><user>heliograph</user><password>{password}</password></replica>
</shard>
"""
_USERS = """
<clickhouse>
    <profiles><default/></profiles><quotas><default/></quotas>
    <users>
        <!-- as whom chDB connects to itself -->
        <default>
            <password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
        </default>
        <heliograph>
            <password>{password}</password><networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile><quota>default</quota><access_management>1</access_management>
        </heliograph>
    </users>
</clickhouse>
"""
_ON_CLUSTER = re.compile(r" ON CLUSTER '[^']*'")
_WITHOUT_KEEPER = (
    (_ON_CLUSTER, ""),
    (re.compile(r"Replicated(\w+)\('[^']*', '[^']*'(?:, )?"), r"\1("),
    (re.compile(r", replicated_deduplication_window_seconds = \d+"), ""),
    (re.compile(r"\breplicated_deduplication_window\b"), "non_replicated_deduplication_window"),
)


class Server:
    """One of them, in a process of its own."""

    def __init__(self, folder: Path, port: int, number: int, shards: str) -> None:
        self.folder, self.port = folder, port
        folder.mkdir(parents=True)
        config = _CONFIG.format(port=port, cluster=CLUSTER, number=number, shards=shards)
        (folder / "config.xml").write_text(config.strip())
        (folder / "users.xml").write_text(_USERS.format(password=PASSWORD).strip())
        with (folder / "log").open("wb") as log:
            command = [sys.executable, "-c", _SERVE, str(folder / "store")]
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)

    def client(self, database: str = "heliograph") -> Client:
        return Client("127.0.0.1", self.port, database, "heliograph", PASSWORD)

    @property
    def url(self) -> str:
        return f"clickhouse://heliograph:{PASSWORD}@127.0.0.1:{self.port}/heliograph"

    def make_database(self) -> None:
        """Wait until it answers, and make the database."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            with suppress(EOFError, OSError), closing(socket.create_connection(("127.0.0.1", self.port), 1)):
                break
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.05)
        with self.client("default") as client:
            client.execute("CREATE DATABASE heliograph")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(START_SECONDS)


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@contextmanager
def running(folder: Path, count: int) -> Iterator[list[Server]]:
    """Yield servers of which each knows the others as shards, with `ON CLUSTER` for what this process asks them."""
    ports = _free_ports(count)
    shards = "".join(_SHARD.format(port=port, password=PASSWORD) for port in ports)
    servers = [Server(folder / f"shard-{number}", port, number, shards) for number, port in enumerate(ports)]
    try:
        for server in servers:
            server.make_database()
        with _on_cluster(servers):
            yield servers
    finally:
        for server in servers:
            server.kill()


@contextmanager
def _on_cluster(servers: list[Server]) -> Iterator[None]:
    execute = BlockClient.execute

    def on_each(client: BlockClient, query: str, params: Any = None, **options: Any) -> Any:
        if not _ON_CLUSTER.search(query):
            return execute(client, query, params, **options)
        statement = query
        for pattern, instead in _WITHOUT_KEEPER:
            statement = pattern.sub(instead, statement)
        for server in servers:
            with server.client() as each:
                answer = each.execute(statement, params, **options)
        return answer

    with patch.object(BlockClient, "execute", on_each):
        yield


@contextmanager
def asked(servers: list[Server]) -> Iterator[None]:
    """Have the settings name the cluster, by its first server."""
    cluster = {"CLICKHOUSE_CLUSTER": "{cluster}", "CLICKHOUSE_SHARDED": True, "EMBEDDED_STORE": False}
    with override_settings(CLICKHOUSE_URL=servers[0].url, **cluster):
        yield


def wanted() -> int:
    """Return over how many shards the tests shall run, 0 for one embedded store."""
    return int(os.environ.get("HELIOGRAPH_TEST_SHARDS", "0"))
