"""Exports that somebody asked for, and days that are written by a schedule."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.gates.models.jobs import JobInTurns
from heliograph.query.filters import InvalidFilterError, SpanFilter, TimeRange
from heliograph.query.language import parse

# Over a weekend, and no longer than needed: a file holds what was said, beyond the project's retention.
KEPT = timedelta(days=7)
# Of a project at a time: each takes the worker's turns from the others.
MOST_OPEN = 5
# The longest that anything is kept (rules.models.RetentionRule).
OLDEST_DAY = timedelta(days=3_650)
UNREACHABLE = "The ClickHouse server cannot write to this machine: the operator sets HELIOGRAPH_ARCHIVE_BUCKET."


class Export(JobInTurns):
    """A file of the traces or spans of a time range that a filter finds, newest first.

    It is made in turns, each of which writes one part; `parts` names them in their order, and `cursor` where the next
    one begins. A turn is stored as a whole or not at all, so a worker that is killed costs one.
    """

    class What(models.TextChoices):
        """What its rows are."""

        TRACES = "traces"
        SPANS = "spans"

    class Format(models.TextChoices):
        """How they are written; all of it is compressed by gzip."""

        JSONL = "jsonl", "JSON lines"
        CSV = "csv", "CSV"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="exports")
    what = models.CharField(max_length=10, choices=What.choices, default=What.TRACES)
    format = models.CharField(max_length=10, choices=Format.choices, default=Format.JSONL)
    # A text of the filter language.
    filter = models.TextField(default="", blank=True, max_length=4_000)
    start = models.DateTimeField()
    end = models.DateTimeField()
    parts: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list, blank=True, editable=False)
    cursor = models.TextField(default="", blank=True, editable=False)
    rows = models.PositiveIntegerField(default=0, editable=False)
    bytes = models.PositiveBigIntegerField(default=0, editable=False)
    # More matched than a file holds.
    is_cut = models.BooleanField(default=False, editable=False)
    # The day of its blobs, and when it can no longer be had.
    until = models.CharField(max_length=10, default="", editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["status", "leased_until"], name="exports_to_work_on")]

    def __str__(self) -> str:
        return f"export {self.pk} of {self.what} of {self.project}"

    def clean(self) -> None:
        """Refuse a filter or a time that cannot be asked."""
        try:
            self.spans()
        except InvalidFilterError as error:
            raise ValidationError({"filter": str(error)}) from error

    def spans(self) -> SpanFilter:
        """Return what is asked of the store. Raises InvalidFilterError."""
        return parse(self.filter, TimeRange(self.start, self.end))

    @property
    def is_ready(self) -> bool:
        """Whether its file can be had."""
        return bool(self.status == self.Status.DONE and self.expires_at and self.expires_at > timezone.now())

    @property
    def file_name(self) -> str:
        """The name under which a browser saves it."""
        return f"{self.what}-{self.project.slug}-{self.pk}.{self.format}.gz"


class Archive(models.Model):
    """A project's schedule: which signals of each whole UTC day are written as Parquet, and when."""

    class Signal(models.TextChoices):
        """What a day's files hold; the long texts of spans come with them."""

        SPANS = "spans", "Spans"
        SCORES = "scores", "Scores"
        LOGS = "logs", "Log records"
        METRICS = "metrics", "Data points"

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="archive")
    is_on = models.BooleanField(default=True)
    signals: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list)
    # What arrives later is not in the day's files until the day is written again.
    hours = models.PositiveSmallIntegerField(default=6, validators=[MinValueValidator(1), MaxValueValidator(168)])
    # The first day that nobody has asked for yet; set back, days are written that lie before it.
    next_day = models.DateField()

    def __str__(self) -> str:
        return f"archive of {self.project}"

    @classmethod
    def of(cls, project: Project) -> "Archive":
        """Return the project's schedule, or the one that it begins with, which is off and not stored."""
        usual: list[str] = [cls.Signal.SPANS, cls.Signal.SCORES]
        found = cls.objects.filter(project=project).select_related("project").first()
        return found or cls(project=project, is_on=False, signals=usual, next_day=timezone.now().date())

    def clean(self) -> None:
        """Refuse a schedule of nothing, and one that begins before anything can be stored or after today."""
        if self.is_on and not settings.ARCHIVE_IS_REACHABLE:
            raise ValidationError(UNREACHABLE)
        unknown = set(self.signals) - set(self.Signal.values)
        if not self.signals or unknown:
            raise ValidationError({"signals": f"Choose among {', '.join(self.Signal.values)}."})
        today = timezone.now().date()
        if not today - OLDEST_DAY <= self.next_day <= today:
            raise ValidationError({"next_day": f"A day of the last {OLDEST_DAY.days}, today at the latest."})
        self.signals = [signal for signal in self.Signal.values if signal in self.signals]


class ArchivedDay(JobInTurns):
    """One UTC day of a project as files, made in turns of some files each; each file is noted when it is written.

    `cursor` is where the next file begins: [number of the signal, ISO time]. `files` are
    [name below the project's folder, rows] in the order in which they were written.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="archived_days")
    day = models.DateField()
    signals: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list)
    cursor: "models.JSONField[list[Any], list[Any]]" = models.JSONField(default=list, editable=False)
    files: "models.JSONField[list[list[Any]], list[list[Any]]]" = models.JSONField(default=list, editable=False)
    # How often somebody has asked for it, and which of these a worker has begun: from the first minute.
    asked = models.PositiveIntegerField(default=1, editable=False)
    begun = models.PositiveIntegerField(default=0, editable=False)
    # How often the rest was cut into files of half as much, each time because the store could not write one.
    halvings = models.PositiveSmallIntegerField(default=0, editable=False)
    # Whether its files may lose rows that the store no longer has.
    may_lose = models.BooleanField(default=False)
    # A bucket that is away for weeks is tried each minute: more than a small number holds.
    attempts = models.PositiveIntegerField(default=0)
    rows = models.PositiveBigIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["-day"]
        constraints = [models.UniqueConstraint(fields=["project", "day"], name="a_day_is_archived_once")]
        indexes = [models.Index(fields=["status", "leased_until"], name="archived_days_to_work_on")]

    def __str__(self) -> str:
        return f"{self.day} of {self.project}"

    def put(self, *, is_done: bool, **state: Any) -> None:
        """Store a turn; the next one is anybody's. Raises LostLeaseError."""
        with transaction.atomic():
            super().put(is_done=is_done, **state, error="")
            self._begin_again()

    def fail(self, error: str) -> None:
        """Store why the day is not written, in answer to what was asked until now. Raises LostLeaseError."""
        with transaction.atomic():
            self._change(begun=self.asked)
            super().fail(error)
            self._begin_again()

    def wait(self, reason: str, **state: Any) -> None:
        """Give it back to be tried again, with what it waits for. Raises LostLeaseError."""
        self.give_back(error=reason, **state)

    def _begin_again(self) -> None:
        """Queue a day that has ended and was asked for meanwhile."""
        mine = type(self).objects.filter(pk=self.pk).exclude(asked=models.F("begun"))
        mine.update(status=self.Status.QUEUED, finished_at=None, error="")
