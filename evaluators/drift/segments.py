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
from evaluators.drift.result import DriftResult

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


def e_benjamini_hochberg(e_values: Sequence[float], alpha: float = 0.05) -> NDArray[np.bool_]:
    """Which of the hypotheses with these e-values to reject at false discovery rate alpha, whatever their dependence
    (Wang and Ramdas 2022): the k largest, for the largest k whose k-th e-value is at least m / (alpha k).
    """
    values = np.asarray(e_values, dtype=np.float64)
    if values.ndim != 1 or bool((values < 0).any()) or bool(np.isnan(values).any()):
        raise ValueError("e-values must be numbers of at least 0")
    order = np.argsort(-values, kind="stable")
    ranks = np.arange(1, len(values) + 1)
    passing = np.flatnonzero(values[order] >= len(values) / (alpha * ranks))
    rejected = np.zeros(len(values), dtype=bool)
    if len(passing):
        rejected[order[: passing[-1] + 1]] = True
    return rejected
