"""What Celery runs. What is to be done stands in the database, so a lost message costs a delay and no more."""

import logging
from collections.abc import Callable
from typing import Any

from celery import shared_task

from heliograph.accounts.models import Project
from heliograph.clickhouse import errors
from heliograph.evals import drift, groundedness, regression
from heliograph.evals.models import Run
from heliograph.query.facets import facets
from heliograph.query.filters import RollupFilter

logger = logging.getLogger(__name__)

CHECKS: dict[str, Callable[[Run], dict[str, Any]]] = {
    Run.Kind.DRIFT: drift.check,
    Run.Kind.REGRESSION: regression.check,
}


@shared_task
def score_new_spans() -> None:
    """Judge the groundedness of every project's new answers, and work off checks whose message was lost."""
    for project in Project.objects.all():
        try:
            groundedness.score_new_spans(project)
        except errors.StoreError:
            # The watermark stays where it was; the next beat tries again, and one project must not stop the others.
            logger.warning("groundedness of %s waits for the store", project.slug, exc_info=True)
    work_off_checks()


@shared_task
def check_drift_daily() -> None:
    """Queue a drift check of the inputs and of the outputs of every service that was seen in the last day."""
    for project in Project.objects.all():
        for service in _services(project):
            for side in ("input", "output"):
                arguments = {"service": service, "side": side}
                Run.objects.create(project=project, kind=Run.Kind.DRIFT, arguments=arguments)
    work_off_checks()


@shared_task
def work_off_checks() -> None:
    """Run the queued drift and regression checks, oldest first."""
    for kind, check in CHECKS.items():
        for run in Run.waiting(kind):
            if not run.claim():
                continue
            try:
                run.finish(check(run))
            except errors.StoreError as error:
                run.fail(error.user_text)
                logger.warning("%s failed", run, exc_info=True)
            except Exception as error:  # whatever a check raises is shown to the person who asked for it
                run.fail(f"{type(error).__name__}: {error}")
                logger.exception("%s failed", run)


def _services(project: Project) -> list[str]:
    found = facets(project.pk, RollupFilter(range=drift.last_day(), kind=("llm",)), limit=100)
    return [entry.value for entry in found["service"]]
