"""Asking for an erasure."""

from heliograph.accounts.models import Project, User
from heliograph.beat.waking import wake
from heliograph.erasure.models import MAX_SUBJECT, MOST_OPEN, Erasure, digest_of

WORK_OFF = "heliograph.erasure.tasks.work_off"


class CannotErase(ValueError):  # noqa: N818  (it is an answer to a person, not a failure)
    """An erasure that cannot be; the text says why."""


def checked(subject: str) -> str:
    """Return a user id that can be asked for. Raises CannotErase."""
    if not subject or len(subject) > MAX_SUBJECT or "\0" in subject:
        raise CannotErase(f"Name the user by the id that spans have, of 1 to {MAX_SUBJECT} characters.")
    return subject


def ask(project: Project, subject: str, user: User | None) -> Erasure:
    """Have everything of a user of the project erased. Raises CannotErase."""
    subject = checked(subject)
    is_open = Erasure.objects.filter(project=project, status__in=[Erasure.Status.QUEUED, Erasure.Status.RUNNING])
    if is_open.filter(digest=digest_of(subject)).exists():
        raise CannotErase("This user is being erased already.")
    if is_open.count() >= MOST_OPEN:
        raise CannotErase(f"{MOST_OPEN} erasures of this project are under way; wait for one of them.")
    made = Erasure.objects.create(project=project, subject=subject, digest=digest_of(subject), requested_by=user)
    wake_worker()
    return made


def wake_worker() -> None:
    """Have erasures worked off soon."""
    wake(WORK_OFF, "erasures")
