"""Two samples of different items, such as the live traffic of two releases, from sums by hash bucket.

Rows of one session, conversation or user are not independent. Each such unit goes to one of a fixed number of buckets
by its hash, so rows and totals by bucket hold all that a cluster-robust comparison needs, however many rows there are:
buckets are independent, units never span two of them, and sums add up over time (the bucket method of Chamandy,
Muralidharan, Najmi and Naidu 2012, "Estimating Uncertainty for Massive Data Streams").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evaluators.regression import decision, paired, power
from evaluators.regression.result import Kind, RegressionResult, Verdict

# Buckets give the standard error to 3 % (1 in sqrt(2 x 512)), and two sides of a metric are 16 kB.
BUCKETS = 512
# With fewer independent units in a side the spread between them is no estimate of anything.
MIN_UNITS = 5


@dataclass(frozen=True, slots=True)
class Sums:
    """One side: (b,) number of rows and (b,) total of their values by bucket.

    Of a `ratio` metric the totals are of the natural logarithms of the values.
    """

    n: NDArray[np.float64]
    total: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.n.ndim != 1 or self.n.shape != self.total.shape:
            raise ValueError(f"need rows and totals by bucket, got shapes {self.n.shape} and {self.total.shape}")
        if not (np.isfinite(self.n).all() and np.isfinite(self.total).all() and (self.n >= 0).all()):
            raise ValueError("rows and totals must be finite, and rows at least 0")

    @property
    def rows(self) -> float:
        """All rows."""
        return float(self.n.sum())

    @property
    def mean(self) -> float:
        """Mean over all rows; nan without any."""
        return float(self.total.sum() / self.n.sum()) if self.rows else math.nan

    @property
    def units(self) -> int:
        """Buckets with rows: as many independent parts there are."""
        return int((self.n > 0).sum())

    def scaled(self, factor: float) -> Sums:
        """The sums with every row counted `factor` times."""
        return Sums(self.n * factor, self.total * factor)

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.n + other.n, self.total + other.total)


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus baseline on the scale of the test (logarithms for ratios), its standard error and freedom."""

    effect: float
    standard_error: float
    degrees: float


def bucket_sums(values: NDArray[np.float64], buckets: NDArray[np.intp], count: int = BUCKETS) -> Sums:
    """Rows and totals of (n,) values whose unit is in bucket `buckets` (n,), numbers from 0 to `count` - 1."""
    return Sums(
        np.bincount(buckets, minlength=count).astype(np.float64), np.bincount(buckets, values, count).astype(np.float64)
    )


def no_rows() -> Sums:
    """A side before its first row."""
    return Sums(np.zeros(BUCKETS), np.zeros(BUCKETS))


def difference(baseline: Sums, candidate: Sums, kind: Kind, scale: float, rows: tuple[float, float]) -> Difference:
    """The difference of the means, or the log ratio of the means for `mean_ratio`, by the delta method over buckets.

    A bucket holds a unit's rows of both sides, so a user who met both versions is not counted as two strangers.
    `scale` is the range of the values and `rows` the rows a side: the standard error is at least what one row unlike
    the others would give, so that a rate of 0 in both sides is not taken for certain.
    """
    means = (baseline.mean, candidate.mean)
    residuals = [
        (side.total - mean * side.n) / side.rows for side, mean in zip((baseline, candidate), means, strict=True)
    ]
    unlike = [scale * math.sqrt((count + 1) / count) / (count + 2) for count in rows]
    effect = means[1] - means[0]
    if kind == "mean_ratio":
        if min(means) <= 0:
            raise ValueError("a ratio of means needs means above 0")
        residuals = [residual / mean for residual, mean in zip(residuals, means, strict=True)]
        unlike = [each / mean for each, mean in zip(unlike, means, strict=True)]
        effect = math.log(means[1] / means[0])
    parts = [side.units / max(1, side.units - 1) for side in (baseline, candidate)]
    variances = [part * float(residual @ residual) for part, residual in zip(parts, residuals, strict=True)]
    both = sum(variances) - 2 * float(residuals[0] @ residuals[1])
    floors = [max(variance, low**2) for variance, low in zip(variances, unlike, strict=True)]
    variance = max(both, sum(low**2 for low in unlike))
    freedom = sum(v**2 / max(1, side.units - 1) for v, side in zip(floors, (baseline, candidate), strict=True))
    return Difference(effect, math.sqrt(variance), sum(floors) ** 2 / freedom if freedom else math.inf)


