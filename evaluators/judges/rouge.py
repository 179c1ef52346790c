"""ROUGE: overlap of an answer with a reference in n-grams or in the longest common subsequence (Lin 2004)."""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

from rapidfuzz.distance import LCSseq

from evaluators.judges.base import MAX_CHARS, NO_REFERENCE, SampleScorer, references
from evaluators.score import Sample, Score

_TOKEN = re.compile(r"\w+")


def rouge_scores(answer: str, reference: str, kind: str) -> dict[str, float]:
    """Precision, recall and F1 of `rouge1`, `rouge2` or `rougeL` over lower-cased words, without stemming."""
    a, b = _TOKEN.findall(answer.lower()), _TOKEN.findall(reference.lower())
    if kind == "rougeL":
        common, sizes = LCSseq.similarity(a, b), (len(a), len(b))
    else:
        n = int(kind[-1])
        grams = [Counter(zip(*(words[i:] for i in range(n)), strict=False)) for words in (a, b)]
        common, sizes = (grams[0] & grams[1]).total(), (grams[0].total(), grams[1].total())
    precision, recall = (common / size if size else 0.0 for size in sizes)
    f1 = 2 * precision * recall / (precision + recall) if common else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def rouge(*, kind: Literal["rouge1", "rouge2", "rougeL"] = "rougeL") -> SampleScorer:
    """F1 with the closest reference; raises ValueError for another kind."""
    if kind not in ("rouge1", "rouge2", "rougeL"):
        raise ValueError(f"kind must be rouge1, rouge2 or rougeL, got {kind!r}")

    def judge(sample: Sample) -> Score:
        texts = references(sample)
        if not texts:
            return Score.unscored(NO_REFERENCE)
        if max(map(len, [sample.answer, *texts])) > MAX_CHARS:
            return Score.unscored(f"a text is longer than {MAX_CHARS} characters")
        best = max((rouge_scores(sample.answer, text, kind) for text in texts), key=lambda row: row["f1"])
        return Score(best["f1"], None, f"{kind} F1 {best['f1']:.3f}", best)

    return SampleScorer("rouge", judge, "1", {"kind": kind})
