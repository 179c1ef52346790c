"""Topics: clusters of texts that name themselves, found without looking at which window a text came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluators.drift.arrays import windows
from evaluators.drift.clusters import assign
from evaluators.drift.explain import marking_terms

# As many as a person reads in a list; finer ones have too few rows of a day to test anything in.
TOPICS = 8
WORDS = 3


def topics(
    reference: NDArray[Any],
    current: NDArray[Any],
    reference_texts: Sequence[str],
    current_texts: Sequence[str],
    *,
    k: int = TOPICS,
    seed: int = 0,
    device: str | None = None,
) -> tuple[list[str], list[str]]:
    """The topic of every row of two (n, d) windows of embeddings, each named by the words that mark it.

    Raises ValueError for windows that `detect` refuses, or texts of another length.
    """
    sample = windows(reference, current, device)
    if (sample.n, sample.m) != (len(reference_texts), len(current_texts)):
        raise ValueError(f"{len(reference_texts)} and {len(current_texts)} texts for {sample.n} and {sample.m} rows")
    numbers = assign(sample, k, np.random.default_rng(seed))
    texts = [*reference_texts, *current_texts]
    names: dict[int, str] = {}
    for number in np.unique(numbers):
        inside = [text for text, own in zip(texts, numbers, strict=True) if own == number]
        outside = [text for text, own in zip(texts, numbers, strict=True) if own != number]
        words = marking_terms(inside, outside, WORDS)
        name = ", ".join(words) or f"topic {number + 1}"
        # Two clusters may be marked by the same words.
        names[int(number)] = name if name not in names.values() else f"{name} ({number + 1})"
    named = [names[int(number)] for number in numbers]
    return named[: sample.n], named[sample.n :]