def compare_unpaired(
    baseline: Sums,
    candidate: Sums,
    *,
    kind: Kind,
    margin: float | None = None,
    alpha: float = 0.05,
    higher_is_better: bool = True,
    scale: float = 1.0,
) -> RegressionResult:
    """Compare two sides that are not pairs; the verdicts are those of `compare`.

    `effect` is the difference of the means (`binary`, `continuous`), or the ratio of the geometric (`ratio`) or
    arithmetic means (`mean_ratio`) minus 1; `n` and `n_needed` count rows of both sides, at their present shares.
    `scale` is the range of the values, 1 for scores within [0, 1]. Welch's test on bucket sums. Raises ValueError
    where sides have other buckets, a side has no row, or the settings are bad.
    """
    if baseline.n.shape != candidate.n.shape:
        raise ValueError(f"the sides have {len(baseline.n)} and {len(candidate.n)} buckets")
    if not baseline.rows or not candidate.rows:
        raise ValueError("both sides need at least one row")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, got {alpha}")
    margin, source = decision.default_margin(margin, kind, baseline.mean, scale <= 1)
    found = difference(baseline, candidate, kind, scale, (baseline.rows, candidate.rows))
    sign = 1.0 if higher_is_better else -1.0
    limit = decision.additive(margin, kind)
    units = min(baseline.units, candidate.units)
    estimate = paired.Estimate("welch_t_buckets", 0.0, 1.0, sign * found.effect, None, math.nan)
    if units >= MIN_UNITS:
        t = sign * found.effect / found.standard_error
        half = float(special.stdtrit(found.degrees, 1 - alpha)) * found.standard_error
        estimate = replace(
            estimate,
            statistic=t,
            p_worse=float(special.stdtr(found.degrees, t)),
            interval=(sign * found.effect - half, sign * found.effect + half),
            standard_error=found.standard_error,
        )
    verdict = decision.decide(estimate, limit, alpha)
    smallest = decision.detectable(estimate, found.degrees, alpha)
    rows = round(baseline.rows + candidate.rows)
    undecided = verdict == "not_enough_data" or (smallest is not None and smallest > limit)
    details: dict[str, Any] = {
        "n_baseline": int(baseline.rows),
        "n_candidate": int(candidate.rows),
        "margin_source": source,
        "confidence": 1 - 2 * alpha,
        "higher_is_better": higher_is_better,
        "mean_baseline": math.exp(baseline.mean) if kind == "ratio" else baseline.mean,
        "mean_candidate": math.exp(candidate.mean) if kind == "ratio" else candidate.mean,
    }
    if estimate.interval is not None:
        details["worse_within_margin"] = bool(estimate.interval[0] > -limit and estimate.interval[1] < 0)
    return RegressionResult(
        kind=kind,
        test=estimate.test,
        statistic=sign * estimate.statistic,
        p_value=estimate.p_worse,
        effect=decision.in_metric_units(sign * found.effect, kind, higher_is_better),
        interval=decision.oriented(estimate.interval, kind, higher_is_better),
        verdict=verdict,
        n=rows,
        n_clusters=units,
        n_needed=_rows_needed(estimate, verdict, rows, limit, alpha) if undecided else None,
        margin=margin,
        alpha=alpha,
        minimum_detectable_effect=smallest,
        details=details,
    )


def _rows_needed(estimate: paired.Estimate, verdict: Verdict, rows: int, limit: float, alpha: float) -> int | None:
    """Rows of both sides that would settle the verdict with power 0.8, if the spread and the shares stay."""
    distance = decision.distance_to_show(estimate, verdict, limit)
    if estimate.interval is None or distance <= 0:
        return None
    return power.sample_size(estimate.standard_error * math.sqrt(rows), distance, alpha=alpha)
