"""Have the texts changed in what can be counted: length, language, refusals, repetition, emptiness?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from evaluators.drift.categories import detect_categories
from evaluators.drift.numbers import detect_numbers
from evaluators.drift.result import DriftResult
from evaluators.judges.language import CONFIDENT, identify
from evaluators.judges.refusal import refusal_pattern
from evaluators.judges.repetition import repetition_rate

# Language identification takes about 0.2 ms a text; this many a side decide as well as all of them.
MAX_TEXTS = 5000
LEAST_VALUES = 2


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
    reference: Sequence[str], current: Sequence[str], *, alpha: float = 0.05, seed: int = 0
) -> dict[str, DriftResult]:
    """One test a statistic (NUMBERS by Kolmogorov-Smirnov, CATEGORIES by chi-squared), by name.

    The verdicts are after Benjamini and Hochberg's correction over the statistics; `details["q_value"]` is the adjusted
    p-value. Beyond MAX_TEXTS a side a random subsample is taken. A statistic that fewer than two texts of a side have
    (repetition of short texts) is left out. Raises ValueError for fewer than two texts a side.
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
    q_values = stats.false_discovery_control([result.p_value for result in results.values()])
    return {
        name: replace(
            result, verdict="drift" if q <= alpha else "no_drift", details={**result.details, "q_value": float(q)}
        )
        for (name, result), q in zip(results.items(), q_values, strict=True)
    }


def _some(texts: Sequence[str], rng: np.random.Generator) -> list[str]:
    if len(texts) <= MAX_TEXTS:
        return list(texts)
    return [texts[i] for i in np.sort(rng.choice(len(texts), MAX_TEXTS, replace=False))]
