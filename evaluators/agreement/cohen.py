"""Cohen's kappa: agreement of two annotators who judged the same items."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from evaluators.agreement.estimate import RESAMPLES, Floats, Statistic, estimate

Weights = Literal["none", "linear", "quadratic"]


def kappa(
    first: ArrayLike,
    second: ArrayLike,
    categories: int,
    *,
    weights: Weights = "none",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Statistic:
    """Return kappa of two annotators with its 95 % bootstrap interval over items.

    `first` and `second` are the numbers of the categories, 0 to `categories` - 1, of the same items. With weights, a
    disagreement counts by how far the categories lie apart (J. Cohen 1960, and 1968 for weights). None where both said
    the same of every item, or without items. Raises ValueError for other shapes or numbers.
    """
    a, b = np.asarray(first, np.intp), np.asarray(second, np.intp)
    if a.shape != b.shape or a.ndim != 1 or categories < 1:
        raise ValueError(f"need two lists of the same items, got shapes {a.shape} and {b.shape}")
    if len(a) and not 0 <= min(a.min(), b.min()) <= max(a.max(), b.max()) < categories:
        raise ValueError(f"categories are numbered from 0 to {categories - 1}")
    if not len(a):
        return Statistic(None, None, None, 0)
    table = np.bincount(a * categories + b, minlength=categories**2).astype(np.float64)
    cost = _cost(categories, weights)
    drawn = np.random.default_rng(seed).multinomial(len(a), table / len(a), size=resamples).astype(np.float64)
    whole = float(_kappa(table[None], cost)[0])
    return estimate(whole, _kappa(drawn, cost), len(a))


def _cost(categories: int, weights: Weights) -> Floats:
    distance = np.abs(np.subtract.outer(np.arange(categories), np.arange(categories))).astype(np.float64)
    power = {"none": 0.0, "linear": 1.0, "quadratic": 2.0}[weights]
    return np.where(distance > 0, distance**power, 0.0)


def _kappa(tables: Floats, cost: Floats) -> Floats:
    """(resamples, categories^2) counts -> (resamples,) kappa, NaN where chance cannot disagree."""
    cube = tables.reshape(-1, *cost.shape)
    n = cube.sum(axis=(1, 2))
    expected = np.einsum("ri,ij,rj->r", cube.sum(axis=2), cost, cube.sum(axis=1)) / n
    observed = (cube * cost).sum(axis=(1, 2))
    found = np.full(len(cube), np.nan)
    told = expected > 0
    found[told] = 1 - observed[told] / expected[told]
    return found
