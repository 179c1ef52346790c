"""What annotators said of an item, every version of it, and what they left to others."""

from django.conf import settings
from django.db import models

from heliograph.annotation.models.queues import Item, Slot
from heliograph.datasets.models import Dataset


class Annotation(models.Model):
    """One version of what an annotator said; never changed afterwards, but for where its correction went."""

    slot = models.ForeignKey(Slot, on_delete=models.CASCADE, related_name="annotations")
    version = models.PositiveIntegerField()
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    # Score -> number, true or false, category or text, as `judgement.check_answer` returns them.
    values = models.JSONField(default=dict)
    comment = models.TextField(blank=True, default="")
    # From the claim to the answer, in seconds.
    seconds = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField()
    dataset = models.ForeignKey(Dataset, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    dataset_version = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["slot", "version"]
        constraints = [models.UniqueConstraint(fields=["slot", "version"], name="one_annotation_of_a_version")]

    def __str__(self) -> str:
        return f"{self.slot} version {self.version}"


class Skip(models.Model):
    """An item that somebody left to others, with the reason."""

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="skips")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    reason = models.CharField(max_length=500)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["item", "annotator"], name="skipped_once_each")]

    def __str__(self) -> str:
        return f"{self.item}: {self.reason}"
