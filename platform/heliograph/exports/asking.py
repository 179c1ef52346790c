"""Asking for an export."""

from heliograph.beat.waking import wake
from heliograph.exports.models import MOST_OPEN, Export

WORK_OFF = "heliograph.exports.tasks.work_off"
ARCHIVE = "heliograph.exports.tasks.archive"


class TooManyExportsError(Exception):
    """The project waits for as many as it may."""

    def __init__(self) -> None:
        super().__init__(f"{MOST_OPEN} exports of this project are being made; wait for one of them, or delete it.")


def ask(export: Export) -> None:
    """Store an export, to be made soon. Raises TooManyExportsError, ValidationError for what cannot be asked."""
    open_ones = Export.objects.filter(project=export.project, status__in=[Export.Status.QUEUED, Export.Status.RUNNING])
    if open_ones.count() >= MOST_OPEN:
        raise TooManyExportsError
    export.full_clean(exclude={"result"})  # empty until it is done, which a form would refuse
    export.save()
    wake_worker()


def wake_worker() -> None:
    """Have exports made soon."""
    wake(WORK_OFF, "exports")


def wake_archive() -> None:
    """Have days written soon."""
    wake(ARCHIVE, "days of the archive")
