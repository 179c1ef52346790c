"""What Celery runs for holds. What is to be done stands in the database, so a lost message costs a delay."""

import logging
import time

from celery import shared_task

from heliograph.clickhouse.errors import StoreError, UnavailableError
from heliograph.holds.models import Hold
from heliograph.holds.work import turn

logger = logging.getLogger(__name__)

# The worker also judges new answers, whose verdict is wanted within a minute or so.
SECONDS = 20.0


@shared_task
def work_off() -> None:
    """Do turns of holds that are being placed or lifted, or are due to be looked at again."""
    deadline = time.monotonic() + SECONDS
    tried: set[int] = set()
    while time.monotonic() < deadline:
        hold = Hold.waiting().exclude(pk__in=tried).select_related("project").first()
        if hold is None:
            return
        if not (hold.claim() and _turn(hold)):
            tried.add(hold.pk)


def _turn(hold: Hold) -> bool:
    """Do a turn; return whether it went well. What did not is told on the page, and tried again by the next beat."""
    error, is_tried = "", True
    try:
        turn(hold)
    except UnavailableError as failure:
        logger.warning("%s waits for the store", hold, exc_info=True)
        error, is_tried = failure.user_text, False
    except StoreError as failure:
        logger.warning("%s is refused by the store", hold, exc_info=True)
        error = failure.user_text
    except Exception as failure:  # a fault of ours must not stop the other holds; this one stays in force
        logger.exception("%s failed", hold)
        error = f"{type(failure).__name__}: {failure}"
    hold.give_back(error, is_tried=is_tried)
    return not error
