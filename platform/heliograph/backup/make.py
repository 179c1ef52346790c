"""Make a copy: whole, or not at all."""

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.utils.crypto import salted_hmac

import heliograph
from heliograph.backup import blobs, local_store, metadata, store
from heliograph.backup.errors import BackupError
from heliograph.backup.manifest import FORMAT, MANIFEST, UNFINISHED, Manifest, write_sums
from heliograph.clickhouse.errors import StoreError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_LOCK = ".lock"
# As much as the embedded store leaves free for writes that are under way (embedded/engine.py).
ROOM_LEFT = 256 * 2**20


def make(name: str, say: Callable[[str], None]) -> Path:
    """Copy everything into a folder of this name, or of the time; return it. Raises BackupError, StoreError, OSError.

    A copy that was interrupted left a folder that says so, which the next one removes: a copy is as of one time, so
    that nothing of an earlier one can be used again.
    """
    name = name or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    if not _NAME.fullmatch(name):
        raise BackupError(f"{name!r} cannot be a backup's name: up to 100 letters, digits, _ and -.")
    root = Path(settings.BACKUP_DIR)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with alone(root), local_store.answering():
        for left in root.glob(f"*/{UNFINISHED}"):
            shutil.rmtree(left.parent)
        if (root / name).exists():
            raise BackupError(f"There is a backup {name!r} already; give another name.")
        _refuse_without_room(root)
        folder = root / name
        folder.mkdir(mode=0o700)
        (folder / UNFINISHED).touch()
        try:
            _fill(folder, name, say).write(folder)
            size = write_sums(folder)
            _sync_folders(folder)
        except (BackupError, StoreError, OSError):
            # On a disk that is full by it, nothing would be stored until somebody makes another one.
            _discard(folder)
            raise
        (folder / UNFINISHED).unlink()
    say(f"{folder}: {size / 2**20:.1f} MiB")
    return folder


def _refuse_without_room(root: Path) -> None:
    """Raise BackupError where the copy would fill the disk: an embedded store ends with the first refused write.

    What others write meanwhile is not known, so some room has to be left. Where blobs are on one disk with the copies,
    these are links; a store on another machine, and a bucket, are not looked at.
    """
    needed = metadata.size()
    if settings.EMBEDDED_STORE:
        needed += store.size()
    if not blobs.elsewhere():
        needed += blobs.size_of_copies(root)
    free = shutil.disk_usage(root).free
    if free < needed + ROOM_LEFT:
        raise BackupError(
            f"A backup takes up to {needed / 2**20:,.0f} MiB, and {root} has {free / 2**20:,.0f} MiB free, of which "
            f"{ROOM_LEFT / 2**20:,.0f} MiB stay so. Remove old backups, or name a folder of a larger disk by "
            "HELIOGRAPH_BACKUP_DIR. Nothing was written."
        )


def _discard(folder: Path) -> None:
    """Remove what was written, the mark last: where this is interrupted too, the next backup does it."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != UNFINISHED:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _fill(folder: Path, name: str, say: Callable[[str], None]) -> Manifest:
    say("metadata")
    file = metadata.file_name()
    migrations = metadata.migrations()
    metadata.dump(folder / file)
    say("store")
    schema = store.schema()
    store.dump(f"{folder.name}/store")
    listing = folder / "store" / ".backup"
    rows = store.rows_in(listing.parent) if listing.exists() else None
    if not blobs.elsewhere():
        say("blobs")
        blobs.dump(folder / "blobs")
    return Manifest(
        format=FORMAT,
        name=name,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        heliograph=heliograph.__version__,
        metadata_vendor=connection.vendor,
        metadata_file=file,
        migrations=migrations,
        clickhouse=store.version(),
        database=store.database(),
        disk=settings.BACKUP_DISK,
        schema=schema,
        rows=rows,
        blobs_elsewhere=blobs.elsewhere(),
        secrets_fingerprint=secrets_fingerprint(),
    )


def secrets_fingerprint() -> str:
    """Return what is equal where secrets that are stored encrypted can be read, and tells nothing of the keys."""
    keys = ",".join(settings.SECRET_KEYS) or settings.SECRET_KEY
    return salted_hmac("heliograph.backup", "fingerprint", secret=keys, algorithm="sha256").hexdigest()[:32]


def kept() -> list[Manifest]:
    """Return the finished backups of this machine, the newest last."""
    root = Path(settings.BACKUP_DIR)
    folders = (path.parent for path in root.glob(f"*/{MANIFEST}") if not (path.parent / UNFINISHED).exists())
    return sorted((Manifest.read(folder) for folder in folders), key=lambda each: each.made_at)


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Let one backup or restore at a time into the folder. Raises BackupError where another is under way."""
    with (root / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError(f"Another backup or restore is under way in {root}.") from error
        yield


def _sync_folders(root: Path) -> None:
    """Bring the names of files to the disk; `write_sums` brought their content."""
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
