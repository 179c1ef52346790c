"""How good and how honest scores are: ranking, calibration, and what a threshold gets right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def auroc(positive: ArrayLike, score: ArrayLike) -> float:
    """Chance that a positive scores above a negative, ties counting half (Mann-Whitney U over the number of pairs).

    NaN where one of the classes is missing.
    """
    truth, values = np.asarray(positive, bool), np.asarray(score, float)
    count, others = int(truth.sum()), int((~truth).sum())
    if not count or not others:
        return float("nan")
    _, place, sizes = np.unique(values, return_inverse=True, return_counts=True)
    # Values that tie share the mean of their ranks.
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[place]
    return float((ranks[truth].sum() - count * (count + 1) / 2) / (count * others))


def equal_count_bins(values: ArrayLike, bins: int) -> list[NDArray[np.intp]]:
    """Places of the values in bins of equal count from the lowest to the highest; empty bins are left out."""
    order = np.argsort(np.asarray(values, float), kind="stable")
    return [part for part in np.array_split(order, bins) if len(part)]


def expected_calibration_error(positive: ArrayLike, probability: ArrayLike, bins: int = 10) -> float:
    """Mean gap between stated probability and observed rate over bins of equal count, weighted by count."""
    truth, values = np.asarray(positive, float), np.asarray(probability, float)
    gaps = [len(part) * abs(truth[part].mean() - values[part].mean()) for part in equal_count_bins(values, bins)]
    return float(sum(gaps) / len(truth))


def balanced_accuracy(positive: ArrayLike, said: ArrayLike) -> float:
    """Mean of the true positive and the true negative rate; NaN where one of the classes is missing."""
    truth, called = np.asarray(positive, bool), np.asarray(said, bool)
    if truth.all() or not truth.any():
        return float("nan")
    return float((called[truth].mean() + (~called[~truth]).mean()) / 2)


def by_group(groups: list[str], positive: ArrayLike, score: ArrayLike) -> dict[str, float]:
    """AUROC of each group that holds both classes."""
    truth, values, names = np.asarray(positive, bool), np.asarray(score, float), np.asarray(groups)
    found = {name: auroc(truth[names == name], values[names == name]) for name in sorted(set(groups))}
    return {name: value for name, value in found.items() if not np.isnan(value)}
