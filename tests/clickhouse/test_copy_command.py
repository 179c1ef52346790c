"""`heliograph store copy`, by the command, from an installation's own embedded store: killed, run again, refused."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from heliograph.clickhouse import client
from tests.backup.installation import COMMAND_SECONDS, Installation
from tests.conftest import StoreProcess
from tests.ingest.stack import eventually

# Each command starts Django, and a store.
pytestmark = [pytest.mark.timeout(1_800), pytest.mark.django_db]


# Of the module, to be made before a test's transaction begins: within one no copy of Django's database can be made.
@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Installation:
    """One with something in its embedded store, of which nothing runs."""
    folder = tmp_path_factory.mktemp("copy")
    made = Installation(folder / "installation", folder / "backups")
    with django_db_blocker.unblock():
        made.fill()
    return made


def started(installation: Installation, address: str, *arguments: str) -> subprocess.Popen[str]:
    """Start `heliograph store copy -`, which reads the address from its standard input."""
    process = subprocess.Popen(
        [sys.executable, "-m", "heliograph.cli", "store", "copy", "-", *arguments],
        env=installation.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(f"{address}\n")
    process.stdin.flush()
    return process


def killed_after(line_begins: str, process: subprocess.Popen[str]) -> str:
    """Kill it as soon as it has said such a line, which is returned."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith(line_begins):
            process.kill()
            break
    process.communicate(timeout=COMMAND_SECONDS)
    assert process.returncode == -signal.SIGKILL, "".join(said)
    return said[-1].strip()


def answers(installation: Installation) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(installation.environment["HELIOGRAPH_STORE_PORT"]))) == 0


def content(url: str) -> dict[str, Any]:
    with client.at(url):
        return {
            table: client.execute_unscoped(
                f"SELECT count() AS n, groupBitXor(cityHash64(formatRow('RowBinary', *))) AS sum FROM {table}"
            )[0]
            for table in ("spans", "contents")
        }


def test_the_command_copies_an_installations_store_goes_on_after_a_kill_and_says_what_it_did(
    installation: Installation, start_store: Callable[..., StoreProcess]
) -> None:
    target = start_store()

    # What it does not do: exit status 1, with what to do instead.
    assert "must begin with clickhouse://" in installation.run("store", "copy", "https://ch.example.com", code=1)
    running = installation.folder / "supervisord.pid"
    running.write_text(str(os.getpid()), encoding="utf-8")
    assert "Stop it first" in installation.run("store", "copy", target.url, code=1)
    running.unlink()
    assert "required: target" in installation.run("store", "copy", code=2)
    nobody = target.url.replace(f":{target.port}/", ":1/")
    assert "the same command goes on" in installation.run("store", "copy", nobody, code=1)
    with client.at(target.url):
        assert client.execute_unscoped("SHOW TABLES") == []

    page = killed_after("copy: contents ", started(installation, target.url))
    # The store that it had started ends with it, and lets go of its folder.
    eventually(lambda: not answers(installation))

    process = started(installation, target.url, "--json")
    printed, said = process.communicate(timeout=COMMAND_SECONDS)
    assert process.returncode == 0, said
    report = {row["table"]: row for row in json.loads(printed)}
    assert set(report) == set(client.tables())
    assert (report["spans"]["rows"], report["contents"]["rows"], report["gpu_events"]["rows"]) == (200, 1, 0)
    assert int(report["spans"]["checksum"]) > 0
    # It went on: the page that was noted before the kill is not read again.
    assert "copy: contents: 1 rows in 1 partitions" in said
    assert page.endswith(": 1 of about 1 rows")
    assert page not in said
    assert not answers(installation)
    left = installation.store()
    try:
        assert content(left.url) == content(target.url)
    finally:
        assert left.stop() == 0
    assert "already, all of it" in installation.run("store", "copy", target.url, code=1)
