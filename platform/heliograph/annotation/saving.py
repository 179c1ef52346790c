"""Storing what an annotator said: in the database first, then as scores beside the evaluators'."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models.functions import Coalesce
from django.utils import timezone

from heliograph.accounts.models import User
from heliograph.annotation import writing
from heliograph.annotation.judgement import InvalidAnswerError, check_answer
from heliograph.annotation.leases import LostSlotError, begun_at
from heliograph.annotation.models import Annotation, Queue, Slot
from heliograph.annotation.queues import settle
from heliograph.clickhouse.errors import StoreError

logger = logging.getLogger(__name__)

MAX_COMMENT = 5_000
# What the store tells two writings apart by.
_INSTANT = timedelta(microseconds=1)


def save(
    slot: Slot, person: User, values: Mapping[str, Any], comment: str = "", now: datetime | None = None
) -> Annotation:
    """Store a judgement, or a new version of it, and write its scores; where the store is away, they follow.

    Raises InvalidAnswerError, LostSlotError.
    """
    said = check_answer(slot.queue.dimensions, values)
    comment = comment.strip()
    if len(comment) > MAX_COMMENT or "\0" in comment:
        raise InvalidAnswerError("comment", f"may have at most {MAX_COMMENT:,} characters, and no NUL")
    now = now or timezone.now()
    begun = begun_at(slot)
    with transaction.atomic():
        queue = Queue.objects.select_for_update().get(pk=slot.queue_id)
        mine = Slot.objects.filter(pk=slot.pk, annotator=person).exclude(status=Slot.Status.OPEN)
        if not mine.update(
            status=Slot.Status.DONE,
            done_at=Coalesce("done_at", models.Value(now)),
            leased_until=None,
            version=models.F("version") + 1,
        ):
            raise LostSlotError
        # Another place of the same answer is no longer theirs to fill.
        Slot.objects.filter(item=slot.item_id, assignee=person).exclude(pk=slot.pk).update(assignee=None)
        slot.refresh_from_db()
        before = slot.annotations.order_by("-version").first()
        annotation = Annotation.objects.create(
            slot=slot,
            version=slot.version,
            author=person,
            values=said,
            comment=comment,
            seconds=max(0.0, (now - begun).total_seconds()) if begun else None,
            # A clock that was set back must not make a new version older than the one before.
            created_at=max(now, before.created_at + _INSTANT) if before else now,
        )
        settle(queue, now)
    try:
        writing.write(slot)
    except StoreError:
        logger.warning("the scores of slot %s cannot be written now and follow", slot.pk, exc_info=True)
    return annotation
