"""What Celery runs for gates and monitors. What is to be done stands in the database."""

import logging
import pkgutil
import time
from datetime import timedelta

from celery import shared_task
from django.db import transaction
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.clickhouse.errors import StoreError
from heliograph.evals.models import Run
from heliograph.events.outbox import record
from heliograph.gates import live, paired, watch
from heliograph.gates.drift import schedule
from heliograph.gates.metrics import InvalidMetricError
from heliograph.gates.models import Gate, GateRun, Job, Look, Watch
from heliograph.gates.models.jobs import LostLeaseError
from heliograph.gates.queue import wake_worker
from heliograph.gates.watch import event_body
from heliograph.query.filters import InvalidFilterError

logger = logging.getLogger(__name__)

# One worker also judges new answers: after so long, what waits goes behind what came meanwhile.
SLICE_SECONDS = 30.0
# Named, not imported: it brings torch, which a worker without a monitor has no use for.
_LOOK = "heliograph.gates.drift.look:run"


@shared_task
def work_off() -> None:
    """Do queued runs of gates and looks of monitors, oldest first, and let other work have its turn in between."""
    deadline = time.monotonic() + SLICE_SECONDS
    jobs: list[GateRun | Look] = [*GateRun.waiting(), *Look.waiting()]
    for job in jobs:
        if time.monotonic() > deadline:
            wake_worker()
            return
        if job.claim():
            do(job)


@shared_task
def follow_traffic() -> None:
    """Take in the new traffic of every gate that is watched, and do what a lost message left undone."""
    for each in Watch.objects.filter(is_on=True).select_related("gate__project"):
        try:
            watch.follow(each, timezone.now())
        except (InvalidFilterError, InvalidMetricError, StoreError) as error:
            text = error.user_text if isinstance(error, StoreError) else str(error)
            Watch.objects.filter(pk=each.pk).update(error=text, looked_at=timezone.now())
            logger.warning("%s waits", each, exc_info=True)
        except Exception as error:  # a fault in one gate must not stop the others; it is tried again
            Watch.objects.filter(pk=each.pk).update(error=f"{type(error).__name__}: {error}")
            logger.exception("%s failed", each)
    work_off()


@shared_task
def look_for_drift() -> None:
    """Queue the looks of monitors that are due, forget what is older than the telemetry, and do the work."""
    for project in Project.objects.all():
        oldest = timezone.now() - timedelta(days=project.effective_retention_days)
        GateRun.objects.filter(gate__project=project, created_at__lt=oldest).delete()
        Look.objects.filter(monitor__project=project, created_at__lt=oldest).delete()
        Run.objects.filter(project=project, created_at__lt=oldest).delete()
    schedule.queue_due()
    work_off()


def do(job: GateRun | Look) -> None:
    """Do one job that was claimed; whatever it raises is shown to the person who asked for it."""
    try:
        if isinstance(job, GateRun):
            _gate(job)
        else:
            pkgutil.resolve_name(_LOOK)(job)
    except LostLeaseError:
        logger.warning("%s went to another worker", job)
    except StoreError as error:
        _fail(job, error.user_text)
    except (InvalidFilterError, InvalidMetricError, paired.NotComparableError) as error:
        _fail(job, str(error))
    except Exception as error:  # a model that cannot be had, a lost device: told to the person who asked
        logger.exception("%s failed", job)
        _fail(job, f"{type(error).__name__}: {error}")


def _gate(job: GateRun) -> None:
    gate = job.gate
    result = paired.run(gate) if gate.source == Gate.Source.DATASET else live.run(gate, timezone.now())
    with transaction.atomic():
        job.finish(result)
        if result["verdict"] == "fail":
            failed = [name for name, each in result["metrics"].items() if each["verdict"] == "fail"]
            record(gate.project, "gate.failed", event_body(gate, failed) | {"run": job.pk})


def _fail(job: Job, error: str) -> None:
    logger.warning("%s failed: %s", job, error, exc_info=True)
    try:
        job.fail(error)
    except LostLeaseError:
        logger.warning("%s went to another worker", job)
        return
    if isinstance(job, Look):
        schedule.look_again_soon(job.monitor)
