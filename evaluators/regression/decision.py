"""From a difference with its bounds to a verdict, the same for pairs and for two samples."""

from __future__ import annotations

import math

from evaluators.regression import power
from evaluators.regression.paired import Estimate
from evaluators.regression.result import Kind, Verdict

# Two points of a metric between 0 and 1, or 2 % of the baseline's mean where the scores leave that range.
DEFAULT_MARGIN = 0.02


def default_margin(margin: float | None, kind: Kind, baseline_mean: float, is_share: bool) -> tuple[float, str]:
    """The margin and where it comes from; raises ValueError for one that is negative or not finite."""
    if margin is not None:
        if not 0 <= margin < math.inf:
            raise ValueError(f"the margin must be a finite number of at least 0, got {margin}")
        return float(margin), "given"
    if kind in LOGARITHMIC or is_share:
        return DEFAULT_MARGIN, f"default {DEFAULT_MARGIN}"
    return DEFAULT_MARGIN * abs(baseline_mean), "default: 2 % of the baseline mean, as scores leave [0, 1]"


# Compared on the scale of the natural logarithm, with margins and effects as shares.
LOGARITHMIC: frozenset[Kind] = frozenset({"ratio", "mean_ratio"})


def additive(margin: float, kind: Kind) -> float:
    """The margin on the scale on which the kind is compared."""
    return math.log1p(margin) if kind in LOGARITHMIC else margin


def decide(estimate: Estimate, limit: float, alpha: float) -> Verdict:
    """The verdict on an estimate with "lower is worse", `limit` being the margin on its scale."""
    if estimate.interval is None:
        return "not_enough_data"
    low, high = estimate.interval
    if low > -limit:
        return "pass"
    return "fail" if high < 0 and estimate.p_worse <= alpha else "not_enough_data"


def detectable(estimate: Estimate, degrees: float, alpha: float) -> float | None:
    """The drop that data of this spread show with power 0.8; None where nothing could be estimated."""
    if estimate.interval is None:
        return None
    if estimate.standard_error == 0:
        return estimate.effect - estimate.interval[0]
    return power.minimum_detectable_effect(estimate.standard_error, degrees=degrees, alpha=alpha)


def distance_to_show(estimate: Estimate, verdict: Verdict, limit: float) -> float:
    """How far the truth, if it is as seen, lies from what has to be excluded; for a settled verdict, the margin."""
    settle = verdict == "not_enough_data" and estimate.interval is not None
    return max(estimate.effect + limit, -estimate.effect) if settle else limit


def in_metric_units(value: float, kind: Kind, higher_is_better: bool) -> float:
    """An effect with "lower is worse" as candidate minus baseline, or as candidate over baseline minus 1."""
    signed = value if higher_is_better else -value
    return math.expm1(signed) if kind in LOGARITHMIC else signed


def oriented(interval: tuple[float, float] | None, kind: Kind, higher_is_better: bool) -> tuple[float, float] | None:
    """An interval as `in_metric_units`, its lower end first."""
    if interval is None:
        return None
    ends = sorted(in_metric_units(end, kind, higher_is_better) for end in interval)
    return ends[0], ends[1]
