"""What a project says about its telemetry before it is stored and after: rules in their order, and pinned traces."""

import re
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from heliograph.accounts.models import Project
from heliograph.rules import finders
from heliograph.rules.redaction import Action

# Each rule is tried on every text or trace; more than this is no longer read by anybody.
MAX_RULES = 50
_TRACE_ID = re.compile(r"[0-9a-f]{32}")


class Ordered(models.Model):
    """A rule of a project at its place in the order; a rule that is off stays in the list."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    name = models.CharField(max_length=60)
    position = models.PositiveIntegerField(default=0)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Keep the number of a project's rules in bounds."""
        others = type(self)._default_manager.filter(project=self.project_id).exclude(pk=self.pk)
        if others.count() >= MAX_RULES:
            raise ValidationError(f"A project has at most {MAX_RULES} rules of a kind; remove one that is off.")

    def append(self) -> None:
        """Save a new rule behind the others."""
        last = type(self)._default_manager.filter(project=self.project_id).aggregate(last=models.Max("position"))
        self.position = (last["last"] or 0) + 1
        self.save()

    def move(self, step: int) -> None:
        """Change places with the rule before (-1) or after (+1)."""
        rules = list(type(self)._default_manager.filter(project=self.project_id))
        place = next(index for index, rule in enumerate(rules) if rule.pk == self.pk)
        other = place + step
        if 0 <= other < len(rules):
            rules[place], rules[other] = rules[other], rules[place]
            for position, rule in enumerate(rules, 1):
                type(self)._default_manager.filter(pk=rule.pk).update(position=position)


class RedactionRule(Ordered):
    """What is blanked before a project's telemetry is stored."""

    class Kind(models.TextChoices):
        """How the rule finds what it blanks."""

        BUILT_IN = "built_in", "Built-in patterns"
        REGEX = "regex", "Regular expression"
        KEY = "key", "Attribute by name"
        PRESIDIO = "presidio", "Presidio"

    ACTIONS = ((Action.MASK.value, "Mask"), (Action.HASH.value, "Hash"), (Action.DROP.value, "Remove"))

    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.BUILT_IN)
    kinds = models.JSONField(default=list, blank=True, help_text="Of a built-in rule: what it finds.")
    pattern = models.CharField(
        max_length=finders.MAX_REGEX_CHARACTERS, blank=True, default="", help_text="A regular expression or a key glob."
    )
    action = models.CharField(max_length=8, choices=ACTIONS, default=Action.MASK.value)

    def clean(self) -> None:
        """Refuse a rule that cannot be applied."""
        super().clean()
        kinds: Any = self.kinds
        if self.kind == self.Kind.KEY and not self.pattern.strip():
            raise ValidationError({"pattern": "Name the key, such as user.email or *.password."})
        if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
            raise ValidationError({"kinds": "A list of built-in kinds."})
        try:
            finder_of(self)
        except finders.UnusableRuleError as error:
            raise ValidationError({"kinds" if self.kind == self.Kind.BUILT_IN else "pattern": str(error)}) from error


def finder_of(rule: RedactionRule) -> finders.Finder | None:
    """Return the finder of a content rule, None of a key rule. Raises UnusableRuleError."""
    if rule.kind == RedactionRule.Kind.BUILT_IN:
        return finders.built_in(rule.kinds)
    if rule.kind == RedactionRule.Kind.REGEX:
        return finders.expression(rule.pattern, rule.name)
    if rule.kind == RedactionRule.Kind.PRESIDIO:
        return finders.presidio(rule.pattern)
    return None


class SamplingRule(Ordered):
    """Which telemetry is kept.

    Head rules are asked when a span arrives, and the first that fits decides by the trace id. Tail rules are asked when
    a trace is complete: each names traces to keep, and where there are tail rules, what none of them wants is removed.
    """

    class Stage(models.TextChoices):
        """When the rule is asked."""

        HEAD = "head", "When a span arrives"
        TAIL = "tail", "When the trace is complete"

    class Condition(models.TextChoices):
        """What a tail rule looks at."""

        ANY = "any", "any trace"
        ERROR = "error", "a span failed"
        DURATION = "duration", "took at least"
        COST = "cost", "cost at least"
        SCORE_BELOW = "score_below", "a score is below"
        SCORE_ABOVE = "score_above", "a score is above"

    stage = models.CharField(max_length=4, choices=Stage.choices, default=Stage.HEAD)
    service = models.CharField(max_length=200, blank=True, default="", help_text="A glob; empty for every service.")
    environment = models.CharField(max_length=200, blank=True, default="", help_text="A glob; empty for each.")
    rate = models.FloatField(default=1.0, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)])
    condition = models.CharField(max_length=16, choices=Condition.choices, default=Condition.ANY)
    threshold = models.FloatField(null=True, blank=True, help_text="Seconds, USD, or the value of a score.")
    score = models.CharField(max_length=200, blank=True, default="", help_text="The score's name.")

    NEEDS_THRESHOLD = (Condition.DURATION, Condition.COST, Condition.SCORE_BELOW, Condition.SCORE_ABOVE)
    SCORES = (Condition.SCORE_BELOW, Condition.SCORE_ABOVE)

    def clean(self) -> None:
        """Refuse a rule that says nothing, or two things."""
        super().clean()
        if self.stage == self.Stage.HEAD and self.condition != self.Condition.ANY:
            raise ValidationError(
                {"condition": "When a span arrives, its trace is unknown; choose the stage of complete traces."}
            )
        if self.condition in self.NEEDS_THRESHOLD:
            if self.threshold is None or not -1e12 < self.threshold < 1e12:
                raise ValidationError({"threshold": "This condition needs a number."})
        elif self.threshold is not None:
            raise ValidationError({"threshold": "This condition takes no number."})
        if (self.condition in self.SCORES) != bool(self.score):
            raise ValidationError(
                {"score": "Name the score." if self.condition in self.SCORES else "This condition takes no score."}
            )


