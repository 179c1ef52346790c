"""How a score's values are spread, and how they stand to people's labels, as drawings that need no script."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.query.reliability import ReliabilityBin
from heliograph.query.scores import Bin

# Side of the reliability diagram, and the room that its axes take, in units of its drawing.
SIDE, EDGE = 240.0, 28.0
# What the filter language takes as a score's name without quotes.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin of a histogram; `height` in percent of the highest, `query` finds its traces, '' where it cannot."""

    bin: Bin
    height: float
    query: str


@dataclass(frozen=True, slots=True)
class Place:
    """One bin of a reliability diagram, placed on a square of SIDE."""

    bin: ReliabilityBin
    x: float
    y: float
    y_low: float
    y_high: float


def bars(name: str, found: Sequence[Bin]) -> list[Bar]:
    """Return the bars of a histogram; a bin without values has no height."""
    highest = max((each.count for each in found), default=0)
    last = len(found) - 1
    return [
        Bar(each, round(100 * each.count / highest, 1), _query(name, each, is_last=at == last))
        for at, each in enumerate(found)
        if highest
    ]


def _query(name: str, found: Bin, *, is_last: bool) -> str:
    if not found.count or not _PLAIN.fullmatch(name):
        return ""
    return f"score.{name}>={_written(found.low)} score.{name}{'<=' if is_last else '<'}{_written(found.high)}"


def _written(value: float) -> str:
    """The shortest text that stands for the value but for its last bits: edges are sums of steps."""
    return f"{value:.10f}".rstrip("0").rstrip(".")


def places(found: Sequence[ReliabilityBin]) -> list[Place]:
    """Return where the bins of a reliability diagram stand."""

    def x(share: float) -> float:
        return round(EDGE + share * (SIDE - 2 * EDGE), 1)

    def y(share: float) -> float:
        return round(SIDE - EDGE - share * (SIDE - 2 * EDGE), 1)

    return [Place(each, x(each.said), y(each.good), y(each.good_low), y(each.good_high)) for each in found]
