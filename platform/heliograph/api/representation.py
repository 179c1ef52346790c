"""How the rows of `heliograph.query` look as JSON: one serializer a dataclass, made from its fields.

Times (`start_ns`, `end_ns`, `time_ns`) become RFC 3339 texts with nine decimals, since a JSON number of many clients
cannot hold nanoseconds since the epoch; durations stay integers in ns; money is a decimal text.
"""

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from heliograph.query.attribution import Cost
from heliograph.query.completeness import Completeness
from heliograph.query.critical_path import TimeOnPath
from heliograph.query.filters import from_ns
from heliograph.query.messages import Document, Message, ToolDefinition
from heliograph.query.metrics import MetricResult
from heliograph.query.scores import Score
from heliograph.query.spans import SpanDetail, SpanRow
from heliograph.query.traces import TraceRow

_TIMES = {"start_ns": "start_time", "end_ns": "end_time", "time_ns": "time"}
# What only the server needs.
_INTERNAL = {"minutes", "listed_ns"}


@extend_schema_field(OpenApiTypes.DATETIME)
class NanosecondsField(serializers.Field[int, Any, str, Any]):
    """Nanoseconds since the epoch as RFC 3339."""

    def to_representation(self, value: int) -> str:
        """Return such as 2026-01-31T12:00:00.123456789Z."""
        return f"{from_ns(value):%Y-%m-%dT%H:%M:%S}.{value % 10**9:09d}Z"


_SIMPLE: dict[Any, Callable[..., serializers.Field[Any, Any, Any, Any]]] = {
    str: serializers.CharField,
    int: serializers.IntegerField,
    bool: serializers.BooleanField,
    float: serializers.FloatField,
    datetime: serializers.DateTimeField,
    Decimal: lambda **options: serializers.DecimalField(max_digits=38, decimal_places=12, **options),
}


@cache
def serializer_of(kind: Any) -> type[serializers.Serializer[Any]]:
    """Return the serializer class of a dataclass."""
    hints = get_type_hints(kind)
    members: dict[str, Any] = {"__doc__": (kind.__doc__ or "").split("\n\n")[0]}
    for field in fields(kind):
        if field.name in _INTERNAL:
            continue
        if field.name in _TIMES:
            members[_TIMES[field.name]] = NanosecondsField(source=field.name)
        else:
            members[field.name] = _field(hints[field.name])
    return type(kind.__name__, (serializers.Serializer,), members)


def _field(hint: Any, **options: Any) -> serializers.Field[Any, Any, Any, Any]:
    inner: Any
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = (each for each in get_args(hint) if each is not type(None))
        return _field(inner, allow_null=True)
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        is_row = is_dataclass(inner)
        if is_row:
            return serializer_of(inner)(many=True, **options)
        return serializers.ListField(child=_field(inner), **options)
    if get_origin(hint) is dict:
        values = get_args(hint)[1]
        return serializers.DictField(child=serializers.JSONField() if values is Any else _field(values), **options)
    is_row = is_dataclass(hint)
    if is_row:
        return serializer_of(hint)(**options)
    # What is none of these is a Literal of texts.
    return _SIMPLE.get(hint, serializers.CharField)(**options)


class TraceSummary(serializer_of(TraceRow)):  # type: ignore[misc]  # the base is made from the dataclass
    """A trace's summary; `cost` is by list prices, `gpu_share` the estimated share of the project's own GPUs."""

    completeness = serializers.SerializerMethodField(
        help_text="How far the trace is; null for one from before it was kept."
    )
    is_pinned = serializers.SerializerMethodField(help_text="Whether somebody wants it kept whatever sampling says.")
    gpu_share = serializers.SerializerMethodField(
        help_text="Estimate; null where no call ran on a known GPU, or it is not worked out yet."
    )

    @extend_schema_field(serializer_of(Completeness)(allow_null=True))
    def get_completeness(self, row: TraceRow) -> dict[str, Any] | None:
        """Return the state that the view looked up for all traces of its answer."""
        known = self.context.get("completeness", {}).get(row.trace_id)
        return serializer_of(Completeness)(known).data if known is not None else None

    def get_is_pinned(self, row: TraceRow) -> bool:
        """Return whether the view found it among the pinned ones."""
        return row.trace_id in self.context.get("pinned", ())

    @extend_schema_field(serializer_of(Cost)(allow_null=True))
    def get_gpu_share(self, row: TraceRow) -> dict[str, Any] | None:
        """Return the share that the view looked up for all traces of its answer."""
        cost = self.context.get("gpu_shares", {}).get(row.trace_id)
        return serializer_of(Cost)(cost).data if cost is not None else None


SpanSummary = serializer_of(SpanRow)
ScoreOut = serializer_of(Score)
MetricOut = serializer_of(MetricResult)


class SpanOut(serializer_of(SpanDetail)):  # type: ignore[misc]  # the base is made from the dataclass
    """One span with its texts as messages and documents instead of as stored."""

    input = serializer_of(Message)(many=True, source="input_messages")
    output = serializer_of(Message)(many=True, source="output_messages")
    documents = serializer_of(Document)(many=True, source="retrieved")
    tools = serializer_of(ToolDefinition)(many=True, source="tool_definitions")


class TracePage(serializers.Serializer[Any]):
    """Traces, newest first."""

    items = TraceSummary(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class SpanPage(serializers.Serializer[Any]):
    """Spans, newest first."""

    items = SpanSummary(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class ScorePage(serializers.Serializer[Any]):
    """Scores, newest first."""

    items = ScoreOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class TraceOut(serializers.Serializer[Any]):
    """One trace with its spans, earliest first, and its scores; `is_cut` where it has more spans than these."""

    summary = TraceSummary()
    reported_cost = serializers.DecimalField(
        max_digits=38, decimal_places=12, allow_null=True, help_text="What the senders report, beside summary.cost."
    )
    spans = SpanSummary(many=True)
    is_cut = serializers.BooleanField()
    completeness = serializer_of(Completeness)(allow_null=True, help_text="null for a trace from before it was kept.")
    scores = ScoreOut(many=True)
    critical_path = serializer_of(TimeOnPath)(many=True, help_text="What its duration is made of, the longest first.")
