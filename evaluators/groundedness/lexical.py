"""What counting words tells: cheap, blind to word order, and hard to beat on answers that bring in new matter."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from evaluators.text import IndexedContext, content_stems, stem, words


@dataclass(frozen=True, slots=True)
class Overlap:
    """Shares between 0 and 1 of what a text says that its context does not hold."""

    unseen_words: float
    unseen_pairs: float
    unseen_numbers: float


class Vocabulary:
    """The stems, neighbouring pairs of stems and numbers of a context."""

    def __init__(self, context: str) -> None:
        stems = [stem(word) for word in words(context)]
        self.stems = frozenset(stems)
        self.pairs = frozenset(pairwise(stems))

    def compare(self, text: str) -> Overlap:
        """What of `text` is not in the context; all 0 for a text without words."""
        content = content_stems(text)
        stems = [stem(word) for word in words(text)]
        pairs = list(pairwise(stems))
        numbers = [item for item in stems if item[0].isdigit()]
        return Overlap(
            unseen_words=_share(sum(item not in self.stems for item in content), len(content)),
            unseen_pairs=_share(sum(item not in self.pairs for item in pairs), len(pairs)),
            unseen_numbers=_share(sum(item not in self.stems for item in numbers), len(numbers)),
        )


def _share(count: int, total: int) -> float:
    return count / total if total else 0.0


def overlaps(context: IndexedContext, text: str) -> list[float]:
    """For each sentence of the context the idf weight of the content stems that it shares with `text`."""
    wanted = set(content_stems(text))
    return [sum(context.weight(item) for item in wanted & found) for found in context.stems]
