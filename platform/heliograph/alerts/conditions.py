"""What a rule holds a number against. A condition names the windows it needs and judges their values.

- threshold: over or under a bound
- change: against the window before, the same time yesterday or a week ago
- burn_rate: an error budget is spent too fast in a long and in a short window (Beyer et al., The Site Reliability
  Workbook, 2018, chapter 5, "Multiwindow, multi-burn-rate alerts")
- anomaly: far from the same hour of the weeks before, in robust deviations: (value - median) / (1.4826 MAD)
  (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)

`needs` and `judge` speak of offsets: minutes by which the end of a window lies from the moment that is judged.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Side = Literal["above", "below"]
# The value of each (window in minutes, offset in minutes) that a condition needs, where there is one.
Read = Callable[[int, int], float | None]

DAY, WEEK = 1_440, 10_080
# A median of fewer weeks is what happened last week.
MIN_WEEKS = 2
# Half an hour to either side belongs to the same hour of the week.
_SAMPLES = (-30, 0, 30)
_MAD_TO_SIGMA = 1.4826
# Traffic that is the same each week to the last request has no deviation; a twentieth of the median is nothing odd.
_LEAST_SPREAD = 0.05


class InvalidConditionError(ValueError):
    """Numbers that make no condition; `field` names the one at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


