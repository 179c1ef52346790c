"""What the judges share: a scorer around a function of one sample, and the reference texts of a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluators.score import Sample, Score

# Judges whose cost grows with the square of a text, or that match patterns, stop here; a model's answer is shorter.
MAX_CHARS = 1_000_000
REFERENCE_KEYS = ("expected", "reference", "ground_truth")


@dataclass(frozen=True, slots=True)
class SampleScorer:
    """A scorer that judges each sample on its own."""

    name: str
    judge: Callable[[Sample], Score]
    revision: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """Scores in the order of `samples`, one each."""
        return [self.judge(sample) for sample in samples]

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """The same as calling the scorer."""
        return self(samples)


@dataclass(frozen=True, slots=True)
class BatchScorer:
    """A scorer that judges many samples at once, for a model that reads them in batches."""

    name: str
    judge: Callable[[Sequence[Sample]], list[Score]]
    revision: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """Scores in the order of `samples`, one each."""
        return self.judge(samples)

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """The same as calling the scorer."""
        return self(samples)


def references(sample: Sample) -> list[str]:
    """The texts that count as right: the first of REFERENCE_KEYS in `extra`, a text or a list of texts; else none."""
    for key in REFERENCE_KEYS:
        value = sample.extra.get(key)
        if isinstance(value, str):
            return [value]
        if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
            return list(value)
    return []


NO_REFERENCE = f"no reference text: none of {', '.join(REFERENCE_KEYS)} is a text or a list of texts"


def contexts(sample: Sample) -> list[str]:
    """The passages of a sample: `extra["contexts"]` where it is a list of texts, else the context as one passage."""
    value = sample.extra.get("contexts")
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return [text for text in value if text.strip()]
    return [sample.context] if sample.context.strip() else []


def passed(value: bool, explanation: str, details: Mapping[str, Any] | None = None) -> Score:
    """A score of 1 labelled `pass` or of 0 labelled `fail`."""
    return Score(1.0 if value else 0.0, "pass" if value else "fail", explanation, details or {})


def against_references(sample: Sample, compare: Callable[[str, str], float]) -> tuple[float, str] | None:
    """The best of `compare(answer, reference)` over the references, with that reference; None without references."""
    found = [(compare(sample.answer, text), text) for text in references(sample)]
    return max(found, key=lambda pair: pair[0]) if found else None
