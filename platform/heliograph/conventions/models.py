"""Revisions of a project's rules, and where the re-application of one to stored spans stands."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce
from django.utils import timezone

from collectors.semconv.rules import Rule, compiled
from collectors.semconv.table import Index
from heliograph.accounts.models import Project

# A worker renews its claim with every slice of a few thousand spans; one that was killed is replaced after this long.
LEASE = timedelta(minutes=2)
# A slice that killed its worker so often (out of memory, as a rule) will do it again.
MAX_ATTEMPTS = 5


def enabled_rules(rules: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Return those of stored rules that are on, in order."""
    names = ("source", "field", "match", "conversion", "order")
    return tuple(Rule(**{name: rule[name] for name in names}) for rule in rules if rule["enabled"])


class Ruleset(models.Model):
    """All rules of a project as of one revision. Never changed: a change of a rule is the next revision.

    Spans carry the number of the revision that filled their fields; 0 is the built-in table alone.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="rulesets")
    revision = models.PositiveIntegerField()
    # Objects of `id` (stays with a rule through revisions), `enabled` and the fields of collectors' Rule, in order.
    rules = models.JSONField(default=list)
    change = models.CharField(max_length=400, help_text="What this revision changed, for people.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-revision"]
        constraints = [models.UniqueConstraint(fields=["project", "revision"], name="one_ruleset_per_revision")]

    def __str__(self) -> str:
        return f"rules of {self.project}, revision {self.revision}"

    @classmethod
    def latest(cls, project_id: int) -> Self | None:
        """Return the rules in force, None where the project never had one."""
        return cls.objects.filter(project=project_id).first()

    @property
    def enabled(self) -> tuple[Rule, ...]:
        """The rules that are on, in order."""
        return enabled_rules(self.rules)

    @property
    def index(self) -> Index:
        """The built-in table with these rules."""
        return compiled(self.enabled)


class Reapplication(models.Model):
    """One pass over a time range of stored spans that fills their fields by the rules of a revision.

    A worker holds it by a lease and notes each finished slice, so that after a kill the next worker goes on there.
    """

    class Status(models.TextChoices):
        """Where the job stands."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    OPEN = (Status.QUEUED, Status.RUNNING)

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="reapplications")
    revision = models.PositiveIntegerField()
    start = models.DateTimeField(help_text="A whole minute, included.")
    end = models.DateTimeField(help_text="A whole minute, excluded.")
    # Everything before it is done, rollups included.
    cursor = models.DateTimeField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    cancel_requested = models.BooleanField(default=False)
    spans_total = models.PositiveBigIntegerField(default=0, help_text="Spans of older revisions when it was asked for.")
    spans_done = models.PositiveBigIntegerField(default=0)
    spans_changed = models.PositiveBigIntegerField(default=0, help_text="Of those, spans in which a field changed.")
    note = models.TextField(default="", blank=True, help_text="Why it waits.")
    error = models.TextField(default="", blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            # Two at once would rewrite the same spans.
            models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(status__in=["queued", "running"]),
                name="one_open_reapplication_per_project",
            )
        ]
        indexes = [models.Index(fields=["status", "leased_until"], name="reapplications_to_work_on")]

    def __str__(self) -> str:
        return f"re-application {self.pk} of revision {self.revision} ({self.status})"

    @classmethod
    def waiting(cls) -> models.QuerySet[Self]:
        """Return the jobs to work on: queued ones, and running ones whose worker was killed."""
        lost = models.Q(status=cls.Status.RUNNING, leased_until__lt=timezone.now())
        return cls.objects.filter(models.Q(status=cls.Status.QUEUED) | lost).order_by("created_at", "pk")

    def claim(self) -> bool:
        """Take the job; False where another worker was faster, or where it has cost too many workers."""
        if self.attempts >= MAX_ATTEMPTS:
            self.end_as(self.Status.FAILED, f"The worker was killed {self.attempts} times at the same place.")
            return False
        now = timezone.now()
        free = models.Q(status=self.Status.QUEUED) | models.Q(status=self.Status.RUNNING, leased_until__lt=now)
        taken = (
            type(self)
            .objects.filter(free, pk=self.pk)
            .update(
                status=self.Status.RUNNING,
                started_at=Coalesce("started_at", models.Value(now)),
                leased_until=now + LEASE,
                attempts=models.F("attempts") + 1,
            )
        )
        if taken:
            self.refresh_from_db()
        return bool(taken)

    def advance(self, cursor: datetime, done: int, changed: int) -> None:
        """Note that everything before `cursor` is done, renew the claim, and learn whether somebody cancelled."""
        self._update(
            cursor=cursor,
            spans_done=models.F("spans_done") + done,
            spans_changed=models.F("spans_changed") + changed,
            leased_until=timezone.now() + LEASE,
            attempts=0,
            note="",
        )
        self.refresh_from_db()

    def renew(self) -> None:
        """Keep the claim within a slice."""
        self._update(leased_until=timezone.now() + LEASE)

    def give_back(self, note: str) -> None:
        """Let the next worker go on where this one stood; `note` says why it waits."""
        self._update(status=self.Status.QUEUED, leased_until=None, attempts=0, note=note)

    def end_as(self, status: Status, error: str = "") -> None:
        """Store how it ended."""
        self._update(status=status, error=error, finished_at=timezone.now(), leased_until=None, note="")

    def _update(self, **fields: Any) -> None:
        type(self).objects.filter(pk=self.pk).update(**fields)
        for name, value in fields.items():
            if not hasattr(value, "resolve_expression"):
                setattr(self, name, value)

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        return self.status in self.OPEN

    @property
    def percent(self) -> int:
        """How much of the time range is done, 0 to 100."""
        whole = (self.end - self.start).total_seconds()
        return 100 if whole <= 0 else max(0, min(100, round(100 * (self.cursor - self.start).total_seconds() / whole)))
