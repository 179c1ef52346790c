"""Paired tests and intervals for a difference: exact for proportions, cluster-robust for means, ranks beside them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

# Below this share of the scores' scale a spread is rounding, not variation.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference with its one-sided p-value (for "lower is worse"), its bounds and standard error."""

    test: str
    statistic: float
    p_worse: float
    effect: float
    interval: tuple[float, float] | None
    standard_error: float
    exact_p: float | None = None


def mcnemar_mid_p(worse: int, better: int) -> tuple[float, float]:
    """One-sided (mid-p, exact p) that as many of the changed pairs got worse by chance (Fagerland et al. 2013)."""
    changed = worse + better
    if changed == 0:
        return 1.0, 1.0
    exact = float(stats.binom.sf(worse - 1, changed, 0.5))
    return exact - 0.5 * float(stats.binom.pmf(worse, changed, 0.5)), exact


def tango_interval(worse: int, better: int, n: int, alpha: float) -> tuple[float, float]:
    """Score interval of (better - worse) / n with 1 - 2 alpha coverage (Tango 1998).

    It has width even when no pair changed: n equal pairs still allow a drop of z^2 / (n + z^2).
    """
    z = float(special.ndtri(1 - alpha))

    def score(difference: float) -> float:
        b = (2 * n - better + worse) * difference - better - worse
        c = -worse * difference * (1 - difference)
        q = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        variance = n * (2 * q + difference * (1 - difference))
        gap = better - worse - n * difference
        # At the ends of the range the variance vanishes; the sign of the gap is then the whole answer.
        return gap / math.sqrt(variance) if variance > 1e-15 else math.copysign(math.inf, gap) if gap else 0.0

    effect = (better - worse) / n
    low = -1.0 if worse == n else _root(lambda d: score(d) - z, -1 + 1e-12, effect)
    high = 1.0 if better == n else _root(lambda d: score(d) + z, effect, 1 - 1e-12)
    return low, high


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(optimize.brentq(function, low, high, xtol=1e-10))


def proportions(baseline: NDArray[np.float64], candidate: NDArray[np.float64], alpha: float) -> Estimate:
    """McNemar's mid-p test and Tango's interval for independent pairs of 0 and 1."""
    worse, better = int((baseline > candidate).sum()), int((candidate > baseline).sum())
    n = len(baseline)
    mid_p, exact = mcnemar_mid_p(worse, better)
    effect = (better - worse) / n
    return Estimate(
        test="mcnemar_mid_p",
        statistic=(better - worse) / math.sqrt(better + worse) if better + worse else 0.0,
        p_worse=mid_p,
        effect=effect,
        interval=tango_interval(worse, better, n, alpha),
        standard_error=math.sqrt(max(0.0, (better + worse) / n - effect**2) / n),
        exact_p=exact,
    )


def means(difference: NDArray[np.float64], groups: NDArray[np.intp], scale: float, alpha: float) -> Estimate:
    """Mean difference over items with a cluster-robust t interval; with equal clusters, the paired t test on means.

    `groups` numbers the cluster of each item from 0 without a gap, `scale` is the range of the scores. When all
    differences agree there is no spread to estimate: the interval then allows a share 1 - alpha^(1 / clusters) of
    items, the most that the sample cannot exclude, to differ by the whole range.
    """
    clusters, n = int(groups.max()) + 1, len(difference)
    effect = float(difference.mean())
    if clusters < 2:
        return Estimate("paired_t", 0.0, 1.0, effect, None, math.nan)
    sums = np.bincount(groups, difference - effect)
    error = math.sqrt(clusters / (clusters - 1) * float(sums @ sums)) / n
    if error <= ROUNDING * max(scale, abs(effect)):
        half = (1 - alpha ** (1 / clusters)) * scale
        p = 0.5**clusters if effect < 0 else 1.0
        return Estimate("sign", 0.0, p, effect, (effect - half, effect + half), 0.0)
    t = effect / error
    half = float(special.stdtrit(clusters - 1, 1 - alpha)) * error
    name = "paired_t" if clusters == n else "paired_t_clustered"
    return Estimate(name, t, float(special.stdtr(clusters - 1, t)), effect, (effect - half, effect + half), error)


def wilcoxon(difference: NDArray[np.float64], groups: NDArray[np.intp]) -> float | None:
    """One-sided p-value of the signed-rank test on cluster means; None when every difference is zero."""
    values = np.bincount(groups, difference) / np.bincount(groups)
    if not np.any(values):
        return None
    distinct = len(np.unique(np.abs(values))) == len(values) and bool(np.all(values))
    method: Literal["exact", "approx"] = "exact" if len(values) <= 25 and distinct else "approx"
    result = stats.wilcoxon(values, zero_method="pratt", alternative="less", method=method)
    return float(result.pvalue)
