"""Limits of keys, enforced in the process without a question to a database in any request.

Spans a minute are a token bucket of each process. Bytes a day and spans a month are shared by all processes through
the ledger: a process knows its own use at once and the others' when the ledger's thread has asked, so several processes
together may overshoot by what they take within REFRESH_SECONDS and FLUSH_SECONDS, and a fresh process by what it takes
until its first answer. While the store is away, each knows its own use only.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

from heliograph.accounts.limits import EffectiveLimits
from heliograph.clickhouse.errors import StoreError
from heliograph.ingest.auth import Tenant
from heliograph.ingest.refusals import Limited
from heliograph.query import ledger as books

log = logging.getLogger(__name__)

REFRESH_SECONDS = 30.0
# A key that was idle for so long is forgotten; its bucket would be full again.
IDLE_SECONDS = 900.0


@dataclass
class _Shared:
    """One count that several processes share.

    What the store knows, what is on its way there, what is new, and what requests hold that are not acknowledged yet:
    these are in no page of the ledger, so they are kept apart.
    """

    period: datetime | None = None
    known: int = 0
    sent: int = 0
    new: int = 0
    held: int = 0

    def used(self, period: datetime) -> int:
        if self.period != period:
            self.period, self.known, self.sent, self.new = period, 0, 0, 0
        return self.known + self.sent + self.new + self.held


@dataclass
class _Use:
    """What one key uses."""

    tenant: Tenant
    tokens: float
    filled_at: float
    seen_at: float
    bytes_day: _Shared = field(default_factory=_Shared)
    spans_month: _Shared = field(default_factory=_Shared)
    asked_at: float = -math.inf


class Meter:
    """What the keys with limits have used. Safe in every thread. `wants_refresh` is called for a key never seen."""

    def __init__(self, wants_refresh: Callable[[], None] = lambda: None) -> None:
        self._wants_refresh = wants_refresh
        self._lock = threading.Lock()
        self._uses: dict[tuple[int, int], _Use] = {}

    def permit(self, tenant: Tenant, size: int) -> "Permit":
        """Take a body's bytes; use the answer in a `with` statement. Raises Limited, and then nothing is taken."""
        if not tenant.limits:
            return Permit(self, tenant, 0)
        now = datetime.now(UTC)
        with self._lock:
            use = self._use(tenant)
            limits = tenant.limits
            most = limits.max_bytes_per_day
            if most is not None and use.bytes_day.used(day_of(now)) + size > most:
                raise _limited(tenant, "max_bytes_per_day", _seconds_until(day_of(now) + timedelta(days=1), now))
            # Known to be used up: refused before anything is decoded.
            self._check_spans(use, limits, 1, now)
            use.bytes_day.held += size
        return Permit(self, tenant, size)

    def take_spans(self, tenant: Tenant, spans: int) -> None:
        """Take spans, all or none. Raises Limited."""
        if not tenant.limits:
            return
        now = datetime.now(UTC)
        with self._lock:
            use = self._use(tenant)
            self._check_spans(use, tenant.limits, spans, now)
            use.tokens -= spans
            use.spans_month.held += spans

    def give_back(self, tenant: Tenant, size: int, spans: int) -> None:
        """Return what a request took that was not acknowledged."""
        if not tenant.limits:
            return
        with self._lock:
            use = self._use(tenant)
            use.tokens += spans
            use.bytes_day.held -= size
            use.spans_month.held -= spans

    def keep(self, tenant: Tenant, size: int, spans: int) -> None:
        """Note that what a request took was acknowledged. Call when the ledger has counted it."""
        if not tenant.limits:
            return
        now = datetime.now(UTC)
        with self._lock:
            use = self._use(tenant)
            for shared, period, taken in (
                (use.bytes_day, day_of(now), size),
                (use.spans_month, month_of(now), spans),
            ):
                shared.used(period)
                shared.held -= taken
                shared.new += taken

    def on_cut(self) -> None:
        """Note that what is new is on its way to the store."""
        with self._lock:
            for use in self._uses.values():
                for shared in (use.bytes_day, use.spans_month):
                    shared.sent += shared.new
                    shared.new = 0

    def on_flushed(self, is_sent: bool) -> None:
        """Learn what all processes used, where all of our own use is in the store."""
        with self._lock:
            now = time.monotonic()
            for place in [place for place, use in self._uses.items() if use.seen_at < now - IDLE_SECONDS]:
                del self._uses[place]
            due = {use.tenant.project_id for use in self._uses.values() if use.asked_at < now - REFRESH_SECONDS}
        if is_sent:
            for project_id in due:
                self._refresh(project_id)

    def _refresh(self, project_id: int) -> None:
        now = datetime.now(UTC)
        try:
            used = books.usage(project_id, day_of(now), month_of(now))
        except StoreError as error:
            log.warning("what project %s has used of its quotas is not known now: %s", project_id, error)
            return
        with self._lock:
            for (project, key_id), use in self._uses.items():
                if project != project_id:
                    continue
                of_key = used.get(key_id, books.Usage(0, 0))
                for shared, period, known in (
                    (use.bytes_day, day_of(now), of_key.bytes_today),
                    (use.spans_month, month_of(now), of_key.spans_this_month),
                ):
                    shared.used(period)
                    shared.known, shared.sent = known, 0
                use.asked_at = time.monotonic()

    def _use(self, tenant: Tenant) -> _Use:
        place = (tenant.project_id, tenant.key_id)
        now = time.monotonic()
        use = self._uses.get(place)
        if use is None:
            use = self._uses[place] = _Use(tenant, float(tenant.limits.max_spans_per_minute or 0), now, now)
            self._wants_refresh()
        most = tenant.limits.max_spans_per_minute
        if use.tenant.limits.max_spans_per_minute is None and most is not None:
            use.tokens = float(most)
        use.tenant, use.seen_at = tenant, now
        if most is not None:
            use.tokens = min(float(most), use.tokens + (now - use.filled_at) * most / 60)
        use.filled_at = now
        return use

    @staticmethod
    def _check_spans(use: _Use, limits: EffectiveLimits, spans: int, now: datetime) -> None:
        month = limits.max_spans_per_month
        if month is not None and use.spans_month.used(month_of(now)) + spans > month:
            after = (month_of(now) + timedelta(days=32)).replace(day=1)
            raise _limited(use.tenant, "max_spans_per_month", _seconds_until(after, now))
        minute = limits.max_spans_per_minute
        # More spans than a minute's pass at once when the bucket is full, and leave a debt; else they never could.
        if minute is not None and use.tokens < (needed := min(spans, minute)):
            wait = math.ceil((needed - use.tokens) * 60 / minute)
            raise _limited(use.tenant, "max_spans_per_minute", max(1, wait))


