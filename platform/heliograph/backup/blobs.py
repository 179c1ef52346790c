"""Images, sound and files that were cut out of spans: into the copy and back, where they are in a folder.

A bucket is not copied: it has versions and replicas of its own, and may be larger than any disk here.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages


def elsewhere() -> str:
    """Return the bucket that they are in, or '' where they are in a folder."""
    return f"s3://{settings.BLOB_BUCKET}/{settings.BLOB_PREFIX}" if settings.BLOB_BUCKET else ""


def dump(target: Path) -> int:
    """Put every blob into a folder; return how many. One that expires meanwhile is left out."""
    count = 0
    root = _root()
    for path in _blobs(root):
        copy = target / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            _same(path, copy)
        except FileNotFoundError:
            continue
        count += 1
    return count


def size_of_copies(target: Path) -> int:
    """Return how many bytes `dump` takes in a folder: none on the disk that the blobs are on, where they are linked."""
    root = _root()
    if not root.exists() or root.stat().st_dev == target.stat().st_dev:
        return 0
    return sum(path.stat().st_size for path in _blobs(root))


def size_to_load(source: Path) -> int:
    """Return how many bytes `load` will add: those of the blobs of a copy that are not there."""
    root = _root()
    return sum(path.stat().st_size for path in _blobs(source) if not (root / path.relative_to(source)).exists())


def load(source: Path) -> int:
    """Add every blob of a copy to the folder; return how many. Those that are there already have the same content."""
    count = 0
    for path in _blobs(source):
        with path.open("rb") as file:
            storages["blobs"].save(path.relative_to(source).as_posix(), file)
        count += 1
    return count


def _root() -> Path:
    storage = storages["blobs"]
    assert isinstance(storage, FileSystemStorage)  # `elsewhere` was asked first
    return Path(storage.location)


def _blobs(root: Path) -> Iterator[Path]:
    # A name that begins with a dot is being written.
    return (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))


def _same(path: Path, copy: Path) -> None:
    """Link where both are on one disk: a blob's name is made of its content, and nobody ever writes into one."""
    try:
        os.link(path, copy)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(path, copy)
