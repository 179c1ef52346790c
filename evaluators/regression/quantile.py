"""A quantile of two sides, such as the 95th percentile of a latency, compared by resampling independent units.

A quantile is no sum, so its spread is taken from the bootstrap: units (a session, or the pair of a row in two runs) are
drawn with replacement, both sides of a unit together, and the quantile is read anew (Efron and Tibshirani 1993, chapter
13: percentile interval). Of the upper tail few values decide: below MIN_BEYOND of them nothing is said.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluators.regression import decision, power
from evaluators.regression.paired import Estimate
from evaluators.regression.result import RegressionResult

# The p-value is told to 0.0005: Holm's smallest level of 20 metrics at 0.05 is 0.0025.
RESAMPLES = 1_999
# Values that a side needs beyond the quantile; of fewer, one row more or less moves it too far.
MIN_BEYOND = 10
# Cells of one piece of the resampled weights, 16 MB.
_CELLS = 2_000_000


def compare_quantiles(
    baseline: ArrayLike,
    candidate: ArrayLike,
    *,
    quantile: float = 0.95,
    baseline_units: ArrayLike | None = None,
    candidate_units: ArrayLike | None = None,
    margin: float = decision.DEFAULT_MARGIN,
    alpha: float = 0.05,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> RegressionResult:
    """Compare a quantile of positive values of which less is better: candidate over baseline, minus 1.

    Units number the independent part that each value belongs to, from 0; without them the sides are pairs, each a unit
    of its own. Verdicts are those of `compare`; a side with fewer than MIN_BEYOND values beyond the quantile is
    `not_enough_data`. `n` and `n_needed` count pairs, or the rows of both sides. Raises ValueError for values that are
    not positive and finite, sides that are no pairs without units, and bad settings.
    """
    a, b = (_logarithms(side, name) for side, name in ((baseline, "baseline"), (candidate, "candidate")))
    if not (0 < quantile < 1 and 0 < alpha < 0.5 and margin >= 0 and resamples >= 99):
        raise ValueError(f"need a quantile, alpha, margin and resamples: {quantile}, {alpha}, {margin}, {resamples}")
    is_paired = baseline_units is None
    if is_paired and (len(a) != len(b) or candidate_units is not None):
        raise ValueError(f"paired runs need the same items: {len(a)} baseline and {len(b)} candidate values")
    units = [
        np.arange(len(side)) if given is None else np.asarray(given, dtype=np.intp)
        for side, given in ((a, baseline_units), (b, candidate_units))
    ]
    seen = np.unique(np.concatenate(units))
    numbered = [np.searchsorted(seen, each) for each in units]
    effect = _of(b, quantile) - _of(a, quantile)
    estimate = Estimate("quantile_bootstrap", 0.0, 1.0, -effect, None, math.nan)
    if min(len(a), len(b)) * min(quantile, 1 - quantile) >= MIN_BEYOND and len(seen) > 1:
        # Lower is worse from here on, as everywhere before a result.
        drawn = -_drawn((a, b), (numbered[0], numbered[1]), len(seen), quantile, resamples, seed)
        low, high = np.quantile(drawn, [alpha, 1 - alpha])
        error = float(drawn.std(ddof=1))
        p = (1 + int((drawn >= 0).sum())) / (resamples + 1)
        statistic = -effect / error if error else 0.0
        estimate = Estimate("quantile_bootstrap", statistic, p, -effect, (float(low), float(high)), error)
    limit = decision.additive(margin, "ratio")
    verdict = decision.decide(estimate, limit, alpha)
    detectable = decision.detectable(estimate, math.inf, alpha)
    rows = len(a) if is_paired else len(a) + len(b)
    distance = decision.distance_to_show(estimate, verdict, limit)
    undecided = verdict == "not_enough_data" or (detectable is not None and detectable > limit)
    needed = None
    if estimate.interval is None:
        needed = math.ceil(MIN_BEYOND / min(quantile, 1 - quantile)) * (1 if is_paired else 2)
    elif undecided and distance > 0 and estimate.standard_error > 0:
        needed = power.sample_size(estimate.standard_error * math.sqrt(rows), distance, alpha=alpha)
    return RegressionResult(
        kind="ratio",
        test=estimate.test,
        statistic=-estimate.statistic,
        p_value=estimate.p_worse,
        effect=decision.in_metric_units(estimate.effect, "ratio", False),
        interval=decision.oriented(estimate.interval, "ratio", False),
        verdict=verdict,
        n=rows,
        n_clusters=len(seen),
        n_needed=needed,
        margin=margin,
        alpha=alpha,
        minimum_detectable_effect=detectable,
        details={
            "quantile": quantile,
            "n_baseline": len(a),
            "n_candidate": len(b),
            "mean_baseline": math.exp(_of(a, quantile)),
            "mean_candidate": math.exp(_of(b, quantile)),
            "confidence": 1 - 2 * alpha,
            "higher_is_better": False,
            "margin_source": "given",
        },
    )


def _logarithms(values: ArrayLike, name: str) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or len(found) == 0 or not (np.isfinite(found).all() and (found > 0).all()):
        raise ValueError(f"{name} must be a non-empty list of values above 0")
    return np.log(found)


def _of(values: NDArray[np.float64], quantile: float) -> float:
    return float(np.quantile(values, quantile, method="inverted_cdf"))


def _drawn(
    sides: tuple[NDArray[np.float64], NDArray[np.float64]],
    units: tuple[NDArray[np.intp], NDArray[np.intp]],
    count: int,
    quantile: float,
    resamples: int,
    seed: int,
) -> NDArray[np.float64]:
    """(resamples,) differences of the quantiles, candidate minus baseline; `units` are (n,) numbers below `count`."""
    rng = np.random.default_rng(seed)
    orders = [np.argsort(side, kind="stable") for side in sides]
    ordered = [side[order] for side, order in zip(sides, orders, strict=True)]
    of_rows = [unit[order] for unit, order in zip(units, orders, strict=True)]
    piece = max(1, _CELLS // max(count, *(len(side) for side in sides)))
    found = []
    for first in range(0, resamples, piece):
        size = min(piece, resamples - first)
        weights = rng.multinomial(count, np.full(count, 1 / count), size=size)
        ends = []
        for values, rows in zip(ordered, of_rows, strict=True):
            reached = np.cumsum(weights[:, rows], axis=1)
            # A side may be missing from a resample of few units; its quantile is then its smallest value's.
            place = (reached < quantile * reached[:, -1:]).sum(axis=1)
            ends.append(values[np.minimum(place, len(values) - 1)])
        found.append(ends[1] - ends[0])
    return np.concatenate(found)
