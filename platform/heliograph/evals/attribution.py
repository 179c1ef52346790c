"""The job that shares out the GPUs' time and energy: new minutes once they have settled, old ones when more comes in.

Two marks stand in the database: the minute up to which everything is shared out, and the moment up to which what was
stored has been looked at for minutes before that. They move after the store has the result, so that a crash repeats
work and loses none; a minute that is written again replaces itself.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings

from heliograph.accounts.models import Project
from heliograph.evals.models import Watermark
from heliograph.query import attribution_windows
from heliograph.query.filters import to_ns
from heliograph.query.prices import weights_of

logger = logging.getLogger(__name__)

FRONTIER, RECEIVED = "attribution.minutes", "attribution.received"
# Agents and engines send every few seconds, and a span comes with the end of its call; later ones reopen their minutes.
SETTLE = timedelta(seconds=150)
# A commit takes its time stamp before it is visible.
COMMIT = timedelta(seconds=30)
# A minute is opened again for what comes this much later; what comes later still is counted and left out.
REOPEN = timedelta(hours=6)
# One pass lets other jobs have the worker after so much: four hours of backlog.
MAX_MINUTES = 240
# Spans of ten minutes fit the memory of a small worker; a busier project's are halved where they are read.
CHUNK_MINUTES = 10
# A pass follows each minute that has settled; what waits longer than this has a worker that is away or behind.
BEHIND = SETTLE + timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Pending:
    """The minute of the first GPU reading that is not shared out yet, and whether it should have been by now."""

    since: datetime
    is_behind: bool


@dataclass(slots=True)
class Pass:
    """What one pass over a project did."""

    minutes: int = 0
    reopened: int = 0
    requests: int = 0
    unplaced: int = 0
    too_late: int = 0


def attribute(project: Project, now: datetime | None = None) -> Pass:
    """Share out what has settled; nothing where another worker is at it or the project has no GPUs.

    Raises StoreError; the marks then stay before the minutes that failed.
    """
    done = Pass()
    now = now or datetime.now(UTC)
    if not attribution_windows.has_gpus(project.pk):
        return done
    frontier = Watermark.claim(project, FRONTIER)
    if frontier is None:
        return done
    try:
        received, _ = Watermark.objects.get_or_create(project=project, evaluator=RECEIVED)
        _work(project, frontier, received, now, done)
    finally:
        frontier.release()
    if done.minutes or done.reopened:
        logger.info(
            "GPU use of %s: %s minutes and %s again, %s requests, %s calls without a place, %s too late",
            project.slug,
            done.minutes,
            done.reopened,
            done.requests,
            done.unplaced,
            done.too_late,
        )
    return done


def pending(project: Project, start: datetime, end: datetime, now: datetime | None = None) -> Pending | None:
    """Return since when readings of [start, end) wait to be shared out; None where none does. Raises StoreError."""
    now = now or datetime.now(UTC)
    mark = Watermark.objects.filter(project=project, evaluator=FRONTIER).first()
    reached = datetime.fromtimestamp(mark.received_at_us / 1e6, UTC) if mark else start
    # What is older is shared out no more.
    since = attribution_windows.first_reading(project.pk, max(start, reached, now - REOPEN), min(end, now))
    return Pending(since, now - since > BEHIND) if since else None


def _work(project: Project, frontier: Watermark, received: Watermark, now: datetime, done: Pass) -> None:
    settled_s = _minute(now - SETTLE)
    oldest_s = _minute(now - REOPEN)
    reached_s = frontier.received_at_us // 1_000_000 or oldest_s
    if reached_s < oldest_s:
        # The worker was away for longer than a minute may be reopened; the first hours of that time stay unknown.
        logger.warning("GPU use of %s before %s is not shared out", project.slug, datetime.fromtimestamp(oldest_s, UTC))
        reached_s = oldest_s
    until_us = to_ns(now - COMMIT) // 1_000
    since_us = received.received_at_us or to_ns(now - REOPEN) // 1_000
    if since_us < until_us:
        late = attribution_windows.touched(project.pk, since_us, until_us, oldest_s, reached_s)
        done.too_late = late.too_late
        # Beyond a pass's share, the rest is found again: the mark of what was looked at stays.
        for start_s, minutes in _runs(late.minutes[:MAX_MINUTES]):
            _share_out(project, frontier, start_s, minutes, done)
            done.reopened += minutes
        if len(late.minutes) <= MAX_MINUTES:
            received.received_at_us = until_us
            received.save(update_fields=["received_at_us"])
    last_s = min(settled_s, reached_s + 60 * MAX_MINUTES)
    while reached_s < last_s:
        minutes = min(CHUNK_MINUTES, (last_s - reached_s) // 60)
        _share_out(project, frontier, reached_s, minutes, done)
        done.minutes += minutes
        reached_s += 60 * minutes
        frontier.advance(reached_s * 1_000_000, "", "")


def _share_out(project: Project, frontier: Watermark, start_s: int, minutes: int, done: Pass) -> None:
    outcome = attribution_windows.attribute(
        project.pk,
        start_s,
        minutes,
        retention_days=project.effective_retention_days,
        tenant_key=settings.TENANT_ATTRIBUTE,
        weights=weights_of(project.pk),
    )
    done.requests += outcome.requests
    done.unplaced += outcome.unplaced
    # Renews the claim, and moves nothing.
    frontier.advance(frontier.received_at_us, "", "")


def _minute(moment: datetime) -> int:
    return int(moment.timestamp()) // 60 * 60


def _runs(minutes: Iterable[int]) -> list[tuple[int, int]]:
    """Join minutes (epoch seconds, rising) that follow each other into runs (start, count) of a chunk at most."""
    runs: list[tuple[int, int]] = []
    for at in minutes:
        if runs and at == runs[-1][0] + 60 * runs[-1][1] and runs[-1][1] < CHUNK_MINUTES:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((at, 1))
    return runs
