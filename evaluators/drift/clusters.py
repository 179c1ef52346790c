"""k-means on the pooled sample, blind to which window a row came from."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from evaluators.drift.arrays import Windows

# Centres need only a sample of the rows; all rows are assigned afterwards, block by block.
FIT_ROWS = 10_000
MAX_ITERATIONS = 50


def assign(sample: Windows, k: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(n + m,) cluster number of every pooled row, by Lloyd's algorithm from k-means++ centres.

    Fewer than k clusters come back where there are fewer distinct rows.
    """
    total = sample.n + sample.m
    index = np.sort(rng.choice(total, min(total, FIT_ROWS), replace=False))
    centres = _fit(sample.rows(index), min(k, total), rng)
    parts = [_nearest(block, centres)[0].cpu().numpy() for _, block in sample.blocks()]
    return np.concatenate(parts).astype(np.intp)


def _fit(points: torch.Tensor, k: int, rng: np.random.Generator) -> torch.Tensor:
    centres = _plus_plus(points, k, rng)
    previous: torch.Tensor | None = None
    for _ in range(MAX_ITERATIONS):
        nearest = _nearest(points, centres)[0]
        if previous is not None and torch.equal(nearest, previous):
            break
        previous = nearest
        members = torch.zeros((len(centres), len(points)), device=points.device)
        members[nearest, torch.arange(len(points), device=points.device)] = 1
        sizes = members.sum(1, keepdim=True)
        # A centre that lost all its rows stays where it was.
        centres = torch.where(sizes > 0, members @ points / sizes.clamp(min=1), centres)
    return centres


def _plus_plus(points: torch.Tensor, k: int, rng: np.random.Generator) -> torch.Tensor:
    """Up to k rows, each drawn with probability proportional to its squared distance from those already drawn."""
    chosen = [int(rng.integers(len(points)))]
    distance = torch.full((len(points),), torch.inf, device=points.device)
    for _ in range(k - 1):
        distance = torch.minimum(distance, (points - points[chosen[-1]]).square().sum(1))
        cumulated = distance.double().cumsum(0).cpu().numpy()
        if cumulated[-1] <= 0:
            break
        chosen.append(int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right")))
    return points[chosen]


def _nearest(points: torch.Tensor, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Number of the nearest centre of each row, and the part of the squared distance that depends on the centre."""
    best = torch.addmm(centres.square().sum(1)[None, :], points, centres.T, alpha=-2).min(1)
    return best.indices, best.values
