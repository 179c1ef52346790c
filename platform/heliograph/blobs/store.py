"""Where the bytes are that were cut out of spans: images, sound, files.

A blob's name is `<project>/<day>/<2 digits>/<sha256>`: nobody's blobs are shared with another project, and a folder of
a day that has passed holds nothing that a span still refers to. So writing needs no look-up, and no clean-up can meet
a writer: days that are written to lie in the future, days that are removed lie in the past. The price is that a picture
that is sent for months is stored once a week.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial

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


def remove(project_id: int, until: str, digest: str) -> None:
    """Remove a blob before its day; one that is not there is removed already. Raises BlobsAwayError."""
    try:
        _storage().delete(_name(project_id, until, digest))
    except OSError as error:
        raise BlobsAwayError(f"a blob of project {project_id} cannot be removed: {error}") from error


def expire(today: date, is_held: Callable[[int, str], bool] = lambda _, name: False) -> int:
    """Remove every blob whose day has come; return how many. Raises BlobsAwayError.

    But for those of which `is_held` says, by project and `<day>/<sha256>`, that they stay.
    """
    removed = 0
    storage = _storage()
    try:
        for project in storage.listdir("")[0]:
            for day in storage.listdir(project)[0]:
                if _DAY.fullmatch(day) and day <= today.isoformat():
                    removed += _remove(storage, f"{project}/{day}", partial(_is_held, is_held, project, day))[0]
    except OSError as error:
        raise BlobsAwayError(f"expired blobs cannot be removed: {error}") from error
    return removed


def _is_held(is_held: Callable[[int, str], bool], project: str, day: str, digest: str) -> bool:
    return is_held(int(project), f"{day}/{digest}")


def _remove(storage: Storage, folder: str, is_held: Callable[[str], bool]) -> tuple[int, int]:
    """Remove what is below a folder, and the folder with it; return how many blobs that were, and how many are held."""
    folders, files = storage.listdir(folder)
    removed = held = 0
    for each in folders:
        below = _remove(storage, f"{folder}/{each}", is_held)
        removed, held = removed + below[0], held + below[1]
    for name in files:
        if is_held(name):
            held += 1
        else:
            storage.delete(f"{folder}/{name}")
            removed += 1
    # A bucket has no folders of its own.
    if not held and storage.exists(folder):
        storage.delete(folder)
    return removed, held


def _name(project_id: int, until: str, digest: str) -> str:
    return f"{project_id}/{until}/{digest[:2]}/{digest}"


def _storage() -> Storage:
    return storages["blobs"]
