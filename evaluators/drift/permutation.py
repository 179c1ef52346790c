"""Random relabellings of a pooled sample, and the p-value they give."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

# Labels are one byte each: 1,000 relabellings of 200,000 rows are 200 MB, the most that a test may hold.
MAX_LABELS = 200_000_000
# From so many relabellings on, their moments are known well enough to go beyond the largest of them.
EXTRAPOLATED_FROM = 9_999


def labels(n: int, m: int, permutations: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(permutations + 1, n + m) array, 1 where a row counts as reference; row 0 is the labelling observed.

    Raises ValueError when there are no permutations or the array would exceed MAX_LABELS.
    """
    if permutations < 1:
        raise ValueError(f"at least one permutation is needed, got {permutations}")
    if (permutations + 1) * (n + m) > MAX_LABELS:
        raise ValueError(f"{permutations} permutations of {n + m} rows exceed {MAX_LABELS} labels; ask for fewer")
    observed = np.zeros(n + m, dtype=np.uint8)
    observed[:n] = 1
    table = np.tile(observed, (permutations + 1, 1))
    rng.permuted(table[1:], axis=1, out=table[1:])
    return table


def weights(table: NDArray[np.uint8], n: int, m: int, device: torch.device) -> torch.Tensor:
    """Labels as float32 weights, 1/n for a reference row and -1/m for a current one, so that each row sums to 0."""
    return torch.from_numpy(table).to(device, torch.float32).mul_(1 / n + 1 / m).sub_(1 / m)


def p_value(statistics: NDArray[np.float64], tolerance: float = 0.0) -> float:
    """Share of labellings, the observed one (entry 0) included, whose statistic is at least the observed one.

    Valid at any number of permutations (Phipson and Smyth 2010). `tolerance` makes equal values that differ by
    rounding count as equal. Where none of EXTRAPOLATED_FROM relabellings or more reaches the observed one, the tail of
    the Pearson type III distribution with their mean, variance and skewness continues below that floor, as usual for
    kernel statistics (Minas and Montana 2014): many segments and looks need p-values of a millionth.
    """
    share = float(np.mean(statistics >= statistics[0] - tolerance))
    relabelled = statistics[1:]
    if share * len(statistics) > 1.5 or len(relabelled) < EXTRAPOLATED_FROM or np.ptp(relabelled) <= tolerance:
        return share
    mean, deviation, skew = float(relabelled.mean()), float(relabelled.std()), float(stats.skew(relabelled))
    # Below this no decision changes; a computed zero would claim more than any sample can.
    return min(share, max(float(stats.pearson3.sf((statistics[0] - mean) / deviation, skew)), 1e-15))
