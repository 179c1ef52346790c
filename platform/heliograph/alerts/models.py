"""Rules and what they found."""

import hashlib
import json
import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.accounts.secrets import SecretField
from heliograph.alerts.channels import TITLES, Kind
from heliograph.alerts.conditions import Condition, condition_of
from heliograph.alerts.state import NoData, Policy, Standing, State
from heliograph.query.windows import Question

MAX_RULES, MAX_CHANNELS, MAX_SILENCES = 1_000, 100, 200
# Different texts of one project: each is a read of the spans themselves, where a thousand rules share some rollups.
MAX_FILTERS = 50

CHANNEL_KINDS = [(kind.value, TITLES[kind]) for kind in Kind]


class Channel(models.Model):
    """Where messages go. `settings` may be shown; `secret` is JSON, encrypted, and never shown again."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="alert_channels")
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=CHANNEL_KINDS)
    settings = models.JSONField(default=dict)
    secret = SecretField(default="", blank=True)
    # Kinds of heliograph.events that are sent here beside the alerts of rules that name the channel.
    events = models.JSONField(default=list)
    title_template = models.CharField(max_length=200, blank=True, default="")
    text_template = models.TextField(max_length=2_000, blank=True, default="")
    is_paused = models.BooleanField(default=False)
    paused_because = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_channel_of_a_name")]

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})"


class Severity(models.TextChoices):
    """How bad it is, as PagerDuty names it."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Rule(models.Model):
    """A number, a condition on it, and who is told."""

    class Notify(models.TextChoices):
        """One message a rule and moment, or one for each alert."""

        TOGETHER = "together"
        EACH = "each"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="alert_rules")
    name = models.CharField(max_length=200)
    description = models.TextField(max_length=2_000, blank=True, default="")
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.WARNING)
    measure = models.CharField(max_length=40)
    score_name = models.CharField(max_length=200, blank=True, default="")
    score_bound = models.FloatField(null=True, blank=True)
    window = models.PositiveSmallIntegerField(default=5, help_text="Minutes.")
    by = models.JSONField(default=list, help_text="Dimensions: an alert for each of their values.")
    only = models.JSONField(default=dict, help_text="Values by dimension.")
    filter = models.CharField(max_length=1_000, blank=True, default="", help_text="Text of the filter language.")
    kind = models.CharField(max_length=20)
    condition = models.JSONField(default=dict)
    hold = models.PositiveSmallIntegerField(default=5, help_text="Minutes.")
    recover = models.PositiveSmallIntegerField(default=5, help_text="Minutes.")
    patience = models.PositiveSmallIntegerField(default=15, help_text="Minutes.")
    no_data = models.CharField(max_length=10, choices=[(each.value, each.value) for each in NoData], default="keep")
    channels = models.ManyToManyField(Channel, blank=True, related_name="rules")
    notify = models.CharField(max_length=10, choices=Notify.choices, default=Notify.TOGETHER)
    repeat = models.PositiveIntegerField(default=240, help_text="Minutes; 0 tells once.")
    each_score = models.BooleanField(default=False)
    scores_until_us = models.BigIntegerField(default=0)
    is_paused = models.BooleanField(default=False)
    checked_until = models.PositiveIntegerField(default=0, help_text="Minutes since the epoch.")
    last_error = models.CharField(max_length=500, blank=True, default="")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_alert_rule_of_a_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def terms(self) -> Condition:
        """The condition. Raises InvalidConditionError."""
        return condition_of(self.kind, self.condition)

    @property
    def policy(self) -> Policy:
        """How the state moves."""
        return Policy(self.hold, self.recover, self.patience, NoData(self.no_data))

    def question(self, window: int) -> Question:
        """Return what is asked over windows of so many minutes. Raises InvalidFilterError."""
        only = tuple(sorted((name, tuple(sorted(values))) for name, values in self.only.items()))
        return Question(self.measure, window, tuple(self.by), only, self.score_name, self.score_bound, self.filter)


class Alert(models.Model):
    """Where one group of a rule stands; a group that never was anything but ok has no row."""

    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="alerts")
    key = models.CharField(max_length=64)
    labels = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=[(state.value, state.value) for state in State])
    since = models.PositiveIntegerField(help_text="Minutes since the epoch, as all that follow.")
    is_open = models.BooleanField(default=False)
    breach_since = models.PositiveIntegerField(null=True, blank=True)
    clear_since = models.PositiveIntegerField(null=True, blank=True)
    silent_since = models.PositiveIntegerField(null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    value = models.FloatField(null=True, blank=True)
    against = models.FloatField(null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True, default="")
    # People were told that it fires, and wait to hear of its end.
    is_told = models.BooleanField(default=False)
    told_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)

    class Meta:
        ordering = ["-since", "pk"]
        constraints = [models.UniqueConstraint(fields=["rule", "key"], name="one_alert_of_a_group")]
        indexes = [models.Index(fields=["is_open", "is_told"], name="alerts_to_tell")]

    def __str__(self) -> str:
        return f"{self.rule}: {self.state}"

    @staticmethod
    def key_of(labels: dict[str, str]) -> str:
        """Return what identifies a group within its rule."""
        return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()

    @property
    def standing(self) -> Standing:
        """The stored standing."""
        return Standing(
            State(self.state), self.since, self.is_open, self.breach_since, self.clear_since, self.silent_since
        )

    def stand(self, standing: Standing) -> None:
        """Take over a standing."""
        self.state, self.since, self.is_open = standing.state.value, standing.since, standing.is_open
        self.breach_since, self.clear_since = standing.breach_since, standing.clear_since
        self.silent_since = standing.silent_since

    @property
    def title(self) -> str:
        """The group in words: its labels, or all of the project."""
        return ", ".join(f"{name} {value or '(none)'}" for name, value in self.labels.items()) or "everything"


