"""Bring the scores of two runs together by item id."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A run beyond a million rows no longer fits the gate's memory budget of some 500 MB.
MAX_ROWS = 1_000_000


@dataclass(slots=True)
class Run:
    """The scores of one run by item id; a repeated id keeps every score, as a repetition of the same item."""

    scores: dict[str, list[float]] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)
    unscored: int = 0

    def add(self, row: Mapping[str, Any], metric: str) -> None:
        """Take in one row {id, metric: number or boolean or null, cluster?}. A null score counts as unscored.

        Raises ValueError for a row without id or metric, a score that is not a finite number, an item in two clusters,
        or more than MAX_ROWS items.
        """
        key = _key(row, "id")
        if key is None:
            raise ValueError("no id")
        if metric not in row:
            raise ValueError(f"no score named {metric!r}")
        score = row[metric]
        if score is None:
            self.unscored += 1
            return
        if not isinstance(score, int | float) or not math.isfinite(score):
            raise ValueError(f"{metric} is not a finite number: {score!r}")
        cluster = _key(row, "cluster")
        if cluster is not None and self.clusters.setdefault(key, cluster) != cluster:
            raise ValueError(f"item {key} is in two clusters, {self.clusters[key]} and {cluster}")
        if len(self.scores) >= MAX_ROWS and key not in self.scores:
            raise ValueError(f"more than {MAX_ROWS} items")
        self.scores.setdefault(key, []).append(float(score))


@dataclass(frozen=True, slots=True)
class Pairs:
    """Items scored in both runs, in the baseline's order, each the mean of its repetitions."""

    ids: tuple[str, ...]
    baseline: NDArray[np.float64]
    candidate: NDArray[np.float64]
    clusters: tuple[str, ...] | None
    removed: tuple[str, ...]
    added: tuple[str, ...]
    repeated: int


def _key(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{name} must be a string or a whole number, got {value!r}")
    return str(value)


def align(baseline: Run, candidate: Run) -> Pairs:
    """Pair two runs by id; items of only one run are listed as `removed` or `added` and not compared.

    An item without a cluster is a cluster of its own. Raises ValueError when no id is in both runs, or an item changed
    its cluster between them.
    """
    ids = tuple(key for key in baseline.scores if key in candidate.scores)
    if not ids:
        raise ValueError("no item was scored in both runs: their ids have nothing in common")
    clusters: tuple[str, ...] | None = None
    if baseline.clusters or candidate.clusters:
        clusters = tuple(_cluster(key, baseline, candidate) for key in ids)
    both = (baseline.scores, candidate.scores)
    return Pairs(
        ids=ids,
        baseline=np.array([float(np.mean(baseline.scores[key])) for key in ids]),
        candidate=np.array([float(np.mean(candidate.scores[key])) for key in ids]),
        clusters=clusters,
        removed=tuple(key for key in baseline.scores if key not in candidate.scores),
        added=tuple(key for key in candidate.scores if key not in baseline.scores),
        repeated=sum(any(len(scores[key]) > 1 for scores in both) for key in ids),
    )


def _cluster(key: str, baseline: Run, candidate: Run) -> str:
    old, new = baseline.clusters.get(key), candidate.clusters.get(key)
    if old is not None and new is not None and old != new:
        raise ValueError(f"item {key} is in cluster {old} of the baseline and in cluster {new} of the candidate")
    # The prefix keeps an item's own cluster apart from a named one.
    return f"cluster:{old or new}" if old or new else f"item:{key}"
