"""Checked access to embedding windows, block by block, so that a memory-mapped file is never read whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# 4,096 rows of 768 floats are 12 MiB: large enough for full-speed matrix products, small beside any sample.
BLOCK_ROWS = 4096
# 500 points give 124,750 distances, whose median is stable to a percent; more only costs time.
MEDIAN_POINTS = 500


@dataclass(frozen=True, slots=True)
class Windows:
    """A reference and a current window of embeddings, addressed as one pooled sample: reference rows first."""

    reference: NDArray[Any]
    current: NDArray[Any]
    device: torch.device

    @property
    def n(self) -> int:
        """Rows of the reference window."""
        return int(self.reference.shape[0])

    @property
    def m(self) -> int:
        """Rows of the current window."""
        return int(self.current.shape[0])

    def rows(self, index: NDArray[np.intp]) -> torch.Tensor:
        """The pooled rows at `index`, float32 on the device, in the order of `index`."""
        out = np.empty((len(index), self.reference.shape[1]), dtype=np.float32)
        from_reference = index < self.n
        out[from_reference] = self.reference[index[from_reference]]
        out[~from_reference] = self.current[index[~from_reference] - self.n]
        return torch.from_numpy(out).to(self.device)

    def blocks(self) -> Iterator[tuple[int, torch.Tensor]]:
        """(first pooled row, block) over the whole pooled sample, at most BLOCK_ROWS rows each."""
        for start, window in ((0, self.reference), (self.n, self.current)):
            for i in range(0, window.shape[0], BLOCK_ROWS):
                # A copy: torch refuses to alias a read-only memory map.
                block = np.array(window[i : i + BLOCK_ROWS], dtype=np.float32)
                yield start + i, torch.from_numpy(block).to(self.device)

    def pooled(self) -> torch.Tensor:
        """The whole pooled sample; only for windows known to be small."""
        return torch.cat([block for _, block in self.blocks()])

    def subsample(self, most: int, rng: np.random.Generator) -> Windows:
        """At most `most` rows of each window, drawn without replacement in the order they stand."""
        if max(self.n, self.m) <= most:
            return self
        kept = [
            np.asarray(w[np.sort(rng.choice(w.shape[0], most, replace=False))] if w.shape[0] > most else w)
            for w in (self.reference, self.current)
        ]
        return Windows(kept[0], kept[1], self.device)


def windows(reference: NDArray[Any], current: NDArray[Any], device: str | None) -> Windows:
    """Check two (n, d) arrays of real numbers and pair them.

    Raises ValueError when one is not two-dimensional, the widths differ, a window has fewer than two rows, or a
    value is not finite.
    """
    pair = (np.asanyarray(reference), np.asanyarray(current))
    for name, window in zip(("reference", "current"), pair, strict=True):
        if window.ndim != 2 or window.dtype.kind not in "fiub":
            raise ValueError(f"{name} must be a real (n, d) array, got shape {window.shape} of {window.dtype}")
        if window.shape[0] < 2 or window.shape[1] < 1:
            raise ValueError(f"{name} needs at least two rows and one column, got shape {window.shape}")
    if pair[0].shape[1] != pair[1].shape[1]:
        raise ValueError(f"the windows differ in width: {pair[0].shape[1]} and {pair[1].shape[1]}")
    found = Windows(*pair, torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))
    for start, block in found.blocks():
        # A finite sum has only finite terms, and takes one pass without a mask; an infinite one may have overflowed.
        if not bool(torch.isfinite(block.sum())) and not bool(torch.isfinite(block).all()):
            name = "reference" if start < found.n else "current"
            raise ValueError(f"{name} holds values that are not finite float32 numbers")
    return found


def median_squared_distance(sample: Windows, rng: np.random.Generator) -> float:
    """Median squared distance between pooled points (the usual RBF bandwidth rule, Gretton et al. 2012).

    The points are drawn without regard to their window, so the bandwidth does not depend on the labels and the
    permutation test stays exact. 1.0 when all drawn points coincide: every bandwidth then gives the same kernel.
    """
    total = sample.n + sample.m
    index = np.sort(rng.choice(total, min(total, MEDIAN_POINTS), replace=False))
    points = sample.rows(index)
    distances = torch.pdist(points - points.mean(0)).square()
    # Rounding noise of a constant sample must not become a bandwidth.
    positive = distances[distances > 1e-10 * points.square().sum(1).mean()]
    if positive.numel() == 0:
        return 1.0
    median = distances.median()
    return float(median if median >= positive.min() else positive.median())
