"""Look every day without paying for it: drift of a stream of embedding batches, valid at any time.

Each batch is tested against everything before it, the reference included. While all rows are exchangeable those
permutation p-values are independent and uniform (given the pooled rows, every split into "before" and "now" was equally
likely, and what happened before is a function of the "before" part alone), so their calibrated product is a
martingale from 1 and ever reaches 1 / alpha with probability at most alpha (Ville 1939; Vovk and Wang 2021).
The product is averaged over the look from which on it bets, so that a change after many quiet days is not buried under
their losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluators.drift.embeddings import detect
from evaluators.drift.result import DriftResult, Verdict, check_alpha

# A uniform subset of the past is as exchangeable as the whole; 3,000 rows keep every look on the exact test.
MEMORY_ROWS = 3000
# The smallest p-value of one look is then 1/1000, worth an e-value of 21: one clear batch is enough for alpha = 0.05.
PERMUTATIONS = 999
# Evidence beyond this changes no decision and must not overflow.
MOST_WEALTH = 1e300


@dataclass(frozen=True, slots=True)
class Look:
    """The state after one batch. `p_value` is anytime-valid: one over the largest e-value so far."""

    looks: int
    e_value: float
    p_value: float
    verdict: Verdict
    batch: DriftResult


class SequentialDrift:
    """Monitor one stream. The verdict, once `drift`, stays.

    Later batches are compared with a past that contains the drift, so evidence comes from the batches around the
    change; start a new monitor once a change is accepted as the new normal.
    """

    def __init__(
        self,
        reference: NDArray[Any],
        *,
        test: str = "mmd",
        alpha: float = 0.05,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        check_alpha(alpha)
        self._test, self._alpha, self._device = test, alpha, device
        self._rng = np.random.default_rng(seed)
        self._past = np.array(reference)
        self._active = 0.0
        self._largest = 1.0
        self._looks = 0
        self._keep()

    def update(self, batch: NDArray[Any]) -> Look:
        """Test one batch (m, d), then count it to the past. Raises ValueError for a batch that `detect` refuses."""
        seed = int(self._rng.integers(2**31))
        result = detect(
            self._past,
            batch,
            test=self._test,
            alpha=self._alpha,
            permutations=PERMUTATIONS,
            seed=seed,
            device=self._device,
        )
        self._looks += 1
        # Wealth 1 / (k (k + 1)) joins the bets at look k; these shares sum to 1, so the total stays a martingale.
        joining = 1 / (self._looks * (self._looks + 1))
        self._active = min((self._active + joining) * calibrate(result.p_value), MOST_WEALTH)
        e_value = self._active + 1 / (self._looks + 1)
        self._largest = max(self._largest, e_value)
        self._past = np.concatenate([self._past, np.asarray(batch, dtype=self._past.dtype)])
        self._keep()
        p = 1 / self._largest
        verdict: Verdict = "drift" if p <= self._alpha else "no_drift"
        return Look(self._looks, e_value, p, verdict, result)

    def _keep(self) -> None:
        if len(self._past) > MEMORY_ROWS:
            self._past = self._past[np.sort(self._rng.choice(len(self._past), MEMORY_ROWS, replace=False))]


def calibrate(p_value: float) -> float:
    """E-value of a p-value: the average of k p^(k-1) over k in (0, 1), Vovk and Wang (2021), equation 2."""
    if not 0 < p_value <= 1:
        raise ValueError(f"a p-value must lie in (0, 1], got {p_value}")
    log_p = math.log(p_value)
    if log_p > -1e-4:
        # The quotient below is 0/0 at p = 1, where its limit is 1/2.
        return 0.5 - log_p / 6
    return (1 - p_value + p_value * log_p) / (p_value * log_p**2)
