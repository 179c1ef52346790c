"""Charts as data: what the browser draws, what its table shows and what its CSV holds are the same numbers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from heliograph.query.filters import TimeRange

Unit = Literal["count", "ns", "usd", "share", "number", "bytes", "bytes_per_s", "celsius", "watt", "hertz", "per_s"]
Value = float | int | None


@dataclass(frozen=True, slots=True)
class Series:
    """One line or set of bars. `strength` is strong, light, faint or bad; `low` and `high` draw a band around it."""

    name: str
    values: Sequence[Value]
    strength: Literal["strong", "light", "faint", "bad"] = "strong"
    low: Sequence[Value] = ()
    high: Sequence[Value] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, drawn as a vertical line with words; `is_bad` where it explains trouble.

    `url` leads to what there is to see of it.
    """

    at_ms: int
    words: str
    is_bad: bool = False
    url: str = ""

    @property
    def at_ns(self) -> int:
        """When, as pages write it."""
        return self.at_ms * 1_000_000


@dataclass(frozen=True, slots=True)
class Heat:
    """What a chart of counts by time and band needs beside its series, of which each is a band, lowest first.

    `edges` are the lower ends of the bands in `unit`, and the end of the last. `terms` say each band's ends in the
    filter language, `url` is the list of traces, to which a cell adds its time and the terms of its band. `step_ms` is
    how long a column is, `ends_ms` where the first begins and the last ends at the latest. Counts
    of a column with more than `exact` are estimates.
    """

    unit: Unit
    edges: Sequence[float]
    terms: Sequence[tuple[str, str]]
    url: str
    step_ms: int
    ends_ms: tuple[int, int]
    exact: int


@dataclass(frozen=True, slots=True)
class View:
    """One of the ways in which a chart can be shown."""

    label: str
    url: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A question and its answer over time.

    `times_ms` are epoch milliseconds, one per value of every series; None in a value is a gap. `window_ms` marks a
    stretch of the axis, such as a trace's own time. `range_ms` are the ends of the axis where not the data's, so that
    charts of one range can be compared; `can_narrow` lets the reader drag a new time range for the page. `marks` are
    what happened meanwhile. `slow_url` answers a click on a moment with the slowest requests around it. `is_named`
    names a single line too, where the title does not. `by_name`: a line's colour comes from its name, so that a model
    has one on every page, whichever others stand beside it. `about` names the measures whose alerts are marks on it.
    `heat` makes cells of it instead of lines. `views` are the links to the ways in which it can be shown.
    """

    id: str
    title: str
    unit: Unit
    times_ms: Sequence[int]
    series: Sequence[Series]
    kind: Literal["line", "bar", "heat"] = "line"
    empty: str = "Nothing was measured in this time range."
    window_ms: tuple[float, float] | None = None
    range_ms: tuple[float, float] | None = None
    can_narrow: bool = False
    maximum: float | None = None
    marks: Sequence[Mark] = ()
    slow_url: str = ""
    is_named: bool = False
    by_name: bool = False
    about: tuple[str, ...] = ()
    heat: Heat | None = None
    views: Sequence[View] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is not one value to draw."""
        return all(value is None for series in self.series for value in series.values)

    @property
    def highest(self) -> Value:
        """The highest value inside the range, of any series; None where there is none."""
        first, last = self.range_ms or (-float("inf"), float("inf"))
        inside = [
            value
            for series in self.series
            for at, value in zip(self.times_ms, series.values, strict=True)
            if value is not None and first <= at <= last
        ]
        return max(inside, default=None)

    @property
    def script_id(self) -> str:
        """The id of the element that carries the data."""
        return f"data-{self.id}"

    @property
    def data(self) -> dict[str, Any]:
        """The chart as JSON types."""
        return asdict(self)


def over_range(charts: Sequence[Chart], span: TimeRange, marks: Sequence[Mark] = (), slow_url: str = "") -> list[Chart]:
    """Draw the charts over the whole of one time range, which the reader may narrow by dragging over one of them."""
    ends = (span.start_ns // 1_000_000, span.end_ns // 1_000_000)
    return [replace(chart, range_ms=ends, can_narrow=True, marks=marks, slow_url=slow_url) for chart in charts]
