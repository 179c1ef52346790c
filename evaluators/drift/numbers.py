"""Has the distribution of a number moved: latency, length, score, count?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evaluators.drift import permutation
from evaluators.drift.result import DriftResult, check_alpha, decide

# Beyond this many values a distance is known so well that fewer relabellings decide as surely, in a fifth of the time.
LARGE, LARGE_PERMUTATIONS = 20_000, 199
# Cumulative sums of this many relabelled values at a time: 160 MB of float64.
BLOCK_VALUES = 20_000_000
PSI_BINS = 10
# The population stability index has no unit; 0.1 and 0.25 are the customary marks for a small and a large change.
# One row, shared between the windows by their sizes, keeps an empty bin finite and equal shares equal.
PSI_SMOOTHING = 1.0

Values = NDArray[np.float64]
Outcome = tuple[float, float, float, tuple[float, float] | None, dict[str, Any]]


def detect_numbers(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    test: str = "ks",
    alpha: float = 0.05,
    permutations: int = 999,
    seed: int = 0,
    min_effect: float = 0.0,
) -> DriftResult:
    """Test whether the numbers `current` (m,) come from the distribution of `reference` (n,).

    `test` is one of TESTS: `ks` (default), `wasserstein`, `psi`. Raises ValueError for an unknown test, fewer than two
    values a side, or a value that is not finite; missing values are for the caller to count.
    """
    check_alpha(alpha)
    if test not in TESTS:
        raise ValueError(f"unknown test {test!r}, choose from {', '.join(TESTS)}")
    a, b = _values(reference, "reference"), _values(current, "current")
    if len(a) + len(b) > LARGE:
        permutations = min(permutations, LARGE_PERMUTATIONS)
    statistic, p, effect, interval, details = TESTS[test](a, b, permutations, np.random.default_rng(seed))
    summary = {"median_reference": float(np.median(a)), "median_current": float(np.median(b))}
    return DriftResult(
        test=test,
        statistic=statistic,
        p_value=p,
        effect=effect,
        interval=interval,
        verdict=decide(p, effect, alpha=alpha, min_effect=min_effect),
        n_reference=len(a),
        n_current=len(b),
        details={"alpha": alpha, "seed": seed, **summary, **details},
    )


def _values(sample: ArrayLike, name: str) -> Values:
    values = np.asarray(sample, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"{name} needs at least two numbers in one dimension, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds {int((~np.isfinite(values)).sum())} values that are not finite")
    return values


def _ks(a: Values, b: Values, permutations: int, rng: np.random.Generator) -> Outcome:
    """Kolmogorov-Smirnov: statistic and effect are the largest gap between the two distribution functions.

    Ties make the tabulated p-value too large, so tied samples are permuted. The interval is the band of Dvoretzky,
    Kiefer and Wolfowitz around both functions, which never has less than its coverage.
    """
    pooled = np.concatenate([a, b])
    if len(np.unique(pooled)) == len(pooled):
        result = stats.ks_2samp(a, b)
        gap, p, how = float(result.statistic), float(result.pvalue), "scipy"
    else:
        values = _gaps(a, b, permutations, rng, lambda gaps, step: np.where(step > 0, np.abs(gaps), 0.0).max(1))
        gap, p, how = float(values[0]), permutation.p_value(values, 1e-9), f"{permutations} permutations"
        # The table errs on the safe side where values are tied, so below what permutations can tell it holds.
        tabulated = float(stats.ks_2samp(a, b, method="asymp").pvalue)
        if tabulated < 1 / len(values):
            p, how = min(p, tabulated), "the limiting distribution"
    band = sum(math.sqrt(math.log(2 / 0.025) / (2 * size)) for size in (len(a), len(b)))
    return gap, p, gap, (max(0.0, gap - band), min(1.0, gap + band)), {"p_value_from": how}


def _wasserstein(a: Values, b: Values, permutations: int, rng: np.random.Generator) -> Outcome:
    """Earth mover's distance: statistic in the unit of the numbers, effect in standard deviations of the reference."""
    values = _gaps(a, b, permutations, rng, lambda gaps, step: np.abs(gaps) @ step)
    deviation = float(a.std(ddof=1)) or float(np.concatenate([a, b]).std(ddof=1)) or 1.0
    tolerance = 1e-9 * float(np.ptp(np.concatenate([a, b])))
    p = permutation.p_value(values, tolerance)
    return float(values[0]), p, float(values[0]) / deviation, None, {"permutations": permutations}


def _gaps(
    a: Values,
    b: Values,
    permutations: int,
    rng: np.random.Generator,
    reduce: Callable[[Values, Values], Values],
) -> Values:
    """`reduce` of the gaps between the distribution functions of every relabelling, the observed one first.

    It gets gaps (labellings, values), the gap after each value in order, and step (values,), the distance to the next
    value, which is 0 inside a tie and at the end.
    """
    pooled = np.concatenate([a, b])
    order = np.argsort(pooled, kind="stable")
    step = np.append(np.diff(pooled[order]), 0.0)
    table = permutation.labels(len(a), len(b), permutations, rng)[:, order]
    block = max(1, BLOCK_VALUES // len(pooled))
    parts = []
    for i in range(0, len(table), block):
        weights = table[i : i + block] * (1 / len(a) + 1 / len(b)) - 1 / len(b)
        parts.append(reduce(np.cumsum(weights, axis=1), step))
    return np.concatenate(parts)


def _psi(a: Values, b: Values, permutations: int, rng: np.random.Generator) -> Outcome:
    """Population stability index over PSI_BINS quantile bins, statistic and effect: 0.1 is small, 0.25 is large.

    The bins come from the pooled values, so that relabelling leaves them where they are and the p-value is exact.
    """
    pooled = np.concatenate([a, b])
    edges = np.unique(np.quantile(pooled, np.linspace(0, 1, PSI_BINS + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, pooled), minlength=len(edges) + 1)
    observed = np.bincount(np.searchsorted(edges, a), minlength=len(edges) + 1)
    drawn = rng.multivariate_hypergeometric(counts, len(a), size=permutations, method="marginals")
    in_reference = np.vstack([observed, drawn]) + PSI_SMOOTHING * len(a) / len(pooled)
    in_current = counts + PSI_SMOOTHING - in_reference
    p = in_reference / in_reference.sum(1, keepdims=True)
    q = in_current / in_current.sum(1, keepdims=True)
    values = ((q - p) * np.log(q / p)).sum(1)
    index = float(values[0])
    return index, permutation.p_value(values, 1e-12), index, None, {"bins": len(counts), "permutations": permutations}


TESTS: dict[str, Callable[[Values, Values, int, np.random.Generator], Outcome]] = {
    "ks": _ks,
    "wasserstein": _wasserstein,
    "psi": _psi,
}
