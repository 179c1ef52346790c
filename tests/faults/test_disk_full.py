"""A full disk refuses with a reason and loses nothing: under the spool, and under the store."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.conftest import start_what_is_missing
from tests.faults.load import Load
from tests.faults.once import books_agree, is_once
from tests.ingest.stack import Stack, Tenant, eventually

# Some sixty groups: the senders fill it in seconds.
SPOOL_BYTES = 256 * 2**10
# What an empty store needs for its own files and for merging the parts of this test.
STORE_BYTES = 64 * 2**20
# The same, with room for the notes and the logs of three processes.
ONE_DISK_BYTES = 2 * STORE_BYTES


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Put a file system of that size in place of a folder, with what the folder holds; the folder comes back after."""
    with_content = folder.with_name(f"{folder.name}-on-a-small-disk")
    shutil.copytree(folder, with_content, symlinks=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        shutil.rmtree(with_content)
        pytest.skip(f"needs the right to mount a small file system: {mounted.stderr.strip()}")
    try:
        shutil.copytree(with_content, folder, symlinks=True, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)
        shutil.rmtree(with_content)


def fill(ballast: Path) -> None:
    """Take all the room that there is."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(2**16)):
            pass


def replayed(stack: Stack) -> bool:
    """Say whether nothing waits, as under a supervisor: a store that met a full disk may end a while later."""
    start_what_is_missing(stack)
    return not stack.spooled()


@pytest.fixture
def small_spool(stack: Stack) -> Iterator[None]:
    stack.collector.stop()
    stack.web.stop()
    # The room that is kept on a larger disk.
    for note in (stack.folder / "spool").glob("commit-*.begun"):
        note.unlink()
    with small_disk(stack.folder / "spool", SPOOL_BYTES):
        start_what_is_missing(stack)
        yield
        stack.collector.stop()
        stack.web.stop()


@pytest.fixture
def small_store(stack: Stack) -> Iterator[Path]:
    """The folder of a store whose disk can be filled."""
    stack.store.stop()
    with small_disk(stack.folder / "store", STORE_BYTES):
        stack.start_store()
        yield stack.folder / "store"
        stack.store.stop()


@pytest.fixture
def small_everything(stack: Stack) -> Iterator[Path]:
    """The one disk of an installation, under its store and its spool, which can be filled."""

    def stop() -> None:
        for process in (stack.collector, stack.web, stack.store):
            process.stop()

    stop()
    with small_disk(stack.folder, ONE_DISK_BYTES):
        start_what_is_missing(stack)
        yield stack.folder
        stop()


@pytest.mark.usefixtures("small_spool")
def test_while_the_spool_s_disk_is_full_senders_are_told_to_come_back_and_nothing_is_lost(
    stack: Stack, tenant: Tenant, load: Load
) -> None:
    load.progress()
    stack.store.stop()
    eventually(lambda: all(load.answers(signal)[503] for signal in ("traces", "metrics", "logs")), 60)
    stack.start_store()
    load.progress()
    is_once(stack, tenant, load.finish())
    books_agree(stack, tenant, load)


def test_while_the_store_s_disk_is_full_everything_goes_to_the_spool_and_nothing_is_lost(
    stack: Stack, tenant: Tenant, small_store: Path, load: Load
) -> None:
    load.progress()
    ballast = small_store / "ballast"
    for _ in range(3):
        fill(ballast)
        eventually(stack.spooled, 60)
        load.progress()
        ballast.unlink()
        # What was being written when the disk was full ended the store; its supervisor starts it again.
        start_what_is_missing(stack)
        load.progress()
    eventually(lambda: replayed(stack), 120)
    is_once(stack, tenant, load.finish())
    books_agree(stack, tenant, load)


def test_while_the_one_disk_of_store_and_spool_is_full_senders_come_back_and_every_sum_is_right(
    stack: Stack, tenant: Tenant, small_everything: Path, load: Load
) -> None:
    """What an insert stored in `spans` before the disk was full for the views has to reach them, spooled or not."""
    load.progress()
    ballast = small_everything / "ballast"
    for _ in range(4):
        refused = load.answers("traces")[503]
        fill(ballast)
        eventually(lambda refused=refused: load.answers("traces")[503] > refused + 10, 60)
        ballast.unlink()
        start_what_is_missing(stack)
        load.progress()
    eventually(lambda: replayed(stack), 120)
    is_once(stack, tenant, load.finish())
