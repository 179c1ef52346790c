"""Queues: what is asked, of which spans, and whose turn each of them is."""

from datetime import datetime, timedelta

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from heliograph.accounts.models import Project
from heliograph.annotation.rubric import Dimension, read_json
from heliograph.datasets.models import Dataset


class Queue(models.Model):
    """Spans that people judge by one rubric. `finished_at` is set when no slot is left, and taken back when one comes.

    Its rubric is fixed with the first annotation: answers to other questions could not be compared.
    """

    # Of a project: a person still finds one in a list of so many.
    MOST = 200

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="annotation_queues")
    name = models.CharField(max_length=100)
    instructions = models.TextField(blank=True, default="", max_length=20_000)
    # See `heliograph.annotation.rubric.as_json`.
    rubric = models.JSONField(default=list)
    annotators_per_item = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(10)]
    )
    # An answer takes a minute or so; who went for a coffee keeps it, who went home does not.
    lease_minutes = models.PositiveSmallIntegerField(
        default=15, validators=[MinValueValidator(1), MaxValueValidator(240)]
    )
    is_open = models.BooleanField(default=True)
    # Where corrections go, unless another one is chosen.
    dataset = models.ForeignKey(Dataset, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_annotation_queue_of_a_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The rubric."""
        return read_json(self.rubric)

    @property
    def lease(self) -> timedelta:
        """How long an item is somebody's."""
        return timedelta(minutes=self.lease_minutes)

    @property
    def is_annotated(self) -> bool:
        """Whether somebody has judged something."""
        return self.slots.filter(version__gt=0).exists()


class Item(models.Model):
    """One span to judge. The ones of the lowest `priority` come first: a score, where the worst shall come first."""

    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="items")
    trace_id = models.CharField(max_length=32)
    span_id = models.CharField(max_length=16)
    # Nanoseconds since the epoch: where the store finds the span and its scores.
    start_ns = models.BigIntegerField()
    priority = models.FloatField(default=0.0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["priority", "pk"]
        constraints = [models.UniqueConstraint(fields=["queue", "trace_id", "span_id"], name="one_item_of_a_span")]
        indexes = [models.Index(fields=["queue", "priority", "id"], name="items_in_order")]

    def __str__(self) -> str:
        return f"{self.trace_id}:{self.span_id}"


class Slot(models.Model):
    """One judgement that is wanted of an item: there are as many as the queue wants annotators of each.

    Who has it changes in one statement that names the state it was found in, so that of two who reach for it one gets
    it. `version` counts what its annotator said, `written_version` how much of that stands among the scores.
    """

    class Status(models.TextChoices):
        """Where it stands. A lease that ran out is as good as open, until its holder comes back first."""

        OPEN = "open"
        LEASED = "leased"
        DONE = "done"

    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="slots")
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="slots")
    number = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    annotator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    # Whom it is kept for; None is anybody.
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    leased_until = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=0)
    written_version = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["item", "number"]
        constraints = [
            models.UniqueConstraint(fields=["item", "number"], name="one_slot_of_a_number"),
            models.UniqueConstraint(
                fields=["item", "annotator"],
                condition=models.Q(annotator__isnull=False),
                name="one_slot_of_an_item_each",
            ),
            models.UniqueConstraint(
                fields=["item", "assignee"],
                condition=models.Q(assignee__isnull=False),
                name="one_slot_of_an_item_kept_for_each",
            ),
        ]
        indexes = [
            models.Index(fields=["queue", "status"], name="slots_to_give_out"),
            models.Index(
                fields=["id"],
                condition=models.Q(version__gt=models.F("written_version")),
                name="slots_to_write_scores_of",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.item} ({self.number})"

    @staticmethod
    def free(now: datetime) -> models.Q:
        """Return the condition on slots that are in nobody's hands."""
        return models.Q(status=Slot.Status.OPEN) | models.Q(status=Slot.Status.LEASED, leased_until__lt=now)
