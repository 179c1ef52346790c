"""django-celery-beat's scheduler, for several beats at once: only the elected one sends."""

import logging
import time
from datetime import datetime
from typing import Any

from django.db import Error as DatabaseError
from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from heliograph.beat.lease import RENEW, Lease

log = logging.getLogger(__name__)

# Seconds by which the wall clock may be corrected without anybody's notice.
SLIGHT = 5.0


class ElectedScheduler(DatabaseScheduler):  # type: ignore[misc]  # django-celery-beat has no types
    """Sends what is due while it holds the lease. Whatever it sent is stored at once (CELERY_BEAT_SYNC_EVERY).

    So whoever takes over sends what has become due since, and twice at most what was sent in the other's last moment.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.lease = Lease()
        self._is_elected = False
        self._ahead = _ahead()
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send one due task, where this beat is elected; return the seconds until the next look."""
        try:
            self.lease.try_to_hold()
        except DatabaseError:
            log.warning("the database does not answer; who says when cannot be asked", exc_info=True)
        if not self.lease.is_held:
            self._stand_by()
            return RENEW
        if not self._is_elected or self._clock_went_back():
            self._start_afresh()
        return min(float(super().tick(*args, **kwargs)), RENEW)

    def reserve(self, entry: ModelEntry) -> ModelEntry:
        """Note that an entry is sent; also in the schedule, from which the class above may plan anew at any time."""
        following: ModelEntry = super().reserve(entry)
        self._schedule[following.name] = following
        return following

    def apply_entry(self, entry: ModelEntry, producer: Any = None) -> None:
        """Send a task, unless connecting to the broker has taken so long that another beat may be elected."""
        if self.lease.is_held:
            super().apply_entry(entry, producer=producer)

    def all_as_schedule(self) -> dict[str, ModelEntry]:
        """Return what the database has. What was sent in the future was sent before the clock was set back."""
        entries: dict[str, ModelEntry] = super().all_as_schedule()
        now = timezone.now()
        for entry in entries.values():
            if entry.last_run_at > now:
                entry.last_run_at = entry.model.last_run_at = now
        return entries

    def close(self) -> None:
        """Store what was sent, and let another beat take over at once."""
        super().close()
        try:
            self.lease.release()
        except DatabaseError:
            log.warning("the lease runs out by itself: the database does not answer", exc_info=True)

    def _stand_by(self) -> None:
        if self._is_elected:
            log.warning("another beat may be elected: this one stops sending")
        self._is_elected = False
        # What was noted and not sent is the other's.
        self._dirty.clear()

    def _start_afresh(self) -> None:
        if not self._is_elected:
            log.info("this beat is elected")
        self._is_elected = True
        self._ahead = _ahead()
        self._schedule, self._heap = self.all_as_schedule(), None
        self._initial_read = self._heap_invalidated = False
        self._last_full_sync = datetime.now()

    def _clock_went_back(self) -> bool:
        """Whether the wall clock was set back: what was planned by it would wait for as long."""
        before, self._ahead = self._ahead, _ahead()
        return self._ahead < before - SLIGHT


def _ahead() -> float:
    """By how many seconds the wall clock is ahead of one that never jumps."""
    return time.time() - time.monotonic()
