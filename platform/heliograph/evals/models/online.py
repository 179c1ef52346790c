"""Rules that have new spans judged, where each of them stands, what it cost, and what it could not judge."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models, transaction
from django.utils import timezone

from evaluators.registry import EVALUATORS, names
from heliograph.accounts.models import Project
from heliograph.evals.arguments import JUDGE, faults
from heliograph.evals.models.claims import Claimed
from heliograph.evals.models.judges import JudgeEndpoint, JudgeTemplate
from heliograph.query.filters import EPOCH, InvalidFilterError, TimeRange, to_ns
from heliograph.query.language import parse
from heliograph.rules.models import TraceWaiting

# Each rule asks the store for new spans at every beat; more of them are no longer read by anybody.
MAX_RULES = 50
MAX_FILTER_CHARACTERS = 4_000
DEFAULT_RULE = "groundedness"
# As the API takes names of scores.
SCORE_NAME = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9 _./-]*$", "Letters, digits, spaces and _ . / - only, a letter or a digit first."
)


class EvaluationRule(models.Model):
    """Which spans of a project an evaluator judges, how many of them, and what that may cost in a day (UTC).

    The rule's name is the name of its scores: a span has one verdict under it, whatever is changed about the rule.
    """

    class Wait(models.TextChoices):
        """When a span is judged."""

        PROJECT = "project", "as the project's sampling page says"
        AT_ONCE = "at_once", "as soon as it is stored"
        COMPLETE = "complete", "when its trace is complete, or was given up"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="evaluation_rules")
    name = models.CharField(max_length=100, validators=[SCORE_NAME])
    enabled = models.BooleanField(default=True)
    filter = models.CharField(max_length=MAX_FILTER_CHARACTERS, blank=True, default="")
    evaluator = models.CharField(max_length=60)
    arguments = models.JSONField(default=dict, blank=True)
    endpoint = models.ForeignKey(
        JudgeEndpoint, on_delete=models.PROTECT, null=True, blank=True, help_text="Of an LLM judge."
    )
    template = models.ForeignKey(
        JudgeTemplate,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        help_text="Of an LLM judge; else a built-in one.",
    )
    rate = models.FloatField(default=1.0, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)])
    device_seconds_a_day = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0.0)], help_text="Empty: no bound."
    )
    usd_a_day = models.DecimalField(
        null=True,
        blank=True,
        max_digits=12,
        decimal_places=4,
        validators=[MinValueValidator(Decimal(0))],
        help_text="Empty: no bound.",
    )
    wait = models.CharField(max_length=10, choices=Wait.choices, default=Wait.PROJECT)
    # Of a calibration by labels: scores become the probability that people would say yes. See `online.scorers`.
    curve = models.JSONField(null=True, blank=True, default=None)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_evaluation_rule_of_a_name")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a rule that could not judge."""
        others = type(self).objects.filter(project=self.project_id).exclude(pk=self.pk)
        if others.count() >= MAX_RULES:
            raise ValidationError(f"A project has at most {MAX_RULES} rules; remove one that is paused.")
        if others.filter(name=self.name).exists():
            raise ValidationError({"name": "Another rule has this name; its scores could not be told apart."})
        if self.evaluator not in EVALUATORS:
            raise ValidationError({"evaluator": f"Choose one of {', '.join(names())}."})
        arguments: Any = self.arguments
        if not isinstance(arguments, Mapping):
            raise ValidationError({"arguments": "An object with a value for each setting."})
        if found := faults(self.evaluator, arguments):
            raise ValidationError({"arguments": found})
        try:
            parse(self.filter, TimeRange(EPOCH, EPOCH + timedelta(days=1)))
        except InvalidFilterError as error:
            raise ValidationError({"filter": str(error)}) from error
        self._check_judge()

    def _check_judge(self) -> None:
        if self.evaluator != JUDGE:
            self.endpoint = self.template = None
            return
        for name in ("endpoint", "template"):
            chosen = getattr(self, name)
            if chosen is not None and chosen.project_id != self.project_id:
                raise ValidationError({name: "The project has none like that."})
        if self.endpoint is None:
            raise ValidationError({"endpoint": "Choose the model that judges."})
        if self.template is not None and self.template.mode == "pairwise":
            raise ValidationError({"template": "A live answer has no other one to be compared with; use a rubric."})

    @property
    def waits(self) -> bool:
        """Whether spans are judged only once their trace is complete."""
        if self.wait == self.Wait.PROJECT:
            return TraceWaiting.evaluators(self.project_id)
        return self.wait == self.Wait.COMPLETE

    @property
    def progress(self) -> "RuleState":
        """Where the rule stands; one without a state begins now."""
        return RuleState.objects.get_or_create(rule=self, defaults=_from(timezone.now()))[0]

    def begin(self, since: datetime | None = None) -> None:
        """Save a new rule that judges what was stored since some time; without one, what is stored from now on."""
        with transaction.atomic():
            self.save()
            RuleState.objects.create(rule=self, **_from(since or timezone.now()))


