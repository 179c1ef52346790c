"""When monitors look, and the monitor that every project has."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from heliograph.accounts.models import Project, User
from heliograph.gates.models import Job, Look, Monitor

DEFAULT_NAME = "Daily"
# Over this time a monitor's chance of a false finding is at most its alpha.
PERIOD = timedelta(days=30)
AFTER_FAILURE = timedelta(hours=1)


def default_monitor(project: Project) -> Monitor:
    """Return the monitor of a project that nobody asked for: inputs and outputs of each service, every day."""
    found = Monitor.objects.filter(project=project, is_default=True).first()
    if found is None:
        found, _ = Monitor.objects.get_or_create(
            project=project,
            name=DEFAULT_NAME,
            defaults={"is_default": True, "signals": ["input", "output"], "segments": ["service"]},
        )
    return found


def alpha_of_a_look(monitor: Monitor) -> float:
    """The share of alpha that one look may spend: looks overlap, so the bound over them is a plain sum."""
    looks = max(1.0, PERIOD / monitor.every)
    return float(monitor.alpha / looks)


def queue_due() -> None:
    """Queue a look of each monitor whose time has come, once, however many processes ask."""
    for project in Project.objects.all():
        default_monitor(project)
    now = timezone.now()
    for monitor in Monitor.objects.filter(Q(next_look_at=None) | Q(next_look_at__lte=now), is_on=True):
        queue_look(monitor, now, is_due=True)


def queue_look(
    monitor: Monitor, now: datetime, *, is_due: bool = False, requested_by: User | None = None
) -> Look | None:
    """Queue a look at the window that ends now; None where one waits already or another process was faster."""
    with transaction.atomic():
        if is_due:
            mine = Monitor.objects.filter(pk=monitor.pk, next_look_at=monitor.next_look_at, is_on=True)
            if not mine.update(next_look_at=now + monitor.every):
                return None
        if monitor.looks.filter(status__in=[Job.Status.QUEUED, Job.Status.RUNNING]).exists():
            return None
        return Look.objects.create(monitor=monitor, until=now, requested_by=requested_by)


def look_again_soon(monitor: Monitor) -> None:
    """After a look that failed (the store was away, perhaps), do not wait for a day."""
    soon = timezone.now() + min(AFTER_FAILURE, monitor.every)
    Monitor.objects.filter(pk=monitor.pk, next_look_at__gt=soon).update(next_look_at=soon)
