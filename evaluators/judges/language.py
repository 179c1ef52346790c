"""Which language is it, and is it the one that was asked for?"""

from __future__ import annotations

from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped] # publishes no types

from evaluators.judges.base import SampleScorer
from evaluators.score import Sample, Score

# Below this many letters a text has no recognisable language.
LEAST_LETTERS = 20
CONFIDENT = 0.8
# The language does not change after this many characters often enough to pay for reading more.
MOST_CHARS = 5000


@cache
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def identify(text: str) -> tuple[str, float] | None:
    """(ISO 639-1 code, probability from 0 to 1); None for a text with fewer than LEAST_LETTERS letters."""
    head = text[:MOST_CHARS]
    letters = sum(2 if ord(c) > 0x2E7F else 1 for c in head if c.isalpha())
    if letters < LEAST_LETTERS:
        return None
    code, probability = _identifier().classify(head)
    return str(code), float(probability)


def language(*, expected: str | None = None) -> SampleScorer:
    """Without `expected` (nor `extra["language"]`): the probability of the language found, which is the label. With it:
    1 and `match` when that language was found, else 0 and `mismatch`. Unscored where the text is too short or unclear.
    """

    def judge(sample: Sample) -> Score:
        found = identify(sample.answer)
        if found is None:
            return Score.unscored(f"fewer than {LEAST_LETTERS} letters")
        code, probability = found
        details = {"language": code, "probability": probability}
        if probability < CONFIDENT:
            return Score.unscored(f"unclear: {code} with probability {probability:.2f}", details)
        wanted = expected or sample.extra.get("language")
        if not isinstance(wanted, str):
            return Score(probability, code, f"{code} with probability {probability:.2f}", details)
        same = code == wanted.lower().split("-")[0]
        return Score(float(same), "match" if same else "mismatch", f"found {code}, expected {wanted}", details)

    return SampleScorer("language", judge, "py3langid-1", {"expected": expected})
