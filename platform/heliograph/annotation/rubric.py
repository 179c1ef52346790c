"""What annotators are asked of an answer: a few scores, each a number, a category, a yes or no, or a correction.

A rubric is written a line a score, as `text_of` writes it:

    correctness: 1 to 5
    severity: none < minor < major
    tone: polite | neutral | rude
    safe: yes or no
    why?: 0 to 1
    better answer: correction

`<` orders the categories, `?` behind a name lets an annotator leave it out; a correction always may be left out.
Between whole bounds of at most MAX_STEPS steps, a number is a whole one.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from django.core.exceptions import ValidationError

from heliograph.evals.models.online import SCORE_NAME

# Each is a row of keys on one screen; a person who is asked for more answers carelessly.
MAX_SCORES = 12
# More categories than this are a list to search in, and no longer a key each.
MAX_OPTIONS = 20
MAX_NAME, MAX_OPTION = 100, 60
# Beyond, sums of squares of the values lose their last digits.
_MAX_BOUND = 1e9
YES, NO = "yes", "no"
# A scale of so many whole numbers is a button each, which one digit presses.
MAX_STEPS = 10
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)\s*(?:to|\.\.)\s*(-?\d+(?:\.\d+)?)")


class InvalidRubricError(ValueError):
    """A rubric that cannot be used; the text says which line and what to do."""


class Kind(StrEnum):
    """What a score of a rubric is."""

    NUMBER = "number"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    CORRECTION = "correction"


@dataclass(frozen=True, slots=True)
class Dimension:
    """One score that is asked for. `low` and `high` bound a number, `options` are the categories."""

    name: str
    kind: Kind
    low: float | None = None
    high: float | None = None
    options: tuple[str, ...] = ()
    is_ordered: bool = False
    is_optional: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """What may be chosen with one key, as texts; () where it has to be typed."""
        if self.kind == Kind.CATEGORY:
            return self.options
        if self.kind == Kind.BOOLEAN:
            return (YES, NO)
        low, high = self.low, self.high
        if low is None or high is None or not (low.is_integer() and high.is_integer() and high - low < MAX_STEPS):
            return ()
        return tuple(str(number) for number in range(int(low), int(high) + 1))

    @property
    def keyed(self) -> list[tuple[str, str]]:
        """Each choice with the digit that chooses it, '' behind the ninth: its own where all are digits."""
        if all(len(choice) == 1 and choice.isdecimal() for choice in self.choices):
            return [(choice, choice) for choice in self.choices]
        return [(choice, str(place) if place < 10 else "") for place, choice in enumerate(self.choices, 1)]


def read_text(text: str) -> tuple[Dimension, ...]:
    """Read a rubric, a line a score. Raises InvalidRubricError."""
    return checked([_line(line) for line in text.splitlines() if line.strip()])


def text_of(rubric: Iterable[Dimension]) -> str:
    """Return a rubric as `read_text` reads it."""
    return "\n".join(
        f"{each.name}{'?' if each.is_optional and each.kind != Kind.CORRECTION else ''}: {_said(each)}"
        for each in rubric
    )


def read_json(rows: Sequence[Mapping[str, Any]]) -> tuple[Dimension, ...]:
    """Read a rubric as it is stored and as the API takes it. Raises InvalidRubricError."""
    found = []
    for row in rows:
        if not isinstance(row, Mapping) or not isinstance(row.get("name"), str):
            raise InvalidRubricError("Each score is an object with a name and a kind.")
        name = row["name"].strip()
        try:
            kind = Kind(str(row.get("kind")))
        except ValueError as error:
            raise InvalidRubricError(f"{name}: the kind is one of {', '.join(Kind)}.") from error
        low, high = (_bound(name, row.get(side)) for side in ("low", "high"))
        options = row.get("options") or ()
        if not isinstance(options, (list, tuple)) or any(not isinstance(option, str) for option in options):
            raise InvalidRubricError(f"{name}: options are a list of texts.")
        is_optional = bool(row.get("is_optional")) or kind == Kind.CORRECTION
        found.append(Dimension(name, kind, low, high, tuple(options), bool(row.get("is_ordered")), is_optional))
    return checked(found)


def as_json(rubric: Iterable[Dimension]) -> list[dict[str, Any]]:
    """Return a rubric as it is stored."""
    return [asdict(each) | {"kind": each.kind.value, "options": list(each.options)} for each in rubric]


def checked(rubric: Sequence[Dimension]) -> tuple[Dimension, ...]:
    """Return a rubric that can be used. Raises InvalidRubricError."""
    if not rubric:
        raise InvalidRubricError("Ask for one score or more, a line each, such as: correctness: 1 to 5")
    if len(rubric) > MAX_SCORES:
        raise InvalidRubricError(f"At most {MAX_SCORES} scores: make a second queue for the others.")
    names = [each.name for each in rubric]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InvalidRubricError(f"{min(twice)} stands there twice.")
    if sum(each.kind == Kind.CORRECTION for each in rubric) > 1:
        raise InvalidRubricError("One correction is the better answer as a whole; a second one has no place in a row.")
    for each in rubric:
        _check(each)
    return tuple(rubric)


def _line(line: str) -> Dimension:
    name, colon, said = (part.strip() for part in line.partition(":"))
    if not colon or not said:
        raise InvalidRubricError(f"{line.strip()[:60]!r} says no kind; write {name[:40] or 'name'}: 1 to 5")
    is_optional = name.endswith("?")
    name = name.removesuffix("?").strip()
    if said == Kind.CORRECTION:
        return Dimension(name, Kind.CORRECTION, is_optional=True)
    if said.lower().replace("/", " or ").split() in ([YES, "or", NO], [NO, "or", YES]):
        return Dimension(name, Kind.BOOLEAN, is_optional=is_optional)
    if found := _RANGE.fullmatch(said):
        low, high = float(found[1]), float(found[2])
        return Dimension(name, Kind.NUMBER, low, high, is_optional=is_optional)
    for sign in ("<", "|"):
        if sign in said:
            options = tuple(option.strip() for option in said.split(sign))
            return Dimension(name, Kind.CATEGORY, options=options, is_ordered=sign == "<", is_optional=is_optional)
    raise InvalidRubricError(
        f"{name}: {said[:60]!r} is no kind. Write 1 to 5, yes or no, good | bad, low < high, or correction."
    )


def _said(each: Dimension) -> str:
    if each.kind == Kind.NUMBER:
        return f"{each.low:.15g} to {each.high:.15g}"
    if each.kind == Kind.CATEGORY:
        return (" < " if each.is_ordered else " | ").join(each.options)
    return f"{YES} or {NO}" if each.kind == Kind.BOOLEAN else Kind.CORRECTION.value


def _bound(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRubricError(f"{name}: low and high are numbers.")
    return float(value)


def _check(each: Dimension) -> None:
    try:
        SCORE_NAME(each.name)
    except ValidationError as error:
        raise InvalidRubricError(f"{each.name[:60]!r} cannot name a score: {error.message}") from error
    if len(each.name) > MAX_NAME:
        raise InvalidRubricError(f"{each.name[:60]!r}… has {len(each.name)} characters; at most {MAX_NAME} fit.")
    if each.kind == Kind.NUMBER:
        low, high = each.low, each.high
        if low is None or high is None or not math.isfinite(low) or not math.isfinite(high) or low >= high:
            raise InvalidRubricError(f"{each.name}: a number needs bounds, the lower one first, such as 1 to 5.")
        if max(abs(low), abs(high)) > _MAX_BOUND:
            raise InvalidRubricError(f"{each.name}: bounds may be at most {_MAX_BOUND:,.0f}.")
    elif each.low is not None or each.high is not None:
        raise InvalidRubricError(f"{each.name}: only a number has bounds.")
    if each.kind == Kind.CATEGORY:
        _check_options(each)
    elif each.options:
        raise InvalidRubricError(f"{each.name}: only a category has options.")


def _check_options(each: Dimension) -> None:
    if not 2 <= len(each.options) <= MAX_OPTIONS or len(set(each.options)) != len(each.options):
        raise InvalidRubricError(f"{each.name}: give 2 to {MAX_OPTIONS} different categories.")
    for option in each.options:
        if not option or option != option.strip() or len(option) > MAX_OPTION or not option.isprintable():
            raise InvalidRubricError(f"{each.name}: a category has 1 to {MAX_OPTION} characters, {option[:40]!r} not.")
        if "|" in option or "<" in option:
            raise InvalidRubricError(f"{each.name}: | and < stand between categories, not in {option[:40]!r}.")