def first_rule(project: Project) -> None:
    """Give a new project the rule that judges the groundedness of its model calls, from its first span on."""
    rule = EvaluationRule(project=project, name=DEFAULT_RULE, evaluator="groundedness", filter="kind:llm")
    rule.begin(EPOCH)


def _from(moment: datetime) -> dict[str, int]:
    place = to_ns(moment) // 1_000
    return {"spans_us": place, "complete_us": place, "given_up_us": place, "swept_us": place}


class RuleState(Claimed):
    """How far a rule has noticed what came. What it noticed and has not judged stands in its gaps.

    Three places along the time at which spans were stored, in microseconds since the epoch: of spans that are judged at
    once, of traces that are judged when they are complete, and of those that were given up. 0: from the first span on.
    """

    rule = models.OneToOneField(EvaluationRule, on_delete=models.CASCADE, primary_key=True, related_name="state")
    spans_us = models.BigIntegerField(default=0)
    complete_us = models.BigIntegerField(default=0)
    given_up_us = models.BigIntegerField(default=0)
    # Up to here single spans were looked for once more, for those that became visible long after their time stamp.
    swept_us = models.BigIntegerField(default=0)
    # What was stored before this may have been judged under another way of looking, and is asked for its scores first.
    judged_before_us = models.BigIntegerField(default=0)
    # The spans in the evaluator's hands, which a worker that died leaves behind; see `online.suspects`.
    in_flight = models.JSONField(default=dict, blank=True)
    batch = models.PositiveIntegerField(default=64)
    error = models.TextField(default="", blank=True, help_text="Why the last pass judged nothing.")
    looked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"progress of {self.rule_id}"


class Gap(models.Model):
    """A stretch of time in which something was stored that the rule has not judged yet.

    It is worked from its end backwards: what lies in [start_us, place) is still to be judged.
    """

    class Axis(models.TextChoices):
        """What is found by its time."""

        SPANS = "spans"
        COMPLETE = "complete"
        GIVEN_UP = "given_up"

    rule = models.ForeignKey(EvaluationRule, on_delete=models.CASCADE, related_name="gaps")
    axis = models.CharField(max_length=10, choices=Axis.choices, default=Axis.SPANS)
    start_us = models.BigIntegerField()
    place_us = models.BigIntegerField()
    place_trace = models.CharField(max_length=32, default="", blank=True)
    place_span = models.CharField(max_length=16, default="", blank=True)
    # Of traces, a slice at the end is read forwards: up to here it is done.
    slice_us = models.BigIntegerField(null=True, blank=True)
    slice_trace = models.CharField(max_length=32, default="", blank=True)
    skip_judged = models.BooleanField(default=False)

    class Meta:
        ordering = ["-place_us", "-pk"]
        indexes = [models.Index(fields=["rule", "-place_us"], name="gaps_newest_first")]

    def __str__(self) -> str:
        return f"{self.axis} {self.start_us} to {self.place_us}"


class RuleDay(models.Model):
    """What a rule did and used up on one day (UTC)."""

    rule = models.ForeignKey(EvaluationRule, on_delete=models.CASCADE, related_name="days")
    day = models.DateField()
    scored = models.PositiveIntegerField(default=0)
    unscored = models.PositiveIntegerField(default=0)
    device_seconds = models.FloatField(default=0.0)
    usd = models.DecimalField(max_digits=18, decimal_places=9, default=Decimal(0))

    class Meta:
        ordering = ["-day"]
        constraints = [models.UniqueConstraint(fields=["rule", "day"], name="one_row_a_rule_and_day")]

    def __str__(self) -> str:
        return f"{self.rule_id} on {self.day}"


class SetAside(models.Model):
    """A span that a rule's evaluator failed on; a person may have it tried again."""

    rule = models.ForeignKey(EvaluationRule, on_delete=models.CASCADE, related_name="set_aside")
    trace_id = models.CharField(max_length=32)
    span_id = models.CharField(max_length=16)
    reason = models.TextField()
    tries = models.PositiveSmallIntegerField(default=1)
    retry_wanted = models.BooleanField(default=False)
    created_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["rule", "trace_id", "span_id"], name="set_aside_once")]

    def __str__(self) -> str:
        return f"{self.trace_id}:{self.span_id}"
