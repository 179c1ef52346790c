"""What Celery runs for exports. What is to be done stands in the database, so a lost message costs a delay."""

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from celery import shared_task
from django.utils import timezone

from heliograph.blobs.store import BlobsAwayError
from heliograph.clickhouse.errors import CapacityError, Retryable, StoreError
from heliograph.exports import archive as days
from heliograph.exports import files, making
from heliograph.exports.asking import wake_archive, wake_worker
from heliograph.exports.models import KEPT, ArchivedDay, Export
from heliograph.gates.models.jobs import LostLeaseError
from heliograph.query.filters import InvalidFilterError

logger = logging.getLogger(__name__)

# A beat's worth of what is to be removed; the rest goes with the next.
REMOVED_AT_ONCE = 100


@shared_task
def work_off() -> None:
    """Give the export that has waited longest one turn, ask for the next, and remove what has expired."""
    _remove_expired()
    for export in Export.waiting().select_related("project")[:10]:
        if export.claim():
            _turn(export)
            break
    else:
        return
    if Export.waiting().exists():
        wake_worker()


def _turn(export: Export) -> None:
    try:
        making.turn(export)
    except LostLeaseError:
        logger.warning("%s went to another worker", export)
    except (Retryable, BlobsAwayError):
        # It keeps its claim until the lease runs out, and is then tried again where it was.
        logger.warning("%s waits", export, exc_info=True)
    except StoreError as error:
        _fail(export, error.user_text)
    except InvalidFilterError as error:
        _fail(export, str(error))
    except Exception as error:  # a fault of ours: told to who asked
        logger.exception("%s failed", export)
        _fail(export, f"{type(error).__name__}: {error}")


def _fail(export: Export, error: str) -> None:
    try:
        export.fail(error)
    except LostLeaseError:
        logger.warning("%s went to another worker", export)


def _remove_expired() -> None:
    """Remove what nobody can have any more: files after KEPT, and with them what failed as long ago."""
    old = Export.objects.filter(created_at__lt=timezone.now() - KEPT - timedelta(days=1)).exclude(
        status__in=[Export.Status.QUEUED, Export.Status.RUNNING]
    )
    for export in old.order_by("pk")[:REMOVED_AT_ONCE]:
        try:
            files.remove(export)
        except BlobsAwayError:
            logger.warning("%s stays for now", export, exc_info=True)
            return


@shared_task
def archive() -> None:
    """Open the days that are due, give the one that has waited longest a turn, and ask for the next."""
    days.open_due(timezone.now())
    day = days.next_waiting()
    if day is None:
        return
    try:
        days.turn(day)
    except LostLeaseError:
        logger.warning("%s went to another worker", day)
        return
    except CapacityError as error:
        logger.warning("%s is written in smaller files", day, exc_info=True)
        _of_day(partial(days.make_smaller, day), error.user_text)
        return
    except (Retryable, OSError) as error:
        # The bucket, the disk or the store is away for everybody: the next beat tries again.
        logger.warning("%s waits", day, exc_info=True)
        reason = error.user_text if isinstance(error, StoreError) else "The bucket or folder does not take it."
        _of_day(day.wait, f"Tried again each minute. {reason}")
        return
    except days.CannotArchiveError as error:
        _of_day(day.fail, str(error))
    except StoreError as error:
        logger.exception("%s failed", day)
        _of_day(day.fail, error.user_text)
    except Exception as error:  # a fault of ours: told to who looks at the page
        logger.exception("%s failed", day)
        _of_day(day.fail, f"{type(error).__name__}: {error}")
    if ArchivedDay.waiting().exists():
        wake_archive()


def _of_day(change: Callable[[str], None], reason: str) -> None:
    try:
        change(reason)
    except LostLeaseError:
        logger.warning("a day went to another worker: %s", reason)
