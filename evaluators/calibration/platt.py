"""From a score to the probability that people would say yes: a logistic curve of two numbers (Platt 1999)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
# Newton's steps; about ten are needed.
_STEPS = 100
_TOLERANCE = 1e-10
# Keeps the two numbers finite where the classes are separated completely.
_RIDGE = 1e-9
# exp of more overflows.
_MOST = 700.0
# A probability is taken by its log-odds, up to one in a million.
_CERTAIN = 1e-6


@dataclass(frozen=True, slots=True)
class Curve:
    """probability = 1 / (1 + exp(-(slope x + intercept))); x is the score, or its log-odds."""

    slope: float
    intercept: float
    on_log_odds: bool = False

    def probability(self, score: float) -> float:
        """Return the probability of a positive label at a score."""
        if self.on_log_odds:
            inside = max(_CERTAIN, min(1 - _CERTAIN, score))
            score = math.log(inside / (1 - inside))
        return 1.0 / (1.0 + math.exp(max(-_MOST, min(_MOST, -(self.slope * score + self.intercept)))))


def fit(positive: ArrayLike, score: ArrayLike, *, on_log_odds: bool = False) -> Curve:
    """Return the curve of the highest likelihood, with Platt's targets, which a few labels cannot drive to certainty.

    H.-T. Lin, C.-J. Lin and R. C. Weng, "A note on Platt's probabilistic outputs" (2007), for Newton's method with
    halved steps. A score that is a probability crowds at its ends, so there its log-odds are the better scale.
    Raises ValueError where a class is missing.
    """
    truth, values = np.asarray(positive, bool), np.asarray(score, float)
    count, others = int(truth.sum()), int((~truth).sum())
    if not count or not others:
        raise ValueError("need labels of both classes")
    if on_log_odds:
        inside = np.clip(values, _CERTAIN, 1 - _CERTAIN)
        values = np.log(inside / (1 - inside))
    target = np.where(truth, (count + 1) / (count + 2), 1 / (others + 2))
    mean, scale = float(values.mean()), float(values.std()) or 1.0
    x = np.stack([(values - mean) / scale, np.ones(len(values))], axis=1)
    weights = np.array([0.0, math.log((count + 1) / (others + 1))])
    loss = _loss(weights, x, target)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -_MOST, _MOST)))
        slope = x.T @ (p - target) + _RIDGE * weights
        if np.abs(slope).max() < _TOLERANCE * len(values):
            break
        curve = (x * (p * (1 - p))[:, None]).T @ x + _RIDGE * np.eye(2)
        step = np.linalg.solve(curve, slope)
        while (tried := _loss(weights - step, x, target)) > loss and np.abs(step).max() > _TOLERANCE:
            step /= 2
        weights, loss = weights - step, tried
    return Curve(float(weights[0] / scale), float(weights[1] - weights[0] * mean / scale), on_log_odds)


def _loss(weights: Floats, x: Floats, target: Floats) -> float:
    logit = x @ weights
    return float((np.logaddexp(0, logit) - target * logit).sum() + _RIDGE / 2 * (weights @ weights))
