"""Asking for a re-application from a process that does not do it."""

from datetime import UTC, datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from heliograph.accounts.models import Project, User
from heliograph.beat.waking import wake
from heliograph.conventions.models import Reapplication, Ruleset
from heliograph.remap.job import SETTLING, spans_to_do

WORK_OFF = "heliograph.remap.tasks.work_off"


class CannotStart(ValueError):  # noqa: N818  (it is an answer to a person, not a failure)
    """A re-application that cannot be; the text says what to do."""


def start(project: Project, user: User | None, first: datetime, last: datetime | None = None) -> Reapplication:
    """Queue a pass over the spans that start between two times, or until now, by the rules in force.

    Raises CannotStart, StoreError.
    """
    latest = Ruleset.latest(project.pk)
    if latest is None:
        raise CannotStart("The project has no rules of its own yet; there is nothing to re-apply.")
    begin = first.astimezone(UTC).replace(second=0, microsecond=0)
    # The minute that `last` lies in is not over for spans on their way; it is taken as a whole.
    now = timezone.now()
    end = _next_minute(min(last or now, now).astimezone(UTC))
    if begin >= end:
        raise CannotStart("Choose a time range that begins before it ends, and not in the future.")
    try:
        with transaction.atomic():
            job = Reapplication.objects.create(
                project=project,
                revision=latest.revision,
                start=begin,
                end=end,
                cursor=begin,
                spans_total=spans_to_do(project.pk, begin, end, latest.revision),
                requested_by=user,
            )
    except IntegrityError as error:
        raise CannotStart("Rules are being re-applied already. Wait for that to end, or cancel it.") from error
    wake_worker(max(0.0, (latest.created_at + SETTLING - timezone.now()).total_seconds()))
    return job


def cancel(job: Reapplication) -> None:
    """Have an open job end after the slice at hand; what is done stays done."""
    Reapplication.objects.filter(pk=job.pk, status__in=Reapplication.OPEN).update(cancel_requested=True)
    wake_worker()


def wake_worker(after_seconds: float = 0.0) -> None:
    """Have queued jobs worked off soon."""
    wake(WORK_OFF, "re-applications", after_seconds)


def _next_minute(at: datetime) -> datetime:
    return datetime.fromtimestamp((int(at.timestamp()) // 60 + 1) * 60, UTC)
