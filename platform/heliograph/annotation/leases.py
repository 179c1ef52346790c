"""Whose turn an item is: taken for a while, skipped, let go.

- `claim(queue, person) -> Slot | None`: the next one; what was begun comes first
- `skip(slot, person, reason)`, `release(slot, person)`
"""

from datetime import datetime, timedelta

from django.db import IntegrityError, models, transaction
from django.utils import timezone

from heliograph.accounts.models import User
from heliograph.annotation.assigning import annotators
from heliograph.annotation.models import Queue, Skip, Slot

# Twenty people who press at once each lose some races; so many lost in a row mean that the queue is nearly empty.
_TRIES = 50
MAX_REASON = 500


class LostSlotError(Exception):
    """The slot is not the person's: the lease ran out and somebody else took it, or it never was."""

    def __init__(self) -> None:
        super().__init__("Your time for this answer ran out and somebody else has it now. Go on with the next one.")


class ClosedQueueError(Exception):
    """Nobody works on the queue for now."""

    def __init__(self) -> None:
        super().__init__("This queue is closed. An editor can open it again.")


def claim(queue: Queue, person: User, now: datetime | None = None) -> Slot | None:
    """Return the next slot for a person, theirs for the queue's lease: the one that they have begun, else the first
    that is kept for them, else the first that is kept for nobody, of an item that they neither judged nor skipped.
    None where nothing is left for them.

    Raises ClosedQueueError.
    """
    if not queue.is_open:
        raise ClosedQueueError
    now = now or timezone.now()
    until = now + queue.lease
    for begun in queue.slots.filter(annotator=person, status=Slot.Status.LEASED).order_by("pk"):
        if _mine(begun, person).update(leased_until=until):
            return _again(begun)
    for _ in range(_TRIES):
        slot = _first_free(queue, person, now)
        if slot is None:
            return None
        if _take(slot, person, now, until):
            return _again(slot)
    return None


def skip(slot: Slot, person: User, reason: str) -> None:
    """Leave an item to others. Raises LostSlotError, ValueError without a reason."""
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise ValueError(f"Say why in 1 to {MAX_REASON} characters: it helps whoever looks after the queue.")
    with transaction.atomic():
        _let_go(slot, person)
        Slot.objects.filter(item=slot.item_id, assignee=person).update(assignee=None)
        Skip.objects.update_or_create(item=slot.item, annotator=person, defaults={"reason": reason})


def release(slot: Slot, person: User) -> None:
    """Give an item back without a word. Raises LostSlotError."""
    _let_go(slot, person)


def begun_at(slot: Slot) -> datetime | None:
    """When the lease that runs was taken or renewed."""
    return slot.leased_until - timedelta(minutes=slot.queue.lease_minutes) if slot.leased_until else None


def _let_go(slot: Slot, person: User) -> None:
    if not _mine(slot, person).update(status=Slot.Status.OPEN, annotator=None, leased_until=None):
        raise LostSlotError


def _mine(slot: Slot, person: User) -> models.QuerySet[Slot]:
    return Slot.objects.filter(pk=slot.pk, annotator=person, status=Slot.Status.LEASED)


def _first_free(queue: Queue, person: User, now: datetime) -> Slot | None:
    theirs = Slot.objects.filter(item=models.OuterRef("item"), annotator=person)
    skipped = Skip.objects.filter(item=models.OuterRef("item"), annotator=person)
    free = queue.slots.filter(Slot.free(now)).filter(~models.Exists(theirs), ~models.Exists(skipped))
    ordered = free.order_by("item__priority", "item_id", "number")
    # What is kept for somebody who may no longer judge would else wait for ever.
    for_anybody = ordered.filter(models.Q(assignee=None) | ~models.Q(assignee__in=annotators(queue.project)))
    return ordered.filter(assignee=person).first() or for_anybody.first()


def _take(slot: Slot, person: User, now: datetime, until: datetime) -> bool:
    # Kept for the same as when it was found: an editor may have assigned it in this moment.
    free = Slot.objects.filter(Slot.free(now), pk=slot.pk, assignee=slot.assignee_id)
    kept_for = person if slot.assignee_id == person.pk else None
    try:
        with transaction.atomic():
            return bool(free.update(annotator=person, status=Slot.Status.LEASED, leased_until=until, assignee=kept_for))
    except IntegrityError:  # the person's other window took another slot of this item in this moment
        return False


def _again(slot: Slot) -> Slot:
    return Slot.objects.select_related("item", "queue__project").get(pk=slot.pk)
