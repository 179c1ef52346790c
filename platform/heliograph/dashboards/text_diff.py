"""Two texts line by line, with the words that changed inside a line: what a page shows of a difference."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Literal

# Matching is quadratic in the worst case: 2,000 lines of a prompt, and 400 words of a line, take milliseconds.
MAX_CHARACTERS, MAX_LINES, MAX_WORDS = 100_000, 2_000, 400
# Lines that are the same around a change; the rest is folded.
AROUND = 3
# The share of words that two lines have in common, above which they are one line that changed.
ALIKE = 0.6
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line, and whether it stands in this text only."""

    text: str
    is_changed: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A line of one text or both. `skipped` lines that are the same in both are left out before it."""

    kind: Literal["same", "removed", "added"]
    pieces: tuple[Piece, ...]
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """The lines of a comparison; `is_cut` where the texts were too long to be compared whole."""

    lines: tuple[Line, ...]
    added: int
    removed: int
    is_cut: bool

    @property
    def is_same(self) -> bool:
        """Whether nothing differs in what was compared."""
        return not self.added and not self.removed


def difference(before: str, after: str) -> Difference:
    """Compare two texts of any length; the beginning of very long ones."""
    old, is_old_cut = _lines(before)
    new, is_new_cut = _lines(after)
    found: list[Line] = []
    for what, old_from, old_to, new_from, new_to in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            found += [Line("same", (Piece(line, False),)) for line in old[old_from:old_to]]
        else:
            found += _changed(old[old_from:old_to], new[new_from:new_to])
    counts = [sum(line.kind == kind for line in found) for kind in ("added", "removed")]
    return Difference(tuple(_folded(found)), counts[0], counts[1], is_old_cut or is_new_cut)


def _lines(text: str) -> tuple[list[str], bool]:
    lines = text[:MAX_CHARACTERS].split("\n") if text else []
    return lines[:MAX_LINES], len(text) > MAX_CHARACTERS or len(lines) > MAX_LINES


def _changed(old: Sequence[str], new: Sequence[str]) -> list[Line]:
    removed: list[Line] = []
    added: list[Line] = []
    for before, after in zip_longest(old, new):
        one, other = _words(before or "", after or "")
        if before is not None:
            removed.append(Line("removed", one if after is not None else (Piece(before, False),)))
        if after is not None:
            added.append(Line("added", other if before is not None else (Piece(after, False),)))
    return [*removed, *added]


def _words(before: str, after: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    # Two lines that share a few words only are two lines, and marking each word would hide that.
    if not old or not new or max(len(old), len(new)) > MAX_WORDS or matcher.ratio() < ALIKE:
        return (Piece(before, False),), (Piece(after, False),)
    left: list[Piece] = []
    right: list[Piece] = []
    for what, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        is_changed = what != "equal"
        if old_to > old_from:
            left.append(Piece("".join(old[old_from:old_to]), is_changed))
        if new_to > new_from:
            right.append(Piece("".join(new[new_from:new_to]), is_changed))
    return tuple(left), tuple(right)


def _folded(lines: Sequence[Line]) -> list[Line]:
    """Leave out the lines that are far from every change."""
    changed = [at for at, line in enumerate(lines) if line.kind != "same"]
    near = {at + step for at in changed for step in range(-AROUND, AROUND + 1)}
    kept: list[Line] = []
    skipped = 0
    for at, line in enumerate(lines):
        if at not in near:
            skipped += 1
            continue
        kept.append(Line(line.kind, line.pieces, skipped))
        skipped = 0
    return kept
