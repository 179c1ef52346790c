"""The group whose insert is under way, as a file beside the commit lock.

Where the store and the process that inserts die at once (a machine goes down), `spans` may hold rows that the views
have not got, and nobody was told: a sender's retry would find its spans stored. So whoever takes the lock next finds
the group here and completes it first, with the token that it had. So does whoever comes after an insert that failed
and for which the spool had no room: its senders were told to come back, and would find their spans stored.

Written without fsync: what a killed process wrote is there, and a store that lost power has lost its last rows too.
"""

import logging
import os
from pathlib import Path

from heliograph.ingest.spool import MAGIC, SpooledGroup, read_file

log = logging.getLogger(__name__)

# Kept on the disk for the note, so that there is room for it where there is none for anything else: an insert that a
# full disk leaves half done is the one to be noted. The file keeps the size of the largest group that it had, and
# nothing of what that said: bodies are noted as they came, before any rule of redaction.
ROOM_BYTES = 4 * 2**20
# Not on a disk of which that would be more than this share of what is free.
ROOM_SHARE = 1 / 8


class Begun:
    """One signal's file. Use it with the commit lock held."""

    def __init__(self, folder: Path, signal: str) -> None:
        self._path = folder / f"commit-{signal}.begun"
        # How many bytes of the file say something; None: whatever a process before this one left.
        self._written: int | None = None

    def write(self, group: bytes) -> None:
        """Note that an insert of a group begins, given as the bytes of a spool file."""
        try:
            self._write(group)
        except OSError as error:  # a full disk must not keep telemetry from a store that takes it
            log.warning("what is being stored cannot be noted: %s", error)
            self.clear()

    def _write(self, group: bytes) -> None:
        self.clear()
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            size = os.fstat(file).st_size
            self._written = len(group)
            try:
                if size < ROOM_BYTES <= ROOM_SHARE * _free_bytes(file):
                    _write_all(file, bytes(ROOM_BYTES - size), size)
                # Its first bytes last: cut off before them, it is no note.
                _write_all(file, group[len(MAGIC) :], len(MAGIC))
                os.pwrite(file, group[: len(MAGIC)], 0)
            except OSError:
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)

    def clear(self) -> None:
        """Note that it ended, or is noted elsewhere."""
        if self._written == 0 and not self.is_there():
            return
        try:
            file = os.open(self._path, os.O_WRONLY)
        except FileNotFoundError:
            pass
        else:
            try:
                size = os.fstat(file).st_size
                # Its first bytes first: cut off after them, it is no note. Of another process's, all of it.
                _write_all(file, bytes(min(size, self._written or size)), 0)
            finally:
                os.close(file)
        self._written = 0

    def stay(self) -> None:
        """Leave the note for whoever takes the lock next, which may be another process."""
        self._written = None

    def is_there(self) -> bool:
        """Say whether an insert is under way or was left over."""
        try:
            with self._path.open("rb") as file:
                return file.read(len(MAGIC)) == MAGIC
        except FileNotFoundError:
            return False

    def left_over(self) -> SpooledGroup | None:
        """Return the group of an insert that did not end."""
        if not self.is_there():
            return None
        group = read_file(self._path)
        # Of an earlier version, killed while it wrote: the insert had not begun.
        return None if group.damage else group


def _free_bytes(file: int) -> int:
    disk = os.fstatvfs(file)
    return disk.f_bavail * disk.f_frsize


def _write_all(file: int, content: bytes, at: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written
