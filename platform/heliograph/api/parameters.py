"""What may be asked, read from the query string and the body into the filters of `heliograph.query`."""

import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request

from heliograph.query import language
from heliograph.query.filters import InvalidFilterError, RollupFilter, ScoreBound, SpanFilter, TimeRange
from heliograph.query.metrics import MAX_FILTERS, MAX_GROUP_BY
from heliograph.query.paging import MAX_PAGE
from heliograph.query.scores import ScoreFilter
from heliograph.query.terms import MAX_TEXT_CHARACTERS

DEFAULT_RANGE = timedelta(hours=24)
# A batch of this many scores is checked and stored in well under a second.
MAX_SCORES = 1_000
# A score far from now is a unit mistaken; it would also open a partition a week in the store.
_OLDEST, _NEWEST = timedelta(days=366), timedelta(days=1)
_SCORE_BOUND = re.compile(r"(?P<name>[^<>]{1,200})(?P<side>[<>])(?P<bound>[^<>]{1,40})")
_PROJECT = "project"
_TEXTS = (
    "service",
    "environment",
    "release",
    "kind",
    "status",
    "name",
    "model",
    "adapter",
    "provider",
    "session",
    "user",
    "tag",
)


class Texts(serializers.ListField):
    """A parameter that may be repeated: any of the values."""

    def __init__(self, **options: Any) -> None:
        super().__init__(child=serializers.CharField(allow_blank=True, max_length=1_000), **options)


class RangeParameters(serializers.Serializer[Any]):
    """A time range; the last 24 hours without one."""

    start = serializers.DateTimeField(required=False, help_text="Included; 24 hours before end without it.")
    end = serializers.DateTimeField(required=False, help_text="Excluded; now without it.")

    def time_range(self) -> TimeRange:
        """Return the range that was asked for."""
        end: datetime = self.validated_data.get("end") or timezone.now()
        start: datetime = self.validated_data.get("start") or end - DEFAULT_RANGE
        return TimeRange(start.astimezone(UTC), end.astimezone(UTC))


class RollupParameters(RangeParameters):
    """What the rollups can be narrowed by. A repeated parameter is any of its values; different ones must all hold."""

    service = Texts(required=False)
    environment = Texts(required=False)
    release = Texts(required=False)
    model = Texts(required=False)
    adapter = Texts(required=False, help_text="The LoRA that answered.")
    provider = Texts(required=False)

    def rollup_filter(self) -> RollupFilter:
        """Return the filter that was asked for."""
        names = ("service", "environment", "release", "model", "adapter", "provider")
        return RollupFilter(
            range=self.time_range(), **{name: tuple(self.validated_data.get(name, ())) for name in names}
        )


class _PageParameters(RangeParameters):
    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE, default=50)
    cursor = serializers.CharField(required=False, max_length=1_000, help_text="`next_cursor` of the page before.")


class SpanParameters(_PageParameters):
    """Filters of traces and spans. A repeated parameter is any of its values; different ones must all hold."""

    service = Texts(required=False)
    environment = Texts(required=False)
    release = Texts(required=False)
    kind = Texts(required=False, help_text="agent, chain, llm, embedding, retriever, reranker, tool, ...")
    status = Texts(required=False, help_text="ok, error or unset.")
    name = Texts(required=False)
    model = Texts(required=False)
    adapter = Texts(required=False, help_text="The LoRA that answered.")
    provider = Texts(required=False)
    session = Texts(required=False)
    user = Texts(required=False)
    tag = Texts(required=False)
    min_duration_ms = serializers.FloatField(required=False, min_value=0, max_value=1e12)
    max_duration_ms = serializers.FloatField(required=False, min_value=0, max_value=1e12)
    text = serializers.CharField(required=False, max_length=1_000, help_text="Words of the input or of the output.")
    score = Texts(required=False, help_text="A name and a bound, such as groundedness<0.5.")
    filter = serializers.CharField(
        required=False,
        max_length=MAX_TEXT_CHARACTERS,
        help_text='Filter language, such as `model:gpt-4* latency>2s -status:error "refund"`; see docs/filters.md.',
    )

    def span_filter(self) -> SpanFilter:
        """Return the filter that was asked for."""
        given = self.validated_data
        fields: dict[str, Any] = {
            "min_duration_ns": _nanoseconds(given.get("min_duration_ms")),
            "max_duration_ns": _nanoseconds(given.get("max_duration_ms")),
            "text": given.get("text", ""),
            "scores": tuple(_score_bound(text) for text in given.get("score", ())),
            **{field: tuple(given.get(field, ())) for field in _TEXTS},
        }
        named = {name: value for name, value in fields.items() if value not in (None, "", ())}
        said = language.parse(given.get("filter", ""), self.time_range())
        twice = [name for name in named if getattr(said, name) not in (None, "", ())]
        if twice:
            raise InvalidFilterError("filter", f"says {twice[0]} too; say it there or in its own parameter")
        return replace(said, **named)


class ScoreParameters(_PageParameters):
    """Filters of scores."""

    name = serializers.CharField(required=False, max_length=200)
    trace_id = serializers.CharField(required=False, max_length=100)
    service = Texts(required=False)
    release = Texts(required=False)
    model = Texts(required=False)
    source = Texts(required=False, help_text="evaluator, human or api.")  # type: ignore[assignment]  # see Problem
    label = Texts(required=False)  # type: ignore[assignment]  # see Problem
    below = serializers.FloatField(required=False)
    above = serializers.FloatField(required=False)

    def score_filter(self) -> ScoreFilter:
        """Return the filter that was asked for."""
        given = self.validated_data
        for field in ("below", "above"):
            if not math.isfinite(given.get(field, 0.0)):
                raise InvalidFilterError(field, "must be a finite number")
        chosen: dict[str, Any] = {
            field: tuple(given.get(field, ())) for field in ("service", "release", "model", "source", "label")
        }
        return ScoreFilter(
            range=self.time_range(),
            name=given.get("name", ""),
            trace_id=given.get("trace_id", ""),
            below=given.get("below"),
            above=given.get("above"),
            **chosen,
        )


