"""Have the texts changed in what can be counted: length, language, refusals, repetition, emptiness, topics?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluators.drift.categories import detect_categories
from evaluators.drift.numbers import detect_numbers
from evaluators.drift.result import DriftResult, decide
from evaluators.drift.topics import topics
from evaluators.judges.language import CONFIDENT, identify
from evaluators.judges.refusal import refusal_pattern
from evaluators.judges.repetition import repetition_rate

# Language identification takes about 0.2 ms a text; this many a side decide as well as all of them.
MAX_TEXTS = 5000
LEAST_VALUES = 2
Embed = Callable[[Sequence[str]], NDArray[Any]]


def _language(text: str) -> str:
    found = identify(text)
    return found[0] if found and found[1] >= CONFIDENT else "unclear"


def _refused(text: str) -> str:
    return "refusal" if refusal_pattern(text) else "answered"


def _empty(text: str) -> str:
    return "text" if text.strip() else "empty"


NUMBERS: dict[str, Callable[[str], float | None]] = {
    "characters": lambda text: float(len(text)),
    "words": lambda text: float(len(text.split())),
    "repetition": repetition_rate,
}
CATEGORIES: dict[str, Callable[[str], str]] = {"language": _language, "refusals": _refused, "empty": _empty}


def detect_texts(
    reference: Sequence[str],
    current: Sequence[str],
    *,
    alpha: float = 0.05,
    seed: int = 0,
    min_effect: float = 0.0,
    embed: Embed | None = None,
    device: str | None = None,
) -> dict[str, DriftResult]:
    """One test a statistic (NUMBERS by Kolmogorov-Smirnov, CATEGORIES by chi-squared), by name.

    With `embed`, which makes vectors (n, d) of texts (`evaluators.embedding.embed`), `topics` is one more category.
    The verdicts are after Benjamini and Hochberg's correction over the statistics, and `no_drift` for an effect below
    `min_effect`; `details["q_value"]` is the adjusted p-value. Beyond MAX_TEXTS a side a random subsample is taken. A
    statistic that fewer than two texts of a side have (repetition of short texts) is left out. Raises ValueError for
    fewer than two texts a side.
    """
    if min(len(reference), len(current)) < LEAST_VALUES:
        raise ValueError(f"need two texts a side, got {len(reference)} and {len(current)}")
    rng = np.random.default_rng(seed)
    sides = [_some(texts, rng) for texts in (reference, current)]
    results: dict[str, DriftResult] = {}
    for name, measure in NUMBERS.items():
        values = [[value for text in side if (value := measure(text)) is not None] for side in sides]
        if min(map(len, values)) >= LEAST_VALUES:
            results[name] = detect_numbers(*values, alpha=alpha, seed=seed)
    for name, kind in CATEGORIES.items():
        results[name] = detect_categories(map(kind, sides[0]), map(kind, sides[1]), alpha=alpha, seed=seed)
    if embed is not None:
        # Clustered without looking at which side a text is of, so that the test of the clusters stays exact.
        named = topics(embed(sides[0]), embed(sides[1]), *sides, seed=seed, device=device)
        results["topics"] = detect_categories(*named, alpha=alpha, seed=seed)
    q_values = stats.false_discovery_control([result.p_value for result in results.values()])
    return {
        name: replace(
            result,
            verdict=decide(float(q), result.effect, alpha=alpha, min_effect=min_effect),
            details={**result.details, "q_value": float(q)},
        )
        for (name, result), q in zip(results.items(), q_values, strict=True)
    }


def summarize_texts(
    reference: Sequence[str],
    current: Sequence[str],
    *,
    alpha: float = 0.05,
    seed: int = 0,
    min_effect: float = 0.0,
    embed: Embed | None = None,
    device: str | None = None,
) -> DriftResult:
    """`detect_texts` as one result: `drift` if any statistic drifts, with the numbers of the one that decided.

    `p_value` is the smallest adjusted one (Simes' test of all statistics at once), `details["decided_by"]` the name of
    its statistic and `details["statistics"]` every one of them as JSON types. Raises what `detect_texts` raises.
    """
    results = detect_texts(
        reference, current, alpha=alpha, seed=seed, min_effect=min_effect, embed=embed, device=device
    )
    # A drifting one before others: the smallest p-value may belong to a change that is too small to be told of.
    name, first = min(results.items(), key=lambda row: (row[1].verdict != "drift", row[1].details["q_value"]))
    every = {each: result.as_dict() for each, result in results.items()}
    return replace(
        first, test="texts", p_value=first.details["q_value"], details={"decided_by": name, "statistics": every}
    )


def _some(texts: Sequence[str], rng: np.random.Generator) -> list[str]:
    if len(texts) <= MAX_TEXTS:
        return list(texts)
    return [texts[i] for i in np.sort(rng.choice(len(texts), MAX_TEXTS, replace=False))]
