"""The store's own clock, by which it is told whether rows are from before or after something.

Ours may differ from it and may jump, so it is asked once in a while and goes on by our monotonic clock in between.
"""

import threading
import time

from heliograph.clickhouse import client

# Clocks drift by milliseconds in that time; what remains are corrections of the store's own clock.
ASK_SECONDS = 60.0
# Requests wait meanwhile, and exporters give up after 10 s.
ANSWER_SECONDS = 5.0
_NOW = "SELECT toUnixTimestamp64Micro(now64(6)) AS us"

_lock = threading.Lock()
# The store's time in µs since the epoch, and ours by time.monotonic() right after.
_known: tuple[int, float] | None = None


def store_time_us() -> int:
    """Return a time that the store's clock has passed just now, in µs since the epoch. Raises StoreError."""
    global _known  # noqa: PLW0603  # one store a process, and this is what is known of it
    with _lock:
        known = _known
        if known is None or time.monotonic() - known[1] > ASK_SECONDS:
            with client.answered_within(ANSWER_SECONDS):
                [row] = client.execute_unscoped(_NOW, tag="ingest.store_time")
            known = _known = (row["us"], time.monotonic())
    return known[0] + int((time.monotonic() - known[1]) * 1e6)
