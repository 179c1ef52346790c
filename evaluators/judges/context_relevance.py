"""Is the context that was retrieved about the question?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluators.judges.base import contexts
from evaluators.judges.relevance import cosine_rows, model_name
from evaluators.score import Sample, Score

# The packaged model reads some 200 words; a longer passage is judged by its best piece.
PIECE_WORDS = 150
# More pieces than this are a whole library; the first ones decide.
MAX_PIECES = 500


@dataclass(frozen=True, slots=True)
class ContextRelevance:
    """Share of passages that are about the question; see `context_relevance`."""

    model: str | None
    device: str | None
    threshold: float

    @property
    def name(self) -> str:
        return "context_relevance"

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {"model": self.model, "threshold": self.threshold}

    @property
    def revision(self) -> str:
        return f"cosine-1 {model_name(self.model)}"

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        texts: list[str] = []
        plans: list[tuple[int, list[tuple[int, int]]]] = []
        for sample in samples:
            spans = []
            question = len(texts)
            passages = contexts(sample) if sample.question.strip() else []
            texts += [sample.question] if passages else []
            for passage in passages:
                start = len(texts)
                texts += _pieces(passage)[: MAX_PIECES - (start - question - 1)]
                spans.append((start, len(texts)))
            plans.append((question, [span for span in spans if span[0] < span[1]]))
        rows = cosine_rows(texts, model=self.model, device=self.device) if texts else np.zeros((0, 1), np.float32)
        return [self._score(rows, question, spans) for question, spans in plans]

    def _score(self, rows: np.ndarray[Any, Any], question: int, spans: list[tuple[int, int]]) -> Score:
        if not spans:
            return Score.unscored("question or context is empty")
        best = [max(0.0, float((rows[a:b] @ rows[question]).max())) for a, b in spans]
        relevant = [value >= self.threshold for value in best]
        label = "relevant" if any(relevant) else "irrelevant"
        explanation = f"{sum(relevant)} of {len(best)} passages reach {self.threshold}; best {max(best):.3f}"
        details = {"passages": best, "share_relevant": sum(relevant) / len(best)}
        return Score(max(best), label, explanation, details)

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """The same as calling the scorer."""
        return self(samples)


def _pieces(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[i : i + PIECE_WORDS]) for i in range(0, len(words), PIECE_WORDS)]


def context_relevance(
    *, model: str | None = None, device: str | None = None, threshold: float = 0.3
) -> ContextRelevance:
    """Similarity of the question with the best passage, from 0 to 1; `details` has every passage and the share above
    the threshold. Passages are `extra["contexts"]`, or the context as one. The threshold is not calibrated.
    """
    return ContextRelevance(model, device, threshold)
