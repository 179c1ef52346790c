"""Two traces side by side: which spans answer to each other, and which only one of them has.

- `compare(before, after) -> list[Pair]`, in the order of the second trace

Spans answer to each other where their parents do, and they stand in the same place among the spans of the same kind and
name: siblings are aligned as the lines of two texts are (the longest common part first), so a step that was added in
the middle is one added step and not many changed ones. Where each trace has one root, these answer to each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from heliograph.query.span_tree import Node, depth_first
from heliograph.query.spans import SpanRow

# Aligning siblings is quadratic in the worst case, a thousand calls of one name under one parent; the earliest.
MAX_SPANS = 1_000


@dataclass(frozen=True, slots=True)
class Pair:
    """A span of the first trace and the one of the second that answers to it; None where there is none."""

    depth: int
    before: SpanRow | None
    after: SpanRow | None

    @property
    def is_both(self) -> bool:
        """Whether both traces have it."""
        return self.before is not None and self.after is not None

    @property
    def is_changed(self) -> bool:
        """Whether it is missing in one, or differs in what a row of it says but its times."""
        if self.before is None or self.after is None:
            return True
        names = ("status", "model", "model_requested", "input_tokens", "output_tokens", "input_preview")
        return any(getattr(self.before, name) != getattr(self.after, name) for name in (*names, "output_preview"))


def compare(before: Sequence[SpanRow], after: Sequence[SpanRow]) -> list[Pair]:
    """Pair the spans of two traces; every span stands in exactly one pair."""
    old, new = depth_first(before[:MAX_SPANS]), depth_first(after[:MAX_SPANS])
    old_below, new_below = _children(old), _children(new)
    pairs: list[Pair] = []
    pending: list[tuple[int | None, int | None, int]] = list(_aligned(old, old_below[-1], new, new_below[-1], 0))
    pending.reverse()
    while pending:
        one, other, depth = pending.pop()
        pairs.append(Pair(depth, None if one is None else old[one].span, None if other is None else new[other].span))
        below = _aligned(
            old,
            [] if one is None else old_below.get(one, []),
            new,
            [] if other is None else new_below.get(other, []),
            depth + 1,
        )
        pending += reversed(list(below))
    return pairs


def _children(nodes: Sequence[Node]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {-1: []}
    for at, node in enumerate(nodes):
        found.setdefault(node.parent, []).append(at)
    return found


def _aligned(
    old: Sequence[Node], one: Sequence[int], new: Sequence[Node], other: Sequence[int], depth: int
) -> list[tuple[int | None, int | None, int]]:
    # Two requests are compared as such, however each release calls its root.
    if depth == 0 and len(one) == len(other) == 1:
        return [(one[0], other[0], 0)]
    left = [(old[at].span.kind, old[at].span.name) for at in one]
    right = [(new[at].span.kind, new[at].span.name) for at in other]
    found: list[tuple[int | None, int | None, int]] = []
    for what, old_from, old_to, new_from, new_to in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if what == "equal":
            places = zip(one[old_from:old_to], other[new_from:new_to], strict=True)
            found += [(before, after, depth) for before, after in places]
        else:
            found += [(at, None, depth) for at in one[old_from:old_to]]
            found += [(None, at, depth) for at in other[new_from:new_to]]
    return found
