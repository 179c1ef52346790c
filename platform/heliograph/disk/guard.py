"""The budget of the disk: first warn, then sample what arrives, then drop the oldest weeks, as far as it is configured.

A disk that is full stops everything at once; this gives way in steps, each of which says so. Without configuration it
warns and does nothing else.
"""

import logging
from collections import defaultdict
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.disk.usage import TABLES, Usage, Week, drop, usage, weeks, weeks_of
from heliograph.events.kinds import Kind
from heliograph.events.outbox import record
from heliograph.holds.held import HELD_TABLES, held_weeks
from heliograph.rules.models import DiskState, PinnedTrace
from heliograph.rules.project import forget

log = logging.getLogger(__name__)

# A level ends only so much below where it began: else it would come and go with every merge.
HYSTERESIS = 0.03
# Of a pass: what was measured is old by then.
MAX_DROPS = 12
# The store removes files some minutes after it dropped them; until then the disk looks as full as before.
SETTLE = timedelta(minutes=15)
# Of what was dropped, for people to look at.
KEPT_DROPS = 100


def _bounds() -> list[tuple[str, float]]:
    """Return what is configured, the strictest first: level -> from which share."""
    percents = {
        DiskState.Level.DROP: settings.DISK_DROP_PERCENT,
        DiskState.Level.SAMPLE: settings.DISK_SAMPLE_PERCENT,
        DiskState.Level.WARN: settings.DISK_WARN_PERCENT,
    }
    return [(level, percent / 100) for level, percent in percents.items() if percent]


def lowest_bound() -> float:
    """Return the share from which a level may begin or go on; without any, what is as good as full."""
    return min((bound for _, bound in _bounds()), default=1.0) - HYSTERESIS


def level_of(share: float, before: str) -> str:
    """Return the level at which the disk stands, given the one before."""
    for level, bound in _bounds():
        order = list(DiskState.Level)
        holds_on = order.index(DiskState.Level(before)) >= order.index(DiskState.Level(level))
        if share >= (bound - HYSTERESIS if holds_on else bound):
            return level
    return DiskState.Level.OK


def look() -> DiskState:
    """Measure, tell of a new level, and drop what has to go. Raises StoreError."""
    found, now = usage(), timezone.now()
    state, _ = DiskState.objects.get_or_create(pk=1)
    before, share = state.level, found.share(settings.DISK_BUDGET_BYTES)
    state.level = level_of(share, before)
    try:
        if state.level == DiskState.Level.DROP and _may_drop(now):
            _drop_oldest(found, now)
    finally:
        # Also where the store refuses to drop: then new traces are sampled, and somebody hears of it.
        with transaction.atomic():
            measured = {"level": state.level, "used_bytes": found.used, "share": share, "checked_at": now}
            # By a condition: of two workers that saw the level change, one tells.
            is_ours = DiskState.objects.filter(pk=1, level=before).update(**measured)
            state.refresh_from_db()
            if is_ours and state.level != before:
                _tell(state, before)
        if state.level != before:
            forget()
    return state


def _may_drop(now: datetime) -> bool:
    """Take the turn to drop, one in SETTLE whoever asks: what is on its way out looks as if it were still there."""
    settled = Q(dropped_at=None) | Q(dropped_at__lt=now - SETTLE)
    return bool(DiskState.objects.filter(settled, pk=1).update(dropped_at=now))


def _drop_oldest(found: Usage, now: datetime) -> None:
    """Drop the oldest weeks until what is left is below the bound. Raises StoreError.

    Weeks with pinned traces stay, and those with rows under legal hold, or with what a hold is being placed on.
    """
    held = {table: held_weeks(table) for table in TABLES if table in HELD_TABLES}
    spared = _pinned_weeks()
    used, free, count = found.used, found.free, 0
    for week in weeks():
        share = Usage(used, found.total, free).share(settings.DISK_BUDGET_BYTES)
        if share < settings.DISK_DROP_PERCENT / 100 - HYSTERESIS or count == MAX_DROPS:
            break
        if (week.table == "spans" and week.name in spared) or week.name in held.get(week.table, ()):
            continue
        # Once more: a hold may have been placed while other weeks were dropped.
        if week.table in HELD_TABLES and week.name in held_weeks(week.table):
            continue
        log.warning("the disk is %.0f %% full: the week of %s of %s is dropped", share * 100, week.name, week.table)
        drop(week)
        _note(week, now)
        used, free, count = used - week.bytes, free + week.bytes, count + 1


def _note(week: Week, now: datetime) -> None:
    """Write down what is gone, each at once: the next drop may fail."""
    state = DiskState.objects.get(pk=1)
    entry = {"table": week.table, "week": week.name, "bytes": week.bytes, "at": now.isoformat()}
    state.dropped = [entry, *state.dropped][:KEPT_DROPS]
    state.save(update_fields=["dropped"])


def _pinned_weeks() -> set[str]:
    pinned: defaultdict[int, list[str]] = defaultdict(list)
    for project_id, trace_id in PinnedTrace.objects.values_list("project", "trace_id"):
        pinned[project_id].append(trace_id)
    return {week for project_id, trace_ids in pinned.items() for week in weeks_of(project_id, trace_ids)}


def _tell(state: DiskState, before: str) -> None:
    """Note a level that is worse than the one before, for every project: the disk is everybody's."""
    order = list(DiskState.Level)
    is_worse = order.index(DiskState.Level(state.level)) > order.index(DiskState.Level(before))
    (log.warning if is_worse else log.info)(
        "the disk is %.0f %% full: %s", state.share * 100, state.get_level_display()
    )
    if is_worse:
        body = {"level": state.level, "percent_used": round(state.share * 100, 1), "dropped": state.dropped[:MAX_DROPS]}
        for project in Project.objects.all():
            record(project, Kind.DISK_FILLING, body)
