"""Jobs of the evaluators, and how far those that read along have come."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.evals.models.claims import Claimed, LostClaimError

# A worker renews its claim with every batch; one that was killed is replaced after this long.
MARK_LEASE = timedelta(minutes=10)
# A check that killed its worker so often (out of memory, as a rule) will do it again.
MAX_ATTEMPTS = 3
# A log is read by a person, from its end.
MAX_LOG_CHARACTERS = 20_000


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
        if cls.objects.filter(free, pk=row.pk).update(leased_until=now + MARK_LEASE) != 1:
            return None
        row.refresh_from_db()
        return row

    def advance(self, received_at_us: int, trace_id: str, span_id: str) -> None:
        """Move to the last span whose verdict is stored, and renew the claim."""
        self.received_at_us, self.trace_id, self.span_id = received_at_us, trace_id, span_id
        self.leased_until = timezone.now() + MARK_LEASE
        self.save()

    def release(self) -> None:
        """Let the next worker have it at once."""
        type(self).objects.filter(pk=self.pk).update(leased_until=None)


class Run(Claimed):
    """One job: a comparison of two releases, an evaluation of a period, whatever kinds are registered.

    A person asked for it, or a schedule: then `due_at` is the time that it stands for, once a schedule and time.
    """

    class Kind(models.TextChoices):
        """The kinds of this room; `evals.jobs` knows those of the rooms above too."""

        GROUNDEDNESS = "groundedness"
        REGRESSION = "regression"
        EVALUATE = "evaluate"

    class Status(models.TextChoices):
        """Where the job stands."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs")
    kind = models.CharField(max_length=40)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    arguments = models.JSONField(default=dict)
    # verdict, numbers with their intervals, examples; the pages show it as it is
    result = models.JSONField(default=dict)
    error = models.TextField(default="", blank=True)
    log = models.TextField(default="", blank=True)
    # Where a job that was killed goes on; its kind knows what stands there.
    place = models.JSONField(default=dict, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    scored = models.PositiveIntegerField(default=0)
    unscored = models.PositiveIntegerField(default=0)
    device_seconds = models.FloatField(default=0.0)
    usd = models.DecimalField(max_digits=18, decimal_places=9, default=Decimal(0))
    schedule = models.ForeignKey("evals.Schedule", on_delete=models.CASCADE, null=True, blank=True, related_name="runs")
    due_at = models.DateTimeField(null=True, blank=True)
    retry = models.PositiveSmallIntegerField(default=0, help_text="0: the first try.")
    not_before = models.DateTimeField(null=True, blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["project", "kind", "-created_at"], name="runs_of_a_project"),
            models.Index(fields=["status", "leased_until"], name="runs_to_work_on"),
        ]
        constraints = [models.UniqueConstraint(fields=["schedule", "due_at"], name="one_run_a_schedule_and_time")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} ({self.status})"

    @classmethod
    def waiting(cls) -> models.QuerySet[Self]:
        """Return the jobs to work on: queued ones, and running ones that a worker may have left behind."""
        ready = models.Q(not_before=None) | models.Q(not_before__lte=timezone.now())
        return cls.objects.filter(ready & cls._open()).order_by("created_at", "pk")

    @classmethod
    def _open(cls) -> models.Q:
        return models.Q(status__in=[cls.Status.QUEUED, cls.Status.RUNNING])

    def start(self) -> bool:
        """Take the job; False where another worker has it, or where it has cost too many workers."""
        gone = self.attempts >= MAX_ATTEMPTS
        if not self.take(self._open(), status=self.Status.RUNNING, started_at=timezone.now()):
            return False
        if gone:
            self.fail(f"The worker was killed {self.attempts} times while it did this; it may need more memory.")
            return False
        self.change(attempts=self.attempts + 1)
        return True

    def say(self, line: str) -> None:
        """Add a line to the log, which keeps its newest MAX_LOG_CHARACTERS. Raises LostClaimError."""
        self.change(log=f"{self.log}{timezone.now():%H:%M:%S} {line}\n"[-MAX_LOG_CHARACTERS:])

    def finish(self, result: dict[str, Any]) -> None:
        """Store the outcome. Raises LostClaimError."""
        self._end(result=result, status=self.Status.DONE)

    def fail(self, error: str) -> None:
        """Store why there is no outcome; a person sees it on the evaluations page. Raises LostClaimError."""
        self._end(error=error[:MAX_LOG_CHARACTERS], status=self.Status.FAILED)

    def _end(self, **values: Any) -> None:
        values["finished_at"] = timezone.now()
        if not self.let_go(**values):
            raise LostClaimError(f"{self} was taken over by another worker")
        for name, value in values.items():
            setattr(self, name, value)

    @property
    def title(self) -> str:
        """What kind of job this is, in words."""
        return dict(self.Kind.choices).get(self.kind, self.kind.replace("_", " ").capitalize())

    @property
    def duration(self) -> timedelta | None:
        """How long the job ran, None while it has not ended."""
        start: datetime | None = self.started_at
        return self.finished_at - start if self.finished_at and start else None
