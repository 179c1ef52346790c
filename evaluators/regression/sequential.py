"""A comparison that may be looked at after every item: stop as soon as the verdict is clear.

Two e-processes bet against the two hypotheses of the gate. Under its hypothesis a betting wealth is a supermartingale
that starts at 1, so it ever reaches 1 / alpha with probability at most alpha (Ville 1939), however often one looks
(Waudby-Smith and Ramdas 2023, "Estimating means of bounded random variables by betting").
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from evaluators.regression.result import Verdict

# Bets as shares of the largest safe one, evenly spaced in the logarithm: small drops want small bets.
BETS: NDArray[np.float64] = np.geomspace(0.005, 0.95, 24)


class EProcess:
    """Wealth of a bettor against "the mean is at most `null`", for values of [low, high].

    The wealth is the average over BETS, so no bet has to be chosen beforehand. Raises ValueError unless
    low < null < high.
    """

    def __init__(self, null: float, low: float, high: float) -> None:
        if not low < null < high:
            raise ValueError(f"need low < null < high, got {low}, {null}, {high}")
        self._null, self._low, self._high = null, low, high
        # A bet of 1 / (null - low) loses everything on the lowest value and no more.
        self._bets = BETS / (null - low)
        self._log_wealth = np.zeros_like(BETS)
        self.largest_log_e = 0.0

    @property
    def log_e(self) -> float:
        """Natural logarithm of the wealth now."""
        return float(np.logaddexp.reduce(self._log_wealth) - math.log(len(BETS)))

    def update(self, value: float) -> float:
        """Bet on one more value and return the log wealth; raises ValueError outside [low, high]."""
        if not self._low <= value <= self._high:
            raise ValueError(f"value {value} lies outside [{self._low}, {self._high}]")
        self._log_wealth += np.log1p(self._bets * (value - self._null))
        self.largest_log_e = max(self.largest_log_e, self.log_e)
        return self.log_e


class SequentialComparison:
    """Candidate minus baseline, item by item (cluster mean by cluster mean where items are not independent).

    `bound` is the largest difference there can be: the range of the score, 1 for scores within [0, 1]. The verdict is
    `fail` once "not worse" is refuted, `pass` once "worse by `margin` or more" is, and stays as first reached; each is
    wrong with probability at most alpha over the whole stream.
    """

    def __init__(self, margin: float, *, alpha: float = 0.05, bound: float = 1.0) -> None:
        if not 0 < alpha < 1 or not 0 <= margin < bound:
            raise ValueError(f"need 0 < alpha < 1 and 0 <= margin < bound, got {alpha}, {margin}, {bound}")
        self._threshold = -math.log(alpha)
        self._worse = EProcess(0.0, -bound, bound)
        self._not_worse = EProcess(-margin, -bound, bound)
        self.n = 0
        self.verdict: Verdict = "not_enough_data"
        self._sum = 0.0

    @property
    def effect(self) -> float | None:
        """Mean difference so far; None before the first."""
        return self._sum / self.n if self.n else None

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value for "the candidate is not worse": one over the largest wealth so far."""
        return math.exp(-self._worse.largest_log_e)

    def update(self, differences: Iterable[float]) -> Verdict:
        """Take in more differences and return the verdict; raises ValueError for one beyond the bound."""
        for difference in differences:
            worse = self._worse.update(-difference)
            not_worse = self._not_worse.update(difference)
            self.n += 1
            self._sum += difference
            if self.verdict == "not_enough_data":
                # Within the margin comes first, as in `compare`.
                if not_worse >= self._threshold:
                    self.verdict = "pass"
                elif worse >= self._threshold:
                    self.verdict = "fail"
        return self.verdict
