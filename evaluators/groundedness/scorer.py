"""From samples to scores, whatever the backend: what cannot be judged is said, what can is explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluators.batching import Stats
from evaluators.groundedness.language import foreign
from evaluators.groundedness.verdict import AnswerVerdict, Backend, SentenceVerdict
from evaluators.prefetch import ahead
from evaluators.score import Sample, Score
from evaluators.text import Span

GROUNDED, HALLUCINATED = "grounded", "hallucinated"
# A context of a million characters is some 250,000 tokens and an answer of 30,000 some 8,000: more than models are
# given and give. Beyond lies a mistake, and each sentence of the answer is compared with each of the context.
MAX_CONTEXT_CHARS, MAX_ANSWER_CHARS = 1_000_000, 30_000
# More samples are judged in parts, the next one read and tokenized meanwhile: enough to sort by length and fill
# batches, few enough to bound what is held.
AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Ready:
    """Why each sample cannot be judged, or None; and the others as the backend reads them."""

    reasons: list[str | None]
    prepared: Any


@dataclass(frozen=True, slots=True)
class GroundednessScorer:
    """Probability that each answer is supported by its context; label `grounded` from `threshold` upwards."""

    backend: Backend
    threshold: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    name: str = "groundedness"
    english_only: bool = True

    @property
    def revision(self) -> str:
        """Hash of the weights, calibration and threshold: what else decides a score."""
        return f"{self.backend.revision}@{self.threshold:.3f}"

    @property
    def stats(self) -> Stats:
        return self.backend.stats

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        return self.score(samples)

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """Scores in the order of the samples; `unscored`, with the reason, for what cannot be judged."""
        if len(samples) <= AT_ONCE:
            return self.score_prepared(samples, self.prepare(samples))
        parts = (samples[start : start + AT_ONCE] for start in range(0, len(samples), AT_ONCE))
        return [score for part, ready in ahead(parts, self.prepare) for score in self.score_prepared(part, ready)]

    def prepare(self, samples: Sequence[Sample]) -> Ready:
        """What `score_prepared` needs, made without the model: may run in another thread than that."""
        reasons = [self._refusal(sample) for sample in samples]
        usable = [sample for sample, reason in zip(samples, reasons, strict=True) if reason is None]
        return Ready(reasons, self.backend.prepare(usable))

    def score_prepared(self, samples: Sequence[Sample], ready: Ready) -> list[Score]:
        """The scores of samples that `prepare` was given."""
        reasons = ready.reasons
        judged = iter(self.backend.judge(ready.prepared))
        about = {
            "model": self.backend.model,
            "family": self.backend.family,
            "revision": self.revision,
            "threshold": self.threshold,
        }
        return [
            Score.unscored(reason, about) if reason else self._score(sample, next(judged), about)
            for sample, reason in zip(samples, reasons, strict=True)
        ]

    def _refusal(self, sample: Sample) -> str | None:
        for what, text, limit in (
            ("context", sample.context, MAX_CONTEXT_CHARS),
            ("answer", sample.answer, MAX_ANSWER_CHARS),
        ):
            if not any(char.isalnum() for char in text):
                return f"empty {what}"
            if len(text) > limit:
                return f"over-long {what}: {len(text)} characters, at most {limit} are read"
            reason = foreign(text) if self.english_only else None
            if reason:
                return f"wrong language: the {what} {_verb(reason)}, and the model reads English only"
        return None

    def _score(self, sample: Sample, verdict: AnswerVerdict, about: Mapping[str, Any]) -> Score:
        if verdict.cut:
            return Score.unscored(f"over-long input: {verdict.cut}", about)
        sentences = [self._sentence(item) for item in verdict.sentences]
        wrong = [item for item in verdict.sentences if item.probability < self.threshold]
        details: dict[str, Any] = {
            **about,
            "sentences": sentences,
            "supported_share": 1 - len(wrong) / len(sentences) if sentences else None,
        }
        if verdict.unsupported:
            details["unsupported_spans"] = [_offsets(span) for span in verdict.unsupported]
        label = GROUNDED if verdict.probability >= self.threshold else HALLUCINATED
        return Score(verdict.probability, label, self._explanation(sample, verdict, len(wrong)), details)

    def _sentence(self, item: SentenceVerdict) -> dict[str, Any]:
        return {
            **_offsets(item.span),
            "probability": item.probability,
            "verdict": GROUNDED if item.probability >= self.threshold else HALLUCINATED,
            "evidence": [_offsets(span) for span in item.evidence],
        }

    def _explanation(self, sample: Sample, verdict: AnswerVerdict, wrong: int) -> str:
        total = len(verdict.sentences)
        if not total:
            return "judged as a whole"
        weakest = min(verdict.sentences, key=lambda item: item.probability)
        text = weakest.span.of(sample.answer)
        quoted = text if len(text) <= 160 else text[:157] + "..."
        return f"{total - wrong} of {total} sentences supported; weakest ({weakest.probability:.2f}): {quoted}"


def _verb(reason: str) -> str:
    return reason if reason.startswith("looks") else f"is {reason}"


def _offsets(span: Span) -> dict[str, int]:
    return {"start": span.start, "end": span.end}
