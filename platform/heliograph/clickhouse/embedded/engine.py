"""The chDB engine: one folder, one process, any number of sessions.

chDB locks its folder to a process and runs queries of different connections in parallel, one at a time on each; it
releases the GIL meanwhile. A query that runs is stopped with KILL QUERY from another connection, because chDB's own
cancel waits for the query it should stop.
"""

import contextlib
import itertools
import json
import os
import secrets
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import chdb
from chdb._exceptions import ChdbError  # chdb.ChdbError is another class, which connections do not raise

from heliograph.clickhouse.embedded import native
from heliograph.clickhouse.embedded.errors import EngineError
from heliograph.clickhouse.embedded.failed_writes import COUNTED, FailedWrites, set_aside
from heliograph.clickhouse.embedded.repair import take_back_what_is_not_there
from heliograph.clickhouse.embedded.statements import InsertOfBlocks
from heliograph.clickhouse.embedded.view_identity import (
    LEFT_ASIDE,
    InsertGate,
    altered_table,
    inserts,
    is_view,
    rename_back,
    rename_there_and_back,
)
from heliograph.clickhouse.embedded.wire import header_block

DATABASE = "heliograph"
# The disk that BACKUP and RESTORE may use, as a server's configuration would name one.
BACKUP_DISK = "backups"
# The policy of tables whose oldest weeks may lie in a bucket (ADR 0071), and its volumes: engine's own disk, bucket.
COLD_POLICY = "tiered"
COLD_VOLUME = "object"
# The default of 5 GiB is meant for a server of its own; index marks of 100 million spans take about 50 MB.
MARK_CACHE_BYTES = 256 * 2**20
# The engine shares its host with ingest, pages and evaluators.
MEMORY_SHARE = 0.5
# No insert and no merge begins with less room than this on the disk, so that those under way have some: a merge of
# long texts writes tens of MB a second. A share of small disks.
KEEP_FREE_BYTES = 256 * 2**20
KEEP_FREE_SHARE = 0.05

_TOKEN = "insert_deduplication_token"  # noqa: S105  # a setting's name
# A server that asks for another one says every setting, with its default too: this one may not be set, even to that.
_OF_A_QUESTION = {("run_query_in_background", "0"), ("run_query_in_background", "false")}
_STREAMABLE = ("select", "with", "(")
_NOT_STREAMABLE = "Streaming query is not supported"


def default_memory_bytes() -> int:
    """Return the engine's limit: a share of the host's memory."""
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)


def _kept_free(path: Path) -> int:
    disk = os.statvfs(path)
    return min(KEEP_FREE_BYTES, int(disk.f_blocks * disk.f_frsize * KEEP_FREE_SHARE))


