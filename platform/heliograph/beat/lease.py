"""The lease that one beat holds: renewed by compare-and-set, and free again once nobody has renewed it for a while.

No time is stored and none of the wall clock is read: clocks of two machines differ, and any may jump. A beat that waits
looks for how long the row has stood still by its own clock; the one that is elected stops by its own clock sooner.
"""

import secrets
import time
from collections.abc import Callable

from django.db import close_old_connections
from django.db.models import F

from heliograph.beat.models import BeatLease

# Seconds. A holder asks again so often, and one that waits looks so often.
RENEW = 3.0
# For so long after it asked for the last renewal that came through, a holder may act: long enough for a busy machine.
HOLD = 20.0
# Of a row that has not changed for so long, the holder is dead, hangs, or has stopped acting. The difference to HOLD is
# what a clock that runs slower, and a message on its way, may take.
TAKEOVER = 30.0


def _seconds() -> float:
    """Time since boot: it never jumps, and goes on while the machine is suspended, unlike the monotonic clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """One beat's view of the lease; `clock` gives seconds that never jump."""

    def __init__(self, clock: Callable[[], float] = _seconds) -> None:
        self.name = secrets.token_hex(16)
        self._clock = clock
        self._held_until = self._renew_at = float("-inf")
        self._seen: tuple[str, int] | None = None
        self._seen_at = 0.0

    @property
    def is_held(self) -> bool:
        """Whether this beat may act now."""
        return self._clock() < self._held_until

    def try_to_hold(self) -> bool:
        """Renew the lease or take it, where that is due and possible; return `is_held`. Raises django.db.Error."""
        asked_at = self._clock()
        if self.is_held and asked_at < self._renew_at:
            return True
        close_old_connections()
        row, _ = BeatLease.objects.get_or_create(pk=1)
        if (row.holder, row.renewals) != self._seen:
            self._seen, self._seen_at = (row.holder, row.renewals), self._clock()
        is_free = row.holder in ("", self.name) or self._clock() - self._seen_at >= TAKEOVER
        if is_free and self._take(row):
            self._held_until, self._renew_at = asked_at + HOLD, asked_at + RENEW
        elif row.holder != self.name:
            self._held_until = float("-inf")
        return self.is_held

    def _take(self, row: BeatLease) -> bool:
        unchanged = BeatLease.objects.filter(pk=1, holder=row.holder, renewals=row.renewals)
        return bool(unchanged.update(holder=self.name, renewals=F("renewals") + 1))

    def release(self) -> None:
        """Leave the lease to whoever asks next. Raises django.db.Error."""
        self._held_until = float("-inf")
        BeatLease.objects.filter(pk=1, holder=self.name).update(holder="", renewals=F("renewals") + 1)
