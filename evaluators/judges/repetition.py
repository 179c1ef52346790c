"""Is the answer caught in a loop?"""

from __future__ import annotations

import re
import zlib
from collections import Counter

from evaluators.judges.base import SampleScorer
from evaluators.score import Sample, Score

_TOKEN = re.compile(r"\w+|[^\w\s]")
NGRAM = 4
# Fewer words than this cannot be told from emphasis.
LEAST_TOKENS = 20


def repetition_rate(text: str) -> float | None:
    """Share of 4-grams of words and marks that occurred before in the text (Welleck et al. 2020, seq-rep-4); None for
    texts of fewer than LEAST_TOKENS.
    """
    tokens = _TOKEN.findall(text.lower())
    if len(tokens) < LEAST_TOKENS:
        return None
    grams = Counter(zip(*(tokens[i:] for i in range(NGRAM)), strict=False))
    return 1 - len(grams) / grams.total()


def repetition(*, threshold: float = 0.5) -> SampleScorer:
    """Repetition rate from 0 (nothing twice) to 1; `repetitive` from the threshold, else `normal`."""

    def judge(sample: Sample) -> Score:
        rate = repetition_rate(sample.answer)
        if rate is None:
            return Score.unscored(f"the answer has fewer than {LEAST_TOKENS} words and marks")
        raw = sample.answer.encode()
        details = {"compression_ratio": len(raw) / len(zlib.compress(raw))}
        label = "repetitive" if rate >= threshold else "normal"
        return Score(rate, label, f"{rate:.0%} of its 4-grams occurred before", details)

    return SampleScorer("repetition", judge, "1", {"threshold": threshold})
