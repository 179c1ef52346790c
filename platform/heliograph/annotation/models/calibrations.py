"""Calibrations: what labels said of an evaluator's scores, and whether its rule was changed by that."""

from django.conf import settings
from django.db import models

from heliograph.accounts.models import Project
from heliograph.annotation.models.queues import Queue
from heliograph.evals.models import EvaluationRule


class Calibration(models.Model):
    """One comparison of an evaluator's scores with the labels of a queue, as they were at that time.

    `positive` are the categories that mean yes, or [cut] of a number, from which on it means yes; [] of a yes or no.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="calibrations")
    queue = models.ForeignKey(Queue, on_delete=models.SET_NULL, null=True, related_name="calibrations")
    dimension = models.CharField(max_length=100)
    positive = models.JSONField(default=list)
    score = models.CharField(max_length=100)
    higher_is_positive = models.BooleanField(default=True)
    criterion = models.CharField(max_length=20, default="balanced_accuracy")
    # See `heliograph.annotation.calibrating`.
    result = models.JSONField(default=dict)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    rule = models.ForeignKey(EvaluationRule, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # What was put into the rule, and what stood there before: {"threshold": number or null, "curve": object or null}.
    applied = models.JSONField(null=True, blank=True)
    before = models.JSONField(null=True, blank=True)
    applied_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    applied_at = models.DateTimeField(null=True, blank=True)
    reverted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.score} by {self.dimension}"

    @property
    def is_in_force(self) -> bool:
        """Whether it was applied and not taken back."""
        return self.applied_at is not None and self.reverted_at is None
