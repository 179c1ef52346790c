"""What the evaluators have done and where they stand: the database knows it, a lost message only costs a delay."""

from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.utils import timezone

from heliograph.accounts.models import Project

# A worker renews its claim with every batch; one that was killed is replaced after this long.
LEASE = timedelta(minutes=10)
# A check that killed its worker so often (out of memory, as a rule) will do it again.
MAX_ATTEMPTS = 3


class Watermark(models.Model):
    """How far one evaluator has read the spans of one project, along the time at which they were stored."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    evaluator = models.CharField(max_length=100)
    received_at_us = models.BigIntegerField(default=0, help_text="Microseconds since the epoch.")
    trace_id = models.CharField(max_length=32, default="")
    span_id = models.CharField(max_length=16, default="")
    leased_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "evaluator"], name="one_watermark_per_evaluator")]

    def __str__(self) -> str:
        return f"{self.evaluator} in {self.project} at {self.received_at_us}"

    @classmethod
    def claim(cls, project: Project, evaluator: str) -> Self | None:
        """Return the watermark if no living worker holds it, and hold it; else None.

        Compare-and-set, so that of two workers exactly one goes on.
        """
        row, _ = cls.objects.get_or_create(project=project, evaluator=evaluator)
        now = timezone.now()
        free = models.Q(leased_until=None) | models.Q(leased_until__lt=now)
        if cls.objects.filter(free, pk=row.pk).update(leased_until=now + LEASE) != 1:
            return None
        row.refresh_from_db()
        return row

    def advance(self, received_at_us: int, trace_id: str, span_id: str) -> None:
        """Move to the last span whose verdict is stored, and renew the claim."""
        self.received_at_us, self.trace_id, self.span_id = received_at_us, trace_id, span_id
        self.leased_until = timezone.now() + LEASE
        self.save()

    def release(self) -> None:
        """Let the next worker have it at once."""
        type(self).objects.filter(pk=self.pk).update(leased_until=None)


class Run(models.Model):
    """One evaluation job: a pass of an evaluator over new spans, a drift check, a comparison of two releases."""

    class Kind(models.TextChoices):
        """What the job does."""

        GROUNDEDNESS = "groundedness"
        DRIFT = "drift"
        REGRESSION = "regression"

    class Status(models.TextChoices):
        """Where the job stands."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    arguments = models.JSONField(default=dict)
    # verdict, numbers with their intervals, examples; the pages show it as it is
    result = models.JSONField(default=dict)
    error = models.TextField(default="", blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    scored = models.PositiveIntegerField(default=0)
    unscored = models.PositiveIntegerField(default=0)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["project", "kind", "-created_at"], name="runs_of_a_project"),
            models.Index(fields=["status", "leased_until"], name="runs_to_work_on"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} ({self.status})"

    @classmethod
    def waiting(cls, kind: str) -> models.QuerySet[Self]:
        """Return the jobs to work on: queued ones, and running ones whose worker was killed."""
        lost = models.Q(status=cls.Status.RUNNING, leased_until__lt=timezone.now())
        return cls.objects.filter(models.Q(status=cls.Status.QUEUED) | lost, kind=kind).order_by("created_at", "pk")

    def claim(self) -> bool:
        """Take the job; False where another worker was faster, or where it has cost too many workers."""
        if self.attempts >= MAX_ATTEMPTS:
            self.fail(f"The worker was killed {self.attempts} times while it did this; it may need more memory.")
            return False
        now = timezone.now()
        free = models.Q(status=self.Status.QUEUED) | models.Q(status=self.Status.RUNNING, leased_until__lt=now)
        taken = (
            type(self)
            .objects.filter(free, pk=self.pk)
            .update(
                status=self.Status.RUNNING,
                started_at=now,
                leased_until=now + LEASE,
                attempts=models.F("attempts") + 1,
            )
        )
        if taken:
            self.refresh_from_db()
        return bool(taken)

    def finish(self, result: dict[str, Any]) -> None:
        """Store the outcome."""
        self.result, self.status, self.finished_at, self.leased_until = result, self.Status.DONE, timezone.now(), None
        self.save()

    def fail(self, error: str) -> None:
        """Store why there is no outcome; a person sees it on the evaluations page."""
        self.error, self.status, self.finished_at, self.leased_until = error, self.Status.FAILED, timezone.now(), None
        self.save()

    @property
    def duration(self) -> timedelta | None:
        """How long the job ran, None while it has not ended."""
        start: datetime | None = self.started_at
        return self.finished_at - start if self.finished_at and start else None
