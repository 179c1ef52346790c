"""Which spans a trace's duration is made of: shorten one of these and the trace ends earlier.

- `critical_path(nodes) -> list[Segment]`, earliest first
- `time_on_path(spans) -> tuple[TimeOnPath, ...]`, a span each, the longest first

The method is that of CRISP (Zhang et al., USENIX ATC 2022). From the end of a span go back in time: the child that
ended last, not after this moment, was waited for, so it is on the path and is looked into the same way; the time
between its end and this moment is the span's own. Go on from that child's start, until the span's start. What ran
beside a child on the path is not on it. A child that outlives its parent is cut at the parent's end, as one that was
not waited for longer. Where a trace has several roots, they are the children of the trace as a whole, whose gaps are
nobody's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.query.span_tree import Node, depth_first
from heliograph.query.spans import SpanRow


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time that the trace spent in the span at place `at` itself, and in none of its children."""

    at: int
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class TimeOnPath:
    """How long the trace was in a span itself, on its critical path."""

    span_id: str
    self_ns: int


def critical_path(nodes: Sequence[Node]) -> list[Segment]:
    """Return the path of a tree, earliest first. Segments do not overlap; with one root they fill its duration."""
    if not nodes:
        return []
    children: dict[int, list[int]] = {}
    for at, node in enumerate(nodes):
        children.setdefault(node.parent, []).append(at)
    found: list[Segment] = []
    first, last = min(node.span.start_ns for node in nodes), max(node.end_ns for node in nodes)
    pending = [(-1, first, last)]
    while pending:
        at, start_ns, end_ns = pending.pop()
        moment = end_ns
        for child, child_start, child_end in _latest_first(nodes, children.get(at, ()), start_ns, end_ns):
            if child_end > moment or child_start >= child_end:
                continue
            if child_end < moment and at >= 0:
                found.append(Segment(at, child_end, moment))
            pending.append((child, child_start, child_end))
            moment = child_start
        if start_ns < moment and at >= 0:
            found.append(Segment(at, start_ns, moment))
    return sorted(found, key=lambda segment: segment.start_ns)


def time_on_path(spans: Sequence[SpanRow]) -> tuple[TimeOnPath, ...]:
    """Return the spans on the path of a trace with the time spent in each itself, the longest first."""
    nodes = depth_first(spans)
    own: dict[int, int] = {}
    for part in critical_path(nodes):
        own[part.at] = own.get(part.at, 0) + part.end_ns - part.start_ns
    longest = sorted(own.items(), key=lambda one: (-one[1], one[0]))
    return tuple(TimeOnPath(nodes[at].span.span_id, time) for at, time in longest)


def _latest_first(
    nodes: Sequence[Node], children: Sequence[int], start_ns: int, end_ns: int
) -> list[tuple[int, int, int]]:
    """Return children with their times inside the parent's; of those that end together the longest first."""
    inside = [(at, max(nodes[at].span.start_ns, start_ns), min(nodes[at].end_ns, end_ns)) for at in children]
    return sorted(inside, key=lambda one: (-one[2], one[1], one[0]))
