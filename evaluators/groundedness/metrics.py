"""How good and how honest scores are: ranking, calibration, and the threshold that separates best."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]


def auroc(positive: ArrayLike, score: ArrayLike) -> float:
    """Chance that a positive scores above a negative, ties counting half (Mann-Whitney U over the number of pairs).

    NaN where one of the classes is missing.
    """
    truth, values = np.asarray(positive, bool), np.asarray(score, float)
    count, others = int(truth.sum()), int((~truth).sum())
    if not count or not others:
        return float("nan")
    ranks = stats.rankdata(values)
    return float((ranks[truth].sum() - count * (count + 1) / 2) / (count * others))


def expected_calibration_error(positive: ArrayLike, probability: ArrayLike, bins: int = 10) -> float:
    """Mean gap between stated probability and observed rate over bins of equal count, weighted by count."""
    truth, values = np.asarray(positive, float), np.asarray(probability, float)
    order = np.argsort(values, kind="stable")
    gaps = [
        len(part) * abs(truth[part].mean() - values[part].mean()) for part in np.array_split(order, bins) if len(part)
    ]
    return float(sum(gaps) / len(truth))


def balanced_accuracy(positive: ArrayLike, said: ArrayLike) -> float:
    """Mean of the true positive and the true negative rate; NaN where one of the classes is missing."""
    truth, called = np.asarray(positive, bool), np.asarray(said, bool)
    if truth.all() or not truth.any():
        return float("nan")
    return float((called[truth].mean() + (~called[~truth]).mean()) / 2)


def best_threshold(positive: ArrayLike, score: ArrayLike) -> float:
    """The threshold of highest balanced accuracy for `score >= threshold`, smoothed over its near equals: the median of
    all candidates within half a point of the best, since the single best one is mostly luck."""
    values = np.asarray(score, float)
    candidates = np.unique(np.quantile(values, np.linspace(0.02, 0.98, 193)))
    reached = np.array([balanced_accuracy(positive, values >= candidate) for candidate in candidates])
    return float(np.median(candidates[reached >= reached.max() - 0.005]))


def by_group(groups: list[str], positive: ArrayLike, score: ArrayLike) -> dict[str, float]:
    """AUROC of each group that holds both classes."""
    truth, values, names = np.asarray(positive, bool), np.asarray(score, float), np.asarray(groups)
    found = {name: auroc(truth[names == name], values[names == name]) for name in sorted(set(groups))}
    return {name: value for name, value in found.items() if not np.isnan(value)}
