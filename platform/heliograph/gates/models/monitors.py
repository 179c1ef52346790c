"""Drift monitors, their looks and what they found."""

from datetime import datetime, timedelta

from django.db import models

from heliograph.accounts.models import Project
from heliograph.gates.models.jobs import Job


class Monitor(models.Model):
    """What is looked at for drift, in which parts, against what, and how often."""

    class Reference(models.TextChoices):
        """What the current window is compared with."""

        SLIDING = "sliding", "the time before it"
        PINNED = "pinned", "a time of your choice"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="drift_monitors")
    name = models.CharField(max_length=100)
    is_on = models.BooleanField(default=True)
    # Made with the project; it takes the place of a check that was not asked for.
    is_default = models.BooleanField(default=False)
    # A text of the filter language.
    scope = models.TextField(default="", blank=True)
    # Names of `heliograph.gates.drift.signals`, and of `heliograph.gates.drift.segments`.
    signals = models.JSONField(default=list)
    segments = models.JSONField(default=list)
    reference = models.CharField(max_length=10, choices=Reference.choices, default=Reference.SLIDING)
    reference_hours = models.FloatField(default=24 * 7)
    pinned_from = models.DateTimeField(null=True, blank=True)
    pinned_to = models.DateTimeField(null=True, blank=True)
    current_hours = models.FloatField(default=24)
    every_hours = models.FloatField(default=24)
    # The chance of any false finding within 30 days of a traffic that does not change.
    alpha = models.FloatField(default=0.05)
    # Smaller changes of numbers and categories are not reported, however certain.
    min_effect = models.FloatField(default=0.1)
    created_at = models.DateTimeField(auto_now_add=True)
    next_look_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_monitor_of_a_name")]
        indexes = [models.Index(fields=["is_on", "next_look_at"], name="monitors_to_look")]

    def __str__(self) -> str:
        return self.name

    @property
    def every(self) -> timedelta:
        """The time between two looks."""
        return timedelta(hours=self.every_hours)


class Look(Job):
    """One look of a monitor at the window that ends at `until`; `result` is every test that it made."""

    monitor = models.ForeignKey(Monitor, on_delete=models.CASCADE, related_name="looks")
    until: "models.DateTimeField[datetime, datetime]" = models.DateTimeField()

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["monitor", "-created_at"], name="looks_of_a_monitor"),
            models.Index(fields=["status", "leased_until"], name="looks_to_work_on"),
        ]

    def __str__(self) -> str:
        return f"look {self.pk} of {self.monitor}"


class Finding(models.Model):
    """Drift of one signal in one segment, found in one look."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="drift_findings")
    monitor = models.ForeignKey(Monitor, on_delete=models.CASCADE, related_name="findings")
    look = models.ForeignKey(Look, on_delete=models.CASCADE, related_name="findings")
    signal = models.CharField(max_length=200)
    # "" for all of the traffic, else the field and its value.
    segment_field = models.CharField(max_length=200, default="", blank=True)
    segment_value = models.CharField(max_length=500, default="", blank=True)
    effect = models.FloatField()
    q_value = models.FloatField()
    # The test's result and what moved: see `heliograph.gates.drift.look`.
    details = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["look", "signal", "segment_field", "segment_value"], name="one_finding_of_a_look"
            )
        ]
        indexes = [models.Index(fields=["project", "-created_at", "-id"], name="findings_of_a_project")]

    def __str__(self) -> str:
        return f"{self.signal} of {self.segment}"

    @property
    def segment(self) -> str:
        """The segment in words."""
        return f"{self.segment_field} {self.segment_value}".strip() or "all traffic"
