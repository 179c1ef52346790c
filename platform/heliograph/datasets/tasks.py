"""What Celery runs. What is to be done stands in the database, so a lost message costs a delay and no more."""

import logging
import time

from celery import shared_task
from django.utils import timezone

from heliograph.clickhouse import errors
from heliograph.datasets import comparing, experiments, queue, recording, scoring, slices
from heliograph.datasets.models import Comparison, Experiment
from heliograph.datasets.models.experiments import LEASE, MAX_LOST
from heliograph.evals.models.claims import renewed

logger = logging.getLogger(__name__)

# Other jobs of the worker have their turn in between.
SCORING_S = 30.0


@shared_task
def work_off() -> None:
    """Give each open experiment and comparison a turn; ask for another where something is left."""
    _compare()
    is_left = False
    for experiment in Experiment.objects.filter(status__in=Experiment.OPEN).order_by("created_at", "pk"):
        if _has_work(experiment) and experiment.claim():
            is_left |= _turn(experiment)
    if is_left:
        queue.wake_worker()


def _has_work(experiment: Experiment) -> bool:
    """Whether a worker has a part in it now: a user's function runs elsewhere until it has sent every row."""
    waits = experiment.kind == Experiment.Kind.FUNCTION and experiment.status != Experiment.Status.SCORING
    return experiment.cancel_requested or not waits


def _turn(experiment: Experiment) -> bool:
    """Do one slice of a claimed experiment; return whether more is left."""
    try:
        if experiment.lost >= MAX_LOST:
            said = f"The worker was killed {experiment.lost} times while it did this; it may need more memory."
            return _end(experiment, Experiment.Status.FAILED, said)
        if experiment.cancel_requested:
            return _end(experiment, Experiment.Status.CANCELED)
        if experiment.kind == Experiment.Kind.ENDPOINT and experiment.status != Experiment.Status.SCORING:
            is_left = slices.work(experiment)
            if is_left or not experiment.is_open or experiment.cancel_requested:
                return experiment.is_open
            Experiment.objects.filter(pk=experiment.pk).update(status=Experiment.Status.SCORING)
        return _score(experiment)
    except errors.StoreError:
        # Its results wait in the database; the next beat goes on.
        logger.warning("scores of %s wait for the store", experiment, exc_info=True)
        return False
    except Exception as error:  # an evaluator that cannot be made, a fault of ours: told to whoever asked
        logger.exception("%s failed", experiment)
        return _end(experiment, Experiment.Status.FAILED, f"{type(error).__name__}: {error}")
    finally:
        experiment.release()


def _score(experiment: Experiment) -> bool:
    # A verdict is placed by its span.
    recording.record(experiment)
    deadline = time.monotonic() + SCORING_S
    while _kept_score(experiment):
        experiments.recount(experiment)
        if experiment.renew() or time.monotonic() > deadline:
            return True
    return _end(experiment, Experiment.Status.DONE)


def _kept_score(experiment: Experiment) -> int:
    """Judge a batch, which may take longer than a lease: a model on a CPU, a judge that is asked three times."""
    with renewed(experiment.keep, LEASE, str(experiment)):
        return scoring.score_batch(experiment)


def _end(experiment: Experiment, status: Experiment.Status, error: str = "") -> bool:
    experiments.recount(experiment)
    experiment.summary = scoring.summarize(experiment)
    Experiment.objects.filter(pk=experiment.pk).update(summary=experiment.summary)
    slices.end(experiment, status, error)
    return False


def _compare() -> None:
    for comparison in Comparison.objects.filter(computed_at=None).select_related("baseline", "candidate")[:50]:
        try:
            comparing.compute(comparison)
        except Exception as error:  # what the statistics say of odd numbers is shown where they were asked for
            logger.exception("%s failed", comparison)
            Comparison.objects.filter(pk=comparison.pk).update(
                error=f"{type(error).__name__}: {error}", computed_at=timezone.now()
            )
