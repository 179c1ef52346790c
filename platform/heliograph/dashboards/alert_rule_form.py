"""The form of an alert rule: what a person enters, and the rule that it makes."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from heliograph.accounts.models import Project
from heliograph.alerts.editing import check_rule
from heliograph.alerts.models import Channel, Rule, Severity
from heliograph.alerts.state import NoData
from heliograph.query.measures import MEASURES, Source

KINDS = (
    ("threshold", "lies beyond a bound"),
    ("change", "changes against the past"),
    ("burn_rate", "burns its error budget (SLO)"),
    ("anomaly", "is odd for its hour of the week"),
)
SIDES = (("above", "above"), ("below", "below"))
# Numbers in groups, as they are looked for; each says its unit, since its bound is in it.
_GROUPS: Mapping[Source, str] = {
    "spans": "Speed, errors, traffic and cost",
    "slow": "Speed, errors, traffic and cost",
    "silence": "Speed, errors, traffic and cost",
    "scores": "Scores",
    "drift": "Drift",
    "gpus": "GPUs",
    "xids": "GPUs",
    "engines": "Engines",
}
_UNITS: Mapping[str, str] = {"s": " (s)", "min": " (min)", "USD": " (USD)", "Cel": " (°C)", "W": " (W)"}


def _measures() -> list[tuple[str, list[tuple[str, str]]]]:
    groups: dict[str, list[tuple[str, str]]] = {group: [] for group in _GROUPS.values()}
    for key, measure in MEASURES.items():
        groups[_GROUPS[measure.source]].append((key, measure.title + _UNITS.get(measure.unit, "")))
    return list(groups.items())


# The numbers of each kind, as fields of the form: (field, name in the condition, share entered in percent).
_PARTS: Mapping[str, tuple[tuple[str, str, bool], ...]] = {
    "threshold": (("side", "side", False), ("bound", "bound", False)),
    "change": (
        ("change_side", "side", False),
        ("change_by", "by", True),
        ("versus", "versus", False),
        ("least", "least", False),
    ),
    "burn_rate": (
        ("objective", "objective", True),
        ("factor", "factor", False),
        ("short", "short", False),
        ("long", "long", False),
    ),
    "anomaly": (
        ("odd_side", "side", False),
        ("deviations", "deviations", False),
        ("weeks", "weeks", False),
        ("odd_least", "least", False),
    ),
}


class RuleForm(forms.Form):
    """One rule. Shares (an error rate, a share of scores) are entered as they are stored: 0.05 is 5 %."""

    name = forms.CharField(max_length=200)
    description = forms.CharField(max_length=2_000, required=False)
    severity = forms.ChoiceField(choices=Severity.choices, initial=Severity.WARNING)
    measure = forms.ChoiceField(choices=_measures())
    score_name = forms.CharField(max_length=200, required=False)
    score_bound = forms.FloatField(required=False)
    window = forms.IntegerField(min_value=1, max_value=1_440, initial=5)
    by = forms.CharField(max_length=200, required=False)
    only = forms.CharField(max_length=2_000, required=False)
    filter = forms.CharField(max_length=1_000, required=False)
    kind = forms.ChoiceField(choices=KINDS, initial="threshold")
    side = forms.ChoiceField(choices=SIDES, required=False)
    bound = forms.FloatField(required=False)
    change_side = forms.ChoiceField(choices=(("above", "rises"), ("below", "falls")), required=False)
    change_by = forms.FloatField(required=False, initial=50)
    versus = forms.ChoiceField(
        choices=(("before", "the window before"), ("yesterday", "yesterday"), ("last_week", "a week ago")),
        required=False,
    )
    least = forms.FloatField(required=False, initial=0)
    objective = forms.FloatField(required=False, initial=99.9)
    factor = forms.FloatField(required=False, initial=14.4)
    short = forms.IntegerField(required=False, initial=5)
    long = forms.IntegerField(required=False, initial=60)
    odd_side = forms.ChoiceField(choices=(("both", "either way"), *SIDES), required=False)
    deviations = forms.FloatField(required=False, initial=4)
    weeks = forms.IntegerField(required=False, initial=4)
    odd_least = forms.FloatField(required=False, initial=0)
    hold = forms.IntegerField(min_value=0, max_value=10_080, initial=5)
    recover = forms.IntegerField(min_value=0, max_value=10_080, initial=5)
    patience = forms.IntegerField(min_value=0, max_value=10_080, initial=15)
    no_data = forms.ChoiceField(
        choices=(
            (NoData.KEEP.value, "keep an open alert open"),
            (NoData.RESOLVE.value, "end an open alert"),
            (NoData.FIRE.value, "fire"),
        )
    )
    channels = forms.MultipleChoiceField(required=False)
    notify = forms.ChoiceField(choices=Rule.Notify.choices, initial=Rule.Notify.TOGETHER)
    repeat = forms.IntegerField(min_value=0, max_value=10_080, initial=240)
    each_score = forms.BooleanField(required=False)

    def __init__(self, project: Project, rule: Rule, data: Any = None, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        self.project, self.rule = project, rule
        self.known_channels = list(Channel.objects.filter(project=project))
        channels = self.fields["channels"]
        assert isinstance(channels, forms.MultipleChoiceField)
        chosen = set(self["channels"].value() or ())
        self.channels_boxes = [
            {"value": channel.pk, "label": str(channel), "chosen": str(channel.pk) in chosen}
            for channel in self.known_channels
        ]
        channels.choices = [(str(channel.pk), str(channel)) for channel in self.known_channels]

    def clean(self) -> dict[str, Any]:
        """Make the rule of what was entered and check it as it will be used."""
        given: dict[str, Any] = super().clean() or {}
        if self.errors:
            return given
        rule = self.rule
        for name in ("name", "description", "severity", "measure", "window", "kind", "hold", "recover", "patience"):
            setattr(rule, name, given[name])
        for name in ("no_data", "notify", "repeat", "each_score"):
            setattr(rule, name, given[name])
        needs = MEASURES[rule.measure].needs
        rule.score_name = given["score_name"] if "name" in needs else ""
        rule.score_bound = given["score_bound"] if "bound" in needs else None
        rule.each_score = given["each_score"] and rule.measure == "score_below"
        rule.by = [word.strip() for word in given["by"].split(",") if word.strip()]
        rule.only = _only(given["only"])
        rule.filter = given["filter"]
        parts = {name: (given[field], percent) for field, name, percent in _PARTS[rule.kind]}
        rule.condition = {
            name: value / 100 if percent else value
            for name, (value, percent) in parts.items()
            if value is not None and value != ""
        }
        try:
            check_rule(rule)
        except ValidationError as error:
            for name, told in error.message_dict.items():
                self.add_error(name if name in self.fields else None, told)
        return given

    def chosen_channels(self) -> list[Channel]:
        """Return the channels that were chosen."""
        chosen = set(self.cleaned_data["channels"])
        return [channel for channel in self.known_channels if str(channel.pk) in chosen]


def initial_of(rule: Rule) -> dict[str, Any]:
    """Return a stored rule as the form shows it."""
    simple = (
        "name",
        "description",
        "severity",
        "measure",
        "score_name",
        "score_bound",
        "window",
        "filter",
        "kind",
        "hold",
    )
    shown = {name: getattr(rule, name) for name in simple}
    shown |= {
        name: getattr(rule, name) for name in ("recover", "patience", "no_data", "notify", "repeat", "each_score")
    }
    shown["by"] = ", ".join(rule.by)
    shown["only"] = "; ".join(f"{name}: {', '.join(values)}" for name, values in rule.only.items())
    shown["channels"] = [str(pk) for pk in rule.channels.values_list("pk", flat=True)]
    for field, name, percent in _PARTS[rule.kind]:
        if name in rule.condition:
            value = rule.condition[name]
            shown[field] = round(value * 100, 6) if percent else value
    return shown


def _only(text: str) -> dict[str, list[str]]:
    """Read `service: checkout, search; model: gpt-4o`. Raises ValidationError."""
    found: dict[str, list[str]] = {}
    for part in text.split(";"):
        if not part.strip():
            continue
        name, colon, values = part.partition(":")
        listed = [value.strip() for value in values.split(",") if value.strip()]
        if not colon or not listed:
            raise ValidationError({"only": ["Write it as service: checkout, search; model: gpt-4o"]})
        found[name.strip()] = listed
    return found
