"""Ends the process once the engine could not write a file, since the engine itself would go on.

chDB 26.9 counts a write that the system refuses (no space, a quota, a failing disk) and takes it for done: an insert is
answered, and a merge replaces what it was made of, while their files are empty (docs/adr/0076). After a kill nothing of
that is left: what was not answered is sent again, and in place of a part that a merge damaged the next start takes the
older parts, which the engine keeps for some minutes (`old_parts_lifetime`).

- `FailedWrites(ask)`: what was refused since then
- `set_aside(folder) -> set[Path]`: the parts that a start found damaged
"""

import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from heliograph.clickhouse.embedded.errors import EngineError

logger = logging.getLogger(__name__)

# How often to ask; merges, which nobody waits for, are found by it. Far below the minutes for which older parts stay.
LOOK_SECONDS = 1.0
COUNTED = "SELECT sum(value) FROM system.events WHERE event = 'WriteBufferFromFileDescriptorWriteFailed'"


class FailedWrites:
    """Looks at the engine's count of refused writes; `ask` returns it.

    What was refused before, while the engine opened its folder, was files of its own and no part's: on a full disk a
    store can be started and read.
    """

    def __init__(self, ask: Callable[[], int]) -> None:
        self._ask = ask
        self._before = ask()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="failed-writes", daemon=True)
        self._thread.start()

    def end_if_any(self) -> None:
        """Kill this process where a write was refused; to be asked before a statement that writes is answered."""
        refused = self._ask() - self._before
        if refused:
            logger.critical(
                "%d writes were refused: the disk is full or fails. Ending before anything damaged counts as stored; "
                "what was not answered is sent again. Make room on the disk of the store.",
                refused,
            )
            os.kill(os.getpid(), signal.SIGKILL)

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                self.end_if_any()
            except EngineError:  # short of memory, for one: the count only grows, so the next look sees the same
                logger.warning("whether writes were refused could not be asked", exc_info=True)


def set_aside(folder: Path) -> set[Path]:
    """Return the parts that the engine found damaged as it opened its folder, and put aside."""
    return set(folder.glob("store/*/*/detached/broken-on-start_*"))
