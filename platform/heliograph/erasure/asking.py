"""Asking for an erasure."""

from collections import Counter

from django.db import transaction

from heliograph.accounts.models import Project, User
from heliograph.beat.waking import wake
from heliograph.erasure.models import MAX_SUBJECT, MOST_OPEN, Erasure, Piece, digest_of

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
    with transaction.atomic():
        made = Erasure.objects.create(project=project, subject=subject, digest=digest_of(subject), requested_by=user)
        _go_on(made)
    wake_worker()
    return made


def _go_on(made: Erasure) -> None:
    """Give an erasure what earlier ones of the same user had begun and failed at: nothing else would find it.

    Of rows that are deleted already, nobody knows any more what went with them: copies in data sets, long texts, files.
    """
    of_user = Erasure.objects.filter(project=made.project_id, digest=made.digest, status=Erasure.Status.FAILED)
    for failed in of_user.order_by("pk"):
        names = failed.pieces.values_list("kind", "name")
        Piece.objects.bulk_create(
            (Piece(erasure=made, kind=kind, name=name) for kind, name in names), ignore_conflicts=True
        )
        failed.pieces.all().delete()
        if (failed.plan or {}).get("is_begun"):
            made.plan = failed.plan
        made.counts = dict(Counter(made.counts) + Counter(failed.counts))
        Erasure.objects.filter(pk=failed.pk).update(plan=None, counts={})
    made.save(update_fields=["plan", "counts"])


def wake_worker() -> None:
    """Have erasures worked off soon."""
    wake(WORK_OFF, "erasures")
