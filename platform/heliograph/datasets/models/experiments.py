"""Experiments: one run of a version's rows through a system, the outcome of each row, and comparisons of runs."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.datasets.models.rows import Dataset, Row

# A run that ended so many workers in a row (out of memory, as a rule) will end the next one too.
MAX_LOST = 5
# Renewed every few seconds by a worker that lives; after so long, another takes the work of one that was killed.
LEASE = timedelta(seconds=60)


class Experiment(models.Model):
    """One run: which rows, through what, judged how, and how far it is."""

    class Kind(models.TextChoices):
        """Who produces the answers."""

        ENDPOINT = "endpoint", "an endpoint, called by Heliograph"
        FUNCTION = "function", "a function of the user's, which sends its results"

    class Status(models.TextChoices):
        """Where it stands."""

        QUEUED = "queued"
        RUNNING = "running"
        SCORING = "scoring"
        DONE = "done"
        FAILED = "failed"
        CANCELED = "canceled"

    OPEN = (Status.QUEUED, Status.RUNNING, Status.SCORING)

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="experiments")
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="experiments")
    version = models.PositiveIntegerField()
    split = models.CharField(max_length=50, blank=True, default="")
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    # Of an endpoint: see `target`. Of a function: {}.
    target = models.JSONField(default=dict)
    # [{"name", "evaluator", "arguments"}, ...]: see `evaluators`.
    evaluators = models.JSONField(default=list)
    # What the system under test was: release, prompt, model, adapter, ...; texts by name.
    metadata = models.JSONField(default=dict)
    rows = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    scored = models.PositiveIntegerField(default=0)
    # Means of the scores, {name: {"mean", "scored", "unscored"}}, once it is done.
    summary = models.JSONField(default=dict)
    error = models.TextField(blank=True, default="")
    cancel_requested = models.BooleanField(default=False)
    # How often in a row a worker took it and was gone before its first sign of life.
    lost = models.PositiveSmallIntegerField(default=0)
    leased_until = models.DateTimeField(null=True, blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["project", "-created_at"], name="experiments_of_a_project"),
            models.Index(fields=["status", "leased_until"], name="experiments_to_work_on"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"

    @property
    def is_open(self) -> bool:
        """Whether anything more will come."""
        return self.status in self.OPEN

    @property
    def percent(self) -> int:
        """How much of the rows is answered and, where evaluators judge, scored."""
        steps = self.rows * (2 if self.evaluators else 1)
        return 100 if not steps else min(100, 100 * (self.done + (self.scored if self.evaluators else 0)) // steps)

    @property
    def duration(self) -> timedelta | None:
        """How long it took, None while it has not ended."""
        return self.finished_at - self.started_at if self.finished_at and self.started_at else None

    @property
    def duration_ns(self) -> int | None:
        """The same in nanoseconds, as pages show durations."""
        return None if self.duration is None else self.duration // timedelta(microseconds=1) * 1_000

    @property
    def item_rows(self) -> models.QuerySet[Row]:
        """Its rows with their contents, in their order."""
        rows = Row.objects.filter(dataset=self.dataset_id).in_version(self.version)
        rows = rows.filter(split=self.split) if self.split else rows
        return rows.select_related("content").order_by("position")

    def claim(self) -> bool:
        """Take it for `LEASE`; False where a worker that lives has it."""
        now = timezone.now()
        free = models.Q(leased_until=None) | models.Q(leased_until__lt=now)
        is_lost = models.Case(models.When(leased_until=None, then=0), default=1)
        mine = type(self).objects.filter(free, pk=self.pk, status__in=self.OPEN)
        if taken := mine.update(lost=models.F("lost") + is_lost, leased_until=now + LEASE):
            self.refresh_from_db()
        return bool(taken)

    def renew(self) -> bool:
        """Keep it for another `LEASE`; return whether somebody wants it to end."""
        self.keep()
        self.refresh_from_db(fields=["cancel_requested", "status"])
        return self.cancel_requested or self.status not in self.OPEN

    def keep(self) -> None:
        """Keep it for another `LEASE`; also from a thread beside the work."""
        type(self).objects.filter(pk=self.pk).update(leased_until=timezone.now() + LEASE, lost=0)

    def release(self) -> None:
        """Let the next worker have it at once."""
        type(self).objects.filter(pk=self.pk).update(leased_until=None)


class Result(models.Model):
    """What came of one row: at most one a row, whatever was killed in between."""

    class Status(models.TextChoices):
        """Whether there is an answer."""

        OK = "ok"
        ERROR = "error"

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="results")
    row = models.ForeignKey(Row, on_delete=models.CASCADE, related_name="+")
    # Copied from the row, so that runs are paired without it.
    key = models.CharField(max_length=200)
    position = models.PositiveBigIntegerField()
    content_id = models.UUIDField()
    status = models.CharField(max_length=5, choices=Status.choices)
    output = models.JSONField(null=True)
    error = models.CharField(max_length=2_000, blank=True, default="")
    trace_id = models.CharField(max_length=32, blank=True, default="")
    span_id = models.CharField(max_length=16, blank=True, default="")
    attempts = models.PositiveSmallIntegerField(default=1)
    duration_ms = models.FloatField(null=True)
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    # {name: {"value": float | None, "label", "explanation"}}: those of the user's function, then those of evaluators.
    scores = models.JSONField(default=dict)
    is_scored = models.BooleanField(default=False)
    # Of an endpoint's answer what only its span tells: started_ns, model, response_id, finish_reason; see `recording`.
    call = models.JSONField(default=dict)
    is_recorded = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["experiment", "row"], name="one_result_of_a_row")]
        indexes = [
            models.Index(fields=["experiment", "position"], name="results_in_order"),
            models.Index(fields=["experiment", "is_scored"], name="results_to_score"),
            models.Index(fields=["trace_id"], name="results_by_trace"),
            models.Index(fields=["experiment"], condition=models.Q(is_recorded=False), name="results_to_record"),
        ]

    def __str__(self) -> str:
        return f"{self.key} ({self.status})"

    def value(self, score: str) -> float | None:
        """Return the value of a score, None where it has none."""
        found: Any = self.scores.get(score, {}).get("value")
        return float(found) if found is not None else None


class Comparison(models.Model):
    """The statistics of one score in two runs, computed by a worker and kept while the runs stay as they are."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    baseline = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    candidate = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    score = models.CharField(max_length=200)
    # Of the two runs' scores when it was computed; another one means that it is out of date.
    fingerprint = models.CharField(max_length=64)
    # Empty until a worker has computed it.
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    computed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["baseline", "candidate", "score"], name="one_comparison_of_two_runs")
        ]

    def __str__(self) -> str:
        return f"{self.score} of {self.baseline_id} and {self.candidate_id}"
