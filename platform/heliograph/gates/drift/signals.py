"""What a monitor can look at, by name.

Embeddings (`input`, `output`) by a kernel two-sample test, numbers by Kolmogorov-Smirnov's, categories by chi-squared.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["embedding", "number", "category"]
SCORE = "score."

KINDS: dict[str, Kind] = {
    "input": "embedding",
    "output": "embedding",
    "input_length": "number",
    "output_length": "number",
    "latency": "number",
    "ttft": "number",
    "input_tokens": "number",
    "output_tokens": "number",
    "cost": "number",
    "finish_reason": "category",
    "status": "category",
    "model": "category",
    "language": "category",
    "kind": "category",
    "tool": "category",
}
# Each signal is tested in each segment.
MAX_SIGNALS = 20
# Of all spans, not of model calls alone.
OF_ALL_SPANS = frozenset({"kind", "tool"})


class InvalidSignalError(ValueError):
    """A signal or segment that a monitor cannot look at; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal."""

    name: str
    kind: Kind

    @property
    def score(self) -> str:
        """The name of the score that it is, '' for the others."""
        return self.name.removeprefix(SCORE) if self.name.startswith(SCORE) else ""


def signals(names: Iterable[object]) -> list[Signal]:
    """Read the signals of a monitor. Raises InvalidSignalError."""
    given = list(names)
    if not 1 <= len(given) <= MAX_SIGNALS:
        raise InvalidSignalError(f"A monitor looks at 1 to {MAX_SIGNALS} signals.")
    if len(set(map(str, given))) < len(given):
        raise InvalidSignalError("A signal is named twice.")
    return [_signal(name) for name in given]


def _signal(name: object) -> Signal:
    if isinstance(name, str) and name in KINDS:
        return Signal(name, KINDS[name])
    if isinstance(name, str) and name.startswith(SCORE) and len(SCORE) < len(name) <= 200:
        return Signal(name, "number")
    raise InvalidSignalError(f"{str(name)[:50]!r} is no signal. Choose from {', '.join([*KINDS, 'score.NAME'])}.")
