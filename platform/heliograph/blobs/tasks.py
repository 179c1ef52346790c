"""What Celery runs for blobs."""

import logging
from datetime import UTC, datetime

from celery import shared_task

from heliograph.blobs import store

log = logging.getLogger(__name__)


@shared_task
def remove_expired_blobs() -> None:
    """Remove the blobs to which no span refers any more. What fails is tried again with the next beat."""
    try:
        removed = store.expire(datetime.now(UTC).date())
    except store.BlobsAwayError:
        log.warning("expired blobs stay for now", exc_info=True)
    else:
        log.info("%d expired blobs are removed", removed)
