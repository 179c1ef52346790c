"""Placing a hold and lifting it. Who may do so, an owner, is checked where it is asked for."""

import re
from datetime import datetime

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.beat.waking import wake
from heliograph.holds.finding import chosen
from heliograph.holds.held import one_at_a_time
from heliograph.holds.models import MOST_OPEN, HeldTrace, Hold
from heliograph.query.filters import InvalidFilterError

WORK_OFF = "heliograph.holds.tasks.work_off"
MAX_REASON = 500
# Of a hold by ids; more are a session, a user or a filter.
MAX_IDS = 100
# What spans name a session or user by is cut there (collectors/otlp).
MAX_SUBJECT = 1_000
_TRACE_ID = re.compile(r"[0-9a-f]{32}")


class CannotHold(ValueError):  # noqa: N818  (it is an answer to a person, not a failure)
    """A hold that cannot be placed or lifted; the text says why."""


def place(
    project: Project,
    kind: str,
    subject: str,
    reason: str,
    who: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Hold:
    """Have what is stored of some traces stay. `start` and `end` are those of a filter. Raises CannotHold."""
    if settings.CLICKHOUSE_SHARDED:
        # What is held is written beside its table and put in place by partitions, of which one server has but its own.
        raise CannotHold(
            "No hold can be placed on a store of several shards yet (docs/deploy/cluster.md): nothing would be kept."
        )
    hold = Hold(project=project, kind=kind, subject=subject, reason=_reason(reason), placed_by=who[:200])
    if kind == Hold.Kind.TRACES:
        ids = list(dict.fromkeys(subject.split()))
        if not 1 <= len(ids) <= MAX_IDS or not all(map(_TRACE_ID.fullmatch, ids)):
            raise CannotHold(f"Name 1 to {MAX_IDS} traces by their ids of 32 lower-case hexadecimal digits.")
        hold.subject = " ".join(ids)
    elif kind in Hold.STANDING:
        if not subject or len(subject) > MAX_SUBJECT or "\0" in subject:
            raise CannotHold(f"Name the {kind} by the id that spans have, of 1 to {MAX_SUBJECT} characters.")
    elif kind == Hold.Kind.FILTER:
        _check_filter(hold, start, end)
    else:
        raise CannotHold(f"A hold is by one of: {', '.join(Hold.Kind.values)}.")
    with one_at_a_time(project.pk):
        if Hold.objects.filter(project=project, state__in=Hold.OPEN).count() >= MOST_OPEN:
            raise CannotHold(f"A project has at most {MOST_OPEN} holds at a time; lift one.")
        hold.save()
        # At once: whoever removes something asks for them from now on, and a worker may be long in coming.
        named = hold.subject.split() if kind == Hold.Kind.TRACES else ()
        HeldTrace.objects.bulk_create(HeldTrace(hold=hold, project=project, trace_id=each) for each in named)
    wake_worker()
    return hold


def lift(hold: Hold, reason: str, who: str) -> None:
    """Let what is held go in its own time. Raises CannotHold where it is lifted already."""
    in_force = Hold.objects.filter(pk=hold.pk, state__in=Hold.IN_FORCE)
    lifted = {"lifted_by": who[:200], "lifted_at": timezone.now(), "lift_reason": _reason(reason)}
    afresh = {"error": "", "tries": 0, "not_before": None}
    # A worker that is at it stores nothing any more: what it keeps now is found when its traces are let go.
    if not in_force.update(state=Hold.State.LIFTING, **afresh, **lifted):
        raise CannotHold("This hold is lifted already.")
    hold.refresh_from_db()
    wake_worker()


def wake_worker() -> None:
    """Have holds worked off soon."""
    wake(WORK_OFF, "holds")


def _reason(reason: str) -> str:
    said = reason.strip()
    if not said or len(said) > MAX_REASON or "\0" in said:
        raise CannotHold(f"Say why, in 1 to {MAX_REASON} characters.")
    return said


def _check_filter(hold: Hold, start: datetime | None, end: datetime | None) -> None:
    if start is None or end is None:
        raise CannotHold("A hold by a filter needs a time range.")
    if end > timezone.now():
        raise CannotHold("A hold by a filter is of the past; hold a user or a session to keep what will come.")
    hold.start, hold.end = start, end
    try:
        chosen(hold)
    except InvalidFilterError as error:
        raise CannotHold(str(error)) from error


def found(project: Project, words: str) -> QuerySet[Hold]:
    """Return a project's holds, newest first: those that some words or a trace id are of, or all."""
    holds = Hold.objects.filter(project=project)
    if not words:
        return holds
    fields = ("reason", "lift_reason", "subject", "placed_by", "lifted_by")
    said = Q()
    for field in fields:
        said |= Q(**{f"{field}__icontains": words})
    if _TRACE_ID.fullmatch(words):
        said |= Q(pk__in=HeldTrace.objects.filter(project=project, trace_id=words).values("hold"))
    return holds.filter(said)
