"""Does a score of 0.8 come true eight times in ten: the reliability diagram, and how far from honest it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluators.calibration.metrics import equal_count_bins, expected_calibration_error

Floats = NDArray[np.float64]
# Ten points are read at a glance; fewer labels than this in one say nothing about its rate.
BINS, MIN_IN_BIN = 10, 10
_DRAWS = 400
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Bin:
    """Labels of neighbouring probabilities: their mean, and how many of them are positive, with Wilson's interval."""

    n: int
    low: float
    high: float
    probability: float
    rate: float
    rate_low: float
    rate_high: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """A diagram. `error` is the expected calibration error; `honest_error` what an honest score stays below in 95 of
    100 samples of this size, since few labels alone make a gap."""

    bins: tuple[Bin, ...]
    error: float
    honest_error: float


def reliability(positive: ArrayLike, probability: ArrayLike, *, seed: int = 0) -> Reliability:
    """Return the diagram of probabilities against labels, in bins of equal count. Raises ValueError outside [0, 1]."""
    truth, stated = np.asarray(positive, bool), np.asarray(probability, float)
    if len(truth) == 0 or not ((stated >= 0) & (stated <= 1)).all():
        raise ValueError("need labels, with a probability from 0 to 1 for each")
    count = max(1, min(BINS, len(truth) // MIN_IN_BIN))
    parts = equal_count_bins(stated, count)
    bins = [_bin(truth[part], stated[part]) for part in parts]
    rng = np.random.default_rng(seed)
    # Of honest labels: as many draws of each bin's count of yes.
    gaps = [abs((rng.random((_DRAWS, len(part))) < stated[part]).sum(axis=1) - stated[part].sum()) for part in parts]
    honest = np.sum(gaps, axis=0) / len(stated)
    error = expected_calibration_error(truth, stated, bins=count)
    return Reliability(tuple(bins), error, float(np.quantile(honest, 0.95)))


def _bin(truth: NDArray[np.bool_], stated: Floats) -> Bin:
    n, rate = len(truth), float(truth.mean())
    square = _Z * _Z / n
    centre = (rate + square / 2) / (1 + square)
    half = _Z * float(np.sqrt(rate * (1 - rate) / n + square / (4 * n))) / (1 + square)
    return Bin(
        n=n,
        low=float(stated.min()),
        high=float(stated.max()),
        probability=float(stated.mean()),
        rate=rate,
        # Rounding leaves a hair above 1 or below 0.
        rate_low=max(0.0, centre - half),
        rate_high=min(1.0, centre + half),
    )
