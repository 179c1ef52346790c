"""What every evaluator takes and returns: samples in, scores out, in the same order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

UNSCORED = "unscored"
_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer to judge, with what it was answered from."""

    id: str
    context: str
    question: str
    answer: str
    extra: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True, slots=True)
class Score:
    """A verdict: `value` is None, and the label `unscored`, when the sample could not be judged."""

    value: float | None
    label: str | None
    explanation: str
    details: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)

    def __post_init__(self) -> None:
        if (self.value is None) != (self.label == UNSCORED):
            raise ValueError(f"a score without a value is labelled {UNSCORED!r}, and only such a one")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError("a score is a finite number; use Score.unscored(reason) where none can be given")

    @classmethod
    def unscored(cls, reason: str, details: Mapping[str, Any] = _EMPTY) -> Score:
        """Abstain: the sample cannot be judged, which is never the same as a score of 0."""
        return cls(value=None, label=UNSCORED, explanation=reason, details=details)

    @property
    def is_scored(self) -> bool:
        return self.value is not None


@runtime_checkable
class Scorer(Protocol):
    """What an evaluator returns: a callable with the name, arguments and revision that are stored with its scores.

    `revision` changes whenever the same sample could get another score: weights, threshold and calibration are in it.
    """

    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> Mapping[str, Any]: ...
    @property
    def revision(self) -> str: ...

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """Scores in the order of `samples`, one each."""
        ...

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """The same as calling the scorer."""
        ...


@runtime_checkable
class PreparingScorer(Scorer, Protocol):
    """A scorer in two steps, so that the first can be done for the next samples while the second computes."""

    def prepare(self, samples: Sequence[Sample]) -> Any:
        """What `score_prepared` needs; runs in a thread of its own."""
        ...

    def score_prepared(self, samples: Sequence[Sample], ready: Any) -> list[Score]:
        """The same as `score`, of the samples that `ready` was prepared from."""
        ...
