"""Annotations as scores: source human, one row a score of the rubric and slot, whatever is written how often.

The row's key is made of queue, slot and score, and its version's time decides between two writings of it. So a worker
that was killed, or two that write at once, leave the latest version, once.
"""

import hashlib
import logging
from collections.abc import Iterable
from typing import Any

from django.db import models

from heliograph.annotation.models import Annotation, Slot
from heliograph.annotation.rubric import NO, YES, Dimension, Kind
from heliograph.clickhouse.errors import Permanent
from heliograph.query import scores
from heliograph.query.scores import Score

logger = logging.getLogger(__name__)

# The explanation of a score is shown in lists; the annotation keeps the text whole.
MAX_EXPLANATION = 10_000
WITHDRAWN = "withdrawn"
# Slots of one beat; each is some questions to the store.
MAX_WAITING = 500


def write(slot: Slot) -> None:
    """Write the scores of the latest version of a slot. Raises StoreError."""
    versions = list(slot.annotations.select_related("author").order_by("version"))
    if not versions:
        return
    latest = versions[-1]
    earlier = {name for annotation in versions[:-1] for name in annotation.values}
    rows = [*_said(slot, latest), *_withdrawn(slot, latest, earlier)]
    project = slot.queue.project
    scores.write_scores(project.pk, rows, project.effective_retention_days, as_of=latest.created_at)
    written = Slot.objects.filter(pk=slot.pk, written_version__lt=latest.version)
    written.update(written_version=latest.version)


def write_waiting() -> int:
    """Write what a store that was away, or a process that was killed, left unwritten; return how many slots.

    Raises Retryable. A slot that the store refuses stays, and its queue's page counts it among those that wait.
    """
    waiting = Slot.objects.filter(version__gt=models.F("written_version")).select_related("item", "queue__project")
    count = 0
    for slot in waiting.order_by("pk")[:MAX_WAITING]:
        try:
            write(slot)
        except Permanent:
            # It would fail again, and everything behind it would wait for ever.
            logger.exception("the scores of slot %s cannot be written", slot.pk)
        else:
            count += 1
    return count


def _said(slot: Slot, annotation: Annotation) -> Iterable[Score]:
    for each in slot.queue.dimensions:
        if each.name in annotation.values:
            value, label, text = _parts(each, annotation.values[each.name])
            explanation = (text or annotation.comment)[:MAX_EXPLANATION]
            yield _row(slot, annotation, each.name, value=value, label=label, explanation=explanation)


def _withdrawn(slot: Slot, annotation: Annotation, earlier: set[str]) -> Iterable[Score]:
    for name in sorted(earlier - annotation.values.keys()):
        said = "The annotator took it back."
        yield _row(slot, annotation, name, value=None, label=WITHDRAWN, explanation=said, kind="unscored")


def _row(slot: Slot, annotation: Annotation, name: str, **fields: Any) -> Score:
    return Score(
        score_id=score_id(slot, name),
        trace_id=slot.item.trace_id,
        span_id=slot.item.span_id,
        time_ns=slot.item.start_ns,
        name=name,
        source="human",
        author=annotation.author.get_username() if annotation.author else "",
        **fields,
    )


def _parts(each: Dimension, value: Any) -> tuple[float | None, str, str]:
    """Return value, label and text of what was said."""
    if each.kind == Kind.NUMBER:
        return float(value), "", ""
    if each.kind == Kind.BOOLEAN:
        return float(value), YES if value else NO, ""
    if each.kind == Kind.CATEGORY:
        return None, value, ""
    return None, "corrected", value


def score_id(slot: Slot, name: str) -> str:
    """Return the key of a slot's verdict under a name."""
    return hashlib.sha256(f"annotation\n{slot.queue_id}\n{slot.pk}\n{name}".encode()).hexdigest()[:32]
