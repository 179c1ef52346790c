"""The tree of a trace's spans as rows on one time axis: whole for a template, and packed for the page's own script."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heliograph.query.critical_path import critical_path
from heliograph.query.span_tree import depth_first
from heliograph.query.spans import SpanRow

# A bar this thin can still be seen and hit.
MIN_WIDTH_PERCENT = 0.35
# Longer traces open with what lies deeper than this folded.
LONG, OPEN_DEPTH = 200, 2


@dataclass(frozen=True, slots=True)
class Row:
    """One span in the waterfall.

    `left` and `width` are percent of the axis. `below` counts the rows under it. `is_orphan` marks a span whose parent
    has not arrived. `ttft_left` is where its first token stands on the axis, None where it is not known. `path_ns` is
    the time that the trace spent in this span itself on its critical path, from `path_from_ns` to `path_to_ns` after
    the trace's start with its children's time between; None for a span beside the path.
    """

    span: SpanRow
    depth: int
    left: float
    width: float
    below: int
    is_orphan: bool
    ttft_left: float | None
    path_ns: int | None
    path_from_ns: int = 0
    path_to_ns: int = 0
    path_left: float = 0.0
    path_width: float = 0.0


def rows(spans: Sequence[SpanRow], start_ns: int, end_ns: int) -> list[Row]:
    """Return the spans depth first, siblings by start; every span exactly once, also where parents form a circle.

    Args:
        spans: of one trace, in any order.
        start_ns: left end of the axis.
        end_ns: right end of the axis.
    """
    nodes = depth_first(spans)
    axis = max(end_ns - start_ns, 1)
    path: dict[int, tuple[int, int, int]] = {}
    for part in critical_path(nodes):
        own, first, _ = path.get(part.at, (0, part.start_ns, 0))
        path[part.at] = (own + part.end_ns - part.start_ns, first, part.end_ns)
    found: list[Row] = []
    for at, node in enumerate(nodes):
        span = node.span
        left, width = _place(span.start_ns - start_ns, span.duration_ns or 0, axis)
        ttft = None if span.ttft_ns is None else _percent(span.start_ns + span.ttft_ns - start_ns, axis)
        row = (span, node.depth, left, width, node.below, node.is_orphan, ttft)
        if at in path:
            own, first, last = path[at]
            drawn = _place(first - start_ns, last - first, axis)
            found.append(Row(*row, own, first - start_ns, last - start_ns, *drawn))
        else:
            found.append(Row(*row, None))
    return found


def opened(every: Sequence[Row], chosen: str = "", most: int = 100) -> list[Row]:
    """Return the first rows that a page shows as it opens: of a long trace not what is folded away.

    The row of the span `chosen` is among the unfolded ones, whatever its depth.
    """
    if len(every) <= LONG:
        return list(every[:most])
    above = _above(every, chosen)
    found: list[Row] = []
    at = 0
    while at < len(every) and len(found) < most:
        found.append(every[at])
        at += 1 if every[at].depth < OPEN_DEPTH or at in above else every[at].below + 1
    return found


def packed(every: Sequence[Row], start_ns: int, end_ns: int) -> dict[str, Any]:
    """Return all rows as few bytes of JSON; static/js/waterfall.js reads it by the same names and places.

    Words stand once in `words`, and a row names them by number. Times are ns after the trace's start.
    """
    words: dict[str, int] = {}

    def number(word: str) -> int:
        return words.setdefault(word, len(words))

    packed_rows = [
        [
            row.span.span_id,
            row.depth,
            row.below,
            number(row.span.name or "(no name)"),
            number(row.span.kind),
            number(row.span.model),
            row.span.start_ns - start_ns,
            row.span.duration_ns,
            row.span.ttft_ns,
            int(row.span.status == "error") | 2 * row.is_orphan,
            row.span.input_tokens,
            row.span.output_tokens,
            None if row.span.cost is None else float(row.span.cost),
            row.path_ns,
            row.path_from_ns,
            row.path_to_ns,
        ]
        for row in every
    ]
    length = max(end_ns - start_ns, 1)
    return {"words": list(words), "rows": packed_rows, "length_ns": length, "long": LONG, "open_depth": OPEN_DEPTH}


def _above(every: Sequence[Row], chosen: str) -> set[int]:
    """Return the places of the rows above a span."""
    places = [at for at, row in enumerate(every) if row.span.span_id == chosen]
    return {at for at in range(places[0]) if at + every[at].below >= places[0]} if places else set()


def _place(after_ns: int, length_ns: int, axis: int) -> tuple[float, float]:
    left = _percent(after_ns, axis)
    return left, round(min(max(_percent(length_ns, axis), MIN_WIDTH_PERCENT), 100 - left), 3)


def _percent(part: int, axis: int) -> float:
    return round(min(max(100 * part / axis, 0.0), 100.0 - MIN_WIDTH_PERCENT), 3)
