"""Pinned traces: somebody wants them kept, whatever the sampling rules say.

A pin and a removal may meet. The pin is written before it looks at what is being removed, and a removal looks at the
pins after it has written what it will remove: whichever comes second sees the first.
"""

from collections.abc import Iterable

from django.db import transaction

from heliograph.accounts.models import Project, User
from heliograph.rules.models import PinnedTrace, TailSampler

# A person reads each; more are a rule that should be written as one, and would make a data set of retention.
MAX_PINS = 1_000


class UnpinnableError(ValueError):
    """The trace cannot be pinned; the text says why, for people."""


def pin(project: Project, trace_id: str, user: User | None) -> PinnedTrace:
    """Keep a stored trace; pinned already, it stays as it is. Raises UnpinnableError."""
    with transaction.atomic():
        known = PinnedTrace.objects.filter(project=project, trace_id=trace_id).first()
        if known is not None:
            return known
        if PinnedTrace.objects.filter(project=project).count() >= MAX_PINS:
            raise UnpinnableError(f"A project has at most {MAX_PINS} pinned traces; unpin some first.")
        made, _ = PinnedTrace.objects.get_or_create(project=project, trace_id=trace_id, defaults={"pinned_by": user})
    sampler = TailSampler.objects.filter(project=project).first()
    if sampler is not None and trace_id in (sampler.pending or {}).get("removed", {}):
        made.delete()
        raise UnpinnableError("Sampling is removing this trace at this moment.")
    return made


def unpin(project: Project, trace_id: str) -> None:
    """Leave a trace to the sampling rules again, if it was pinned."""
    PinnedTrace.objects.filter(project=project, trace_id=trace_id).delete()


def pinned_of(project_id: int, trace_ids: Iterable[str]) -> dict[str, PinnedTrace]:
    """Return the pins of these traces, by trace id."""
    wanted = list(trace_ids)
    if not wanted:
        return {}
    pins = PinnedTrace.objects.filter(project=project_id, trace_id__in=wanted).select_related("pinned_by")
    return {pin.trace_id: pin for pin in pins}
