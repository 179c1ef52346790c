"""Whether the store is known to be away: then nobody waits for its time-outs, and the spool takes everything."""

import logging
import threading

from clickhouse_driver.errors import ErrorCodes

from heliograph.clickhouse.errors import AccessError, Retryable, StoreError

log = logging.getLogger(__name__)

# The store answers, but not as ours: its tables are not there (yet), or its password was changed. That is no fault of
# the telemetry, and a person is about to put it right.
_NOT_MIGRATED = frozenset({ErrorCodes.UNKNOWN_TABLE, ErrorCodes.UNKNOWN_DATABASE, ErrorCodes.NO_SUCH_COLUMN_IN_TABLE})


def is_away(error: StoreError) -> bool:
    """Say whether the same rows may be stored later; else the rows themselves are refused."""
    return isinstance(error, Retryable | AccessError) or error.code in _NOT_MIGRATED


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
