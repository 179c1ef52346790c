"""The tree of a trace's spans as rows on one time axis."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from heliograph.query.spans import SpanRow

# A bar this thin can still be seen and hit.
MIN_WIDTH_PERCENT = 0.35


@dataclass(frozen=True, slots=True)
class Row:
    """One span in the waterfall.

    `left` and `width` are percent of the axis. `below` counts the rows under it. `is_orphan` marks a span whose parent
    has not arrived. `ttft_left` is where its first token stands on the axis, None where it is not known.
    """

    span: SpanRow
    depth: int
    left: float
    width: float
    below: int
    is_orphan: bool
    ttft_left: float | None


def rows(spans: Sequence[SpanRow], start_ns: int, end_ns: int) -> list[Row]:
    """Return the spans depth first, siblings by start; every span exactly once, also where parents form a circle.

    Args:
        spans: of one trace, in any order.
        start_ns: left end of the axis.
        end_ns: right end of the axis.
    """
    ids = {span.span_id for span in spans}
    children: dict[str, list[SpanRow]] = {}
    for span in sorted(spans, key=lambda span: (span.start_ns, span.span_id)):
        parent = span.parent_span_id if span.parent_span_id in ids else ""
        children.setdefault(parent, []).append(span)
    axis = max(end_ns - start_ns, 1)
    result: list[Row] = []
    seen: set[str] = set()
    # Spans whose parents form a circle hang below no root: they are taken as roots after all others.
    pending = [(span, 0) for span in reversed(children.get("", []))]
    leftovers = sorted(spans, key=lambda span: (span.start_ns, span.span_id), reverse=True)
    while pending or leftovers:
        span, depth = pending.pop() if pending else (leftovers.pop(), 0)
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        below = children.get(span.span_id, [])
        result.append(_row(span, depth, start_ns, axis, ids))
        pending += [(child, depth + 1) for child in reversed(below)]
    return _with_counts(result)


def _row(span: SpanRow, depth: int, start_ns: int, axis: int, ids: set[str]) -> Row:
    left = _percent(span.start_ns - start_ns, axis)
    width = min(max(_percent(span.duration_ns or 0, axis), MIN_WIDTH_PERCENT), 100 - left)
    ttft = None if span.ttft_ns is None else _percent(span.start_ns + span.ttft_ns - start_ns, axis)
    is_orphan = span.parent_span_id != "" and span.parent_span_id not in ids
    return Row(span, depth, left, round(width, 3), 0, is_orphan, ttft)


def _with_counts(result: list[Row]) -> list[Row]:
    """Count the rows under each: those that follow it up to the next one of its own depth or less."""
    counted = list(result)
    open_at: list[int] = []
    for at, row in enumerate([*result, None]):
        while open_at and (row is None or result[open_at[-1]].depth >= row.depth):
            above = open_at.pop()
            counted[above] = replace(result[above], below=at - above - 1)
        open_at.append(at)
    return counted


def _percent(part: int, axis: int) -> float:
    return round(min(max(100 * part / axis, 0.0), 100.0 - MIN_WIDTH_PERCENT), 3)
