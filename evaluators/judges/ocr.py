"""How well was a page read? Error rates against a transcription, with the normalisation stated.

Texts are normalised to Unicode NFC and nothing else: case, spaces and line breaks count. Distances are over Unicode
code points (characters) or over runs of non-space (words).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, Literal

from rapidfuzz.distance import Levenshtein

from evaluators.judges.base import MAX_CHARS, NO_REFERENCE, SampleScorer, references
from evaluators.judges.json_schema import parse_answer
from evaluators.score import Sample, Score

# Biten et al. 2019: an answer less than half alike earns nothing.
ANLS_THRESHOLD = 0.5


def normalise(text: str) -> str:
    """Unicode NFC."""
    return unicodedata.normalize("NFC", text)


def character_error_rate(hypothesis: str, reference: str) -> float:
    """Levenshtein distance of characters over the reference's length; may exceed 1. ValueError for an empty one."""
    a, b = normalise(hypothesis), normalise(reference)
    if not b:
        raise ValueError("the reference is empty")
    return Levenshtein.distance(a, b) / len(b)


def word_error_rate(hypothesis: str, reference: str) -> float:
    """Levenshtein distance of words over the reference's number of words. ValueError where it has none."""
    a, b = normalise(hypothesis).split(), normalise(reference).split()
    if not b:
        raise ValueError("the reference has no words")
    return Levenshtein.distance(a, b) / len(b)


def anls(hypothesis: str, texts: list[str]) -> float:
    """Normalised Levenshtein similarity with the closest reference, lower-cased and trimmed, 0 below ANLS_THRESHOLD."""
    answer = normalise(hypothesis).lower().strip()
    best = max(Levenshtein.normalized_similarity(answer, normalise(text).lower().strip()) for text in texts)
    return float(best) if best >= ANLS_THRESHOLD else 0.0


def field_scores(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, float]:
    """Precision, recall and F1 over (field, value) pairs, values compared as NFC text without outer spaces.

    A field that is null or empty counts as absent on either side.
    """
    pairs = [
        {(key, normalise(str(value)).strip()) for key, value in fields.items() if value not in (None, "")}
        for fields in (found, expected)
    ]
    common = len(pairs[0] & pairs[1])
    precision = common / len(pairs[0]) if pairs[0] else 0.0
    recall = common / len(pairs[1]) if pairs[1] else 0.0
    return {"precision": precision, "recall": recall, "f1": 2 * common / max(1, len(pairs[0]) + len(pairs[1]))}


def ocr(*, metric: Literal["cer", "wer", "anls"] = "cer") -> SampleScorer:
    """`cer` and `wer`: error rates, 0 is best; `anls`: similarity, 1 is best. Against the best of several references.

    Raises ValueError for another metric.
    """
    if metric not in ("cer", "wer", "anls"):
        raise ValueError(f"metric must be cer, wer or anls, got {metric!r}")

    def judge(sample: Sample) -> Score:
        texts = references(sample)
        if not texts:
            return Score.unscored(NO_REFERENCE)
        if max(map(len, [sample.answer, *texts])) > MAX_CHARS:
            return Score.unscored(f"a text is longer than {MAX_CHARS} characters")
        if metric == "anls":
            value = anls(sample.answer, texts)
        else:
            rate = character_error_rate if metric == "cer" else word_error_rate
            try:
                value = min(rate(sample.answer, text) for text in texts)
            except ValueError as error:
                return Score.unscored(str(error))
        return Score(value, None, f"{metric} {value:.4f} after NFC", {"normaliser": "NFC"})

    return SampleScorer("ocr", judge, "1", {"metric": metric})


def field_f1() -> SampleScorer:
    """F1 of extracted fields: `extra["fields"]` (or the answer as a JSON object) against `extra["expected_fields"]`."""

    def judge(sample: Sample) -> Score:
        expected, found = sample.extra.get("expected_fields"), sample.extra.get("fields")
        if not isinstance(expected, Mapping) or not expected:
            return Score.unscored("expected_fields is not an object with fields")
        if found is None:
            try:
                found = parse_answer(sample.answer)
            except ValueError as error:
                return Score(0.0, None, f"the answer is not JSON: {error}", {})
        if not isinstance(found, Mapping):
            return Score(0.0, None, "the answer is not a JSON object", {})
        values = field_scores(found, expected)
        return Score(values["f1"], None, f"field F1 {values['f1']:.3f}", values)

    return SampleScorer("field_f1", judge, "1", {})
