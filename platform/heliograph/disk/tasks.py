"""What Celery runs. A lost message costs a minute."""

import logging
from datetime import UTC, datetime

from celery import shared_task

from heliograph.blobs import store
from heliograph.clickhouse.errors import StoreError
from heliograph.disk import cold, guard, projections
from heliograph.holds.held import is_held_blob

log = logging.getLogger(__name__)


@shared_task
def guard_disk() -> None:
    """Measure the store's room, and give way where it is filling."""
    try:
        guard.look()
    except StoreError:
        log.warning("how full the disk is cannot be asked now", exc_info=True)


@shared_task
def move_old_weeks() -> None:
    """Have the oldest weeks moved into the bucket, where there is one."""
    try:
        cold.move_old_weeks(datetime.now(UTC).date())
    except StoreError:
        log.warning("old weeks stay where they are for now", exc_info=True)


@shared_task
def make_projections() -> None:
    """Have the projections made of parts that merges left without them."""
    try:
        projections.make_for_parts_left()
    except StoreError:
        log.warning("projections are made later", exc_info=True)


@shared_task
def remove_expired_blobs() -> None:
    """Remove the blobs to which no span refers any more. What fails is tried again with the next beat."""
    try:
        removed = store.expire(datetime.now(UTC).date(), is_held_blob)
    except store.BlobsAwayError:
        log.warning("expired blobs stay for now", exc_info=True)
    else:
        log.info("%d expired blobs are removed", removed)
