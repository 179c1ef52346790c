"""Dashboards that people make: panels of measures, their JSON, and the numbers that they show.

- `read_board(text) -> Board`, `read_panel(given, place) -> Panel`; raise InvalidBoardError that names the place
- `write_board(board) -> str`: JSON that `read_board` reads back as the same
- `answers(project_id, panels, range) -> list[Answer]`: of all panels together, so that like questions share a query
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from heliograph.query.fields import nearest
from heliograph.query.filters import InvalidFilterError, TimeRange
from heliograph.query.measures import MEASURES, Measure
from heliograph.query.overview import step_for
from heliograph.query.terms import MAX_TEXT_CHARACTERS, terms
from heliograph.query.windows import Question, values
from heliograph.query.windows.question import MAX_WINDOW, Only

Drawn = Literal["line", "bar", "number"]
# A page that is read, each panel a question to the store at worst.
MAX_PANELS = 24
MAX_TITLE = 120
MAX_BY = 2
# Ten times what 24 full panels take.
MAX_JSON_BYTES = 256 * 1024
# Lines that an eye can follow; what lies below is counted and named.
MAX_LINES = 8
_BUCKETS = 60
_FORMAT, _VERSION = "heliograph.dashboard", 1


class InvalidBoardError(ValueError):
    """A dashboard that cannot be used; `place` names the part, such as `panels[2].measure`."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One chart: a measure, by the values of some dimensions, of what `filter` picks."""

    title: str
    measure: str
    chart: Drawn = "line"
    by: tuple[str, ...] = ()
    filter: str = ""
    name: str = ""
    bound: float | None = None

    @property
    def what(self) -> Measure:
        """The measure."""
        return MEASURES[self.measure]

    def question(self, window: int) -> Question:
        """Return what is asked over windows of so many minutes. Raises InvalidFilterError."""
        only = picked(self.filter, self.what)
        return Question(self.measure, window, self.by, only, self.name, self.bound)


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard as it is exchanged: neither project, nor author, nor who may see it."""

    name: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """The values of one group, one a bucket; None where nothing was measured. Without grouping the label is ''."""

    label: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a panel shows: `starts_s` are the beginnings of its buckets of `step_s` seconds, UTC.

    `lines` are the MAX_LINES groups with the highest values, `left_out` how many more there are. `total` is the sum
    over the range of what is counted; of everything else it is the latest value. None where nothing was measured.
    """

    panel: Panel
    starts_s: tuple[int, ...]
    step_s: int
    lines: tuple[Line, ...]
    left_out: int
    total: float | None


def picked(text: str, what: Measure) -> Only:
    """Return what a filter picks of a measure: plain values of its dimensions. Raises InvalidFilterError."""
    found: dict[str, list[str]] = {}
    for term in terms(text):
        if term.name not in what.dimensions:
            said = f"{term.name} is none of what {what.title} can be narrowed by" if term.name else "words pick nothing"
            raise InvalidFilterError("filter", f"{said}; it knows {', '.join(what.dimensions)}")
        if term.negated or term.operator != ":" or any(value.is_pattern for value in term.values):
            raise InvalidFilterError("filter", f"{term.name} takes plain values here, such as {term.name}:a,b")
        found.setdefault(term.name, []).extend(value.text for value in term.values)
    return tuple((name, tuple(dict.fromkeys(chosen))) for name, chosen in found.items())


def read_panel(given: object, place: str = "") -> Panel:
    """Check one panel as it came. Raises InvalidBoardError."""
    at = f"{place}." if place else ""
    if not isinstance(given, Mapping):
        raise InvalidBoardError(place, 'must be an object, such as {"title": "Errors", "measure": "error_rate"}')
    names = {field.name for field in fields(Panel)}
    for name in given:
        if name not in names:
            near = nearest(str(name), names)
            raise InvalidBoardError(f"{at}{name}", f"is no part of a panel{f'; did you mean {near}?' if near else ''}")
    measure = given.get("measure")
    if not isinstance(measure, str) or measure not in MEASURES:
        near = nearest(str(measure), MEASURES)
        meant = f"did you mean {near}?" if near else f"it is one of {', '.join(MEASURES)}"
        raise InvalidBoardError(f"{at}measure", f"there is no measure {measure!r}; {meant}")
    chart = given.get("chart", "line")
    if chart not in get_args(Drawn):
        raise InvalidBoardError(f"{at}chart", f"must be one of {', '.join(get_args(Drawn))}")
    by = given.get("by", ())
    if not isinstance(by, list | tuple) or len(by) > MAX_BY or not all(isinstance(each, str) for each in by):
        raise InvalidBoardError(f"{at}by", f"must be a list of at most {MAX_BY} dimensions")
    panel = Panel(
        title=_text(given, "title", at, MAX_TITLE) or MEASURES[measure].title,
        measure=measure,
        chart=chart,
        by=tuple(by),
        filter=_text(given, "filter", at, MAX_TEXT_CHARACTERS),
        name=_text(given, "name", at, MAX_TITLE),
        bound=_bound(given, at),
    )
    try:
        panel.question(1)
    except InvalidFilterError as error:
        raise InvalidBoardError(f"{at}{error.field.replace('only', 'filter')}", error.message) from error
    return panel


