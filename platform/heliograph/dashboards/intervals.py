"""Effects with their intervals as drawings: a line from end to end, a mark at the effect, the margin as a zone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WIDTH = 260.0
_EDGE = 6.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """One metric's figures, and places on an axis of WIDTH; None where there is no interval."""

    name: str
    result: Mapping[str, Any]
    is_relative: bool
    zero: float
    worse_from: float
    worse_width: float
    low: float | None
    high: float | None
    effect: float | None

    @property
    def words(self) -> str:
        """The drawing in a sentence."""
        if self.result.get("effect") is None:
            return "Nothing was compared yet."
        ends = self.result.get("interval")
        said = f"Effect {self._figure(self.result['effect'])}"
        return said + (
            f", from {self._figure(ends[0])} to {self._figure(ends[1])}" if ends else ", without an interval"
        )

    def _figure(self, value: float) -> str:
        return f"{100 * value:+.3g} %" if self.is_relative else f"{value:+.3g}"


def drawing(name: str, result: Mapping[str, Any]) -> Drawing:
    """Draw one metric: the axis holds the interval, zero and the margin; what is beyond the margin is marked."""
    margin = float(result["margin"])
    higher_is_better = bool(result["details"]["higher_is_better"])
    ends = list(result.get("interval") or [])
    effect = result.get("effect")
    values = [0.0, -margin if higher_is_better else margin, *ends, *([] if effect is None else [effect])]
    reach = max(abs(value) for value in values) * 1.1 or 1.0

    def place(value: float) -> float:
        return round(_EDGE + (value + reach) / (2 * reach) * (WIDTH - 2 * _EDGE), 1)

    edge = place(-margin if higher_is_better else margin)
    return Drawing(
        name=name,
        result=result,
        is_relative=result["kind"] in ("ratio", "mean_ratio"),
        zero=place(0.0),
        worse_from=0.0 if higher_is_better else edge,
        worse_width=edge if higher_is_better else round(WIDTH - edge, 1),
        low=place(ends[0]) if ends else None,
        high=place(ends[1]) if ends else None,
        effect=None if effect is None else place(effect),
    )
