"""How often the regression gate is wrong, how often it sees a real drop, and what a large gate costs.

    python -m benchmarks.regression [--simulations 400]

Items share their difficulty between the two runs, as eval items do. "pass rate fell" is the gate most tools have; the
unpaired z-test is what a comparison of two leaderboards amounts to.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluators.regression import compare
from evaluators.regression.gate import gate
from evaluators.regression.sequential import SequentialComparison

Runs = tuple[NDArray[np.float64], NDArray[np.float64]]
MARGIN = 0.02


def binary(n: int, drop: float, rng: np.random.Generator) -> Runs:
    """Pass or fail, pass rate about 0.8; difficulties that leave about a quarter of the pairs to chance."""
    ease = rng.beta(1.6, 0.4, n)
    worse = ease * (1 - drop / 0.8)
    return (rng.random(n) < ease).astype(float), (rng.random(n) < worse).astype(float)


def continuous(n: int, drop: float, rng: np.random.Generator) -> Runs:
    """Scores with noise of 0.12 a run around a shared difficulty."""
    quality = rng.normal(0.7, 0.15, n)
    return quality + rng.normal(0, 0.12, n), quality - drop + rng.normal(0, 0.12, n)


def clustered(n: int, icc: float, rng: np.random.Generator) -> tuple[Runs, list[int]]:
    """Differences of sd 0.17 with this correlation inside clusters of five."""
    groups = np.repeat(np.arange(n // 5), 5)
    shared = rng.normal(0, math.sqrt(icc), n // 5)[groups] + rng.normal(0, math.sqrt(1 - icc), n)
    return (np.zeros(n), 0.17 * shared), list(groups)


def verdicts(make: Callable[[np.random.Generator], Runs], simulations: int) -> str:
    counts: Counter[str] = Counter()
    for seed in range(simulations):
        a, b = make(np.random.default_rng([seed, 1]))
        counts[compare(a, b, margin=MARGIN, resamples=0).verdict] += 1
        counts["fell"] += bool(b.mean() < a.mean())
        counts["z"] += bool(stats.ttest_ind(b, a, alternative="less").pvalue <= 0.05)
    shares = {key: counts[key] / simulations for key in ("fail", "pass", "not_enough_data", "fell", "z")}
    return "".join(f"{value:>9.3f}" for value in shares.values())


def show_verdicts(simulations: int) -> None:
    print(f"{'':<34}{'fail':>9}{'pass':>9}{'open':>9}{'fell':>9}{'unp. z':>9}")
    for kind, make in (("binary", binary), ("continuous", continuous)):
        for n in (100, 300, 1000):
            for drop in (0.0, 0.05 if kind == "binary" else 0.02):
                line = verdicts(lambda rng, m=make, n=n, d=drop: m(n, d, rng), simulations)
                print(f"  {kind:<11} n = {n:<5} drop {drop:<6}  {line}", flush=True)


def show_clusters(simulations: int) -> None:
    for icc in (0.3, 0.6):
        robust = naive = 0
        for seed in range(simulations):
            (a, b), groups = clustered(500, icc, np.random.default_rng([seed, 2]))
            robust += compare(a, b, clusters=groups, margin=0.001, resamples=0).verdict == "fail"
            naive += compare(a, b, margin=0.001, resamples=0).verdict == "fail"
        print(
            f"  clusters of 5, ICC {icc}: fail {robust / simulations:.3f}; "
            f"items taken as independent {naive / simulations:.3f}",
            flush=True,
        )


def show_sequential(simulations: int) -> None:
    looks = np.linspace(50, 1000, 20).astype(int)
    for drop in (0.0, 0.05, 0.1):
        fails, stops, naive = 0, [], 0
        for seed in range(simulations):
            a, b = binary(1000, drop, np.random.default_rng([seed, 3]))
            difference = b - a
            process = SequentialComparison(MARGIN)
            for start, stop in zip([0, *looks[:-1]], looks, strict=True):
                if process.update(difference[start:stop]) == "fail":
                    stops.append(process.n)
                    break
            fails += process.verdict == "fail"
            naive += any(stats.ttest_1samp(difference[:n], 0, alternative="less").pvalue <= 0.05 for n in looks)
        median = f", median stop {np.median(stops):.0f}" if stops else ""
        print(
            f"  20 looks, drop {drop}: fail {fails / simulations:.3f}{median}; "
            f"t-test at each look {naive / simulations:.3f}",
            flush=True,
        )


def show_gate() -> None:
    rng = np.random.default_rng(0)
    pairs = {f"metric {i}": (binary if i % 2 else continuous)(1000, 0.0, rng) for i in range(10)}
    segments = list(rng.integers(0, 20, 1000))
    wall, cpu = time.perf_counter(), time.process_time()
    gate({k: a for k, (a, _) in pairs.items()}, {k: b for k, (_, b) in pairs.items()}, segments=segments)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    difference = pairs["metric 0"][1] - pairs["metric 0"][0]
    start = time.process_time()
    stats.bootstrap((difference,), np.mean, method="BCa", n_resamples=9999, rng=rng)
    scipy = time.process_time() - start
    print(f"  1,000 items x 10 metrics x 20 segments, BCa of 9,999 resamples: {cpu:.2f} CPU-s, {wall:.2f} s")
    print(
        f"  scipy's BCa of one metric without segments: {scipy:.2f} CPU-s; "
        f"the whole gate of 210 comparisons takes {cpu / scipy:.1f} times that"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=400)
    options = parser.parse_args()
    print(f"margin {MARGIN}, alpha 0.05, {options.simulations} simulations a row")
    show_verdicts(options.simulations)
    show_clusters(options.simulations)
    show_sequential(options.simulations)
    show_gate()


if __name__ == "__main__":
    main()
