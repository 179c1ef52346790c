"""Where the bytes are that were cut out of spans: images, sound, files.

A blob's name is `<project>/<day>/<2 digits>/<sha256>`: nobody's blobs are shared with another project, and a folder of
a day that has passed holds nothing that a span still refers to. So writing needs no look-up, and no clean-up can meet
a writer: days that are written to lie in the future, days that are removed lie in the past. The price is that a picture
that is sent for months is stored once a week.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage, storages

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
# Spans are dropped a week at a time, once the last of the week has expired, and by a merge that may take hours.
_SPANS_OUTLIVE = timedelta(days=8)
# Spans may say that they start up to a day ahead of this machine's clock.
_AHEAD = timedelta(days=1)


class BlobsAwayError(Exception):
    """The blob store does not take or give: the disk is full, the bucket or its network is away. Try again later."""


def gone_on(start_ns: int, retention_days: int) -> date:
    """Return a day on which spans that start at `start_ns` are surely gone: a Monday, so that few days are told apart.

    `start_ns` is in nanoseconds since the epoch.
    """
    started = datetime.fromtimestamp(start_ns // 10**9, UTC).date()
    earliest = started + _AHEAD + timedelta(days=retention_days) + _SPANS_OUTLIVE
    return earliest + timedelta(days=-earliest.weekday() % 7)


def keep(project_id: int, until: str, blobs: Mapping[str, bytes]) -> None:
    """Write blobs, by SHA-256, to be kept until a day; when this returns they are safe. Raises BlobsAwayError."""
    for digest, data in blobs.items():
        try:
            _storage().save(_name(project_id, until, digest), ContentFile(data))
        except OSError as error:
            raise BlobsAwayError(f"a blob of project {project_id} cannot be written: {error}") from error


def read(project_id: int, until: str, digest: str) -> "File[bytes] | None":
    """Return a blob opened for reading, or None where the project has none such. Raises BlobsAwayError."""
    try:
        return _storage().open(_name(project_id, until, digest))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BlobsAwayError(f"a blob of project {project_id} cannot be read: {error}") from error


def expire(today: date) -> int:
    """Remove every blob whose day has come; return how many. Raises BlobsAwayError."""
    removed = 0
    storage = _storage()
    try:
        for project in storage.listdir("")[0]:
            for day in storage.listdir(project)[0]:
                if _DAY.fullmatch(day) and day <= today.isoformat():
                    removed += _remove(storage, f"{project}/{day}")
    except OSError as error:
        raise BlobsAwayError(f"expired blobs cannot be removed: {error}") from error
    return removed


def _remove(storage: Storage, folder: str) -> int:
    """Remove a folder with everything in it; return how many blobs that were."""
    folders, files = storage.listdir(folder)
    removed = sum(_remove(storage, f"{folder}/{each}") for each in folders)
    for name in files:
        storage.delete(f"{folder}/{name}")
    # A bucket has no folders of its own.
    if storage.exists(folder):
        storage.delete(folder)
    return removed + len(files)


def _name(project_id: int, until: str, digest: str) -> str:
    return f"{project_id}/{until}/{digest[:2]}/{digest}"


def _storage() -> Storage:
    return storages["blobs"]
