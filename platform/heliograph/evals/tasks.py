"""What Celery runs. What is to be done stands in the database, so a lost message costs a delay and no more."""

import logging
import time

from celery import shared_task

from heliograph.accounts.models import Project
from heliograph.clickhouse import errors
from heliograph.evals import attribution, jobs, judge, schedules
from heliograph.evals.models import LostClaimError, Run
from heliograph.evals.online import worker
from heliograph.evals.queue import wake_judges, wake_worker
from heliograph.query import sent_scores

logger = logging.getLogger(__name__)

# One worker also judges new answers, and a verdict is wanted within a minute or so: after this long, the checks that
# still wait go behind what came meanwhile.
CHECKS_SECONDS = 15.0


@shared_task
def score_new_spans() -> None:
    """Judge what is new for every evaluation rule, and work off checks whose message was lost."""
    more = worker.judge_new_spans()
    _work_off(CHECKS_SECONDS)
    if more:
        wake_judges()


@shared_task
def work_off_checks() -> None:
    """Run the queued jobs, oldest first, and let other work have its turn in between."""
    if _work_off(CHECKS_SECONDS):
        wake_worker()


@shared_task
def plan_schedules() -> None:
    """Write down the scheduled jobs that are due, and do them; beat asks at their times and every half minute."""
    schedules.plan()
    work_off_checks()


@shared_task
def remove_old_answers() -> None:
    """Keep the memory of judges in bounds."""
    judge.remove_old_answers()


@shared_task
def share_out_gpus() -> None:
    """Share out the time and energy of every project's GPUs over its requests."""
    for project in Project.objects.all():
        try:
            attribution.attribute(project)
        except errors.StoreError:
            logger.warning("GPU use of %s waits for the store", project.slug, exc_info=True)
        except Exception:  # a fault in one project's data must not stop the others; its marks stay where they were
            logger.exception("GPU use of %s failed", project.slug)


@shared_task
def place_sent_scores() -> None:
    """Bring scores that came before the answers that they name to the spans that have come since."""
    for project in Project.objects.all():
        try:
            sent_scores.place_waiting(project.pk)
        except errors.StoreError:
            logger.warning("waiting scores of %s wait for the store", project.slug, exc_info=True)


def _work_off(seconds: float) -> bool:
    """Start jobs for so long; return whether some still wait."""
    deadline = time.monotonic() + seconds
    for run in Run.waiting().select_related("project", "schedule"):
        if time.monotonic() > deadline:
            return True
        if run.start():
            _run(run)
    return False


def _run(run: Run) -> None:
    try:
        kind = jobs.kind_of(run.kind)
        if kind is None:
            schedules.failed(run, f"This installation has no jobs of the kind {run.kind}.")
            return
        with run.kept():
            result = kind.run(run)
        run.finish(result)
    except LostClaimError:
        logger.warning("%s was taken over by another worker", run, exc_info=True)
    except errors.StoreError as error:
        schedules.failed(run, error.user_text)
        logger.warning("%s failed", run, exc_info=True)
    except Exception as error:  # whatever a job raises is shown to the person who asked for it
        schedules.failed(run, f"{type(error).__name__}: {error}")
        logger.exception("%s failed", run)
