"""What is asked of a window, and which questions one query can answer."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from heliograph.query.filters import (
    EPOCH,
    MAX_VALUE_CHARACTERS,
    MAX_VALUES,
    Clause,
    InvalidFilterError,
    Parameters,
    TimeRange,
)
from heliograph.query.language import parse
from heliograph.query.measures import Measure, measure_of

# A person reads some dozens of groups; a rule by release of 500 services is still answered.
MAX_GROUPS = 1_000
# Rows of one answer: a week of minutes of a group, or an hour of all.
MAX_ROWS = 200_000
# A day: what is asked of a longer time is asked of a chart.
MAX_WINDOW = 1_440

Labels = tuple[str, ...]
# By the values of the question's dimensions, in their order: the value at each end that has one.
Values = dict[Labels, dict[int, float]]
Only = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Question:
    """One measure over windows of `window` minutes, by the values of some dimensions, of what `only` picks.

    `filter` is a text of the filter language, of measures of spans.

    Raises InvalidFilterError for what the measure cannot be asked.
    """

    measure: str
    window: int
    by: tuple[str, ...] = ()
    only: Only = ()
    name: str = ""
    bound: float | None = None
    filter: str = ""

    def __post_init__(self) -> None:
        known = measure_of(self.measure)
        if self.filter:
            _check_filter(self.filter, known)
        if not 1 <= self.window <= MAX_WINDOW:
            raise InvalidFilterError("window", f"must be from 1 to {MAX_WINDOW} minutes")
        for field, names in (("by", self.by), ("only", [name for name, _ in self.only])):
            if unknown := sorted(set(names) - set(known.dimensions)):
                told = f"{known.title} knows {', '.join(known.dimensions)}, not {', '.join(unknown)}"
                raise InvalidFilterError(field, told)
            if len(set(names)) < len(names):
                raise InvalidFilterError(field, "names a dimension twice")
        for name, values in self.only:
            if not 1 <= len(values) <= MAX_VALUES or any(len(value) > MAX_VALUE_CHARACTERS for value in values):
                raise InvalidFilterError("only", f"takes 1 to {MAX_VALUES} values of {name}")
        if "name" in known.needs and not self.name:
            raise InvalidFilterError("name", f"{known.title} needs the name of a score")
        if "bound" in known.needs and (self.bound is None or not math.isfinite(self.bound)):
            raise InvalidFilterError("bound", f"{known.title} needs a bound")

    @property
    def what(self) -> Measure:
        """The measure."""
        return measure_of(self.measure)

    @property
    def shape(self) -> "Shape":
        """What one query answers together: dimensions that one value picks become groups, of which one is picked."""
        picked = {name for name, values in self.only if len(values) == 1}
        several = tuple(sorted((name, values) for name, values in self.only if len(values) > 1))
        return Shape(self.window, tuple(sorted({*self.by, *picked})), several, self.filter)

    def pick(self, dimensions: Sequence[str], found: Mapping[Labels, Mapping[int, float]]) -> Values:
        """Return the groups that `only` picks, by this question's own dimensions."""
        wanted = [(dimensions.index(name), values[0]) for name, values in self.only if len(values) == 1]
        places = [dimensions.index(name) for name in self.by]
        return {
            tuple(labels[place] for place in places): dict(points)
            for labels, points in found.items()
            if all(labels[place] == value for place, value in wanted)
        }


def _check_filter(text: str, known: Measure) -> None:
    if not known.takes_filter:
        raise InvalidFilterError("filter", f"picks spans, and {known.title} is of none: narrow it by `only`")
    # Where it is wrong does not depend on the time.
    parse(text, TimeRange(EPOCH, EPOCH + timedelta(minutes=1)))


@dataclass(frozen=True, slots=True)
class Shape:
    """A grouping: questions of the same shape differ in measure and in the groups that they pick."""

    window: int
    dimensions: tuple[str, ...]
    several: Only
    filter: str = ""

    def narrowed(self, questions: Collection[Question], column: Mapping[str, str]) -> Clause:
        """Return the condition that keeps what any of the questions picks."""
        conditions: list[str] = []
        parameters: Parameters = {}
        for dimension in self.dimensions:
            picked = [dict(question.only).get(dimension) for question in questions]
            if all(values is not None for values in picked):
                wanted = tuple(sorted({value for values in picked if values for value in values}))
                conditions.append(f"{column[dimension]} IN %(only_{dimension})s")
                parameters[f"only_{dimension}"] = wanted
        for dimension, values in self.several:
            conditions.append(f"{column[dimension]} IN %(several_{dimension})s")
            parameters[f"several_{dimension}"] = values
        return " AND ".join(conditions) or "1", parameters


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of windows that a query answers, as few ranges of the store's rows as cover them."""

    window: int
    ends: tuple[int, ...]

    @property
    def step(self) -> int:
        """The widest grid that all ends lie on."""
        return math.gcd(*self.ends)

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield the ends as (first, last) of stretches in which each is at most a window after the one before."""
        first = last = self.ends[0]
        for end in self.ends[1:]:
            if end - last > max(self.window, self.step):
                yield first, last
                first = end
            last = end
        yield first, last

    def rows(self, minute: str, before: int = 0) -> str:
        """Return the condition on the store's rows; `before` minutes more before each window."""
        stretches = (
            f"({minute} >= toDateTime({(first - self.window - before) * 60}, 'UTC')"
            f" AND {minute} < toDateTime({last * 60}, 'UTC'))"
            for first, last in self.runs()
        )
        return f"({' OR '.join(stretches)})"

    def join(self, minute_number: str) -> str:
        """Return the array of a row's windows, for an ARRAY JOIN."""
        step = self.step
        first = f"(intDiv({minute_number}, {step}) + 1) * {step}"
        return f"range(toUInt64({first}), toUInt64({minute_number} + {self.window} + 1), {step})"

    def chosen(self) -> str:
        """Return the condition on the windows."""
        # The grid may hold ends that nobody asked for, between stretches and before the first.
        return "(" + " OR ".join(f"(end >= {first} AND end <= {last})" for first, last in self.runs()) + ")"


def ends_of(window: int, wanted: Collection[int]) -> Ends:
    """Return ends in order. Raises InvalidFilterError where there are too many."""
    if len(wanted) > MAX_ROWS:
        raise InvalidFilterError("range", f"would need more than {MAX_ROWS} windows")
    return Ends(window, tuple(sorted(set(wanted))))


def check_rows(number: int) -> None:
    """Raise InvalidFilterError where an answer is larger than anybody could use."""
    if number > MAX_ROWS:
        raise InvalidFilterError("by", f"would give more than {MAX_ROWS} values: narrow it, or group by less")
