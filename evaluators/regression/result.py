"""What a comparison of two runs answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["pass", "fail", "not_enough_data"]
Kind = Literal["binary", "continuous", "ratio", "mean_ratio"]


@dataclass(frozen=True, slots=True)
class RegressionResult:
    """A comparison of a candidate with a baseline; where the sides are no pairs, `n` and `n_needed` count rows.

    `effect` is candidate minus baseline in the metric's own unit (for `ratio`, of the geometric means, and
    `mean_ratio`, of the arithmetic means: candidate over baseline, minus 1), and
    `interval` its two-sided 1 - 2 alpha interval, so that each end is a one-sided 1 - alpha bound; None when a single
    item leaves nothing to estimate it from. `p_value` is one-sided, for the hypothesis that the candidate is not worse.
    `n` counts pairs, `n_clusters` independent groups of them.
    `n_needed` is the number of pairs that would settle an open verdict with power 0.8 if the difference seen is true
    or, beside a settled one, that would show a drop of the margin; None when the pairs at hand do, or when no
    number would. `minimum_detectable_effect` is the drop that this many pairs would show with power 0.8.
    """

    kind: Kind
    test: str
    statistic: float
    p_value: float
    effect: float
    interval: tuple[float, float] | None
    verdict: Verdict
    n: int
    n_clusters: int
    n_needed: int | None
    margin: float
    alpha: float
    minimum_detectable_effect: float | None
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON types."""
        row = asdict(self)
        row["interval"] = None if self.interval is None else list(self.interval)
        return row
