"""Holds, the traces that they found, and the files that those refer to."""

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from heliograph.accounts.models import Project

# Of one hold: its traces are named one by one in the database, and looked at anew every hour.
MAX_TRACES = 10_000
# Of a project at a time.
MOST_OPEN = 50
# A worker renews its claim with every turn; one that was killed is replaced after this long.
LEASE = timedelta(minutes=5)
# Tries in a row that failed or cost their worker; from then on it is tried once a SWEEP, and the disk guard no longer
# waits for it: one project's hold must not fill everybody's disk.
MAX_TRIES = 10
# What has come since is held too, well before the shortest retention of a day is over.
SWEEP = timedelta(hours=1)


class Hold(models.Model):
    """What an owner wants kept, and why. `is_found` and `found_after` say how far the traces have been looked for."""

    class Kind(models.TextChoices):
        """How the traces are found."""

        TRACES = "traces", "Traces by their ids"
        SESSION = "session", "A session"
        USER = "user", "A user"
        FILTER = "filter", "A filter and a time range"

    class State(models.TextChoices):
        """Where it stands. Nothing of its traces is removed from the first state until lifting begins."""

        PLACING = "placing", "being placed"
        ACTIVE = "active", "in force"
        LIFTING = "lifting", "being lifted"
        LIFTED = "lifted", "lifted"

    IN_FORCE = (State.PLACING, State.ACTIVE)
    OPEN = (State.PLACING, State.ACTIVE, State.LIFTING)
    # What is found by these may grow as long as they are in force.
    STANDING = (Kind.SESSION, Kind.USER)

    # A project with a hold is not to be deleted.
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="holds")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    # Ids of traces by spaces, the id of a session or user, or a text of the filter language.
    subject = models.TextField(max_length=4_000, blank=True, default="")
    start = models.DateTimeField(null=True, blank=True, help_text="Of a filter.")
    end = models.DateTimeField(null=True, blank=True, help_text="Of a filter.")
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=8, choices=State.choices, default=State.PLACING)
    placed_by = models.CharField(max_length=200)
    placed_at = models.DateTimeField(auto_now_add=True)
    lifted_by = models.CharField(max_length=200, blank=True, default="")
    lifted_at = models.DateTimeField(null=True, blank=True)
    lift_reason = models.CharField(max_length=500, blank=True, default="")
    # Counted when it has been found what is held, and again by each sweep.
    traces = models.PositiveIntegerField(default=0)
    is_cut = models.BooleanField(default=False, help_text="More traces belong to it than it can hold.")
    absent = models.PositiveIntegerField(
        default=0,
        help_text="Those of them of which the store has nothing: not there, over, or their removal had begun before.",
    )
    is_found = models.BooleanField(default=False, editable=False)
    found_after = models.TextField(default="", blank=True, editable=False)
    swept_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(null=True, blank=True)
    leased_until: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(null=True, blank=True)
    claims = models.PositiveIntegerField(default=0, editable=False)
    tries = models.PositiveIntegerField(default=0, editable=False, help_text="Since a turn that went well.")
    # Until then it is not tried again.
    not_before: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(
        null=True, blank=True, editable=False
    )
    error = models.TextField(default="", blank=True, help_text="Why the last try did not come further.")

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["project", "state"], name="holds_of_project")]

    def __str__(self) -> str:
        return f"hold {self.pk} of {self.project}"

    @property
    def is_in_force(self) -> bool:
        """Whether its traces are kept."""
        return self.state in self.IN_FORCE

    @classmethod
    def waiting(cls) -> "models.QuerySet[Hold]":
        """Return those with something to do that no living worker has, oldest first."""
        now = timezone.now()
        # What is being placed may be of the same traces and files, and has nothing of its own to keep them by yet.
        being_placed = cls._default_manager.filter(project=OuterRef("project"), state=cls.State.PLACING)
        due = (
            Q(state=cls.State.PLACING)
            | Q(~Exists(being_placed), state=cls.State.LIFTING)
            | Q(
                Q(swept_at=None) | Q(swept_at__lt=now - SWEEP) | Q(is_found=False) | Q(held__is_kept=False),
                state=cls.State.ACTIVE,
            )
        )
        free = Q(leased_until=None) | Q(leased_until__lt=now)
        its_time = Q(not_before=None) | Q(not_before__lte=now)
        return cls._default_manager.filter(due, free, its_time).distinct().order_by("pk")

    @classmethod
    def failing(cls) -> "models.QuerySet[Hold]":
        """Return those that somebody has to look at, oldest first."""
        return cls._default_manager.filter(state__in=cls.OPEN, tries__gte=MAX_TRIES).order_by("pk")

    def claim(self) -> bool:
        """Take it for a turn; False where another worker was faster, or has another hold of the project."""
        now = timezone.now()
        free = Q(leased_until=None) | Q(leased_until__lt=now)
        mine = type(self)._default_manager.filter(free, pk=self.pk, claims=self.claims)
        # Counted before it is tried: what kills its worker is counted too.
        tries = self.tries + 1
        later = now + SWEEP if tries >= MAX_TRIES else None
        if not mine.update(leased_until=now + LEASE, claims=F("claims") + 1, tries=tries, not_before=later):
            return False
        self.refresh_from_db()
        # Both may name a trace. Of two that claim at once both may step back, and are taken up with the next beat.
        busy = type(self)._default_manager.filter(project=self.project_id, leased_until__gte=now).exclude(pk=self.pk)
        if busy.exists():
            self.give_back(self.error, is_tried=False)
            return False
        return True

    def keep(self, **values: Any) -> bool:
        """Store how far it is, unless another worker has it by now or it is being lifted; return whether it was."""
        mine = type(self)._default_manager.filter(pk=self.pk, claims=self.claims, state=self.state)
        return bool(mine.update(**values))

    def give_back(self, error: str = "", *, is_tried: bool = True) -> None:
        """Let any worker do the next turn; without an error it went well. What was not tried does not count."""
        counted: dict[str, Any] = {} if is_tried else {"tries": self.tries - 1, "not_before": None}
        if is_tried and not error:
            counted = {"tries": 0, "not_before": None}
        mine = type(self)._default_manager.filter(pk=self.pk, claims=self.claims)
        mine.update(leased_until=None, error=error, **counted)


class HeldTrace(models.Model):
    """A trace that a hold names. `is_kept` says that its rows in the store are of a retention that does not end.

    `is_absent` says that there were none when the hold came to it.
    """

    hold = models.ForeignKey(Hold, on_delete=models.CASCADE, related_name="held")
    # Of the hold; here once more, since removers ask by project and trace.
    project = models.ForeignKey(Project, on_delete=models.PROTECT)
    trace_id = models.CharField(max_length=32)
    is_kept = models.BooleanField(default=False)
    is_absent = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hold", "trace_id"], name="one_trace_of_a_hold")]
        indexes = [models.Index(fields=["project", "trace_id"], name="held_traces")]

    def __str__(self) -> str:
        return self.trace_id


class HeldBlob(models.Model):
    """A picture, sound or file that a held trace refers to, as `<day>/<sha256>`: kept beyond its day."""

    hold = models.ForeignKey(Hold, on_delete=models.CASCADE, related_name="blobs")
    project = models.ForeignKey(Project, on_delete=models.PROTECT)
    name = models.CharField(max_length=80)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hold", "name"], name="one_blob_of_a_hold")]
        indexes = [models.Index(fields=["project", "name"], name="held_blobs")]

    def __str__(self) -> str:
        return self.name
