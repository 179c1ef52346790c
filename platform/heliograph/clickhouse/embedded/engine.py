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
from heliograph.clickhouse.embedded.statements import InsertOfBlocks
from heliograph.clickhouse.embedded.wire import header_block

DATABASE = "heliograph"
# The default of 5 GiB is meant for a server of its own; index marks of 100 million spans take about 50 MB.
MARK_CACHE_BYTES = 256 * 2**20
# The engine shares its host with ingest, pages and evaluators.
MEMORY_SHARE = 0.5

_TOKEN = "insert_deduplication_token"  # noqa: S105  # a setting's name
_STREAMABLE = ("select", "with", "(")
_NOT_STREAMABLE = "Streaming query is not supported"


def default_memory_bytes() -> int:
    """Return the engine's limit: a share of the host's memory."""
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)


def _literal(text: str) -> str:
    """Return a ClickHouse string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _identifier(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


class Engine:
    """The opened folder. Raises EngineError when another process owns it."""

    def __init__(self, path: Path, max_memory_bytes: int) -> None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._address = f"{path}?mark_cache_size={MARK_CACHE_BYTES}&max_server_memory_usage={max_memory_bytes}"
        self._serials = itertools.count(1)
        self._instance = secrets.token_hex(8)
        self._control = self._connect()
        self._control_lock = threading.Lock()
        self._rows(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
        self.known_settings = frozenset(self._rows("SELECT name FROM system.settings"))
        version, self.timezone, self.host_name = self._rows("SELECT arrayJoin([version(), timezone(), hostName()])")
        major, minor, patch = (int(part) for part in version.split(".")[:3])
        self.version = (major, minor, patch)

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
            if important or name in self._engine.known_settings
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
        raw = self._run(text)
        if raw:
            blocks = native.split_blocks(raw)
            yield header_block(native.columns_of(blocks[0]))
            yield from blocks

    def insert(self, insert: InsertOfBlocks, blocks: "BlockFile", mark: str, part: int = 0) -> None:
        """Store the gathered blocks, the `part`th of their INSERT; returns when they are stored."""
        settings = [insert.settings] if insert.settings else []
        token = self._settings.get(_TOKEN)
        if part and token:
            # The engine would take a later part under the same token for the first one sent again.
            settings.append(f"{_TOKEN} = {_literal(f'{token}-{part}')}")
        clause = f"SETTINGS {', '.join(settings)}" if settings else ""
        self._run(f"{insert.target} FROM INFILE {_literal(blocks.path)} {clause} FORMAT Native\n{mark}")


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