@dataclass(frozen=True, slots=True)
class Judgment:
    """Whether the condition holds (None: it cannot be said), the judged number, and what it was held against."""

    breach: bool | None
    value: float | None
    against: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The value lies on a side of a bound."""

    side: Side
    bound: float

    def __post_init__(self) -> None:
        _check_side(self.side)
        _check("bound", self.bound, -math.inf, math.inf)

    def needs(self, window: int) -> list[tuple[int, int]]:
        """Return the windows as (minutes, offset)."""
        return [(window, 0)]

    def judge(self, window: int, read: Read) -> Judgment:
        """Return whether the value is beyond the bound."""
        value = read(window, 0)
        return Judgment(_beyond(value, self.bound, self.side), value, self.bound)


@dataclass(frozen=True, slots=True)
class Change:
    """The value rose or fell by a share of what it was before; both below `least` is no change worth a word."""

    side: Side
    by: float
    versus: Literal["before", "yesterday", "last_week"] = "before"
    least: float = 0.0

    def __post_init__(self) -> None:
        _check_side(self.side)
        _check("by", self.by, 0, 1 if self.side == "below" else 1_000)
        _check("least", self.least, 0, math.inf)
        if self.versus not in ("before", "yesterday", "last_week"):
            raise InvalidConditionError("versus", "must be before, yesterday or last_week")

    def _offset(self, window: int) -> int:
        return -{"before": window, "yesterday": DAY, "last_week": WEEK}[self.versus]

    def needs(self, window: int) -> list[tuple[int, int]]:
        """Return the windows as (minutes, offset)."""
        return [(window, 0), (window, self._offset(window))]

    def judge(self, window: int, read: Read) -> Judgment:
        """Return whether the value changed so much."""
        value, before = read(window, 0), read(window, self._offset(window))
        if value is None or not before:
            return Judgment(None, value, before, "" if value is None else "nothing to compare with")
        change = value / before - 1
        is_small = max(abs(value), abs(before)) < self.least
        breach = not is_small and (change > self.by if self.side == "above" else change < -self.by)
        return Judgment(breach, value, before, f"{100 * change:+,.0f} %")


@dataclass(frozen=True, slots=True)
class BurnRate:
    """A share of bad events spends the error budget `factor` times too fast, in `long` minutes and in `short` ones.

    The long window says that it matters, the short one that it still goes on.
    """

    objective: float
    factor: float = 14.4
    short: int = 5
    long: int = 60

    def __post_init__(self) -> None:
        if not 0 < self.objective < 1:
            raise InvalidConditionError("objective", "is a share below 1, such as 0.999")
        _check("factor", self.factor, 0, 1 / (1 - self.objective))
        if not 1 <= self.short < self.long <= DAY:
            raise InvalidConditionError("short", f"must be shorter than long, and long at most {DAY} minutes")

    def needs(self, window: int) -> list[tuple[int, int]]:
        """Return the windows as (minutes, offset)."""
        return [(self.short, 0), (self.long, 0)]

    def judge(self, window: int, read: Read) -> Judgment:
        """Return whether both windows burn too fast; a short window without events burns nothing."""
        long = read(self.long, 0)
        if long is None:
            return Judgment(None, None, self.factor)
        budget = 1 - self.objective
        rates = [(read(self.short, 0) or 0.0) / budget, long / budget]
        reason = f"{rates[1]:.1f} times over {self.long} min, {rates[0]:.1f} times over {self.short} min"
        return Judgment(min(rates) > self.factor, min(rates), self.factor, reason)


@dataclass(frozen=True, slots=True)
class Anomaly:
    """The value is `deviations` robust deviations from the median of the same hour of `weeks` weeks before."""

    side: Literal["above", "below", "both"] = "both"
    deviations: float = 4.0
    weeks: int = 4
    least: float = 0.0

    def __post_init__(self) -> None:
        if self.side not in ("above", "below", "both"):
            raise InvalidConditionError("side", "must be above, below or both")
        _check("deviations", self.deviations, 0, 100)
        _check("least", self.least, 0, math.inf)
        if not MIN_WEEKS <= self.weeks <= 8:
            raise InvalidConditionError("weeks", f"must be from {MIN_WEEKS} to 8")

    def needs(self, window: int) -> list[tuple[int, int]]:
        """Return the windows as (minutes, offset)."""
        past = [(window, sample - week * WEEK) for week in range(1, self.weeks + 1) for sample in _SAMPLES]
        return [(window, 0), *past]

    def judge(self, window: int, read: Read) -> Judgment:
        """Return whether the value is odd for its hour of the week."""
        value = read(window, 0)
        if value is None:
            return Judgment(None, None)
        past = [[read(window, sample - week * WEEK) for sample in _SAMPLES] for week in range(1, self.weeks + 1)]
        known = [[each for each in week if each is not None] for week in past]
        if sum(map(bool, known)) < MIN_WEEKS:
            return Judgment(None, value, None, f"learns: it needs this hour of {MIN_WEEKS} weeks")
        usual = [each for week in known for each in week]
        median = statistics.median(usual)
        spread = _MAD_TO_SIGMA * statistics.median(abs(each - median) for each in usual)
        spread = max(spread, _LEAST_SPREAD * abs(median))
        off = value - median
        deviations = off / spread if spread else (math.inf if off > 0 else -math.inf if off else 0.0)
        is_small = max(abs(value), abs(median)) < self.least
        far = deviations if self.side == "above" else -deviations if self.side == "below" else abs(deviations)
        told = f"{deviations:+.1f} deviations from the usual" if math.isfinite(deviations) else "never so before"
        return Judgment(not is_small and far > self.deviations, value, median, told)


Condition = Threshold | Change | BurnRate | Anomaly
KINDS: Mapping[str, type[Threshold] | type[Change] | type[BurnRate] | type[Anomaly]] = {
    "threshold": Threshold,
    "change": Change,
    "burn_rate": BurnRate,
    "anomaly": Anomaly,
}


def condition_of(kind: str, given: Mapping[str, Any]) -> Condition:
    """Return the condition of a kind from its numbers. Raises InvalidConditionError."""
    if kind not in KINDS:
        raise InvalidConditionError("kind", f"must be one of {', '.join(KINDS)}")
    known = {field.name: field for field in fields(KINDS[kind])}
    if unknown := sorted(set(given) - set(known)):
        raise InvalidConditionError(unknown[0], f"is nothing that {kind} has; it has {', '.join(known)}")
    for name, field in known.items():
        if name not in given and field.default is field.default_factory:  # both are the mark of a missing default
            raise InvalidConditionError(name, "is needed")
        if name in given and field.type in (float, int):
            _check_number(name, given[name], whole=field.type is int)
    return KINDS[kind](**given)


def as_json(condition: Condition) -> dict[str, Any]:
    """Return the numbers of a condition, as `condition_of` takes them."""
    return asdict(condition)


def _check_number(name: str, value: object, *, whole: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise InvalidConditionError(name, "must be a whole number" if whole else "must be a number")


def _check_side(side: str) -> None:
    if side not in ("above", "below"):
        raise InvalidConditionError("side", "must be above or below")


def _check(name: str, value: float, low: float, high: float) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        limits = f" from {low:g} to {high:g}" if math.isfinite(high) else f" of {low:g} or more" if low == 0 else ""
        raise InvalidConditionError(name, f"must be a number{limits}")


def _beyond(value: float | None, bound: float, side: Side) -> bool | None:
    if value is None:
        return None
    return value > bound if side == "above" else value < bound
