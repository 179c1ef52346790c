"""What Celery runs. What is to be done stands in the database, so a lost message costs a delay and no more."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.clickhouse import errors
from heliograph.evals import attribution, drift, groundedness, regression
from heliograph.evals.models import Run
from heliograph.evals.queue import wake_worker
from heliograph.query import sent_scores
from heliograph.query.facets import facets
from heliograph.query.filters import RollupFilter

logger = logging.getLogger(__name__)

CHECKS: dict[str, Callable[[Run], dict[str, Any]]] = {
    Run.Kind.DRIFT: drift.check,
    Run.Kind.REGRESSION: regression.check,
}
# One worker also judges new answers, and a verdict is wanted within a minute or so: after this long, the checks that
# still wait go behind what came meanwhile.
CHECKS_SECONDS = 30.0
# A beat asks more often than once a day, so that a message lost on one evening does not cost that day's check.
DRIFT_INTERVAL = timedelta(hours=23, minutes=30)


@shared_task
def score_new_spans() -> None:
    """Judge the groundedness of every project's new answers, and work off checks whose message was lost."""
    for project in Project.objects.all():
        try:
            groundedness.score_new_spans(project)
        except errors.StoreError:
            # The watermark stays where it was; the next beat tries again, and one project must not stop the others.
            logger.warning("groundedness of %s waits for the store", project.slug, exc_info=True)
        except Exception as error:  # a model that cannot be had, a lost device: tried again, and told to a person
            logger.exception("groundedness of %s failed", project.slug)
            _tell(project, f"{type(error).__name__}: {error}")
    _work_off(CHECKS_SECONDS)


@shared_task
def check_drift_daily() -> None:
    """Queue a drift check of the inputs and of the outputs of every service that was seen in the last day.

    Once a day each, however often this is called. What is older than its project's telemetry is forgotten.
    """
    for project in Project.objects.all():
        now = timezone.now()
        Run.objects.filter(
            project=project, created_at__lt=now - timedelta(days=project.effective_retention_days)
        ).delete()
        daily = Run.objects.filter(project=project, kind=Run.Kind.DRIFT, requested_by=None)
        daily = daily.exclude(status=Run.Status.FAILED)  # the store was away, perhaps: the next hour tries again
        lately = list(daily.filter(created_at__gt=now - DRIFT_INTERVAL).values_list("arguments", flat=True))
        for service in _services(project):
            for side in ("input", "output"):
                arguments = {"service": service, "side": side}
                if arguments not in lately:
                    Run.objects.create(project=project, kind=Run.Kind.DRIFT, arguments=arguments)
    work_off_checks()


@shared_task
def work_off_checks() -> None:
    """Run the queued drift and regression checks, oldest first, and let other work have its turn in between."""
    if _work_off(CHECKS_SECONDS):
        wake_worker()


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
    """Start checks for so long; return whether some still wait."""
    deadline = time.monotonic() + seconds
    for kind, check in CHECKS.items():
        for run in Run.waiting(kind):
            if time.monotonic() > deadline:
                return True
            if run.claim():
                _run(run, check)
    return False


def _run(run: Run, check: Callable[[Run], dict[str, Any]]) -> None:
    try:
        run.finish(check(run))
    except errors.StoreError as error:
        run.fail(error.user_text)
        logger.warning("%s failed", run, exc_info=True)
    except Exception as error:  # whatever a check raises is shown to the person who asked for it
        run.fail(f"{type(error).__name__}: {error}")
        logger.exception("%s failed", run)


def _tell(project: Project, error: str) -> None:
    """Leave a failed run for the evaluations page, one for as long as the error stays the same."""
    latest = Run.objects.filter(project=project, kind=Run.Kind.GROUNDEDNESS).first()
    if latest is None or latest.error != error:
        run = Run.objects.create(project=project, kind=Run.Kind.GROUNDEDNESS)
        run.started_at = run.created_at
        run.fail(error)


def _services(project: Project) -> list[str]:
    found = facets(project.pk, RollupFilter(range=drift.last_day(), kind=("llm",)), limit=100)
    return [entry.value for entry in found["service"]]
