"""What a question may be narrowed by. Each filter is a small function that returns a clause and its parameters.

Within one field the values are alternatives (`service=("a", "b")` is either); different fields must all hold, on the
same span. An empty tuple or None narrows nothing; the value '' picks the spans where the field is empty.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Self

from heliograph.query import words
from heliograph.query.clauses import (
    MAX_VALUE_CHARACTERS,
    MAX_VALUES,
    Clause,
    InvalidFilterError,
    Parameters,
    all_of,
    check_values,
    one_of,
    put,
)
from heliograph.query.conditions import MAX_CONDITIONS, Condition
from heliograph.query.words import MAX_SEARCH_WORDS

# The pieces are used wherever a filter is; they have one address.
__all__ = [
    "EPOCH",
    "MAX_RANGE",
    "MAX_SEARCH_WORDS",
    "MAX_VALUES",
    "MAX_VALUE_CHARACTERS",
    "Clause",
    "InvalidFilterError",
    "Parameters",
    "RollupFilter",
    "ScoreBound",
    "SpanFilter",
    "TimeRange",
    "all_of",
    "from_ns",
    "put",
    "started_in",
    "to_ns",
    "union",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A year and a day: the longest comparison anybody draws; it bounds the partitions that one question opens.
MAX_RANGE = timedelta(days=366)
# Nanoseconds since the epoch in 64 bits end in 2262; the margins of a question stay below.
_BEYOND = datetime(2262, 1, 1, tzinfo=UTC)


def to_ns(moment: datetime) -> int:
    """Return an aware time as nanoseconds since the epoch, without passing through a float."""
    return (moment - EPOCH) // timedelta(microseconds=1) * 1_000


def from_ns(nanoseconds: int) -> datetime:
    """Return nanoseconds since the epoch as a UTC time, cut to microseconds."""
    return EPOCH + timedelta(microseconds=nanoseconds // 1_000)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From `start` (included) to `end` (excluded), both aware.

    Raises InvalidFilterError for a naive time, an empty or reversed range, or one beyond MAX_RANGE.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            if getattr(self, name).tzinfo is None:
                raise InvalidFilterError(name, "needs a UTC offset, such as 2026-01-31T12:00:00Z")
            if not EPOCH <= getattr(self, name) < _BEYOND:
                raise InvalidFilterError(name, "must lie between 1970 and 2262")
        if self.end <= self.start:
            raise InvalidFilterError("end", "must be after start")
        if self.end - self.start > MAX_RANGE:
            raise InvalidFilterError("start", f"may be at most {MAX_RANGE.days} days before end")

    @property
    def start_ns(self) -> int:
        """Start in nanoseconds since the epoch."""
        return to_ns(self.start)

    @property
    def end_ns(self) -> int:
        """End in nanoseconds since the epoch."""
        return to_ns(self.end)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end - self.start).total_seconds()

    def previous(self) -> "TimeRange":
        """Return the range of the same length that ends where this one starts."""
        return TimeRange(self.start - (self.end - self.start), self.start)

    def widened(self, margin: timedelta) -> "TimeRange":
        """Return the range with a margin on both sides, cut to MAX_RANGE."""
        start, end = self.start - margin, self.end + margin
        return TimeRange(max(start, end - MAX_RANGE), end)

    def whole_minutes(self) -> "TimeRange":
        """Return the smallest range of whole minutes that covers this one: what a 1-minute rollup can answer."""
        minute = timedelta(minutes=1)
        start = EPOCH + (self.start - EPOCH) // minute * minute
        end = EPOCH - (EPOCH - self.end) // minute * minute
        return TimeRange(max(start, end - MAX_RANGE), end)


@dataclass(frozen=True, slots=True)
class ScoreBound:
    """Traces that carry a score `name` with a value inside all given bounds, or with one of the labels.

    `below` and `above` leave out the bound itself, `at_most` and `at_least` hold it. With `exists` any score of the
    name will do, without a name any at all. `negated` picks the other traces, those without the score among them.
    """

    name: str
    below: float | None = None
    above: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    labels: tuple[str, ...] = ()
    exists: bool = False
    negated: bool = False

    def __post_init__(self) -> None:
        check_values("score", self.labels)
        bounds = (self.below, self.above, self.at_least, self.at_most)
        if not (self.exists or self.labels) and bounds == (None,) * 4:
            raise InvalidFilterError("score", "needs a bound: below or above")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFilter:
    """Which spans, or which traces by having such a span, a list shows.

    `text` is a set of words, all of which stand in the span's input or all in its output; letters A-Z match in
    either case. Durations are nanoseconds. `scores` speak of the trace. `entries_only` keeps the spans where a trace
    enters (no parent, or a parent that came with another export).
    """

    range: TimeRange
    service: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    name: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    adapter: tuple[str, ...] = ()
    provider: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    session: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    min_duration_ns: int | None = None
    max_duration_ns: int | None = None
    text: str = ""
    scores: tuple[ScoreBound, ...] = ()
    # What the filter language can say beyond the fields above; all of them hold.
    conditions: tuple[Condition, ...] = ()
    entries_only: bool = False

    def __post_init__(self) -> None:
        _check_values(self)
        if len(self.conditions) > MAX_CONDITIONS:
            raise InvalidFilterError("filter", f"may have at most {MAX_CONDITIONS} conditions")
        self.check_text(self.text)
        if len(self.scores) > MAX_SEARCH_WORDS:
            raise InvalidFilterError("score", f"may be given at most {MAX_SEARCH_WORDS} times")

    @staticmethod
    def check_text(text: str) -> None:
        """Raise InvalidFilterError for words that cannot be searched for."""
        if len(words.split(text)) > MAX_SEARCH_WORDS or len(text) > MAX_VALUE_CHARACTERS:
            raise InvalidFilterError("text", f"may have at most {MAX_SEARCH_WORDS} words")
        if text.strip() and not words.split(text):
            raise InvalidFilterError("text", "needs a letter or a digit")

    @property
    def picks_spans(self) -> bool:
        """Whether anything but time and scores narrows, so that a trace list follows the matching spans.

        A bare duration speaks of the request as a whole, and is compared with entry spans.
        """
        spoken = (
            self.service,
            self.environment,
            self.release,
            self.kind,
            self.status,
            self.name,
            self.model,
            self.adapter,
            self.provider,
            self.host,
            self.session,
            self.user,
            self.tag,
            self.text.strip(),
            *(True for each in self.conditions if each.field != "latency" and not each.negated),
        )
        return any(spoken)

    def for_traces(self) -> "SpanFilter":
        """Return the filter of the spans that a trace list is driven by."""
        by_entries = not self.picks_spans or (
            self._has_duration
            and not (self.kind or self.model or self.adapter or self.text)
            and not any(each.is_of_calls for each in self.conditions)
        )
        return replace(self, entries_only=self.entries_only or by_entries)

    @property
    def _has_duration(self) -> bool:
        bounds = (self.min_duration_ns, self.max_duration_ns)
        return bounds != (None, None) or any(each.field == "latency" for each in self.conditions)

    def where(self) -> Clause:
        """Return the condition on `spans` but for the project, which the door binds."""
        return all_of(self._narrowed(), one_of(words.containing(self.text)))

    def alternatives(self) -> list[Clause]:
        """Return conditions of which a span fulfils one or more: a search looks at inputs and outputs apart.

        The store's indexes are each of one column, and answer no condition that spans several.
        """
        narrowed = self._narrowed()
        return [all_of(narrowed, place) for place in words.containing(self.text)] or [narrowed]

    def _narrowed(self) -> Clause:
        return all_of(
            started_in(self.range),
            *(_any_of(column, getattr(self, field)) for field, column in _SPAN_COLUMNS.items()),
            _tagged(self.tag),
            _lasting(self.min_duration_ns, self.max_duration_ns),
            *(_scored(number, bound, self.range) for number, bound in enumerate(self.scores)),
            *(condition.where(number) for number, condition in enumerate(self.conditions)),
            ("is_entry", {}) if self.entries_only else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RollupFilter:
    """What the 1-minute rollup of spans can be narrowed by; seconds are rounded out to whole minutes."""

    range: TimeRange
    service: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    adapter: tuple[str, ...] = ()
    provider: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_values(self)

    @classmethod
    def of(cls, spans: SpanFilter) -> Self:
        """Return what a rollup can keep of a span filter: the fields that both have."""
        return cls(**{field.name: getattr(spans, field.name) for field in fields(cls)})

    @property
    def picks_calls(self) -> bool:
        """Whether a field narrows that roots lack, so that single calls are counted instead of requests."""
        return bool(self.kind or self.model or self.adapter or self.provider)

    def without(self, field: str) -> Self:
        """Return the same question without the condition on one field."""
        kept = {each.name: getattr(self, each.name) for each in fields(self) if each.name != field}
        return type(self)(**kept)

    def previous(self) -> Self:
        """Return the same question over the period before."""
        return replace(self, range=self.range.whole_minutes().previous())

    def where(self) -> Clause:
        """Return the condition on `span_rollups_1m`, alias r, but for the project."""
        span = self.range.whole_minutes()
        return all_of(
            (
                "r.minute >= toDateTime(%(start_s)s, 'UTC') AND r.minute < toDateTime(%(end_s)s, 'UTC')",
                {"start_s": span.start_ns // 10**9, "end_s": span.end_ns // 10**9},
            ),
            self.picked(),
        )

    def picked(self) -> Clause:
        """Return the condition but for the time."""
        names = ("service", "environment", "release", "kind", "model", "adapter", "provider")
        return all_of(*(_any_of(f"r.{name}", getattr(self, name)) for name in names))


_SPAN_COLUMNS: Mapping[str, str] = {
    "service": "service",
    "environment": "environment",
    "release": "release",
    "kind": "kind",
    "status": "status",
    "name": "name",
    "model": "model",
    "adapter": "adapter",
    "provider": "provider",
    "host": "host",
    "session": "session_id",
    "user": "user_id",
}


def union(select: str, chosen: "SpanFilter", further: str = "") -> Clause:
    """Return the given select, which has `{where}`, once for each alternative of a filter, as one union."""
    alternatives = chosen.alternatives()
    selects = (put(select, where=sql + further) for sql, _ in alternatives)
    parameters: Parameters = {}
    for _, part in alternatives:
        parameters |= part
    return "\nUNION ALL\n".join(selects), parameters


def started_in(span: TimeRange) -> Clause:
    """Spans that start in the range."""
    return (
        "start_time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')"
        " AND start_time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')",
        {"start_ns": span.start_ns, "end_ns": span.end_ns},
    )


def _any_of(column: str, values: Iterable[str]) -> Clause | None:
    chosen = tuple(values)
    if not chosen:
        return None
    parameter = "any_" + column.removeprefix("r.")
    return f"{column} IN %({parameter})s", {parameter: chosen}


def _tagged(tags: tuple[str, ...]) -> Clause | None:
    return ("hasAny(tags, %(tags)s)", {"tags": list(tags)}) if tags else None


def _lasting(minimum_ns: int | None, maximum_ns: int | None) -> Clause | None:
    bounds: list[Clause] = []
    if minimum_ns is not None:
        bounds.append(("duration_ns >= %(min_duration_ns)s", {"min_duration_ns": minimum_ns}))
    if maximum_ns is not None:
        bounds.append(("duration_ns <= %(max_duration_ns)s", {"max_duration_ns": maximum_ns}))
    return all_of(*bounds) if bounds else None


def _scored(number: int, bound: ScoreBound, span: TimeRange) -> Clause:
    # A score stands at the time of the span that it judges; another span of its trace may be the one listed.
    near = span.widened(timedelta(hours=1))
    prefix = f"score_{number}"
    inner: list[Clause] = [
        (
            f"time >= fromUnixTimestamp64Nano(%({prefix}_start)s, 'UTC')"
            f" AND time < fromUnixTimestamp64Nano(%({prefix}_end)s, 'UTC')",
            {f"{prefix}_start": near.start_ns, f"{prefix}_end": near.end_ns},
        )
    ]
    if bound.name:
        inner.append((f"name = %({prefix}_name)s", {f"{prefix}_name": bound.name}))
    for side, operator in _SIDES.items():
        value = getattr(bound, side)
        if value is not None:
            inner.append((f"value {operator} %({prefix}_{side})s", {f"{prefix}_{side}": value}))
    if bound.labels:
        inner.append((f"label IN %({prefix}_labels)s", {f"{prefix}_labels": bound.labels}))
    sql, parameters = all_of(*inner)
    return ("NOT " if bound.negated else "") + put(_SCORED_TRACES, conditions=sql), parameters


_SIDES = {"below": "<", "above": ">", "at_least": ">=", "at_most": "<="}
_SCORED_TRACES = """trace_id IN (
    SELECT trace_id FROM scores FINAL WHERE project_id = %(project_id)s AND {conditions} AND trace_id != ''
)"""


def _check_values(chosen: "SpanFilter | RollupFilter") -> None:
    for field in fields(chosen):
        values = getattr(chosen, field.name)
        if isinstance(values, tuple) and field.name not in {"scores", "conditions"}:
            check_values(field.name, values)
