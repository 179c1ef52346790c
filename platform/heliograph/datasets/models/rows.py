"""Data sets: rows with a life from one version to another, so that every version can be read again for ever."""

from typing import Any, Self

from django.conf import settings
from django.db import models

from heliograph.accounts.models import Project


class Dataset(models.Model):
    """A named set of rows; what it holds is said by its versions."""

    # Of a project: a person still finds one in a list of so many.
    MOST = 1_000

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=200)
    description = models.CharField(max_length=2_000, blank=True, default="")
    # 0: no version yet.
    latest = models.PositiveIntegerField(default=0)
    # The place of the next new row; rows keep theirs from version to version.
    next_position = models.PositiveBigIntegerField(default=1)
    # Of all versions together, for the bounds of a project.
    stored_rows = models.PositiveBigIntegerField(default=0)
    stored_bytes = models.PositiveBigIntegerField(default=0)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-updated_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_dataset_of_a_name")]

    def __str__(self) -> str:
        return self.name


class DatasetVersion(models.Model):
    """What one change made of a data set; never changed afterwards."""

    class Source(models.TextChoices):
        """Where the rows came from."""

        UPLOAD = "upload"
        TRACES = "traces"
        API = "api"
        PERSON = "person"
        SPLIT = "split"

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    source = models.CharField(max_length=10, choices=Source.choices)
    note = models.CharField(max_length=500, blank=True, default="")
    added = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    removed = models.PositiveIntegerField(default=0)
    rows = models.PositiveIntegerField(default=0)
    # How many rows each split has; '' are those without one.
    splits = models.JSONField(default=dict)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["dataset", "number"], name="one_version_of_a_number")]

    def __str__(self) -> str:
        return f"{self.dataset} v{self.number}"


class Content(models.Model):
    """What a row says, stored once however many versions hold it. The id is made of the content: see `content`."""

    id = models.UUIDField(primary_key=True, editable=False)
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    input = models.JSONField()
    # None where there is none.
    expected = models.JSONField(null=True)
    context = models.JSONField(null=True)
    metadata = models.JSONField(default=dict)
    size = models.PositiveIntegerField(help_text="Bytes as JSON.")

    def __str__(self) -> str:
        return str(self.id)


class RowQuerySet(models.QuerySet["Row"]):
    """Rows of one data set or of several."""

    def in_version(self, number: int) -> Self:
        """Return the rows that a version holds."""
        alive = models.Q(removed_in=None) | models.Q(removed_in__gt=number)
        return self.filter(alive, added_in__lte=number)

    def of(self, version: DatasetVersion, split: str = "") -> Self:
        """Return the rows of a version (or of one split of it) with their contents, in their order."""
        found = self.filter(dataset=version.dataset_id).in_version(version.number)
        found = found.filter(split=split) if split else found
        return found.select_related("content").order_by("position")


class Row(models.Model):
    """A row from the version that brought it (as it is) to the one that changed or removed it.

    `key` names it through all versions; within a version it is unique, and so is `position`.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="rows")
    key = models.CharField(max_length=200)
    position = models.PositiveBigIntegerField()
    content = models.ForeignKey(Content, on_delete=models.CASCADE, related_name="+")
    split = models.CharField(max_length=50, blank=True, default="")
    # The span that it was copied from; '' for other rows. It may have been removed from the store since.
    trace_id = models.CharField(max_length=32, blank=True, default="")
    span_id = models.CharField(max_length=16, blank=True, default="")
    added_in = models.PositiveIntegerField()
    removed_in = models.PositiveIntegerField(null=True, blank=True)

    objects = RowQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["dataset", "key"], condition=models.Q(removed_in=None), name="one_row_of_a_key_at_a_time"
            )
        ]
        indexes = [
            models.Index(fields=["dataset", "position"], name="rows_in_order"),
            models.Index(fields=["dataset", "key"], name="rows_by_key"),
            models.Index(fields=["dataset", "added_in"], name="rows_by_version"),
            models.Index(fields=["dataset", "removed_in"], name="rows_by_removal"),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def item_id(self) -> str:
        """How scores name the row (`dataset_item_id`)."""
        return f"{self.dataset_id}/{self.key}"

    def as_dict(self) -> dict[str, Any]:
        """Return the row as the API and exports show it."""
        return {
            "id": self.key,
            "split": self.split,
            "input": self.content.input,
            "expected": self.content.expected,
            "context": self.content.context,
            "metadata": self.content.metadata,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
        }
