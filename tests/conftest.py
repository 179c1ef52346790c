"""What every part's tests share: a real store, a project of one's own, and a store that may be broken on purpose."""

import itertools
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

import psycopg
import pytest
from clickhouse_driver import Client
from django.conf import settings
from django.db import connection
from pytest_django import DjangoDbBlocker

from collectors import kernel
from heliograph.accounts.models import Organization, Project
from heliograph.clickhouse import migrate
from heliograph.clickhouse.client import close_connections
from tests import shards

START_SECONDS = 180
PASSWORD = "tests only"


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> None:
    """Hash passwords at once: slow is what they have to be outside of tests."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Make the tests' database, and return a file of the same, with every table and no test's rows."""
    file = tmp_path_factory.mktemp("migrated") / "heliograph.sqlite3"
    with django_db_blocker.unblock(), closing(sqlite3.connect(file)) as copy:
        connection.ensure_connection()
        connection.connection.backup(copy)
    return file


@pytest.fixture
def data_folder(db: None, django_db_setup: Path, tmp_path: Path) -> Path:
    """A data folder whose database is migrated: to migrate one takes longer than most tests.

    `db` is asked for because the tests' database is made only where a test of the session uses it.
    """
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(django_db_setup, folder)
    return folder


class StoreProcess:
    """An embedded store as a process of its own, in a folder that outlives it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.arguments = arguments
        self.program = ["-m", "heliograph.clickhouse.embedded"]
        self.port = 0
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "password").write_text(PASSWORD + "\n", encoding="utf-8")

    def start(self) -> Self:
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        command = [sys.executable, *self.program, "--path", str(self.folder / "store")]
        command += ["--password-file", str(self.folder / "password"), "--port-file", str(port_file)]
        command += ["--port", str(self.port), *self.arguments]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not port_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The store did not start:\n{self.log()}")
            time.sleep(0.02)
        self.port = int(port_file.read_text())
        return self

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def stop(self) -> int:
        """Ask it to end; returns its exit status."""
        self.process.terminate()
        return self.process.wait(START_SECONDS)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(START_SECONDS)

    @property
    def url(self) -> str:
        return f"clickhouse://heliograph:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/heliograph"

    def client(self, **options: object) -> Client:
        """Return a bare clickhouse-driver client, past our own door."""
        return Client("127.0.0.1", self.port, "heliograph", "heliograph", options.pop("password", PASSWORD), **options)


@pytest.fixture
def start_store(tmp_path: Path) -> Iterator[Callable[..., StoreProcess]]:
    """Return a function that starts a store of the test's own, to be stopped or killed at will."""
    started: list[StoreProcess] = []

    def start(*arguments: str) -> StoreProcess:
        started.append(StoreProcess(tmp_path / f"store-{len(started)}", *arguments).start())
        return started[-1]

    yield start
    for store in started:
        store.kill()


@pytest.fixture(scope="session")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the session's store: an embedded one, or the server that HELIOGRAPH_TEST_CLICKHOUSE_URL names.

    HELIOGRAPH_TEST_SHARDS is for as many servers as shards of a cluster, of which one is asked (tests/shards.py).
    """
    given = os.environ.get("HELIOGRAPH_TEST_CLICKHOUSE_URL")
    if given:
        yield given
        return
    if count := shards.wanted():
        with shards.running(tmp_path_factory.mktemp("cluster"), count) as servers, shards.asked(servers):
            yield servers[0].url
        return
    process = StoreProcess(tmp_path_factory.mktemp("store")).start()
    yield process.url
    assert process.stop() == 0


@pytest.fixture(scope="session")
def store(store_url: str) -> Iterator[str]:
    """A migrated store that settings, and processes started by a test, point at. Yields its URL."""
    before = settings.CLICKHOUSE_URL
    settings.CLICKHOUSE_URL = os.environ["HELIOGRAPH_CLICKHOUSE_URL"] = store_url
    for _ in migrate.migrate():
        pass
    yield store_url
    close_connections()
    settings.CLICKHOUSE_URL = before
    del os.environ["HELIOGRAPH_CLICKHOUSE_URL"]


# A server of a developer's own may hold the rows of earlier runs.
_project_ids = itertools.count(secrets.randbelow(2**31) + 1)


def new_project_id() -> int:
    """Return a project id that no other test uses: what isolates tests in the one store."""
    return next(_project_ids)


@pytest.fixture
def project_id() -> int:
    """A project id of the test's own."""
    return new_project_id()


@pytest.fixture
def project(db: None, project_id: int) -> Project:
    """A project of the test's own, in Django's database too."""
    organization = Organization.objects.create(name="Acme")
    return Project.objects.create(id=project_id, organization=organization, name="Shop", slug=f"shop-{project_id}")


@pytest.fixture(scope="module", params=["kernel", "python"])
def decoder(request: pytest.FixtureRequest) -> Iterator[str]:
    """What uses this runs twice: with the compiled kernel, and with the Python that it is compared with."""
    was = kernel.active() is not None
    kernel.use(request.param == "kernel")
    if request.param == "kernel" and kernel.active() is None:
        pytest.skip(f"no compiled kernel: {kernel.MISSING}")
    yield request.param
    kernel.use(was)


POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """The address of a fresh PostgreSQL database; skipped where there is no server, but never in CI."""
    name = f"heliograph_test_{secrets.token_hex(4)}"
    try:
        connection = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=30)
    except psycopg.OperationalError as error:
        if os.environ.get("REQUIRE_SERVICES"):
            raise
        pytest.skip(f"needs PostgreSQL at its standard port: {error}")
    with connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield POSTGRES.removesuffix("postgres") + name
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
