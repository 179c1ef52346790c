"""A store and a collector as processes of their own, with a data folder of their own, for tests and benchmarks."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from clickhouse_driver import Client

ROOT = Path(__file__).resolve().parent.parent.parent
# Two shared cores may take their time to import Django and open the engine.
START_SECONDS = 180
ADDRESS = r"(http://[^\s\x1b]+:\d+)"

T = TypeVar("T")

SETUP = """
import json, django
django.setup()
from django.core.management import call_command
from heliograph.accounts.bootstrap import ensure_default_project
from heliograph.accounts.models import ApiKey, Organization, Project
from heliograph.clickhouse.migrate import migrate
call_command("migrate", verbosity=0)
list(migrate())
default = ensure_default_project()
organization = Organization.objects.create(name="tests")
projects = [{"id": default.id, "key": ""}]
for number in range(120):
    project = Project.create(organization, f"Project {number}")
    projects.append({"id": project.id, "key": ApiKey.issue(project, "test")[1]})
print(json.dumps(projects))
"""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A project and a key that opens it; the default project has none."""

    id: int
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"} if self.key else {}


def eventually(read: Callable[[], T], seconds: float = 240) -> T:
    """Return the first true answer of `read`, which is asked again and again; fail after a while."""
    deadline = time.monotonic() + seconds
    while not (answer := read()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return answer


@dataclass
class Process:
    """A child in a process group of its own, so that all of it can be killed; its output goes to a file."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log, start_new_session=True, cwd=ROOT
            )

    @property
    def is_running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def wait_for(self, pattern: str) -> re.Match[str]:
        def look() -> re.Match[str] | None:
            assert self.popen is None or self.popen.poll() is None, self.log.read_text()
            return next(iter(re.compile(pattern).finditer(self.log.read_text())), None)

        return eventually(look, START_SECONDS)

    def interrupt(self, number: signal.Signals) -> None:
        """Send a signal that does not end it."""
        assert self.popen is not None
        os.killpg(self.popen.pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal to the whole group and return the exit status."""
        if self.popen is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number) if number == signal.SIGKILL else self.popen.send_signal(number)
        status = self.popen.wait(60)
        self.popen = None
        return status


@dataclass
class Stack:
    """Everything that ingest needs. `folder` is the data folder."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    tenants: Iterator[Tenant] = field(init=False)
    default: Tenant = field(init=False)
    http: str = ""
    grpc: str = ""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._started: list[Process] = []
        self.store_port = 0
        self.web_http = ""
        self.store = self.collector = self.web = Process([], {}, self.folder / "unused.log")

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HELIOGRAPH_", "OTEL_"))}
        return kept | {
            "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}",
            "DJANGO_SETTINGS_MODULE": "heliograph.settings",
            "HELIOGRAPH_DATA_DIR": str(self.folder),
            "HELIOGRAPH_DECODER": os.environ.get("HELIOGRAPH_DECODER", ""),
            "HELIOGRAPH_CLICKHOUSE_URL": f"clickhouse://heliograph:secret@127.0.0.1:{self.store_port}/heliograph",
            **self.settings,
        }

    def start(self) -> None:
        """Start both, with 120 projects."""
        self.start_store()
        answer = subprocess.run(
            [sys.executable, "-c", SETUP], check=False, env=self.environment, capture_output=True, text=True, cwd=ROOT
        )
        assert answer.returncode == 0, answer.stderr
        projects = [Tenant(**project) for project in json.loads(answer.stdout)]
        self.default, *others = projects
        self.tenants = iter(others)
        self.start_collector()

    def start_store(self) -> None:
        """Start the store, on the port it had before."""
        password = self.folder / "password"
        password.write_text("secret")
        port_file = self.folder / "store-port"
        port_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "heliograph.clickhouse.embedded", "--path", str(self.folder / "store")]
        command += ["--port", str(self.store_port), "--password-file", str(password), "--port-file", str(port_file)]
        self.store = Process(command, self.environment, self.folder / "store.log")
        self.store.start()
        eventually(port_file.exists, START_SECONDS)
        self.store_port = int(port_file.read_text())

    def start_collector(self, *arguments: str, wait: bool = True) -> Process:
        """Start a collector on free ports; `http` and `grpc` are the latest one's addresses."""
        ports = ["--http-port", "0", "--grpc-port", "0"]
        self.collector = self.run("collector", ["-m", "heliograph.ingest", *ports, *arguments])
        if wait:
            self.wait_for_addresses()
        return self.collector

    def start_web(self, *, wait: bool = True) -> Process:
        """Start the web process on a free port: it takes OTLP/HTTP too, at `web_http`."""
        self.web = self.run("web", ["-m", "heliograph.asgi", "--port", "0"])
        if wait:
            self.wait_for_addresses()
        return self.web

    def run(self, name: str, arguments: list[str]) -> Process:
        """Start a process of this installation; it is stopped with the others."""
        log = self.folder / f"{name}-{len(self._started) + 1}.log"
        process = Process([sys.executable, *arguments], self.environment, log)
        self._started.append(process)
        process.start()
        return process

    def wait_for_addresses(self) -> None:
        """Return when the processes that were started serve."""
        if self.collector.is_running:
            self.grpc = self.collector.wait_for(r"OTLP/gRPC on (\S+)")[1]
            self.http = self.collector.wait_for(ADDRESS)[1]
        if self.web.is_running:
            self.web_http = self.web.wait_for(ADDRESS)[1]

    def stop(self) -> None:
        """Stop everything that was started, a second collector too."""
        for collector in self._started:
            collector.stop()
        self.store.stop()

    def query(self, sql: str, **params: Any) -> list[tuple[Any, ...]]:
        """Ask the store itself, beside Heliograph's own client."""
        url = urlsplit(self.environment["HELIOGRAPH_CLICKHOUSE_URL"])
        client = Client(url.hostname, port=url.port, user=url.username, password=url.password, database=url.path[1:])
        try:
            return client.execute(sql, params)
        finally:
            client.disconnect()

    def counts(self, tenant: Tenant) -> tuple[int, int, int]:
        """Return how many spans the project has: in the table, by the trace list, by the rollups."""
        [row] = self.query(
            """
            SELECT
                (SELECT count() FROM spans WHERE project_id = %(project)s),
                (SELECT sum(span_count) FROM traces WHERE project_id = %(project)s),
                (SELECT sum(spans) FROM span_rollups_1m WHERE project_id = %(project)s)
            """,
            project=tenant.id,
        )
        return row

    def spooled(self) -> list[Path]:
        """Return the files that wait in the spool."""
        return sorted((self.folder / "spool").glob("*.spool"))