class Permit:
    """What one request took. Given back at the end of the `with` statement unless `keep` was called."""

    def __init__(self, meter: Meter, tenant: Tenant, size: int) -> None:
        self._meter = meter
        self._tenant = tenant
        self._size = size
        self._spans = 0
        self._is_kept = False

    def take_spans(self, spans: int) -> None:
        """Take the spans of the request, all or none. Raises Limited."""
        self._meter.take_spans(self._tenant, spans)
        self._spans = spans

    def keep(self) -> None:
        """The request is acknowledged, and the ledger has counted it."""
        self._meter.keep(self._tenant, self._size, self._spans)
        self._is_kept = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_kept:
            self._meter.give_back(self._tenant, self._size, self._spans)


def day_of(now: datetime) -> datetime:
    """Return the beginning of the UTC day."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def month_of(now: datetime) -> datetime:
    """Return the beginning of the UTC month."""
    return day_of(now).replace(day=1)


def _seconds_until(then: datetime, now: datetime) -> int:
    return max(1, math.ceil((then - now).total_seconds()))


_SAID = {
    "max_spans_per_minute": ("rate_limit", "{most:,} spans a minute"),
    "max_bytes_per_day": ("quota_bytes", "{most:,} bytes a day (UTC)"),
    "max_spans_per_month": ("quota_spans", "{most:,} spans a month (UTC)"),
}


def _limited(tenant: Tenant, limit: str, retry_after: int) -> Limited:
    reason, said = _SAID[limit]
    whose = "the project's limit for each key" if limit in tenant.limits.inherited else "its own limit"
    who = f"The key {tenant.key_name}" if tenant.key_id else "A sender without a key"
    most = said.format(most=getattr(tenant.limits, limit))
    return Limited(
        f"{who} may send {most} ({whose}), and that is used up. Retry in {retry_after} s, send less, or ask an owner "
        "of the project to raise the limit under Settings.",
        reason=reason,
        retry_after=retry_after,
    )
