"""Whose an answer is to be: particular answers, or a share of a queue, kept for particular people.

- `annotators(project) -> QuerySet[User]`: who can be given something
- `assign(queue, people, items=..., share=...) -> dict[User, int]`: deal answers out evenly
- `unassign(queue, people=..., items=...) -> int`: let anybody have them again
- `shares(queue) -> list[Share]`: who has what, and how far they are

What is kept for somebody goes to nobody else while they may judge; it ends with their role, as they skip it, and as
they judge the answer in another place of it. What somebody has in hand, or has judged, is not assigned over their head.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from heliograph.accounts.models import Project, User
from heliograph.accounts.permissions import people_who_may
from heliograph.accounts.roles import Capability
from heliograph.annotation.models import Queue, Skip, Slot
from heliograph.audit.changes import note

# At once: a queue is shared among a team.
MAX_PEOPLE = 50
# Of one request: what a few pages of ticks are; more is a share.
MAX_ITEMS = 1_000
# SQLite takes some tens of thousands of parameters in a statement; this is far below.
_BATCH = 500


class AssigningError(ValueError):
    """What cannot be assigned so; the text says why."""


@dataclass(frozen=True, slots=True)
class Share:
    """What is kept for one person and not done, and how many judgements they gave in all."""

    person: User
    waiting: int
    done: int
    may_judge: bool


def annotators(project: Project) -> models.QuerySet[User]:
    """Return who may judge answers of a project; service accounts act by keys, and a key judges nothing."""
    return people_who_may(project, Capability.ANNOTATE).filter(is_service_account=False).order_by("username")


def people_named(project: Project, names: Iterable[str]) -> list[User]:
    """Return annotators by their names, in that order. Raises AssigningError."""
    wanted = list(dict.fromkeys(names))
    if len(wanted) > MAX_PEOPLE:
        raise AssigningError(f"At most {MAX_PEOPLE} people at once.")
    found = {user.username: user for user in annotators(project).filter(username__in=wanted)}
    if unknown := [name for name in wanted if name not in found]:
        raise AssigningError(f"{unknown[0]} may not judge answers of {project.name}: an admin gives roles.")
    return [found[name] for name in wanted]


@transaction.atomic
def assign(
    queue: Queue, people: Sequence[User], *, items: Sequence[int] | None = None, share: int = 100
) -> dict[User, int]:
    """Keep answers for people, dealt out evenly: `items`, or the first `share` percent of those that have a place
    which is nobody's. Of an answer, each gets one place at most. Return how many places each got.

    Raises AssigningError.
    """
    if not people:
        raise AssigningError("Say to whom.")
    if items is not None and not 0 < len(items) <= MAX_ITEMS:
        raise AssigningError(f"Choose 1 to {MAX_ITEMS:,} answers, or a share of the queue.")
    if not 1 <= share <= 100:
        raise AssigningError("A share is 1 to 100 percent.")
    Queue.objects.select_for_update().get(pk=queue.pk)
    free = queue.slots.filter(Slot.free(timezone.now()), assignee=None)
    places: dict[int, list[int]] = defaultdict(list)
    ordered = (free if items is None else free.filter(item__in=items)).order_by("item__priority", "item_id", "number")
    for item, slot in ordered.values_list("item_id", "pk"):
        places[item].append(slot)
    chosen = list(places) if items is not None else list(places)[: math.ceil(len(places) * share / 100)]
    dealt = _dealt({item: places[item] for item in chosen}, people, _not_theirs(queue, people))
    got = {person: _keep(free, slots, person) for person, slots in dealt.items()}
    _tell(queue, [f"{count:,} assigned to {person}" for person, count in got.items() if count])
    return got


def _not_theirs(queue: Queue, people: Sequence[User]) -> set[tuple[int, int]]:
    """Return the pairs of item and person that get no place: judged, in hand, kept for them already, or skipped."""
    held = queue.slots.exclude(Slot.free(timezone.now())).filter(annotator__in=people)
    kept = queue.slots.filter(assignee__in=people)
    skipped = Skip.objects.filter(item__queue=queue, annotator__in=people)
    return {
        *held.values_list("item_id", "annotator_id"),
        *kept.values_list("item_id", "assignee_id"),
        *skipped.values_list("item_id", "annotator_id"),
    }


def _dealt(
    places: dict[int, list[int]], people: Sequence[User], not_theirs: set[tuple[int, int]]
) -> dict[User, list[int]]:
    dealt: dict[User, list[int]] = {person: [] for person in people}
    for item, slots in places.items():
        able = [person for person in people if (item, person.pk) not in not_theirs]
        # Who has the fewest is next; sorting is stable, so people take turns.
        for person, slot in zip(sorted(able, key=lambda person: len(dealt[person])), slots, strict=False):
            dealt[person].append(slot)
    return dealt


def _keep(free: models.QuerySet[Slot], slots: Sequence[int], person: User) -> int:
    """Keep slots for a person where they are still free; somebody may have taken one a moment ago."""
    fresh: dict[str, Any] = {"status": Slot.Status.OPEN, "annotator": None, "leased_until": None}
    batches = (slots[at : at + _BATCH] for at in range(0, len(slots), _BATCH))
    return sum(free.filter(pk__in=some).update(assignee=person, **fresh) for some in batches)


@transaction.atomic
def unassign(queue: Queue, *, people: Sequence[User] = (), items: Sequence[int] = ()) -> int:
    """Let anybody have what is kept for people, of some items, or both; return how many places that were. An answer
    that somebody has in hand stays there; what is judged stays theirs.

    Raises AssigningError.
    """
    if not people and not items:
        raise AssigningError("Say whose, or of which answers.")
    if len(items) > MAX_ITEMS:
        raise AssigningError(f"At most {MAX_ITEMS:,} answers at once.")
    Queue.objects.select_for_update().get(pk=queue.pk)
    kept = queue.slots.exclude(status=Slot.Status.DONE).exclude(assignee=None)
    kept = kept.filter(assignee__in=people) if people else kept
    kept = kept.filter(item__in=items) if items else kept
    names = Counter(kept.values_list("assignee__username", flat=True))
    count = kept.update(assignee=None)
    _tell(queue, [f"{number:,} taken back from {name}" for name, number in names.items()])
    return count


def _tell(queue: Queue, what: list[str]) -> None:
    # Rows are changed in bulk, which the audit log does not see by itself.
    if what:
        note(queue, "changed", what)


def shares(queue: Queue) -> list[Share]:
    """Return who something of a queue is kept for, or who judged some of it, by name."""
    not_done = ~models.Q(status=Slot.Status.DONE)
    waiting = dict(
        queue.slots.filter(not_done).exclude(assignee=None).values_list("assignee").annotate(models.Count("pk"))
    )
    done = dict(
        queue.slots.filter(status=Slot.Status.DONE)
        .exclude(annotator=None)
        .values_list("annotator")
        .annotate(models.Count("pk"))
    )
    may = set(annotators(queue.project).filter(pk__in={*waiting, *done}).values_list("pk", flat=True))
    people = User.objects.filter(pk__in={*waiting, *done}).order_by("username")
    return [Share(each, waiting.get(each.pk, 0), done.get(each.pk, 0), each.pk in may) for each in people]


def of_person(name: str) -> models.Exists:
    """Return the condition on items of which something is kept for a person, or was until they gave it."""
    return models.Exists(Slot.objects.filter(item=models.OuterRef("pk"), assignee__username=name))


def of_nobody() -> models.Exists:
    """Return the condition on items that have a place which is nobody's."""
    free = Slot.objects.filter(Slot.free(timezone.now()), item=models.OuterRef("pk"), assignee=None)
    return models.Exists(free)


def waiting_for(queue: Queue, person_id: int | None) -> int:
    """Return how many judgements are kept for a person and not given."""
    return queue.slots.exclude(status=Slot.Status.DONE).filter(assignee=person_id).count() if person_id else 0
