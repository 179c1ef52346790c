"""BCa bootstrap intervals of paired mean differences, all metrics of one resample in one matrix product."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# 2 million draws at a time keep the working set at 16 MB whatever the sample.
BLOCK_DRAWS = 2_000_000
RESAMPLES = 9999


def bca_intervals(
    differences: NDArray[np.float64],
    groups: NDArray[np.intp],
    *,
    alpha: float = 0.05,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> NDArray[np.float64]:
    """(k, 2) bias-corrected accelerated 1 - 2 alpha intervals of the column means of (n, k) differences (Efron 1987).

    Whole clusters are resampled; `groups` numbers the cluster of each row from 0 without a gap. A column without
    spread gives its mean twice. Raises ValueError for fewer than two clusters or 100 resamples.
    """
    clusters = int(groups.max()) + 1
    if clusters < 2 or resamples < 100:
        raise ValueError(f"need two clusters and 100 resamples, got {clusters} and {resamples}")
    sums = np.stack([np.bincount(groups, column, clusters) for column in differences.T], axis=1).astype(np.float64)
    sizes = np.bincount(groups, minlength=clusters).astype(np.float64)
    observed = sums.sum(0) / sizes.sum()
    means = _resampled_means(sums, sizes, resamples, np.random.default_rng(seed))
    means.sort(axis=0)
    # Ties with the observed mean count half: a mean of few distinct values would look biased otherwise.
    spread = np.maximum(np.abs(observed), np.abs(differences).max(0)) * 1e-12
    below = np.array([np.searchsorted(means[:, j], observed[j] - spread[j]) for j in range(len(observed))])
    through = np.array([np.searchsorted(means[:, j], observed[j] + spread[j]) for j in range(len(observed))])
    share = np.clip((below + through) / (2 * resamples), 0.5 / resamples, 1 - 0.5 / resamples)
    correction = stats.norm.ppf(share)
    left_out = (sums.sum(0) - sums) / (sizes.sum() - sizes)[:, None]
    deviation = left_out.mean(0) - left_out
    squares = (deviation**2).sum(0)
    acceleration = np.divide(
        (deviation**3).sum(0), 6 * squares**1.5, out=np.zeros_like(squares), where=squares > spread**2
    )
    z = correction + stats.norm.ppf(np.array([[alpha], [1 - alpha]]))
    levels = stats.norm.cdf(correction + z / (1 - acceleration * z))
    ends = [[np.quantile(means[:, j], levels[side, j]) for side in (0, 1)] for j in range(len(observed))]
    return np.asarray(ends, dtype=np.float64)


def _resampled_means(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(resamples, k) item-weighted means of bootstrap samples of clusters."""
    clusters = len(sizes)
    block = max(1, BLOCK_DRAWS // clusters)
    table = np.column_stack([sums, sizes])
    parts = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(clusters, size=(rows, clusters), dtype=np.int32)
        drawn += (np.arange(rows, dtype=np.int32) * clusters)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters)
        totals = counts.astype(np.float64) @ table
        parts.append(totals[:, :-1] / totals[:, -1:])
    return np.concatenate(parts)
