"""Asking for work from a process that does not do it: the pages must not load torch to queue a check."""

import logging

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

WORK_OFF_CHECKS = "heliograph.evals.tasks.work_off_checks"


def wake_worker() -> None:
    """Have queued checks worked off soon; where the broker is away, the next beat finds them in the database."""
    try:
        current_app.send_task(WORK_OFF_CHECKS, retry=False)
    except (OSError, OperationalError):
        logger.warning("the broker is away; queued checks wait for the next beat", exc_info=True)
