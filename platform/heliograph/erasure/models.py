"""An erasure, and what it has yet to look at."""

import hashlib
from datetime import datetime
from typing import Any, Self

from django.db import models
from django.db.models.functions import Now

from heliograph.accounts.models import Project
from heliograph.gates.models.jobs import JobInTurns

# What spans name a user by is cut there (collectors/otlp).
MAX_SUBJECT = 1_000
# Of a project at a time.
MOST_OPEN = 5


def digest_of(subject: str) -> str:
    """Return the SHA-256 of a user id, in hexadecimal: whoever knows the id can tell that a receipt is of it."""
    return hashlib.sha256(subject.encode()).hexdigest()


class Erasure(JobInTurns):
    """The erasure of one user: done in turns, each of which says first what it will remove (`plan`) and then does it.

    `counts` sums the plans that are done, so that a worker that is killed costs a turn and counts nothing twice.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="erasures")
    # Until it is done; then its digest is all that is known of it.
    subject = models.CharField(max_length=MAX_SUBJECT, blank=True, default="")
    digest = models.CharField(max_length=64)
    plan: "models.JSONField[Any, Any]" = models.JSONField(null=True, default=None, editable=False)
    counts: "models.JSONField[dict[str, int], dict[str, int]]" = models.JSONField(default=dict, editable=False)
    # Until then it waits for the next step.
    not_before: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(null=True, blank=True)
    # Why it waits, for people.
    note = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["status", "leased_until"], name="erasures_to_work_on")]

    def __str__(self) -> str:
        return f"erasure {self.pk} of {self.project}"

    @classmethod
    def waiting(cls) -> models.QuerySet[Self]:
        """Return those to work on whose time has come."""
        return super().waiting().filter(models.Q(not_before=None) | models.Q(not_before__lte=Now()))


class Piece(models.Model):
    """A long text or a blob that an erased span referred to; it goes too, if by then no other span refers to it."""

    class Kind(models.TextChoices):
        """What it is: `name` is the hash of a text, or the day and SHA-256 of a blob."""

        TEXT = "text"
        BLOB = "blob"

    erasure = models.ForeignKey(Erasure, on_delete=models.CASCADE, related_name="pieces")
    kind = models.CharField(max_length=4, choices=Kind.choices)
    name = models.CharField(max_length=80)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["erasure", "kind", "name"], name="one_piece_of_a_name")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
