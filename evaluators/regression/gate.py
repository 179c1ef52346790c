"""A release gate over several metrics, with a report by segment that does not gate."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evaluators.regression.bootstrap import RESAMPLES, bca_intervals
from evaluators.regression.compare import cluster_numbers, compare
from evaluators.regression.result import RegressionResult, Verdict

# A table of tests beyond this is a mistake in the segment key, not a report.
MAX_SEGMENTS = 10_000


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """One metric in one segment; `q_value` is its Benjamini-Hochberg adjusted p-value over the whole report."""

    segment: Hashable
    metric: str
    result: RegressionResult
    q_value: float


@dataclass(frozen=True, slots=True)
class GateResult:
    """`verdict` over all metrics; `metrics` after Holm's correction; `segments` smallest q-value first."""

    verdict: Verdict
    metrics: Mapping[str, RegressionResult]
    holm_p_values: Mapping[str, float]
    segments: tuple[SegmentResult, ...]


def gate(
    baseline: Mapping[str, ArrayLike],
    candidate: Mapping[str, ArrayLike],
    *,
    margins: Mapping[str, float] | None = None,
    lower_is_better: frozenset[str] = frozenset(),
    clusters: Sequence[Hashable] | None = None,
    segments: Sequence[Hashable] | None = None,
    alpha: float = 0.05,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> GateResult:
    """Compare every metric of two runs over the same items.

    The gate fails when any metric fails after Holm's correction, so that a gate of many metrics is wrong as rarely as
    one of a single metric; it passes when every metric passes (which needs no correction: all must hold), and is
    otherwise `not_enough_data`. `segments` names the segment of each item; those are reported with their false
    discovery rate. Raises ValueError as `compare` does, and when the runs have different metrics.
    """
    if not baseline or set(baseline) != set(candidate):
        raise ValueError(f"the runs must have the same metrics: {sorted(baseline)} and {sorted(candidate)}")
    common: dict[str, Any] = {"lower_is_better": lower_is_better, "alpha": alpha, "resamples": resamples, "seed": seed}
    rows = {name: (np.asarray(baseline[name], float), np.asarray(candidate[name], float)) for name in baseline}
    whole = correct(_compare_all(rows, margins or {}, clusters, **common), alpha)
    return replace(whole, segments=_by_segment(rows, margins or {}, clusters, segments, common))


def correct(results: Mapping[str, RegressionResult], alpha: float) -> GateResult:
    """The gate over metrics that were compared each on its own, by Holm as in `gate`; raises ValueError for none."""
    if not results:
        raise ValueError("a gate needs at least one metric")
    adjusted = holm_adjusted([result.p_value for result in results.values()])
    holm = dict(zip(results, adjusted, strict=True))
    metrics = {
        name: replace(result, verdict="not_enough_data") if result.verdict == "fail" and holm[name] > alpha else result
        for name, result in results.items()
    }
    return GateResult(overall([result.verdict for result in metrics.values()]), metrics, holm, ())


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p-values, in the order given.

    statsmodels has them too, but collects garbage on every call, which takes longer than the whole gate.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return [float(value) for value in adjusted]


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """Fail where any metric fails, pass where all pass."""
    if "fail" in verdicts:
        return "fail"
    return "pass" if set(verdicts) == {"pass"} else "not_enough_data"


def _compare_all(
    rows: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    margins: Mapping[str, float],
    clusters: Sequence[Hashable] | None,
    *,
    lower_is_better: frozenset[str],
    alpha: float,
    resamples: int,
    seed: int,
) -> dict[str, RegressionResult]:
    """One result a metric, with the bootstrap intervals of all metrics from the same resamples."""
    results = {
        name: compare(
            a,
            b,
            clusters=clusters,
            margin=margins.get(name),
            alpha=alpha,
            higher_is_better=name not in lower_is_better,
            resamples=0,
        )
        for name, (a, b) in rows.items()
    }
    n_clusters = next(iter(results.values())).n_clusters
    if resamples and n_clusters > 1:
        groups = cluster_numbers(clusters, len(next(iter(rows.values()))[0]))
        differences = np.column_stack([b - a for a, b in rows.values()])
        ends = bca_intervals(differences, groups, alpha=alpha, resamples=resamples, seed=seed)
        for (name, result), (low, high) in zip(results.items(), ends, strict=True):
            results[name] = replace(result, details={**result.details, "bca_interval": [float(low), float(high)]})
    return results


def _by_segment(
    rows: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    margins: Mapping[str, float],
    clusters: Sequence[Hashable] | None,
    segments: Sequence[Hashable] | None,
    common: dict[str, Any],
) -> tuple[SegmentResult, ...]:
    if segments is None:
        return ()
    n = len(next(iter(rows.values()))[0])
    if len(segments) != n:
        raise ValueError(f"{len(segments)} segment keys for {n} items")
    members: dict[Hashable, list[int]] = {}
    for i, key in enumerate(segments):
        members.setdefault(key, []).append(i)
    if len(members) > MAX_SEGMENTS:
        raise ValueError(f"{len(members)} segments; more than {MAX_SEGMENTS} are not a report")
    found: list[tuple[Hashable, str, RegressionResult]] = []
    for key, index in members.items():
        inside = {name: (a[index], b[index]) for name, (a, b) in rows.items()}
        own = None if clusters is None else [clusters[i] for i in index]
        found += [(key, name, result) for name, result in _compare_all(inside, margins, own, **common).items()]
    q_values = stats.false_discovery_control([result.p_value for _, _, result in found])
    table = [SegmentResult(*row, float(q)) for row, q in zip(found, q_values, strict=True)]
    return tuple(sorted(table, key=lambda row: row.q_value))
