"""What Celery runs. What is to be done stands in the database, so a lost message costs a delay and no more."""

import time

from celery import shared_task

from heliograph.conventions.models import Reapplication
from heliograph.remap.job import work_on
from heliograph.remap.queue import wake_worker

# The worker also judges new answers, whose verdict is wanted within a minute or so.
SECONDS = 20.0


@shared_task
def work_off() -> None:
    """Go on with the open re-applications, oldest first, and let other work have its turn in between."""
    deadline = time.monotonic() + SECONDS
    for job in Reapplication.waiting():
        if time.monotonic() < deadline and job.claim():
            work_on(job, deadline)
    # Those that wait for something outside say so; the next beat tries them again.
    if Reapplication.waiting().filter(note="").exists():
        wake_worker()
