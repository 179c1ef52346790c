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

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_LOCK = ".lock"


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
        folder = root / name
        folder.mkdir(mode=0o700)
        (folder / UNFINISHED).touch()
        _fill(folder, name, say).write(folder)
        size = write_sums(folder)
        _sync_folders(folder)
        (folder / UNFINISHED).unlink()
    say(f"{folder}: {size / 2**20:.1f} MiB")
    return folder


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
