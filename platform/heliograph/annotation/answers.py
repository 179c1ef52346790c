"""What annotators said of a queue's items, each by their latest word."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import models

from heliograph.annotation.models import Annotation, Item, Queue, Slot


@dataclass(frozen=True, slots=True)
class ItemAnswers:
    """One item and the latest annotation of each who judged it, in the order of their slots."""

    item: Item
    annotations: tuple[Annotation, ...]


def annotator_key(slot: Slot) -> str:
    """Return what tells annotators apart; those whose accounts were removed, by slot."""
    return f"user {slot.annotator_id}" if slot.annotator_id else f"removed {slot.number}"


def latest(queue: Queue) -> models.QuerySet[Annotation]:
    """Return the latest version of each judgement of a queue."""
    found = Annotation.objects.filter(slot__queue=queue, version=models.F("slot__version"))
    return found.select_related("slot__item", "slot__annotator", "author")


def by_item(annotations: Iterable[Annotation]) -> list[ItemAnswers]:
    """Return annotations by item, in the items' order."""
    found: dict[int, list[Annotation]] = {}
    items: dict[int, Item] = {}
    for annotation in annotations:
        item = annotation.slot.item
        items[item.pk] = item
        found.setdefault(item.pk, []).append(annotation)
    ordered = sorted(items.values(), key=lambda item: (item.priority, item.pk))
    return [
        ItemAnswers(item, tuple(sorted(found[item.pk], key=lambda annotation: annotation.slot.number)))
        for item in ordered
    ]
