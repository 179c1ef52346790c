"""Gates, their runs and their watches."""

from django.db import models

from heliograph.accounts.models import Project
from heliograph.datasets.models import Experiment
from heliograph.gates.models.jobs import Job


class Gate(models.Model):
    """A comparison of a baseline with a candidate that may fail a release: what is compared, on what, by how much."""

    class Source(models.TextChoices):
        """What the two sides answered."""

        LIVE = "live", "live traffic"
        DATASET = "dataset", "two runs over a data set"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="gates")
    name = models.CharField(max_length=100)
    source = models.CharField(max_length=10, choices=Source.choices)
    # Texts of the filter language: the spans of both sides, and what tells the sides apart.
    scope = models.TextField(default="", blank=True)
    baseline = models.TextField(default="", blank=True)
    candidate = models.TextField(default="", blank=True)
    # Hours of live traffic that a run looks back over.
    hours = models.FloatField(default=24)
    baseline_run = models.ForeignKey(Experiment, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    candidate_run = models.ForeignKey(Experiment, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # [{"name", "margin", "higher_is_better"}, ...]: see `heliograph.gates.metrics`.
    metrics = models.JSONField(default=list)
    alpha = models.FloatField(default=0.05)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_gate_of_a_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def latest(self) -> "GateRun | None":
        """The newest run that came to a verdict."""
        return self.runs.filter(status=Job.Status.DONE).first()


class GateRun(Job):
    """One look at a gate; `result` is what `heliograph.gates.report` says."""

    gate = models.ForeignKey(Gate, on_delete=models.CASCADE, related_name="runs")

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["gate", "-created_at"], name="runs_of_a_gate"),
            models.Index(fields=["status", "leased_until"], name="gate_runs_to_work_on"),
        ]

    def __str__(self) -> str:
        return f"run {self.pk} of {self.gate}"


class Watch(models.Model):
    """Live traffic of a gate, read along as it comes: how far, and the sums of every metric up to there.

    `state` and `read_to_us` change in one statement that names the place read from, so what a killed or slow worker
    had read is read again from there, and nothing is counted twice.
    """

    gate = models.OneToOneField(Gate, on_delete=models.CASCADE, related_name="watch")
    is_on = models.BooleanField(default=True)
    # Microseconds since the epoch, along the time at which spans were stored.
    started_at_us = models.BigIntegerField()
    read_to_us = models.BigIntegerField()
    # One state of `LiveComparison` a metric, in the gate's order.
    state = models.BinaryField(default=bytes)
    result = models.JSONField(default=dict)
    verdict = models.CharField(max_length=20, default="not_enough_data")
    decided_at = models.DateTimeField(null=True, blank=True)
    looked_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(default="", blank=True)

    def __str__(self) -> str:
        return f"watch of {self.gate}"
