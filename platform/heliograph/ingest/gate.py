"""Whether the store is known to be away: then nobody waits for its time-outs, and the spool takes everything."""

import logging
import threading

log = logging.getLogger(__name__)


class StoreGate:
    """Closed by whoever meets an absent store, opened by the replayer once the store answers again."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    @property
    def is_open(self) -> bool:
        """Whether inserts should be tried."""
        return not self._closed.is_set()

    def close(self, error: Exception) -> None:
        """Note that the store is away."""
        if not self._closed.is_set():
            log.warning("the store is away, telemetry goes to the spool: %s", error)
        self._closed.set()

    def open(self) -> None:
        """Note that the store answers."""
        if self._closed.is_set():
            log.warning("the store is back")
        self._closed.clear()
