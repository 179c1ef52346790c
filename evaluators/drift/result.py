"""What every drift test answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["drift", "no_drift"]


@dataclass(frozen=True, slots=True)
class DriftResult:
    """One two-sample test of a current window against a reference window.

    `effect` is the size of the change in the unit the test's docstring names, `interval` its two-sided 95 %
    confidence interval, or None where the test has none. `verdict` is `drift` only when `p_value` is at most alpha
    and the effect is at least the smallest effect that the caller asked about.
    """

    test: str
    statistic: float
    p_value: float
    effect: float
    interval: tuple[float, float] | None
    verdict: Verdict
    n_reference: int
    n_current: int
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON types; `n` is the two sample sizes."""
        row = asdict(self)
        row["interval"] = None if self.interval is None else list(self.interval)
        row["n"] = {"reference": row.pop("n_reference"), "current": row.pop("n_current")}
        return row


def decide(p_value: float, effect: float, *, alpha: float, min_effect: float) -> Verdict:
    """`drift` when the change is both unlikely to be chance and at least `min_effect` in size."""
    if not math.isfinite(p_value):
        raise ValueError(f"a p-value must be a number, got {p_value}")
    return "drift" if p_value <= alpha and abs(effect) >= min_effect else "no_drift"


def check_alpha(alpha: float) -> None:
    """Raise ValueError unless 0 < alpha < 1."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
