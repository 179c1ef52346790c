"""What a backend says of an answer, whatever its family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evaluators.batching import Stats
from evaluators.score import Sample
from evaluators.text import Span


@dataclass(frozen=True, slots=True)
class SentenceVerdict:
    """A sentence of the answer, the probability that the context supports it, and the evidence that decided it."""

    span: Span
    probability: float
    evidence: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class AnswerVerdict:
    """`probability` that the whole answer is grounded; `unsupported`, from token detectors only, are
    spans of it.

    `cut` says what did not fit into the model, if anything: such a verdict is not given out.
    """

    probability: float
    sentences: tuple[SentenceVerdict, ...]
    unsupported: tuple[Span, ...] = ()
    cut: str | None = None


class Backend(Protocol):
    """One family of models behind the contract.

    `prepare` gets samples with context and answer, and does all that needs no model: it runs in another thread, for the
    next samples, while `judge` computes what an earlier call made ready. `judge` keeps the order of the samples.
    """

    @property
    def family(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def threshold(self) -> float: ...
    @property
    def stats(self) -> Stats: ...

    def compile(self) -> None:
        """Have torch compile the model at its next use."""
        ...

    def prepare(self, samples: Sequence[Sample]) -> Any: ...
    def judge(self, prepared: Any) -> list[AnswerVerdict]: ...
