"""What Celery runs for erasures. What is to be done stands in the database, so a lost message costs a delay."""

import logging

from celery import shared_task

from heliograph.blobs.store import BlobsAwayError
from heliograph.clickhouse.errors import Retryable, StoreError
from heliograph.erasure import turns
from heliograph.erasure.asking import wake_worker
from heliograph.erasure.models import Erasure
from heliograph.gates.models.jobs import LostLeaseError

logger = logging.getLogger(__name__)


@shared_task
def work_off() -> None:
    """Give the erasure that has waited longest one turn, and ask for the next."""
    # Of one that ended otherwise, whose it was is nobody's business any more either. What it had begun to remove stays
    # known by ids alone, for whoever asks again.
    failed = Erasure.objects.filter(status=Erasure.Status.FAILED)
    failed.exclude(subject="").update(subject="")
    failed.exclude(plan=None).exclude(plan__is_begun=True).update(plan=None)
    for erasure in Erasure.waiting().select_related("project", "requested_by")[:10]:
        if erasure.claim():
            _turn(erasure)
            break
    else:
        return
    if Erasure.waiting().exists():
        wake_worker()


def _turn(erasure: Erasure) -> None:
    try:
        turns.turn(erasure)
    except LostLeaseError:
        logger.warning("%s went to another worker", erasure)
    except (Retryable, BlobsAwayError):
        # It keeps its claim until the lease runs out, and is then tried again where it was.
        logger.warning("%s waits", erasure, exc_info=True)
    except StoreError as error:
        _fail(erasure, error.user_text)
    except Exception as error:  # a fault of ours: told to who asked, and asked for again it goes on
        logger.exception("%s failed", erasure)
        _fail(erasure, f"{type(error).__name__}: {error}")


def _fail(erasure: Erasure, error: str) -> None:
    try:
        erasure.fail(error)
    except LostLeaseError:
        logger.warning("%s went to another worker", erasure)
