"""A figure with its interval, and how items are drawn for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# The ends of a 95 % interval are quantiles of so many; with 1,000 they move by less than a hundredth from seed to seed.
RESAMPLES = 1_000


@dataclass(frozen=True, slots=True)
class Statistic:
    """A statistic and its 95 % bootstrap interval over `n` items; None where the data say nothing about it."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def estimate(value: float, resampled: Floats, n: int) -> Statistic:
    """Return the percentile interval of the resampled values that are defined (Efron 1979).

    Resamples in which the statistic is undefined (everybody said the same) are left out; where they are more than half,
    there is no interval.
    """
    if not np.isfinite(value):
        return Statistic(None, None, None, n)
    kept = resampled[np.isfinite(resampled)]
    if 2 * len(kept) < len(resampled) or len(kept) < 2:
        return Statistic(float(value), None, None, n)
    low, high = np.quantile(kept, [0.025, 0.975])
    return Statistic(float(value), float(low), float(high), n)
