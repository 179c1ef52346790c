"""Is the answer about the question?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluators.judges.refusal import refusal_pattern
from evaluators.judges.relevance import cosine_rows, model_name
from evaluators.score import Sample, Score


@dataclass(frozen=True, slots=True)
class AnswerRelevance:
    """Cosine of question and answer, cut at 0; see `answer_relevance`."""

    model: str | None
    device: str | None
    threshold: float

    @property
    def name(self) -> str:
        return "answer_relevance"

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {"model": self.model, "threshold": self.threshold}

    @property
    def revision(self) -> str:
        return f"cosine-1 {model_name(self.model)}"

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        scores = [_unscorable(sample) for sample in samples]
        open_ = [i for i, score in enumerate(scores) if score is None]
        if open_:
            texts = [samples[i].question for i in open_] + [samples[i].answer for i in open_]
            rows = cosine_rows(texts, model=self.model, device=self.device)
            for k, i in enumerate(open_):
                value = max(0.0, float(rows[k] @ rows[len(open_) + k]))
                label = "relevant" if value >= self.threshold else "irrelevant"
                scores[i] = Score(value, label, f"similarity {value:.3f}, threshold {self.threshold}", {})
        return [score for score in scores if score is not None]

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """The same as calling the scorer."""
        return self(samples)


def _unscorable(sample: Sample) -> Score | None:
    if not sample.question.strip() or not sample.answer.strip():
        return Score.unscored("question or answer is empty")
    if refusal_pattern(sample.answer):
        # A refusal repeats the words of the question and would look relevant.
        return Score(0.0, "irrelevant", "the answer is a refusal", {"refusal": True})
    return None


def answer_relevance(*, model: str | None = None, device: str | None = None, threshold: float = 0.3) -> AnswerRelevance:
    """Similarity of question and answer from 0 to 1, `relevant` from the threshold; a refusal is 0.

    `model` is a sentence-embedding model (Hugging Face id or folder), by default the packaged MiniLM. The threshold is
    not calibrated: set it from labelled traces.
    """
    return AnswerRelevance(model, device, threshold)
