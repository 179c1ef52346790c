"""The group whose insert is under way, as a file beside the commit lock.

Where the store and the process that inserts die at once (a machine goes down), `spans` may hold rows that the views
have not got, and nobody was told: a sender's retry would find its spans stored. So whoever takes the lock next finds
the group here and completes it first, with the token that it had.

Written without fsync: what a killed process wrote is there, and a store that lost power has lost its last rows too.
"""

import logging
import os
from pathlib import Path

from heliograph.ingest.spool import SpooledGroup, read_file

log = logging.getLogger(__name__)


class Begun:
    """One signal's file. Use it with the commit lock held."""

    def __init__(self, folder: Path, signal: str) -> None:
        self._path = folder / f"commit-{signal}.begun"

    def write(self, group: bytes) -> None:
        """Note that an insert of a group begins, given as the bytes of a spool file."""
        try:
            self._path.write_bytes(group)
        except OSError as error:  # a full disk must not keep telemetry from a store that takes it
            log.warning("what is being stored cannot be noted: %s", error)
            self.clear()

    def clear(self) -> None:
        """Note that it ended, or is noted elsewhere."""
        if self.is_there():
            os.truncate(self._path, 0)

    def is_there(self) -> bool:
        """Say whether an insert is under way or was left over."""
        return self._path.exists() and self._path.stat().st_size > 0

    def left_over(self) -> SpooledGroup | None:
        """Return the group of an insert that did not end."""
        if not self.is_there():
            return None
        group = read_file(self._path)
        # Killed while it wrote: the insert had not begun.
        return None if group.damage else group