def _literal(text: str) -> str:
    """Return a ClickHouse string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _identifier(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def _tiers(cold_endpoint: str) -> str:
    """Return the parameters of the policy COLD_POLICY, with the bucket at an endpoint as its second volume.

    The policy is there without a bucket too: a table that was given it once keeps it for good.
    """
    # Volumes stand in the order of their names, and rows arrive in the first: `default` is before `object`.
    volumes = f"storage_configuration.policies.{COLD_POLICY}.volumes"
    found = f"&{volumes}=1&{volumes}.default.disk=default"
    if cold_endpoint:
        disk = "storage_configuration.disks.cold"
        found += f"&{disk}.type=s3&{disk}.endpoint={cold_endpoint}&{disk}.use_environment_credentials=1"
        found += f"&{volumes}.{COLD_VOLUME}.disk=cold"
    return found


class Engine:
    """The opened folder. Raises EngineError when another process owns it."""

    def __init__(self, path: Path, max_memory_bytes: int, backups: Path | None = None, cold_endpoint: str = "") -> None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        take_back_what_is_not_there(path)
        self._address = f"{path}?mark_cache_size={MARK_CACHE_BYTES}&max_server_memory_usage={max_memory_bytes}"
        if backups is not None:
            backups.mkdir(parents=True, exist_ok=True, mode=0o700)
            disk = f"storage_configuration.disks.{BACKUP_DISK}"
            self._address += f"&{disk}.type=local&{disk}.path={backups}/&backups.allowed_disk={BACKUP_DISK}"
        self._address += _tiers(cold_endpoint)
        self._address += f"&storage_configuration.disks.default.keep_free_space_bytes={_kept_free(path)}"
        damaged_before = set_aside(path)
        self._serials = itertools.count(1)
        self._instance = secrets.token_hex(8)
        self._control = self._connect()
        self._control_lock = threading.Lock()
        self.insert_gate = InsertGate()
        self._rows(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
        self._rows(f"USE {DATABASE}")
        for aside in self._rows(LEFT_ASIDE):
            self._rows(rename_back(aside))
        self.known_settings = frozenset(self._rows("SELECT name FROM system.settings"))
        version, self.timezone, self.host_name = self._rows("SELECT arrayJoin([version(), timezone(), hostName()])")
        major, minor, patch = (int(part) for part in version.split(".")[:3])
        self.version = (major, minor, patch)
        # Loads every table, which may be done only when it is first asked for.
        self._rows("SELECT count() FROM system.parts")
        self.damaged = sorted(part.name for part in set_aside(path) - damaged_before)
        self.failed_writes = FailedWrites(lambda: int(self._rows(COUNTED)[0]))

    def _connect(self) -> Any:
        try:
            return chdb.connect(self._address)  # type: ignore[no-untyped-call]  # chDB is typed in parts only
        except (ChdbError, RuntimeError) as error:
            raise EngineError.from_text(str(error)) from error

    def _rows(self, sql: str) -> list[str]:
        with self._control_lock:
            try:
                raw: bytes = self._control.query(sql, "TSVRaw").bytes()
            except ChdbError as error:
                raise EngineError.from_text(str(error)) from error
        return raw.decode("utf-8").splitlines()

    def session(self) -> "Session":
        return Session(self, self._connect())

    def new_mark(self) -> str:
        """Return a text that makes one query findable among those that run."""
        return f"-- heliograph {self._instance} {next(self._serials)}."

    def kill(self, mark: str) -> None:
        """Ask the engine to stop the query that ends in `mark`; returns at once, also if there is none."""
        self._rows(f"KILL QUERY WHERE endsWith(query, {_literal(mark)}) ASYNC")

    def close(self) -> None:
        """Close the engine, which it does with its last connection."""
        self.failed_writes.close()
        with self._control_lock:
            self._control.close()


class Session:
    """One client's connection to the engine: its database, its settings, one statement at a time."""

    def __init__(self, engine: Engine, connection: Any) -> None:
        self._engine = engine
        self._connection = connection
        # What is set beside the defaults; the marker None says that the value is uncertain.
        self._settings: dict[str, str | None] = {}

    def close(self) -> None:
        self._connection.close()

    def _run(self, sql: str, output: str = "Native") -> bytes:
        try:
            return bytes(self._connection.query(sql, output).bytes())
        except ChdbError as error:
            raise EngineError.from_text(str(error)) from error

    def use(self, database: str) -> None:
        self._run(f"USE {_identifier(database)}")

    def configure(self, wanted: dict[str, tuple[str, bool]]) -> None:
        """Give the session exactly these settings: name -> (value, important). Unknown ones that are not important
        are ignored, as ClickHouse does."""
        known = {
            name: value
            for name, (value, important) in wanted.items()
            if (important or name in self._engine.known_settings) and (name, value) not in _OF_A_QUESTION
        }
        changes = [f"{_identifier(name)} = DEFAULT" for name in self._settings if name not in known]
        changes += [
            f"{_identifier(name)} = {_literal(value)}"
            for name, value in known.items()
            if self._settings.get(name) != value
        ]
        if not changes:
            return
        self._settings = {
            name: None for name in self._settings.keys() | known.keys() if name in self._engine.known_settings
        }
        self._run("SET " + ", ".join(changes))
        self._settings = dict(known)

    def columns(self, select: str) -> list[tuple[str, str]]:
        """Return (name, type) of what a SELECT would return."""
        raw = self._run(f"DESCRIBE TABLE ({select}\n) SETTINGS describe_compact_output = 1", "JSONCompact")
        return [(name, type_name) for name, type_name in json.loads(raw)["data"]]

    def tables_among(self, asked: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return those tables, of (database, name), that there are."""
        raw = self._run("SELECT database, name FROM system.tables", "JSONCompact")
        there = {(database, name) for database, name in json.loads(raw)["data"]}
        return [each for each in asked if each in there]

    def blocks(self, sql: str, mark: str) -> Generator[bytes]:
        """Run one statement and yield the blocks of its result as the engine makes them.

        The first block of a SELECT has no rows and names its columns. Closing the iterator stops the query.
        """
        text = f"{sql}\n{mark}"
        if not sql.lstrip().lower().startswith(_STREAMABLE):
            yield from self._whole(text)
            return
        try:
            result = self._connection.send_query(text, "Native")
        except ChdbError as error:
            if _NOT_STREAMABLE not in str(error):
                raise EngineError.from_text(str(error)) from error
            yield from self._whole(text)
            return
        first = True
        try:
            while (chunk := result.fetch()) is not None:
                block = native.checked(bytes(chunk.bytes()), int(chunk.rows_read()))
                if first:
                    yield header_block(native.columns_of(block))
                    first = False
                yield block
        except ChdbError as error:
            raise EngineError.from_text(str(error)) from error
        finally:
            result.close()
        if first:
            yield header_block(self.columns(sql))

    def _whole(self, text: str) -> Iterator[bytes]:
        raw = self._run_among_inserts(text)
        if raw:
            blocks = native.split_blocks(raw)
            yield header_block(native.columns_of(blocks[0]))
            yield from blocks

    def _run_among_inserts(self, text: str) -> bytes:
        if inserts(text):
            with self._engine.insert_gate.passing():
                return self._write(text)
        altered = altered_table(text)
        if not altered or not self._run(is_view(altered)):
            return self._write(text)
        with self._engine.insert_gate.shut():
            raw = self._run(text)
            self._write(rename_there_and_back(altered))
        return raw

    def _write(self, text: str) -> bytes:
        raw = self._run(text)
        self._engine.failed_writes.end_if_any()
        return raw

    def insert(self, insert: InsertOfBlocks, blocks: "BlockFile", mark: str, part: int = 0) -> None:
        """Store the gathered blocks, the `part`th of their INSERT; returns when they are stored."""
        settings = [insert.settings] if insert.settings else []
        token = self._settings.get(_TOKEN)
        if part and token:
            # The engine would take a later part under the same token for the first one sent again.
            settings.append(f"{_TOKEN} = {_literal(f'{token}-{part}')}")
        clause = f"SETTINGS {', '.join(settings)}" if settings else ""
        with self._engine.insert_gate.passing():
            self._write(f"{insert.target} FROM INFILE {_literal(blocks.path)} {clause} FORMAT Native\n{mark}")


class BlockFile:
    """Blocks on their way into the engine, in memory where the system can name such a file by a path."""

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self._descriptor = os.memfd_create("heliograph-insert", os.MFD_CLOEXEC)
            self.path = f"/proc/self/fd/{self._descriptor}"
        else:
            self._descriptor, self.path = tempfile.mkstemp(prefix="heliograph-insert-")
        self.size = 0

    def append(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Add one block, given in pieces."""
        for piece in pieces:
            view = memoryview(piece)
            self.size += len(view)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def clear(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.size = 0

    def close(self) -> None:
        os.close(self._descriptor)
        if not self.path.startswith("/proc/"):
            with contextlib.suppress(FileNotFoundError):  # the system's own tidying of old temporary files
                os.unlink(self.path)
