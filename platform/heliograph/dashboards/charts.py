"""Charts as data: what the browser draws, what its table shows and what its CSV holds are the same numbers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Unit = Literal["count", "ns", "usd", "share", "number", "bytes", "celsius", "watt", "hertz"]
Value = float | int | None


@dataclass(frozen=True, slots=True)
class Series:
    """One line or set of bars. `strength` is strong, light or bad; `low` and `high` draw a band around it."""

    name: str
    values: Sequence[Value]
    strength: Literal["strong", "light", "bad"] = "strong"
    low: Sequence[Value] = ()
    high: Sequence[Value] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """A question and its answer over time.

    `times_ms` are epoch milliseconds, one per value of every series; None in a value is a gap. `window_ms` marks a
    stretch of the axis, such as a trace's own time.
    """

    id: str
    title: str
    unit: Unit
    times_ms: Sequence[int]
    series: Sequence[Series]
    kind: Literal["line", "bar"] = "line"
    empty: str = "Nothing was measured in this time range."
    window_ms: tuple[int, int] | None = None
    maximum: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is not one value to draw."""
        return all(value is None for series in self.series for value in series.values)

    @property
    def script_id(self) -> str:
        """The id of the element that carries the data."""
        return f"data-{self.id}"

    @property
    def data(self) -> dict[str, Any]:
        """The chart as JSON types."""
        return asdict(self)
