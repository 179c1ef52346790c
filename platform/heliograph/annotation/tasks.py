"""What Celery runs for annotation. What is to be done stands in the database."""

import logging

from celery import shared_task

from heliograph.annotation import writing
from heliograph.clickhouse.errors import StoreError

logger = logging.getLogger(__name__)


@shared_task
def write_waiting_scores() -> None:
    """Write scores that could not be written when they were given."""
    try:
        writing.write_waiting()
    except StoreError:
        logger.warning("the store is away; scores of annotators wait for the next beat", exc_info=True)
