"""Exact match with a reference after a stated normalisation."""

from __future__ import annotations

import re
import string
import unicodedata

from evaluators.judges.base import NO_REFERENCE, SampleScorer, passed, references
from evaluators.score import Sample, Score

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, no ASCII punctuation, no English article, single spaces (the rule of SQuAD), after NFC."""
    text = unicodedata.normalize("NFC", text).lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def exact_match(*, strict: bool = False) -> SampleScorer:
    """1 when the answer equals one of the references; `strict` compares the texts as they are, but for NFC."""

    def judge(sample: Sample) -> Score:
        expected = references(sample)
        if not expected:
            return Score.unscored(NO_REFERENCE)
        form = (lambda text: unicodedata.normalize("NFC", text)) if strict else normalise
        equal = form(sample.answer) in {form(text) for text in expected}
        return passed(equal, "equals a reference" if equal else f"differs from all {len(expected)} references")

    return SampleScorer("exact_match", judge, "1", {"strict": strict})
