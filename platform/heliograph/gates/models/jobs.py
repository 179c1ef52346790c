"""A piece of work that one worker at a time does: it stands in the database, so a lost message costs a delay."""

from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.utils import timezone

# Renewed between the parts of a job; a worker that was killed is replaced after so long.
LEASE = timedelta(minutes=10)
# A job that killed its worker so often (out of memory, as a rule) will do it again.
MAX_ATTEMPTS = 3


class LostLeaseError(Exception):
    """Another worker has the job by now; what this one found is not stored."""


class Job(models.Model):
    """The state of the work: `attempts` is also the name of the claim, so that a slow worker notices a faster one."""

    class Status(models.TextChoices):
        """Where it stands."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    result = models.JSONField(default=dict)
    error = models.TextField(default="", blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @classmethod
    def waiting(cls) -> models.QuerySet[Self]:
        """Return the jobs to work on, oldest first: queued ones, and running ones whose worker was killed."""
        lost = models.Q(status=cls.Status.RUNNING, leased_until__lt=timezone.now())
        return cls._default_manager.filter(models.Q(status=cls.Status.QUEUED) | lost).order_by("created_at", "pk")

    def claim(self) -> bool:
        """Take the job; False where another worker was faster, or where it has cost too many workers."""
        now = timezone.now()
        free = models.Q(status=self.Status.QUEUED) | models.Q(status=self.Status.RUNNING, leased_until__lt=now)
        mine = type(self)._default_manager.filter(free, pk=self.pk, attempts=self.attempts)
        if self.claims_lost >= MAX_ATTEMPTS:
            reason = f"The worker was killed {self.claims_lost} times while it did this; it may need more memory."
            mine.update(status=self.Status.FAILED, error=reason, finished_at=now, leased_until=None)
            return False
        taken = mine.update(
            status=self.Status.RUNNING, started_at=now, leased_until=now + LEASE, attempts=models.F("attempts") + 1
        )
        if taken:
            self.refresh_from_db()
        return bool(taken)

    def renew(self) -> None:
        """Keep the job for another LEASE. Raises LostLeaseError."""
        self._change(leased_until=timezone.now() + LEASE)

    def finish(self, result: dict[str, Any]) -> None:
        """Store the outcome. Raises LostLeaseError."""
        self._change(result=result, status=self.Status.DONE, finished_at=timezone.now(), leased_until=None)

    def fail(self, error: str) -> None:
        """Store why there is no outcome, for a person to read. Raises LostLeaseError."""
        self._change(error=error, status=self.Status.FAILED, finished_at=timezone.now(), leased_until=None)

    def _change(self, **values: Any) -> None:
        mine = type(self)._default_manager.filter(pk=self.pk, status=self.Status.RUNNING, attempts=self.attempts)
        if not mine.update(**values):
            raise LostLeaseError(f"{self} was taken over by another worker")
        for name, value in values.items():
            setattr(self, name, value)

    @property
    def claims_lost(self) -> int:
        """How many workers it has cost; of a job that is done in turns, those beyond its turns."""
        return self.attempts

    @property
    def is_open(self) -> bool:
        """Whether an outcome is still to come."""
        return self.status in (self.Status.QUEUED, self.Status.RUNNING)

    @property
    def duration(self) -> timedelta | None:
        """How long it ran, None while it has not ended."""
        return self.finished_at - self.started_at if self.finished_at and self.started_at else None


class JobInTurns(Job):
    """A job that is done in turns: each is stored as a whole, and what follows it may be another worker's."""

    turns = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        abstract = True

    @property
    def claims_lost(self) -> int:
        """How many workers it has cost: claims beyond the turns that were stored."""
        return self.attempts - self.turns

    def keep(self, **state: Any) -> None:
        """Store how far a turn is, and keep the job for another LEASE. Raises LostLeaseError."""
        self._change(**state, leased_until=timezone.now() + LEASE)

    def give_back(self, **state: Any) -> None:
        """Store a turn; the next one is anybody's. Raises LostLeaseError."""
        self._change(**state, status=self.Status.QUEUED, turns=self.turns + 1, leased_until=None)

    def put(self, *, is_done: bool, **state: Any) -> None:
        """Store a turn, which may be the last. Raises LostLeaseError."""
        if not is_done:
            self.give_back(**state)
            return
        ended = {"status": self.Status.DONE, "finished_at": timezone.now()}
        self._change(**ended, **state, turns=self.turns + 1, leased_until=None)
