"""An installation in a folder of its own, driven by the commands that an operator types."""

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from heliograph.clickhouse import client, migrate
from tests.conftest import StoreProcess
from tests.query.rows import llm, new_trace_id, span, store_rows, store_spans

COMMAND_SECONDS = 300
PROJECT = 1


@dataclass
class Installation:
    folder: Path
    backups: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HELIOGRAPH_")}
        kept.pop("DATABASE_URL", None)
        self.environment = kept | self.environment
        self.environment |= {"HELIOGRAPH_DATA_DIR": str(self.folder), "HELIOGRAPH_STORE_PORT": str(port)}
        self.environment |= {"HELIOGRAPH_BACKUP_DIR": str(self.backups), "PYTHONPATH": os.pathsep.join(sys.path)}
        self.environment["DJANGO_SETTINGS_MODULE"] = "heliograph.settings"

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command of `heliograph`; return what it printed."""
        result = subprocess.run(
            [sys.executable, "-m", "heliograph.cli", *arguments],
            env=self.environment, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS,
        )  # fmt: skip
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr

    def python(self, text: str) -> None:
        """Run a line of Python with this installation's settings."""
        line = f"import django; django.setup(); {text}"
        subprocess.run([sys.executable, "-c", line], env=self.environment, check=True, timeout=COMMAND_SECONDS)

    def store(self) -> StoreProcess:
        """Start this installation's store, as `heliograph up` does, with a password that tests know."""
        self.folder.mkdir(exist_ok=True)
        process = StoreProcess(self.folder, "--backups", str(self.backups))
        # The very file and port that the commands look at.
        (self.folder / "store-password").write_text((self.folder / "password").read_text().strip(), encoding="utf-8")
        process.port = int(self.environment["HELIOGRAPH_STORE_PORT"])
        return process.start()

    def fill(self) -> None:
        """Store something of each kind; Django's database is a copy of the tests' own, which has every table."""
        process = self.store()
        before, settings.CLICKHOUSE_URL = settings.CLICKHOUSE_URL, process.url
        blobs = self.folder / "blobs" / "1" / "2099-01-05" / "ab"
        blobs.mkdir(parents=True)
        (blobs / ("ab" * 32)).write_bytes(b"a picture")
        with closing(sqlite3.connect(self.folder / "heliograph.sqlite3")) as file:
            connection.ensure_connection()
            connection.connection.backup(file)
            file.execute("INSERT INTO auth_group (name) VALUES ('from before')")
            file.commit()
        try:
            list(migrate.migrate())
            traces = [(new_trace_id(), second) for second in range(0, 600, 6)]
            roots = [span(trace, second) for trace, second in traces]
            store_spans(PROJECT, *roots, *(llm(trace, second + 1) for trace, second in traces))
            store_rows(
                PROJECT, "contents", [{"hash": "ab" * 16, "text": "You are kind.", "expires_on": date(2099, 1, 5)}]
            )
        finally:
            client.close_connections()
            settings.CLICKHOUSE_URL = before
            assert process.stop() == 0

    def content(self) -> dict[str, Any]:
        """Return what is stored, comparable: rows and a sum over every value of each table, Django's rows, blobs."""
        process = self.store()
        asking = process.client()
        try:
            ask = asking.execute
            tables = ask(
                "SELECT name, engine FROM system.tables WHERE database = 'heliograph' AND engine LIKE '%MergeTree'"
            )
            found: dict[str, Any] = {}
            for name, engine in tables:
                final = "" if engine == "MergeTree" else "FINAL"
                found[name] = ask(
                    f"SELECT count(), groupBitXor(cityHash64(formatRow('RowBinary', *))) FROM {name} {final}"
                )
        finally:
            asking.disconnect()
            assert process.stop() == 0
        root = self.folder / "blobs"
        found["blobs"] = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        found["metadata"] = self.metadata()
        return found

    def metadata(self) -> list[str]:
        with closing(sqlite3.connect(self.folder / "heliograph.sqlite3")) as file:
            return sorted(file.iterdump())
