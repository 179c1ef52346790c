"""Did the candidate get worse? A paired non-inferiority decision that can also say "not enough data"."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from evaluators.regression import decision, paired, power
from evaluators.regression.bootstrap import RESAMPLES, bca_intervals
from evaluators.regression.result import Kind, RegressionResult, Verdict

# Below this many changed pairs the exact McNemar p-value is reported beside the mid-p one.
FEW_CHANGES = 25


def compare(
    baseline: ArrayLike,
    candidate: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    margin: float | None = None,
    alpha: float = 0.05,
    kind: Kind | None = None,
    higher_is_better: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> RegressionResult:
    """Compare paired scores: item i of `baseline` and of `candidate` are the same item under two versions.

    `pass`: the worst difference the data allow (one-sided, 1 - alpha) is smaller than `margin`, so also when the
    candidate is certainly worse but by less than the margin (`details["worse_within_margin"]`). `fail`: it is certainly
    worse (p <= alpha and the best difference allowed is below 0) and `margin` may be exceeded. Otherwise
    `not_enough_data`. Never "no significant difference, so fine".

    `clusters` names the conversation, document or user of each item; items of one are not independent. `margin` is
    absolute, at least 0, in the metric's unit (a share for `ratio`, which compares log-ratios of positive scores such
    as latencies); None takes DEFAULT_MARGIN. `kind` None means `binary` when all scores are 0 or 1. `resamples` 0 skips
    the bootstrap. Raises ValueError for unequal lengths, no items, scores that are not finite, or bad settings.
    """
    a, b = _scores(baseline, "baseline"), _scores(candidate, "candidate")
    if len(a) != len(b):
        raise ValueError(f"paired runs need the same items: {len(a)} baseline and {len(b)} candidate scores")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, got {alpha}")
    kind = kind or ("binary" if bool(np.isin(np.concatenate([a, b]), (0.0, 1.0)).all()) else "continuous")
    if kind == "mean_ratio":
        raise ValueError("pairs are compared by their own ratios: choose the kind ratio")
    is_share = bool(min(a.min(), b.min()) >= 0 and max(a.max(), b.max()) <= 1)
    margin, margin_source = decision.default_margin(margin, kind, float(a.mean()), is_share)
    groups = cluster_numbers(clusters, len(a))
    estimate, difference, scale = _estimate(a, b, groups, kind, alpha, 1.0 if higher_is_better else -1.0)
    # From here on lower is worse, on the additive scale.
    limit = decision.additive(margin, kind)
    verdict = decision.decide(estimate, limit, alpha)
    n_clusters = int(groups.max()) + 1
    degrees = math.inf if estimate.test == "mcnemar_mid_p" else n_clusters - 1
    detectable = decision.detectable(estimate, degrees, alpha)
    undecided = verdict == "not_enough_data" or (detectable is not None and detectable > limit)
    needed = _needed(estimate, verdict, n_clusters, len(a), limit, scale, alpha) if undecided else None
    details = _details(estimate, difference, groups, limit, alpha, resamples, seed, kind, higher_is_better)
    details |= {"margin_source": margin_source, "confidence": 1 - 2 * alpha, "higher_is_better": higher_is_better}
    details |= {"mean_baseline": float(a.mean()), "mean_candidate": float(b.mean())}
    if verdict == "not_enough_data" and needed is None:
        details["n_needed_reason"] = "a true difference of zero can never be shown to be above a margin of zero"
    return RegressionResult(
        kind=kind,
        test=estimate.test,
        statistic=estimate.statistic if higher_is_better else -estimate.statistic,
        p_value=estimate.p_worse,
        effect=decision.in_metric_units(estimate.effect, kind, higher_is_better),
        interval=decision.oriented(estimate.interval, kind, higher_is_better),
        verdict=verdict,
        n=len(a),
        n_clusters=n_clusters,
        n_needed=needed,
        margin=margin,
        alpha=alpha,
        minimum_detectable_effect=detectable,
        details=details,
    )


def _scores(values: ArrayLike, name: str) -> NDArray[np.float64]:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or len(scores) == 0:
        raise ValueError(f"{name} must be a non-empty list of scores, got shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} holds {int((~np.isfinite(scores)).sum())} scores that are not finite numbers")
    return scores


def cluster_numbers(clusters: Sequence[Hashable] | None, n: int) -> NDArray[np.intp]:
    """(n,) cluster number of each item from 0 without a gap; each item its own where there are no clusters."""
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} cluster keys for {n} items")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in clusters], dtype=np.intp)


def _estimate(
    a: NDArray[np.float64], b: NDArray[np.float64], groups: NDArray[np.intp], kind: Kind, alpha: float, sign: float
) -> tuple[paired.Estimate, NDArray[np.float64], float]:
    """The primary test with "lower is worse", the differences it rests on, and the range of the scores."""
    if kind == "binary" and not np.isin(np.concatenate([a, b]), (0.0, 1.0)).all():
        raise ValueError("a binary metric has only the scores 0 and 1")
    if kind == "ratio":
        if min(a.min(), b.min()) <= 0:
            raise ValueError("a ratio metric needs scores above 0")
        a, b = np.log(a), np.log(b)
    scores = np.concatenate([a, b])
    # Scores that are all equal show no range; a metric within [0, 1] can still move by 1.
    fallback = 1.0 if scores.min() >= 0 and scores.max() <= 1 else abs(float(scores[0]))
    scale = float(np.ptp(scores)) if len(a) > 1 and np.ptp(scores) > 0 else fallback
    difference = sign * (b - a)
    if kind == "binary" and int(groups.max()) + 1 == len(a):
        return paired.proportions(sign * a, sign * b, alpha), difference, 1.0
    return paired.means(difference, groups, scale, alpha), difference, scale


def _needed(
    estimate: paired.Estimate, verdict: Verdict, n_clusters: int, n: int, limit: float, scale: float, alpha: float
) -> int | None:
    """Pairs that would settle the verdict, or once it is settled show a drop of the margin, with power 0.8."""
    # One cluster says nothing about the difference, so plan for none.
    distance = decision.distance_to_show(estimate, verdict, limit)
    if distance <= paired.ROUNDING * scale:
        return None
    per_cluster = n / n_clusters
    # However small the spread, this many clusters are needed before chance alone is excluded.
    share = min(distance / scale, 1 - 1e-9)
    if estimate.test == "mcnemar_mid_p":
        least = float(special.ndtri(1 - alpha)) ** 2 * (1 / share - 1)
    else:
        least = math.log(alpha) / math.log1p(-share)
    clusters = math.floor(least) + 1
    if estimate.standard_error > 0:
        spread = estimate.standard_error * math.sqrt(n_clusters)
        clusters = max(clusters, power.sample_size(spread, distance, alpha=alpha))
    return max(math.ceil(clusters * per_cluster), 2)


def _details(
    estimate: paired.Estimate,
    difference: NDArray[np.float64],
    groups: NDArray[np.intp],
    limit: float,
    alpha: float,
    resamples: int,
    seed: int,
    kind: Kind,
    higher_is_better: bool,
) -> dict[str, Any]:
    details: dict[str, Any] = {
        "worse": int((difference < 0).sum()),
        "better": int((difference > 0).sum()),
        "unchanged": int((difference == 0).sum()),
        "p_wilcoxon": paired.wilcoxon(difference, groups),
    }
    if estimate.interval is not None:
        low, high = estimate.interval
        details["worse_within_margin"] = bool(low > -limit and high < 0)
        if resamples:
            ends = bca_intervals(difference[:, None], groups, alpha=alpha, resamples=resamples, seed=seed)[0]
            bca = decision.oriented((float(ends[0]), float(ends[1])), kind, higher_is_better)
            details["bca_interval"] = None if bca is None else list(bca)
    if estimate.exact_p is not None and details["worse"] + details["better"] < FEW_CHANGES:
        details["p_exact"] = estimate.exact_p
    return details
