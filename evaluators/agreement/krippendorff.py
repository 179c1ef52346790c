"""Krippendorff's alpha: agreement of any number of annotators, also where some judged some items only.

K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011). The interval resamples items, as A. Zapf,
S. Castell, L. Morawietz and A. Karch advise (BMC Medical Research Methodology 16:93, 2016). The ready-made package is
under the GPL, so these lines are our own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluators.agreement.estimate import RESAMPLES, Floats, Statistic, estimate

Level = Literal["nominal", "ordinal", "interval"]
LEVELS: tuple[Level, ...] = get_args(Level)
# Values that can be told apart under nominal and ordinal: a scale that people judge on has tens of steps.
MAX_CATEGORIES = 200
# Items times resamples that are in memory at once: 16 MB.
_BLOCK = 2_000_000

# (resamples, items) weights -> (resamples,) alpha.
_Alpha = Callable[[Floats], Floats]


def alpha(values: ArrayLike, level: Level, *, resamples: int = RESAMPLES, seed: int = 0) -> Statistic:
    """Return alpha of (items, annotators) values, NaN where somebody did not judge an item, with its 95 % interval.

    `n` counts the items that two or more judged; only those say anything. The value is None where there are none, or
    where everybody said the same of all of them: then chance would agree as well. `ordinal` values are numbers in the
    order of the categories. Raises ValueError for a wrong shape or level, or more than MAX_CATEGORIES values.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or level not in LEVELS:
        raise ValueError(f"need (items, annotators) values and a level of {', '.join(LEVELS)}")
    table = table[(~np.isnan(table)).sum(axis=1) >= 2]
    items = len(table)
    if not items:
        return Statistic(None, None, None, 0)
    of = _interval(table) if level == "interval" else _categories(table, is_ordinal=level == "ordinal")
    whole = float(of(np.ones((1, items)))[0])
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // items)
    parts = [of(_drawn(rng, items, min(block, resamples - start))) for start in range(0, resamples, block)]
    return estimate(whole, np.concatenate(parts) if parts else np.empty(0), items)


def observed_agreement(values: ArrayLike) -> float:
    """Return the share of pairs of annotators that said the same of an item, items weighing the same; NaN for none."""
    table = np.asarray(values, np.float64)
    table = table[(~np.isnan(table)).sum(axis=1) >= 2]
    if not len(table):
        return float("nan")
    counts, _ = _counted(table)
    judged = counts.sum(axis=1)
    return float((((counts**2).sum(axis=1) - judged) / (judged * (judged - 1))).mean())


def _drawn(rng: np.random.Generator, items: int, rows: int) -> Floats:
    """(rows, items) how often each item is in each resample."""
    drawn = rng.integers(items, size=(rows, items)) + np.arange(rows)[:, None] * items
    return np.bincount(drawn.ravel(), minlength=rows * items).reshape(rows, items).astype(np.float64)


def _interval(table: Floats) -> _Alpha:
    # Centred, so that squares of large numbers do not eat the differences.
    centred = table - np.nanmean(table)
    judged = (~np.isnan(table)).sum(axis=1).astype(np.float64)
    total, squares = np.nansum(centred, axis=1), np.nansum(centred**2, axis=1)
    within = 2 * (judged * squares - total**2) / (judged - 1)

    def of(weights: Floats) -> Floats:
        n = weights @ judged
        between = 2 * (n * (weights @ squares) - (weights @ total) ** 2)
        # Below rounding there is no spread at all.
        between[between < 1e-12 * n**2 * max(float(squares.max()), 1e-300)] = 0.0
        return _alpha(weights @ within, between, n)

    return of


def _categories(table: Floats, *, is_ordinal: bool) -> _Alpha:
    counts, _ = _counted(table)
    judged = counts.sum(axis=1)

    def nominal(weights: Floats) -> Floats:
        n, of_each = weights @ judged, weights @ counts
        within = (judged**2 - (counts**2).sum(axis=1)) / (judged - 1)
        return _alpha(weights @ within, n**2 - (of_each**2).sum(axis=1), n)

    def ordinal(weights: Floats) -> Floats:
        n, of_each = weights @ judged, weights @ counts
        # The distance of two ordered values is that of their mean ranks among all that were given.
        rank = np.cumsum(of_each, axis=1) - of_each / 2 - n[:, None] / 2
        first, second = counts @ rank.T, counts @ (rank**2).T
        within = 2 * (judged[:, None] * second - first**2) / (judged - 1)[:, None]
        between = 2 * (n * (of_each * rank**2).sum(axis=1) - (of_each * rank).sum(axis=1) ** 2)
        return _alpha((weights * within.T).sum(axis=1), between, n)

    return ordinal if is_ordinal else nominal


def _counted(table: Floats) -> tuple[Floats, Floats]:
    """Return (items, categories) how often each value was given, and the values in their order."""
    given = ~np.isnan(table)
    values, place = np.unique(table[given], return_inverse=True)
    if len(values) > MAX_CATEGORIES:
        raise ValueError(f"{len(values)} different values; at most {MAX_CATEGORIES} can be categories")
    counts: NDArray[np.float64] = np.zeros((len(table), len(values)))
    np.add.at(counts, (np.nonzero(given)[0], place), 1.0)
    return counts, values


def _alpha(within: Floats, between: Floats, n: Floats) -> Floats:
    """1 - observed over expected disagreement; NaN where chance gives none."""
    found = np.full(len(n), np.nan)
    told = between > 0
    found[told] = 1 - within[told] * (n[told] - 1) / between[told]
    return found
