"""Many segments at once - model, prompt version, tenant, language - with the share of false alarms under control."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluators.drift.embeddings import detect
from evaluators.drift.result import DriftResult, Verdict
from evaluators.drift.sequential import Look, SequentialDrift

# First look: cheap. Only segments below PROMISING are looked at again with as many permutations as the number of
# segments asks for; a p-value taken that way is as valid as one of a single look, because the second look is fresh.
FIRST_PERMUTATIONS = 199
PROMISING = 0.02
# One product of 10,000 labellings with a 1,000 x 1,000 kernel takes about 0.3 s of one core.
MOST_PERMUTATIONS = 9999
MAX_SEGMENTS = 100_000


@dataclass(frozen=True, slots=True)
class SegmentDrift:
    """One segment's test; `result.verdict` is after the correction, `q_value` the adjusted p-value."""

    segment: Hashable
    result: DriftResult
    q_value: float


def detect_segments(
    segments: Mapping[Hashable, tuple[NDArray[Any], NDArray[Any]]],
    *,
    test: str = "mmd",
    alpha: float = 0.05,
    seed: int = 0,
    device: str | None = None,
) -> list[SegmentDrift]:
    """Test every segment's (reference, current) embeddings, smallest q-value first.

    Of the segments called drifting at most a share of alpha is expected to be false (Benjamini and Hochberg 1995).

    Raises ValueError when there are no segments or more than MAX_SEGMENTS, or for windows that `detect` refuses.
    """
    if not 0 < len(segments) <= MAX_SEGMENTS:
        raise ValueError(f"need 1 to {MAX_SEGMENTS} segments, got {len(segments)}")
    enough = min(MOST_PERMUTATIONS, max(FIRST_PERMUTATIONS, int(np.ceil(2 * len(segments) / alpha)) - 1))
    results: list[DriftResult] = []
    run = partial(detect, test=test, alpha=alpha, device=device)
    for i, (reference, current) in enumerate(segments.values()):
        result = run(reference, current, permutations=FIRST_PERMUTATIONS, seed=seed + 2 * i)
        if result.p_value <= PROMISING and "permutations" in result.details and enough > FIRST_PERMUTATIONS:
            result = run(reference, current, permutations=enough, seed=seed + 2 * i + 1)
        results.append(result)
    q_values = stats.false_discovery_control([result.p_value for result in results])
    found = [
        SegmentDrift(key, replace(result, verdict="drift" if q <= alpha else "no_drift"), float(q))
        for key, result, q in zip(segments, results, q_values, strict=True)
    ]
    return sorted(found, key=lambda row: row.q_value)


@dataclass(frozen=True, slots=True)
class SegmentLook:
    """One stream after a batch; `verdict` is after the correction over all streams, `look.verdict` of it alone."""

    segment: Hashable
    look: Look
    verdict: Verdict


class SequentialSegments:
    """Many streams at once, each watched by a SequentialDrift, looked at as often as one likes.

    Whenever one stops, of the streams called drifting at most a share of alpha is expected to be false, however the
    streams depend on each other: Benjamini and Hochberg's procedure over their e-values (Wang and Ramdas 2022). Unlike
    the verdict of one stream this one may be taken back, when other streams lose the evidence that it stood on.
    """

    def __init__(
        self,
        references: Mapping[Hashable, NDArray[Any]],
        *,
        test: str = "mmd",
        alpha: float = 0.05,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        """Raises ValueError when there are no streams or more than MAX_SEGMENTS, or for an alpha that is no share."""
        if not 0 < len(references) <= MAX_SEGMENTS:
            raise ValueError(f"need 1 to {MAX_SEGMENTS} segments, got {len(references)}")
        self._alpha = alpha
        self._streams = {
            key: SequentialDrift(rows, test=test, alpha=alpha, seed=seed + i, device=device)
            for i, (key, rows) in enumerate(references.items())
        }
        self._last: dict[Hashable, Look] = {}

    def update(self, batches: Mapping[Hashable, NDArray[Any]]) -> list[SegmentLook]:
        """Take in a batch of each stream that has one; the streams looked at so far, most evidence first.

        Raises KeyError for a stream without a reference, ValueError for a batch that `detect` refuses.
        """
        for key in batches:
            if key not in self._streams:
                raise KeyError(f"segment {key!r} has no reference")
        for key, rows in batches.items():
            self._last[key] = self._streams[key].update(rows)
        ranked = sorted(self._last.items(), key=lambda item: -item[1].e_value)
        # A stream without a look has the e-value 1 and counts among those tested.
        rejected = _e_benjamini_hochberg([look.e_value for _, look in ranked], len(self._streams), self._alpha)
        return [
            SegmentLook(key, look, "drift" if place < rejected else "no_drift")
            for place, (key, look) in enumerate(ranked)
        ]


def _e_benjamini_hochberg(descending: Sequence[float], tested: int, alpha: float) -> int:
    """How many of the largest e-values to reject: the largest k whose k-th is at least tested / (alpha k)."""
    ranks = np.arange(1, len(descending) + 1)
    passing = np.flatnonzero(np.asarray(descending) >= tested / (alpha * ranks))
    return int(passing[-1]) + 1 if len(passing) else 0
