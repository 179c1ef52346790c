"""Corrections as rows of a data set: what was asked, and what people say should have been answered.

- `corrections(queue) -> list[Correction]`
- `to_dataset(chosen, dataset, author) -> Moved`: one version of the data set
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db import transaction

from heliograph.accounts.models import User
from heliograph.annotation.answers import latest
from heliograph.annotation.models import Annotation, Queue
from heliograph.annotation.rubric import Kind
from heliograph.datasets import from_traces, versions
from heliograph.datasets.content import RowContent
from heliograph.datasets.models import Dataset, DatasetVersion

# Each is some questions to the store, for what was asked and from which documents.
MAX_MOVED = 200


@dataclass(frozen=True, slots=True)
class Correction:
    """An annotation that brings a better answer."""

    annotation: Annotation
    text: str


@dataclass(frozen=True, slots=True)
class Moved:
    """How many corrections are rows now; `version` is None where nothing is new. `refused`: spans and why."""

    rows: int
    version: DatasetVersion | None
    refused: tuple[tuple[str, str], ...]


def corrections(queue: Queue, ids: Sequence[int] | None = None) -> list[Correction]:
    """Return the corrections of a queue, or those of some annotations of it, the newest first."""
    name = next((each.name for each in queue.dimensions if each.kind == Kind.CORRECTION), None)
    if name is None:
        return []
    found = latest(queue).filter(values__has_key=name).order_by("-created_at", "-pk")
    found = found if ids is None else found.filter(pk__in=ids)
    return [Correction(each, each.values[name]) for each in found]


def to_dataset(chosen: Sequence[Correction], dataset: Dataset, author: User | None) -> Moved:
    """Copy spans with a correction as what is expected; of several corrections of a span, the newest counts.

    Raises InvalidRowError, TooManyRowsError, and the store's StoreError.
    """
    newest: dict[tuple[str, str], Correction] = {}
    for correction in sorted(chosen, key=lambda each: each.annotation.created_at)[-MAX_MOVED:]:
        item = correction.annotation.slot.item
        newest[item.trace_id, item.span_id] = correction
    copied = from_traces.copied(dataset.project_id, list(newest))
    rows = [_row(row, newest[row.trace_id, row.span_id]) for row in copied.rows]
    ids = [newest[row.trace_id, row.span_id].annotation.pk for row in copied.rows]
    with transaction.atomic():
        note = f"{len(rows)} corrections of annotators"
        source = DatasetVersion.Source.PERSON
        version = versions.change(dataset, rows, source=source, author=author, note=note)
        Annotation.objects.filter(pk__in=ids).update(dataset=dataset, dataset_version=dataset.latest)
    return Moved(len(rows), version, copied.refused)


def _row(row: RowContent, correction: Correction) -> RowContent:
    annotation = correction.annotation
    said = {
        "answered": row.expected,
        "annotation_queue": annotation.slot.queue.name,
        "annotator": annotation.author.get_username() if annotation.author else "",
    }
    return replace(row, expected=correction.text, metadata={**row.metadata, **said})