class MetricParameters(RangeParameters):
    """One metric over time."""

    name = serializers.CharField(max_length=300)
    aggregate = serializers.ChoiceField(
        ["avg", "min", "max", "sum", "last", "rate", "increase"],
        required=False,
        help_text="Without it a counter's rate, else the mean.",
    )
    step = serializers.IntegerField(required=False, min_value=1, max_value=7 * 86_400, help_text="Seconds.")
    group_by = Texts(required=False, help_text="service, host, gpu_uuid or an attribute.", max_length=MAX_GROUP_BY)
    filter = Texts(required=False, help_text="label=value.", max_length=MAX_FILTERS)

    def labels(self) -> dict[str, str]:
        """Return the labels that points must have."""
        pairs = [text.partition("=") for text in self.validated_data.get("filter", ())]
        if not all(name and separator for name, separator, _ in pairs):
            raise InvalidFilterError("filter", "reads label=value")
        return {name: value for name, _, value in pairs}


class ScoreIn(serializers.Serializer[Any]):
    """One verdict on a span, a trace, a session or a data set row."""

    id = serializers.CharField(
        required=False, max_length=200, help_text="Yours; sent again with it, the verdict is replaced, not added."
    )
    name = serializers.CharField(max_length=200)
    value = serializers.FloatField(
        allow_null=True, help_text="null where the verdict is a label alone, or where none was possible; then say why."
    )
    kind = serializers.ChoiceField(
        choices=["number", "label", "unscored"],
        required=False,
        default="",
        help_text="Worked out without it: a value is a number, a label without one a label, neither is unscored.",
    )
    trace_id = serializers.RegexField(r"^[0-9a-f]{32}$", required=False, default="")
    span_id = serializers.RegexField(r"^[0-9a-f]{16}$", required=False, default="")
    session_id = serializers.CharField(required=False, default="", max_length=500)
    dataset_item_id = serializers.CharField(required=False, default="", max_length=500)
    time = serializers.DateTimeField(required=False, help_text="Now without it; a stored span's own time goes first.")
    label = serializers.CharField(  # type: ignore[assignment]  # see Problem
        required=False, default="", allow_blank=True, max_length=200
    )
    explanation = serializers.CharField(required=False, default="", allow_blank=True, max_length=20_000)
    author = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)

    def validate_value(self, value: float | None) -> float | None:
        """A value is finite or null."""
        if value is not None and not math.isfinite(value):
            raise serializers.ValidationError("Must be finite, or null where no verdict was possible.")
        return value

    def validate_time(self, value: datetime) -> datetime:
        """A time lies within a year."""
        now = timezone.now()
        if not now - _OLDEST <= value <= now + _NEWEST:
            raise serializers.ValidationError("Must lie within the last 366 days.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A verdict is on something, and a missing one says why."""
        if not any(attrs[field] for field in ("trace_id", "session_id", "dataset_item_id")):
            raise serializers.ValidationError({"trace_id": ["Name a trace, a session or a data set row."]})
        if attrs["span_id"] and not attrs["trace_id"]:
            raise serializers.ValidationError({"trace_id": ["A span is named together with its trace."]})
        if attrs["kind"] and (attrs["kind"] == "number") != (attrs["value"] is not None):
            raise serializers.ValidationError({"kind": ["A number has a value, a label and an unscored one has none."]})
        if attrs["kind"] == "label" and not attrs["label"]:
            raise serializers.ValidationError({"label": ["Name the label."]})
        if attrs["value"] is None and not (attrs["label"] or attrs["explanation"]):
            raise serializers.ValidationError({"explanation": ["Say why there is no value."]})
        return attrs


class ScoresIn(serializers.Serializer[Any]):
    """A batch of verdicts: all are stored, or none."""

    scores = ScoreIn(many=True, allow_empty=False, max_length=MAX_SCORES)  # type: ignore[call-arg]  # of many=True


class ScoresStored(serializers.Serializer[Any]):
    """The ids under which the batch is stored, in its order."""

    ids = serializers.ListField(child=serializers.CharField())


Given = TypeVar("Given", bound=serializers.Serializer[Any])


def read(kind: type[Given], request: Request) -> Given:
    """Return the checked query string. Raises ValidationError, also for a parameter that does not exist."""
    given = kind(data=request.query_params)
    unknown = set(request.query_params) - set(given.fields) - {_PROJECT}
    if unknown:
        known = ", ".join(given.fields)
        raise serializers.ValidationError(
            {name: [f"There is no such parameter; there are {known}."] for name in unknown}
        )
    given.is_valid(raise_exception=True)
    return given


def _nanoseconds(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds * 1e6)


def _score_bound(text: str) -> ScoreBound:
    match = _SCORE_BOUND.fullmatch(text)
    try:
        bound = float(match["bound"]) if match else math.nan
    except ValueError:
        bound = math.nan
    if not match or not math.isfinite(bound):
        raise InvalidFilterError("score", "reads like groundedness<0.5 or groundedness>0.5")
    name = match["name"].strip()
    return ScoreBound(name, below=bound) if match["side"] == "<" else ScoreBound(name, above=bound)
