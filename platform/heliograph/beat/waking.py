"""Having a worker begin before the next beat, from a process that does not do the work."""

import logging

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def wake(task: str, what: str, after_seconds: float = 0.0) -> None:
    """Have a task run soon; where the broker is away, the next beat finds in the database what waits.

    `what` says of what kind that is, in the plural.
    """
    try:
        current_app.send_task(task, retry=False, countdown=after_seconds or None)
    except (OSError, OperationalError):
        logger.warning("the broker is away; %s wait for the next beat", what, exc_info=True)
