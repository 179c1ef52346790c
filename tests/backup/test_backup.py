"""`heliograph backup` and `heliograph restore`, by the commands, on a filled installation."""

import json
import os
import re
import resource
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import psycopg
import pytest
from pytest_django import DjangoDbBlocker, Settings

from heliograph.backup import make, put_back
from heliograph.backup.errors import BackupError
from tests.backup.installation import Installation
from tests.conftest import POSTGRES, START_SECONDS
from tests.ingest.stack import eventually

FOLDER = "heliograph.blobs.folder.DurableFolder"
# Many commands, each of which starts Django and a store of its own.
pytestmark = [pytest.mark.timeout(1_800), pytest.mark.django_db]


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Installation:
    """An installation with something in both databases and blobs, and one backup named `first`."""
    folder = tmp_path_factory.mktemp("backup")
    installation = Installation(folder / "a", folder / "backups")
    with django_db_blocker.unblock():
        installation.fill()
    installation.run("backup", "first")
    return installation


def other(filled: Installation, folder: Path, **environment: str) -> Installation:
    """Another machine that sees the same backups."""
    return Installation(folder / "b", filled.backups, environment)


def test_a_backup_is_restored_on_another_machine_and_nothing_differs(filled: Installation, tmp_path: Path) -> None:
    before = filled.content()
    assert before["spans"][0][0] == 200
    assert before["traces"][0][0] == 100
    assert list(before["blobs"].values()) == [b"a picture"]
    assert any("'from before'" in line for line in before["metadata"])
    target = other(filled, tmp_path)
    said = target.run("restore", "first")
    assert "everything is as it was" in said
    # Its secret key is its own.
    assert "entered" not in said
    assert "enter them again" in said
    assert target.content() == before
    # Sums as any machine can check them, and nobody else can read.
    folder = filled.backups / "first"
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    assert [
        path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077 and path.parent == folder
    ] == []
    (listed,) = json.loads(filled.run("backup", "--list", "--json"))
    assert (listed["name"], listed["spans"]) == ("first", 200)
    # What is there now is not lost by a mistake.
    assert "--replace" in target.run("restore", "first", code=1)
    assert "already" in target.run("backup", "first", code=1)
    # Killed in the middle: nothing starts on half of it, and the same command again makes it whole.
    process = subprocess.Popen(
        [sys.executable, "-m", "heliograph.cli", "restore", "first", "--replace"], env=target.environment
    )
    mark = target.folder / "restoring"
    eventually(lambda: mark.exists() or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert mark.exists()
    assert "heliograph restore first" in target.run("up", code=1)
    eventually(lambda: not _is_locked(target))
    target.run("restore", "first")
    assert target.content() == before


def _is_locked(installation: Installation) -> bool:
    """The store that the killed command had started ends with it."""
    table = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return str(installation.folder / "store") in table


def test_a_damaged_a_foreign_and_a_newer_backup_are_refused_before_anything_is_touched(
    filled: Installation, tmp_path: Path
) -> None:
    target = Installation(tmp_path / "b", tmp_path / "backups")
    copy = target.backups / "first"
    shutil.copytree(filled.backups / "first", copy)
    part = next(path for path in copy.rglob("*.bin") if path.stat().st_size > 100)
    content = bytearray(part.read_bytes())
    content[50] ^= 1
    part.write_bytes(content)
    assert re.search(r"damaged.*\.bin was changed", target.run("restore", "first", code=1))
    content[50] ^= 1
    part.write_bytes(content)
    (copy / "blobs" / "stray").touch()
    assert "does not belong" in target.run("restore", "first", code=1)
    (copy / "blobs" / "stray").unlink()
    manifest = copy / "manifest.json"
    good = manifest.read_text()
    for change, said in (
        ({"format": 2}, "format 2"),
        ({"metadata_vendor": "postgresql"}, "Restore it into its own kind"),
        ({"schema": [["9000", "9000_later.sql", ""]]}, "newer"),
        ({"migrations": ["evals.0999_later"]}, "newer"),
    ):
        manifest.write_text(json.dumps(json.loads(good) | change))
        assert said in target.run("restore", "first", code=1)
    manifest.write_text(good)
    (copy / "UNFINISHED").touch()
    assert "was not finished" in target.run("restore", "first", code=1)
    assert "is no backup" in target.run("restore", "second", code=1)
    assert not (target.folder / "store").exists()


def test_what_an_interrupted_backup_left_is_removed_by_the_next(filled: Installation) -> None:
    left = filled.backups / "left"
    (left / "store").mkdir(parents=True)
    (left / "UNFINISHED").touch()
    filled.run("backup", "second")
    assert not left.exists()
    assert (filled.backups / "second" / "SHA256SUMS").exists()
    assert "cannot be a backup's name" in filled.run("backup", "../elsewhere", code=1)
    shutil.rmtree(filled.backups / "second")


@pytest.mark.usefixtures("store")
def test_a_backup_for_which_there_is_no_room_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    settings.BACKUP_DIR = tmp_path
    free = make.ROOM_LEFT + 10 * 2**20
    monkeypatch.setattr(make.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    monkeypatch.setattr(make.metadata, "size", lambda: 11 * 2**20)
    with pytest.raises(BackupError, match=r"has 266 MiB free.*HELIOGRAPH_BACKUP_DIR.*Nothing was written"):
        make.make("full", print)
    assert not (tmp_path / "full").exists()
    # What the store has counts, and so do blobs that would not be links.
    monkeypatch.setattr(make.metadata, "size", lambda: 10 * 2**20)
    with pytest.raises(BackupError, match="MiB free"):
        make.make("full", print)
    monkeypatch.setattr(make.store, "size", lambda: 0)
    make._refuse_without_room(tmp_path)
    monkeypatch.setattr(make.blobs, "size_of_copies", lambda _: 1)
    with pytest.raises(BackupError, match="MiB free"):
        make.make("full", print)


@pytest.mark.usefixtures("store")
def test_a_restore_for_which_there_is_no_room_removes_nothing(
    filled: Installation, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    settings.BACKUP_DIR, settings.DATA_DIR = filled.backups, tmp_path
    settings.STORAGES = settings.STORAGES | {"blobs": {"BACKEND": FOLDER, "OPTIONS": {"location": tmp_path / "blobs"}}}
    took = Mock()
    monkeypatch.setattr(put_back, "_replace_all", took)
    free = SimpleNamespace(free=make.ROOM_LEFT)
    monkeypatch.setattr(put_back.shutil, "disk_usage", lambda _: free)
    monkeypatch.setattr(put_back.store, "size", lambda: 0)
    monkeypatch.setattr(put_back, "is_up", lambda: False)
    with pytest.raises(BackupError, match=r"first takes \d+ MiB.*Nothing was touched"):
        put_back.put_back("first", print, replace=True)
    assert not put_back.interrupted_mark().exists()
    # What it frees is room too.
    monkeypatch.setattr(put_back.store, "size", lambda: 10**9)
    put_back.put_back("first", print, replace=True)
    assert took.called


@pytest.mark.skipif(sys.platform != "linux", reason="limits the files of a process that runs")
def test_a_backup_whose_writes_are_refused_says_so_and_leaves_nothing_on_the_disk(filled: Installation) -> None:
    process = filled.store()
    # As a full disk, but exactly and every time.
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (1_024, 1_024))
    said = filled.run("backup", "third", code=1)
    assert "a disk that became full is the usual cause" in said
    assert not (filled.backups / "third").exists()
    assert process.process.wait(START_SECONDS) == -signal.SIGKILL
    assert filled.content()["spans"][0][0] == 200


@pytest.fixture
def two_databases() -> Iterator[list[str]]:
    """The addresses of two fresh PostgreSQL databases; skipped where there is no server, but never in CI."""
    try:
        connection = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=30)
    except psycopg.OperationalError as error:
        if os.environ.get("REQUIRE_SERVICES"):
            raise
        pytest.skip(f"needs PostgreSQL at its standard port: {error}")
    names = [f"heliograph_test_{secrets.token_hex(4)}" for _ in range(2)]
    with connection:
        for name in names:
            connection.execute(f'CREATE DATABASE "{name}"')
        yield [POSTGRES.removesuffix("postgres") + name for name in names]
        for name in names:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.services
def test_postgresql_is_copied_and_replaced_by_its_own_tools(two_databases: list[str], tmp_path: Path) -> None:
    source, target = (Installation(tmp_path / url[-8:], tmp_path, {"DATABASE_URL": url}) for url in two_databases)
    for installation, group in ((source, "from before"), (target, "from after")):
        installation.python("from django.core.management import call_command; call_command('migrate', 'auth')")
        with psycopg.connect(installation.environment["DATABASE_URL"]) as connection:
            connection.execute("INSERT INTO auth_group (name) VALUES (%s)", (group,))
    # What a newer version made, and the copy does not have.
    target.python("from django.core.management import call_command; call_command('migrate', 'sessions')")
    do = "from pathlib import Path; from heliograph.backup import metadata; metadata.{}(Path('{}'))"
    source.python(do.format("dump", tmp_path / "metadata.pgdump"))
    target.python(do.format("load", tmp_path / "metadata.pgdump"))
    with psycopg.connect(two_databases[0]) as one, psycopg.connect(two_databases[1]) as two:
        for question in (
            "SELECT id, name FROM auth_group ORDER BY id",
            "SELECT app, name FROM django_migrations ORDER BY id",
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
        ):
            rows = one.execute(question).fetchall()
            assert rows
            assert rows == two.execute(question).fetchall()
