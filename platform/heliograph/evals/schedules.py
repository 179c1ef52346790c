"""From schedules to runs: what is due is written down once, whoever notices it, and however late."""

from collections import deque
from datetime import datetime, timedelta
from itertools import islice

from django.db import transaction
from django.utils import timezone

from heliograph.accounts.models import User
from heliograph.evals import jobs
from heliograph.evals.models import Run, Schedule
from heliograph.events.outbox import record

# A time is missed when nothing looked at it for so long: longer than a worker's restart, or a job before it.
GRACE = timedelta(minutes=10)
# After a long stop, so many of the newest missed times are caught up.
MAX_CAUGHT_UP = 50
# Times that are counted through at once; a schedule by the minute after a month's stop has 43,200.
MAX_COUNTED = 100_000
# A retry waits so long, and twice as long each time: 1, 2, 4, 8, 16 minutes.
FIRST_RETRY = timedelta(minutes=1)
# Runs of one schedule that are kept; a schedule by the minute has them for a day.
KEPT_RUNS = 1_500


def plan(now: datetime | None = None) -> int:
    """Write down the runs that are due; return how many. Several workers may do this at once."""
    now = now or timezone.now()
    due = Schedule.objects.filter(enabled=True, next_at__lte=now)
    return sum(_plan_one(schedule, now) for schedule in due.select_related("project"))


def _plan_one(schedule: Schedule, now: datetime) -> int:
    was = schedule.next_at
    times = deque(islice(schedule.due(now), MAX_COUNTED), maxlen=MAX_CAUGHT_UP)
    missed = [at for at in times if now - at > GRACE]
    wanted = list(times)
    if schedule.missed == Schedule.Missed.SKIP:
        wanted = [at for at in times if at not in missed]
    elif schedule.missed == Schedule.Missed.ONCE:
        wanted = wanted[-1:]
    with transaction.atomic():
        # Compare-and-set: a second worker finds the time moved, and a paused or changed schedule is left alone.
        moved = Schedule.objects.filter(pk=schedule.pk, enabled=True, next_at=was)
        if not moved.update(next_at=schedule.after(max(now, times[-1]))):
            return 0
        for at in wanted:
            Run.objects.create(
                project=schedule.project,
                kind=schedule.kind,
                arguments=schedule.arguments,
                schedule=schedule,
                due_at=at,
            )
    old = Run.objects.filter(schedule=schedule).exclude(status__in=[Run.Status.QUEUED, Run.Status.RUNNING])
    for beyond in old.values_list("pk", flat=True)[KEPT_RUNS : KEPT_RUNS + 100]:
        Run.objects.filter(pk=beyond).delete()
    return len(wanted)


def run_now(schedule: Schedule, person: User | None) -> Run:
    """Write down a run for this moment, beside those that are due."""
    return Run.objects.create(
        project=schedule.project,
        kind=schedule.kind,
        arguments=schedule.arguments,
        schedule=schedule,
        due_at=timezone.now(),
        requested_by=person,
    )


def again(run: Run, person: User | None) -> Run:
    """Write down another try of a run that ended."""
    return Run.objects.create(
        project=run.project, kind=run.kind, arguments=run.arguments, schedule=run.schedule, requested_by=person
    )


def failed(run: Run, error: str) -> None:
    """Store why a run failed; a scheduled one is tried again as its schedule says, and at last somebody is told."""
    with transaction.atomic():
        run.fail(error)
        schedule = run.schedule
        if schedule is None:
            return
        if run.retry < schedule.retries:
            Run.objects.create(
                project=run.project,
                kind=run.kind,
                arguments=run.arguments,
                schedule=schedule,
                retry=run.retry + 1,
                not_before=timezone.now() + FIRST_RETRY * 2**run.retry,
            )
            return
        body = {
            "schedule": schedule.pk,
            "name": schedule.name,
            "kind": run.kind,
            "run": run.pk,
            "due_at": run.due_at,
            "error": run.error[:2_000],
        }
        record(run.project, "schedule.failed", body)


def faults(schedule: Schedule) -> dict[str, list[str]]:
    """Return what is wrong with the job of a schedule, by field; its times are its own to check."""
    kind = jobs.kind_of(schedule.kind)
    if kind is None:
        return {"kind": [f"Choose one of {', '.join(each.name for each in jobs.kinds())}."]}
    found = kind.faults(schedule.project, schedule.arguments)
    return {"arguments": found} if found else {}
