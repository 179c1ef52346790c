"""The spans of a trace as a tree, depth first: what a waterfall, its critical path and a comparison walk over.

- `depth_first(spans) -> list[Node]`
"""

from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.query.spans import SpanRow


@dataclass(slots=True)
class Node:
    """One span in its tree. `parent` is its parent's place in the list, -1 for none.

    `below` counts the nodes under it, which follow it. `is_orphan` marks a span whose parent has not arrived.
    """

    span: SpanRow
    depth: int
    parent: int
    is_orphan: bool
    below: int = 0

    @property
    def end_ns(self) -> int:
        """When it ended; its start while it has not."""
        return self.span.start_ns + (self.span.duration_ns or 0)


def depth_first(spans: Sequence[SpanRow]) -> list[Node]:
    """Return the spans depth first, siblings by start; every span exactly once, also where parents form a circle."""
    ids = {span.span_id for span in spans}
    ordered = sorted(spans, key=lambda span: (span.start_ns, span.span_id))
    children: dict[str, list[SpanRow]] = {}
    for span in ordered:
        parent = span.parent_span_id if span.parent_span_id in ids else ""
        children.setdefault(parent, []).append(span)
    nodes: list[Node] = []
    seen: set[str] = set()
    # Spans whose parents form a circle hang below no root: they are taken as roots after all others.
    pending = [(span, -1) for span in reversed(children.get("", []))]
    ordered.reverse()
    while pending or ordered:
        span, parent_at = pending.pop() if pending else (ordered.pop(), -1)
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        is_orphan = span.parent_span_id != "" and span.parent_span_id not in ids
        nodes.append(Node(span, nodes[parent_at].depth + 1 if parent_at >= 0 else 0, parent_at, is_orphan))
        at = len(nodes) - 1
        pending += [(child, at) for child in reversed(children.get(span.span_id, []))]
    # From the last to the first: every node has all of its own before it is added to its parent.
    for node in reversed(nodes):
        if node.parent >= 0:
            nodes[node.parent].below += node.below + 1
    return nodes