def read_board(text: str | bytes) -> Board:
    """Read an exported dashboard. Raises InvalidBoardError."""
    if len(text) > MAX_JSON_BYTES:
        raise InvalidBoardError("", f"this file is larger than {MAX_JSON_BYTES // 1024} KiB, which no dashboard is")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidBoardError("", f"this is no JSON: {error}") from error
    if not isinstance(given, dict) or given.get("format") != _FORMAT:
        raise InvalidBoardError("format", f"must be {_FORMAT!r}: this is no dashboard that Heliograph exported")
    if given.get("version") != _VERSION:
        raise InvalidBoardError("version", f"must be {_VERSION}; this file is from another version of Heliograph")
    name = _text(given, "name", "", 80)
    if not name:
        raise InvalidBoardError("name", "is missing")
    return Board(name, read_panels(given.get("panels")))


def read_panels(given: object) -> tuple[Panel, ...]:
    """Check a list of panels. Raises InvalidBoardError."""
    if not isinstance(given, list) or len(given) > MAX_PANELS:
        raise InvalidBoardError("panels", f"must be a list of at most {MAX_PANELS} panels")
    return tuple(read_panel(panel, f"panels[{number}]") for number, panel in enumerate(given))


def write_panel(panel: Panel) -> dict[str, Any]:
    """Return a panel as JSON types, without what says nothing."""
    return {
        name: list(v) if isinstance(v, tuple) else v for name, v in asdict(panel).items() if v not in ("", None, ())
    }


def write_board(board: Board) -> str:
    """Return a dashboard as JSON."""
    panels = [write_panel(panel) for panel in board.panels]
    body = {"format": _FORMAT, "version": _VERSION, "name": board.name, "panels": panels}
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def answers(project_id: int, panels: Sequence[Panel], span: TimeRange) -> list[Answer]:
    """Return the numbers of panels over a range of whole buckets. Raises InvalidFilterError, StoreError."""
    step = min(max(step_for(span, _BUCKETS) // 60, 1), MAX_WINDOW)
    first = span.start_ns // (60 * 10**9) // step * step
    last = -(-span.end_ns // (60 * 10**9 * step)) * step
    ends = range(first + step, last + step, step)
    asked = {panel: panel.question(step) for panel in panels}
    found = values(project_id, dict.fromkeys(asked.values(), ends))
    return [_answer(panel, found[asked[panel]], ends, step) for panel in panels]


def _answer(panel: Panel, found: Mapping[tuple[str, ...], Mapping[int, float]], ends: range, step: int) -> Answer:
    # A group that has spans and nothing of what is counted, such as the cost of roots, is no line.
    some = {labels: points for labels, points in found.items() if not panel.by or any(points.values())} or found
    ordered = sorted(some.items(), key=lambda group: (-math.fsum(group[1].values()), group[0]))
    lines = tuple(
        Line(" · ".join(label or "(none)" for label in labels), tuple(points.get(end) for end in ends))
        for labels, points in ordered[:MAX_LINES]
    )
    starts = tuple((end - step) * 60 for end in ends)
    total = _total(panel, [points for _, points in ordered])
    return Answer(panel, starts, step * 60, lines, max(len(ordered) - MAX_LINES, 0), total)


def _total(panel: Panel, groups: Sequence[Mapping[int, float]]) -> float | None:
    if panel.what.empty is not None and not panel.what.unit.endswith("/s"):
        return math.fsum(value for points in groups for value in points.values())
    if len(groups) != 1 or not groups[0]:
        return None
    return groups[0][max(groups[0])]


def _text(given: Mapping[str, Any], name: str, at: str, most: int) -> str:
    value = given.get(name, "")
    if not isinstance(value, str) or len(value) > most:
        raise InvalidBoardError(f"{at}{name}", f"must be a text of at most {most} characters")
    return value.strip()


def _bound(given: Mapping[str, Any], at: str) -> float | None:
    value = given.get("bound")
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidBoardError(f"{at}bound", "must be a number")
    return float(value)
