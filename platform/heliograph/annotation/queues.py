"""Making and changing queues, and what a queue holds.

- `check(queue) -> dict[str, str]`: what keeps it from being used, by field
- `change_places(queue)`: as many slots an item as the queue wants annotators now
- `add(queue, spans) -> Added`: items, each once; bounded
- `remove(item)`
- `progress(queue) -> Progress`
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import models, transaction
from django.utils import timezone

from heliograph.annotation import rubric
from heliograph.annotation.models import Item, Queue, Slot
from heliograph.events.kinds import Kind
from heliograph.events.outbox import record
from heliograph.query.annotated import Candidate

# Of a queue: a person judges some hundred a day, and agreement over all of them is worked out while somebody waits.
MAX_ITEMS = 5_000
# Of one request: the store is asked for so many at once, and no page waits longer than for that.
MAX_ADD = 1_000
_BATCH = 500


class QueueFullError(ValueError):
    """More items than a queue holds, or than may be added at once."""


@dataclass(frozen=True, slots=True)
class Added:
    """How many items are new, and how many were in the queue already."""

    new: int
    known: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Slots of a queue by what became of them; `skips` counts who left an item to others, `assigned` what is kept for
    somebody and not done.
    """

    items: int
    slots: int
    done: int
    leased: int
    assigned: int
    skips: int
    unwritten: int

    @property
    def open(self) -> int:
        """Slots that are neither done nor in somebody's hands."""
        return self.slots - self.done - self.leased

    @property
    def share(self) -> float | None:
        """The part that is done."""
        return self.done / self.slots if self.slots else None


def check(queue: Queue) -> dict[str, str]:
    """Return what keeps a queue, saved or not, from being used, by field."""
    faults: dict[str, str] = {}
    others = Queue.objects.filter(project=queue.project_id).exclude(pk=queue.pk)
    if not queue.name.strip():
        faults["name"] = "A queue needs a name."
    elif others.filter(name=queue.name).exists():
        faults["name"] = "Another queue has this name."
    elif others.count() >= Queue.MOST:
        faults["name"] = f"A project has at most {Queue.MOST} queues; remove one that is finished."
    try:
        asked = queue.dimensions
    except rubric.InvalidRubricError as error:
        return faults | {"rubric": str(error)}
    # Charts and alerts speak of a score by its name; people's verdicts must not mix with an evaluator's.
    taken = set(queue.project.evaluation_rules.values_list("name", flat=True))
    if clash := next((each.name for each in asked if each.name in taken), None):
        faults["rubric"] = f"{clash} is the name of an evaluation rule's scores; call it human {clash}."
    if queue.pk and queue.is_annotated and Queue.objects.get(pk=queue.pk).rubric != queue.rubric:
        faults["rubric"] = "Somebody has annotated by this rubric, so it stays; make a new queue for another one."
    if queue.dataset_id and queue.dataset and queue.dataset.project_id != queue.project_id:
        faults["dataset"] = "The project has no such data set."
    return faults


@transaction.atomic
def change_places(queue: Queue) -> None:
    """Have as many slots an item as the queue wants; a judgement that was begun or given stays."""
    Queue.objects.select_for_update().get(pk=queue.pk)
    wanted = queue.annotators_per_item
    now = timezone.now()
    queue.slots.filter(Slot.free(now), number__gt=wanted).delete()
    short = queue.items.annotate(places=models.Count("slots")).filter(places__lt=wanted)
    slots = []
    for item in short.prefetch_related("slots"):
        used = {slot.number for slot in item.slots.all()}
        slots += [Slot(queue=queue, item=item, number=n) for n in range(1, wanted + 1) if n not in used]
    Slot.objects.bulk_create(slots, batch_size=_BATCH)
    settle(queue, now)


@transaction.atomic
def add(queue: Queue, spans: Sequence[Candidate]) -> Added:
    """Add spans that are not in the queue yet. Raises QueueFullError, and then adds none."""
    if len(spans) > MAX_ADD:
        raise QueueFullError(f"At most {MAX_ADD:,} spans at once.")
    Queue.objects.select_for_update().get(pk=queue.pk)
    given = {(span.trace_id, span.span_id): span for span in spans}
    known = set(queue.items.filter(trace_id__in={trace for trace, _ in given}).values_list("trace_id", "span_id"))
    new = [span for key, span in given.items() if key not in known]
    if queue.items.count() + len(new) > MAX_ITEMS:
        raise QueueFullError(f"A queue holds at most {MAX_ITEMS:,} spans; make another one for these.")
    items = [
        Item(
            queue=queue,
            trace_id=span.trace_id,
            span_id=span.span_id,
            start_ns=span.start_ns,
            priority=span.value or 0.0,
        )
        for span in new
    ]
    Item.objects.bulk_create(items, batch_size=_BATCH)
    numbers = range(1, queue.annotators_per_item + 1)
    Slot.objects.bulk_create(
        [Slot(queue=queue, item=item, number=number) for item in items for number in numbers], batch_size=_BATCH
    )
    if new:
        Queue.objects.filter(pk=queue.pk).update(finished_at=None)
    return Added(len(new), len(given) - len(new))


@transaction.atomic
def remove(item: Item) -> None:
    """Take an item out, with what was said of it; scores that were written stay."""
    queue = Queue.objects.select_for_update().get(pk=item.queue_id)
    item.delete()
    settle(queue, timezone.now())


def settle(queue: Queue, now: datetime) -> bool:
    """Note that a queue is finished where nothing is left to do, and tell of it once; within a transaction.

    The caller holds the queue's row, so that of two who do the last items one tells.
    """
    slots = queue.slots.aggregate(
        all=models.Count("pk"), done=models.Count("pk", filter=models.Q(status=Slot.Status.DONE))
    )
    if not slots["all"] or slots["done"] < slots["all"]:
        Queue.objects.filter(pk=queue.pk).exclude(finished_at=None).update(finished_at=None)
        return False
    if not Queue.objects.filter(pk=queue.pk, finished_at=None).update(finished_at=now):
        return False
    annotators = queue.slots.exclude(annotator=None).values("annotator").distinct().count()
    body = {
        "queue": queue.pk,
        "name": queue.name,
        "items": queue.items.count(),
        "annotations": slots["done"],
        "annotators": annotators,
        "finished_at": now,
    }
    record(queue.project, Kind.ANNOTATION_DONE, body)
    return True


def progress(queue: Queue, now: datetime | None = None) -> Progress:
    """Return how far a queue is."""
    now = now or timezone.now()
    done = models.Q(status=Slot.Status.DONE)
    held = models.Q(status=Slot.Status.LEASED, leased_until__gte=now)
    counted = queue.slots.aggregate(
        slots=models.Count("pk"),
        done=models.Count("pk", filter=done),
        leased=models.Count("pk", filter=held),
        assigned=models.Count("pk", filter=~done & models.Q(assignee__isnull=False)),
        unwritten=models.Count("pk", filter=models.Q(version__gt=models.F("written_version"))),
    )
    skips = queue.items.aggregate(skips=models.Count("skips"))["skips"]
    return Progress(items=queue.items.count(), skips=skips, **counted)
