"""How close an answer is to a reference, letter by letter or word by word."""

from __future__ import annotations

from typing import Literal

from rapidfuzz import fuzz

from evaluators.judges.base import MAX_CHARS, NO_REFERENCE, SampleScorer, against_references
from evaluators.judges.exact_match import normalise
from evaluators.score import Sample, Score

METHODS = {
    "ratio": fuzz.ratio,
    "partial": fuzz.partial_ratio,
    "token_sort": fuzz.token_sort_ratio,
    "token_set": fuzz.token_set_ratio,
}


def fuzzy_match(
    *, method: Literal["ratio", "partial", "token_sort", "token_set"] = "ratio", threshold: float = 0.8
) -> SampleScorer:
    """Best similarity with a reference from 0 to 1 after `exact_match`'s normalisation; `pass` from the threshold.

    Raises ValueError for an unknown method or a threshold outside [0, 1].
    """
    if method not in METHODS or not 0 <= threshold <= 1:
        raise ValueError(f"need a method of {sorted(METHODS)} and a threshold in [0, 1]: {method!r}, {threshold}")

    def judge(sample: Sample) -> Score:
        if len(sample.answer) > MAX_CHARS:
            return Score.unscored(f"the answer is longer than {MAX_CHARS} characters")
        best = against_references(sample, lambda a, b: METHODS[method](normalise(a), normalise(b)) / 100)
        if best is None:
            return Score.unscored(NO_REFERENCE)
        label = "pass" if best[0] >= threshold else "fail"
        return Score(best[0], label, f"{method} similarity {best[0]:.3f}, threshold {threshold}", {"closest": best[1]})

    return SampleScorer("fuzzy_match", judge, "1", {"method": method, "threshold": threshold})
