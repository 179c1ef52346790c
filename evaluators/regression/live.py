"""Live traffic of two versions, watched as it comes: bounds that hold at every look, however often one looks.

The bounds are a time-uniform asymptotic confidence sequence of Gaussian-mixture type (Waudby-Smith, Arbour, Sinha,
Kennedy and Ramdas 2024, "Time-uniform central limit theory and asymptotic confidence sequences", one-sided form),
around the difference that `unpaired.difference` estimates from bucket sums. One-sided, with intrinsic time m = n rho^2
and u = sqrt(m + 1) / (2 alpha), the radius is se sqrt(2 (m + 1) / m log(1 + u)): where the half-normal mixture
2 / sqrt(m + 1) exp(x^2 / 2) Phi(x), a martingale from 1, is at its 1 / alpha, x is smaller than that, because
(1 + u) Phi(x) >= 1 + u - 1/2 by the bound 1 - Phi(x) <= exp(-x^2 / 2) / 2.

Traffic has hours and a canary's share of it grows: each step counts the baseline's rows so often that they weigh what
the candidate's do in the same step. Otherwise a candidate that runs by night would be compared with a baseline by day.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluators.regression import decision
from evaluators.regression.result import Kind, Verdict
from evaluators.regression.unpaired import BUCKETS, Sums, difference, no_rows

# Asymptotic bounds start where the central limit does: before, there is no verdict.
MIN_ROWS = 100
MIN_UNITS = 30
# Where the bounds are tightest: about the rows that a drop of some points of a score needs.
TIGHTEST_AT_ROWS = 2_000
_HEAD = 6
STATE_BYTES = 8 * (_HEAD + 4 * BUCKETS)


@dataclass(slots=True)
class LiveComparison:
    """One metric of two streams. The verdict stays as first reached; each is wrong with probability at most alpha.

    `scale` is the range of the values seen so far and may grow; see `unpaired.difference`.
    """

    kind: Kind
    margin: float
    alpha: float
    higher_is_better: bool = True
    scale: float = 1.0
    baseline: Sums = field(default_factory=no_rows)
    candidate: Sums = field(default_factory=no_rows)
    rows_baseline: int = 0
    low: float = -math.inf
    high: float = math.inf
    looks: int = 0
    verdict: Verdict = "not_enough_data"

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5 or not 0 <= self.margin < math.inf or not self.scale > 0:
            raise ValueError(f"need 0 < alpha < 0.5, margin >= 0 and scale > 0, got {self.alpha}, {self.margin}")

    @property
    def rows_candidate(self) -> int:
        """Rows of the candidate so far."""
        return round(self.candidate.rows)

    def update(self, baseline: Sums, candidate: Sums) -> Verdict:
        """Take in the rows of one step and look; a step in which one side has no row says nothing and is left out."""
        if not baseline.rows or not candidate.rows:
            return self.verdict
        self.baseline += baseline.scaled(candidate.rows / baseline.rows)
        self.candidate += candidate
        self.rows_baseline += round(baseline.rows)
        self.looks += 1
        bounds = self._bounds()
        if bounds is not None:
            self.low, self.high = max(self.low, bounds[0]), min(self.high, bounds[1])
            limit = decision.additive(self.margin, self.kind)
            if self.verdict == "not_enough_data":
                # Within the margin comes first, as in `compare`.
                self.verdict = "pass" if self.low > -limit else "fail" if self.high < 0 else "not_enough_data"
        return self.verdict

    def _bounds(self) -> tuple[float, float] | None:
        """One-sided 1 - alpha bounds of this look, lower is worse; None where there is too little for any."""
        if min(self.rows_baseline, self.rows_candidate) < MIN_ROWS:
            return None
        if min(self.baseline.units, self.candidate.units) < MIN_UNITS:
            return None
        if self.kind == "mean_ratio" and min(self.baseline.mean, self.candidate.mean) <= 0:
            return None
        found = self._difference()
        radius = found[1] * boundary(self.rows_candidate, self.alpha)
        return found[0] - radius, found[0] + radius

    def _difference(self) -> tuple[float, float]:
        rows = (float(self.rows_baseline), float(self.rows_candidate))
        found = difference(self.baseline, self.candidate, self.kind, self.scale, rows)
        return (found.effect if self.higher_is_better else -found.effect), found.standard_error

    def as_dict(self) -> dict[str, Any]:
        """What is known so far, as JSON types and in the metric's unit; None where nothing is."""
        seen = self.rows_candidate > 0
        is_bounded = seen and math.isfinite(self.low)
        interval = decision.oriented((self.low, self.high), self.kind, self.higher_is_better) if is_bounded else None
        means = (self.baseline.mean, self.candidate.mean)
        shown = [None if not seen else math.exp(m) if self.kind == "ratio" else m for m in means]
        can_compare = seen and (self.kind != "mean_ratio" or min(means) > 0)
        effect = self._difference()[0] if can_compare else None
        return {
            "kind": self.kind,
            "test": "confidence_sequence",
            "verdict": self.verdict,
            "effect": None if effect is None else decision.in_metric_units(effect, self.kind, self.higher_is_better),
            "interval": None if interval is None else list(interval),
            "margin": self.margin,
            "alpha": self.alpha,
            "n": self.rows_baseline + self.rows_candidate,
            "n_clusters": min(self.baseline.units, self.candidate.units),
            "looks": self.looks,
            "details": {
                "n_baseline": self.rows_baseline,
                "n_candidate": self.rows_candidate,
                "mean_baseline": shown[0],
                "mean_candidate": shown[1],
                "higher_is_better": self.higher_is_better,
                "confidence": 1 - 2 * self.alpha,
            },
        }

    def state(self) -> bytes:
        """What `update` has gathered, for `restore`: STATE_BYTES bytes."""
        verdict = {"not_enough_data": 0.0, "pass": 1.0, "fail": 2.0}[self.verdict]
        head = [float(self.rows_baseline), self.low, self.high, float(self.looks), verdict, self.scale]
        parts = (self.baseline.n, self.baseline.total, self.candidate.n, self.candidate.total)
        return np.concatenate([np.array(head), *parts]).astype("<f8").tobytes()

    def restore(self, state: bytes) -> None:
        """Go on from `state`; raises ValueError for bytes of another shape."""
        values = np.frombuffer(state, dtype="<f8")
        if len(values) != _HEAD + 4 * BUCKETS:
            raise ValueError(f"a state of {BUCKETS} buckets has {_HEAD + 4 * BUCKETS} numbers, got {len(values)}")
        sides = values[_HEAD:].reshape(4, BUCKETS).astype(np.float64)
        self.rows_baseline, self.low, self.high = round(values[0]), float(values[1]), float(values[2])
        self.looks, self.scale = round(values[3]), float(values[5])
        verdicts: tuple[Verdict, ...] = ("not_enough_data", "pass", "fail")
        self.verdict = verdicts[round(values[4])]
        self.baseline, self.candidate = Sums(sides[0], sides[1]), Sums(sides[2], sides[3])


def boundary(rows: int, alpha: float) -> float:
    """The one-sided time-uniform radius in standard errors after so many rows, at its tightest at TIGHTEST_AT_ROWS.

    rho^2 by equation 9 of Waudby-Smith et al. (2024).
    """
    level = 2 * alpha
    tightest = -2 * math.log(level) + math.log(-2 * math.log(level)) + 1
    m = rows * tightest / TIGHTEST_AT_ROWS
    return math.sqrt(2 * (m + 1) / m * math.log1p(math.sqrt(m + 1) / (2 * alpha)))