class RetentionRule(models.Model):
    """For how many days a project's telemetry of one signal is kept, in one environment or in each."""

    class Signal(models.TextChoices):
        """What arrives."""

        TRACES = "traces", "Traces"
        METRICS = "metrics", "Metrics"
        LOGS = "logs", "Logs"

    # As long as HELIOGRAPH_RETENTION_DAYS may say.
    MAX_DAYS = 3650

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    signal = models.CharField(max_length=8, choices=Signal.choices)
    environment = models.CharField(max_length=200, blank=True, default="", help_text="Empty for each environment.")
    days = models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(MAX_DAYS)])

    class Meta:
        ordering = ["signal", "environment"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "signal", "environment"],
                name="one_retention_rule_each",
                violation_error_message="There is a rule for this signal and environment; change that one.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.signal} of {self.environment or 'each environment'}: {self.days} days"

    def clean(self) -> None:
        """Keep the number of a project's rules in bounds."""
        if RetentionRule.objects.filter(project=self.project_id).exclude(pk=self.pk).count() >= MAX_RULES:
            raise ValidationError(f"A project has at most {MAX_RULES} rules of a kind; remove one.")


class DiskState(models.Model):
    """How full the store's disk was found, and what was done about it; one row an installation."""

    class Level(models.TextChoices):
        """From harmless to pressing."""

        OK = "ok", "room enough"
        WARN = "warn", "filling"
        SAMPLE = "sample", "new traces are sampled"
        DROP = "drop", "the oldest weeks are dropped"

    # Of what is new, while it is sampled: those levels.
    SAMPLED = (Level.SAMPLE, Level.DROP)

    level = models.CharField(max_length=8, choices=Level.choices, default=Level.OK)
    used_bytes = models.BigIntegerField(default=0, help_text="Of the store's tables.")
    share = models.FloatField(default=0.0, help_text="The fuller of disk and budget, 0 to 1 and above.")
    checked_at = models.DateTimeField(null=True, blank=True)
    dropped_at = models.DateTimeField(null=True, blank=True)
    dropped = models.JSONField(default=list, blank=True, help_text="Weeks that were dropped, latest first.")

    def __str__(self) -> str:
        return f"{self.share * 100:.0f} % used: {self.get_level_display()}"


class PinnedTrace(models.Model):
    """A trace that somebody wants kept, whatever the sampling rules say."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    trace_id = models.CharField(max_length=32)
    pinned_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "trace_id"], name="one_pin_per_trace")]

    def __str__(self) -> str:
        return self.trace_id

    def clean(self) -> None:
        """A trace id is 32 hexadecimal digits."""
        if not _TRACE_ID.fullmatch(self.trace_id):
            raise ValidationError({"trace_id": "32 lower-case hexadecimal digits."})


class TraceWaiting(models.Model):
    """Which jobs of a project wait until a trace is complete."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True)
    evaluators_wait = models.BooleanField(
        default=False, help_text="Judge answers only once their trace is complete, or was given up."
    )

    def __str__(self) -> str:
        return f"what waits in {self.project}"

    @classmethod
    def evaluators(cls, project_id: int) -> bool:
        """Return whether a project's evaluators wait."""
        return cls.objects.filter(project=project_id, evaluators_wait=True).exists()


class TailSampler(models.Model):
    """How far the traces of a project were decided, and the removal under way.

    `pending` is what a removal needs to be done again from its start, whatever step a killed worker had reached.
    """

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True)
    complete_us = models.BigIntegerField(help_text="Of whole traces: microseconds of the last arrival.")
    complete_trace = models.CharField(max_length=32, default="", blank=True)
    given_up_us = models.BigIntegerField(help_text="Of traces that lack something.")
    given_up_trace = models.CharField(max_length=32, default="", blank=True)
    pending = models.JSONField(null=True, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)
    error = models.TextField(default="", blank=True, help_text="Why nothing was decided at the last try.")

    def __str__(self) -> str:
        return f"tail sampling of {self.project}"