class Transition(models.Model):
    """One change of an alert's state."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="transitions")
    at = models.PositiveIntegerField(help_text="Minutes since the epoch.")
    state = models.CharField(max_length=10)
    value = models.FloatField(null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.state} at {self.at}"


class Silence(models.Model):
    """When nobody is told: once, or each week as a maintenance window. What fires then is told when it ends."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="silences")
    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, null=True, blank=True, related_name="silences")
    labels = models.JSONField(default=dict, help_text="Alerts that carry all of these; none: all.")
    comment = models.CharField(max_length=300)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    is_weekly = models.BooleanField(default=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-ends_at", "-pk"]

    def __str__(self) -> str:
        return self.comment

    def covers(self, alert: Alert, now: datetime) -> bool:
        """Whether the alert is silenced now."""
        if self.rule_id is not None and self.rule_id != alert.rule_id:
            return False
        if any(alert.labels.get(name) != value for name, value in self.labels.items()):
            return False
        return self.is_active(now)

    def is_active(self, now: datetime) -> bool:
        """Whether it is on now."""
        if not self.is_weekly:
            return self.starts_at <= now < self.ends_at
        into_week = (now - self.starts_at).total_seconds() % (7 * 86_400)
        return now >= self.starts_at and into_week < (self.ends_at - self.starts_at).total_seconds()


def check_silence(starts_at: datetime, ends_at: datetime, *, is_weekly: bool) -> None:
    """Raise ValidationError for a span that silences nothing, or everything for good."""
    if ends_at <= starts_at:
        raise ValidationError({"ends_at": ["must be after the beginning"]})
    if ends_at - starts_at > (timedelta(days=6) if is_weekly else timedelta(days=366)):
        raise ValidationError({"ends_at": ["may be at most a year after the beginning, six days of what is weekly"]})


class Delivery(models.Model):
    """One message to one channel, until it arrived or a person has to look. By `id` a duplicate is told."""

    class Status(models.TextChoices):
        """Where it stands."""

        WAITING = "waiting"
        DELIVERED = "delivered"
        DEAD = "dead"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    rule = models.ForeignKey(Rule, on_delete=models.SET_NULL, null=True, blank=True, related_name="deliveries")
    # What messages about one thing share: they keep their order, so that no end comes before its beginning.
    topic = models.CharField(max_length=80, blank=True, default="")
    payload = models.JSONField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    leased_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(fields=["status", "next_at"], name="deliveries_to_send"),
            models.Index(fields=["project", "-created_at"], name="deliveries_of_a_project"),
            models.Index(fields=["channel", "topic", "created_at"], name="deliveries_in_order"),
        ]

    def __str__(self) -> str:
        return f"{self.message_id} ({self.status})"

    @property
    def message_id(self) -> str:
        """The id of the message, the same in every attempt."""
        return f"msg_{self.id.hex}"

    @property
    def type(self) -> str:
        """What the message tells of."""
        return str(self.payload["type"])

    @classmethod
    def of(
        cls, channel: Channel, payload: dict[str, Any], at: datetime, *, topic: str = "", rule: Rule | None = None
    ) -> Self:
        """Return a message that is to be written down, to be sent at once."""
        row = {"project_id": channel.project_id, "channel": channel, "rule": rule, "topic": topic, "payload": payload}
        return cls(**row, created_at=at, next_at=at)

    @classmethod
    def to(
        cls, channel: Channel, payload: dict[str, Any], at: datetime, *, topic: str = "", rule: Rule | None = None
    ) -> Self:
        """Write a message down, to be sent at once."""
        delivery = cls.of(channel, payload, at, topic=topic, rule=rule)
        delivery.save(force_insert=True)
        return delivery


class Attempt(models.Model):
    """One try to deliver: what was answered, cut to what helps to find the fault."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries")
    at = models.DateTimeField(default=timezone.now)
    seconds = models.FloatField(default=0.0)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    answer = models.TextField(blank=True, default="")
    error = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        ordering = ["at", "pk"]

    def __str__(self) -> str:
        return f"{self.status or self.error}"
