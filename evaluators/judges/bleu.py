"""BLEU and chrF as sacrebleu computes them, from 0 to 1; the signature says how."""

from __future__ import annotations

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from evaluators.judges.base import MAX_CHARS, NO_REFERENCE, SampleScorer, references
from evaluators.score import Sample, Score


def bleu() -> SampleScorer:
    """Sentence BLEU with exponential smoothing and effective order (Post 2018) over 100."""
    return _scorer("bleu", BLEU(effective_order=True))


def chrf(*, word_order: int = 0) -> SampleScorer:
    """chrF (Popovic 2015) over 100; `word_order` 2 gives chrF++."""
    return _scorer("chrf", CHRF(word_order=word_order), word_order=word_order)


def _scorer(name: str, metric: BLEU | CHRF, **arguments: int) -> SampleScorer:
    def judge(sample: Sample) -> Score:
        texts = references(sample)
        if not texts:
            return Score.unscored(NO_REFERENCE)
        if max(map(len, [sample.answer, *texts])) > MAX_CHARS:
            return Score.unscored(f"a text is longer than {MAX_CHARS} characters")
        result = metric.sentence_score(sample.answer, texts)
        signature = str(metric.get_signature())
        return Score(result.score / 100, None, f"{name} {result.score / 100:.3f}", {"signature": signature})

    return SampleScorer(name, judge, "1", arguments)
