"""How often each drift test alarms when nothing moved, how often when something did, and what it costs.

    python -m benchmarks.drift --data groundedness_train.jsonl.gz [--simulations 400] [--peers PYTHON ...]

`--data` is a JSON-lines file of {source, answer}: sentence embeddings of the `fever_dev` answers are the reference,
with a share replaced by those of `factcheckgpt` (a near domain). `--pools A.npy B.npy` gives the two pools ready-made.
Without either only the Gaussian sets run. `--peers` are the interpreters of other environments with alibi-detect or
Evidently (whose last permissive versions exclude each other), which get the same windows. Ratios are of CPU seconds in
the same run; a rate of r over s simulations has a standard error of sqrt(r (1 - r) / s). Run as a module: as a file,
benchmarks/evaluators.py would hide the package.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from evaluators.drift.embeddings import TESTS, detect
from evaluators.drift.explain import explain
from evaluators.drift.segments import detect_segments
from evaluators.drift.sequential import SequentialDrift
from evaluators.embedding import embed

Rows = NDArray[np.float32]
Pair = tuple[Rows, Rows]
N = 500
SCIPY = "scipy KS + Bonferroni"
SECTIONS = ("text", "clusters", "sequential", "segments", "gaussian", "scaling")
ALPHA = 0.05


def pools(options: argparse.Namespace) -> Pair | None:
    """(reference pool, near-domain pool) of embeddings, or None."""
    if options.pools:
        return np.load(options.pools[0]), np.load(options.pools[1])
    if not options.data:
        return None
    texts: dict[str, set[str]] = {"fever_dev": set(), "factcheckgpt": set()}
    with gzip.open(options.data, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["source"] in texts:
                texts[row["source"]].add(row["answer"])
    return embed(sorted(texts["fever_dev"])), embed(sorted(texts["factcheckgpt"]))


def mixed(pool: Pair, share: float, seed: int) -> Pair:
    """500 against 500, with `share` of the current window from the other pool."""
    rng = np.random.default_rng([seed, int(1000 * share)])
    index = rng.permutation(len(pool[0]))[: 2 * N]
    current = pool[0][index[N:]].copy()
    moved = int(N * share)
    current[:moved] = pool[1][rng.permutation(len(pool[1]))[:moved]]
    return pool[0][index[:N]], current


def gaussian(kind: str, seed: int) -> Pair:
    """500 against 500 in 384 dimensions, changed as `kind` says."""
    rng = np.random.default_rng([seed, 77])
    a, b = rng.standard_normal((2, N, 384), dtype=np.float32)
    if kind == "10 dims by 0.25 sd":
        b[:, :10] += 0.25
    elif kind == "all dims by 0.05 sd":
        b += 0.05
    elif kind == "40 dims variance x1.56":
        b[:, :40] *= 1.25
    elif kind == "10 % of points by 1 sd in 20 dims":
        b[: N // 10, :20] += 1
    return a, b


GAUSSIAN = (
    "null",
    "10 dims by 0.25 sd",
    "all dims by 0.05 sd",
    "40 dims variance x1.56",
    "10 % of points by 1 sd in 20 dims",
)


def ks_bonferroni(a: Rows, b: Rows) -> bool:
    """scipy's Kolmogorov-Smirnov test in every dimension, corrected by Bonferroni."""
    p = [stats.ks_2samp(a[:, j], b[:, j], method="asymp").pvalue for j in range(a.shape[1])]
    return bool(min(p) <= ALPHA / a.shape[1])


def own(test: str) -> Callable[[Rows, Rows], bool]:
    return lambda a, b: detect(a, b, test=test, seed=int(1e6 * abs(a[0, 0])), device="cpu").verdict == "drift"


def rates(make: Callable[[int], Pair], simulations: int, chosen: list[str]) -> Iterator[tuple[str, float, float, int]]:
    """(detector, share of alarms, CPU seconds a test, simulations) of every own detector and of scipy's."""
    for name in chosen:
        test = ks_bonferroni if name == SCIPY else own(name)
        # 384 scipy calls a simulation: fewer simulations have to do.
        runs = min(simulations, 40) if name == SCIPY else simulations
        alarms, cpu = 0, 0.0
        for seed in range(runs):
            a, b = make(seed)
            start = time.process_time()
            alarms += test(a, b)
            cpu += time.process_time() - start
        yield name, alarms / runs, cpu / runs, runs


def peer_rates(
    pythons: list[str], make: Callable[[int], Pair], simulations: int
) -> Iterator[tuple[str, float, float, int]]:
    """The same for the peers, in their own environment over the same windows."""
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(simulations):
            np.savez(Path(folder) / f"{seed}.npz", *make(seed))
        worker = Path(__file__).with_name("drift_peers.py")
        found: dict[str, dict[str, float]] = {}
        for python in pythons:
            done = subprocess.run([python, str(worker), folder], capture_output=True, text=True, check=True)
            # A peer that could not be imported must not be missing without a word.
            sys.stderr.write("".join(f"{python}: {line}\n" for line in done.stderr.splitlines() if "left out" in line))
            found |= json.loads(done.stdout.splitlines()[-1])
    for name, row in found.items():
        yield name, row["alarms"] / simulations, row["cpu"] / simulations, simulations


def show_rates(title: str, make: Callable[[int], Pair], options: argparse.Namespace) -> None:
    found = list(rates(make, options.simulations, options.tests))
    if options.peers:
        found += peer_rates(options.peers, make, options.peer_simulations)
    base = found[0][2]
    print(f"\n{title}\n  {'test':<34}{'alarms':>8}{'CPU-s':>9}{'ratio':>8}{'runs':>6}")
    for name, rate, cpu, runs in found:
        print(f"  {name:<34}{rate:>8.3f}{cpu:>9.4f}{cpu / base:>8.1f}{runs:>6}", flush=True)


def show_explanation(pool: Pair, simulations: int) -> None:
    for share in (0.0, 0.1, 0.2):
        fired = hits = marked = 0
        for seed in range(simulations):
            shifts = explain(*mixed(pool, share, seed), seed=seed, device="cpu")
            rows = {i for shift in shifts if shift.direction == "grew" for i in shift.moved}
            fired += bool(shifts)
            marked += len(rows)
            hits += sum(i < N * share for i in rows)
        precision = f"{hits / marked:.2f}" if marked else "-"
        recall = f"{hits / (simulations * N * share):.2f}" if share else "-"
        print(
            f"  {share:>4.0%} replaced: fired {fired / simulations:.3f}, "
            f"replaced rows among the moved {precision}, found {recall}",
            flush=True,
        )


def show_sequential(pool: Pair, streams: int) -> None:
    alarms = naive = 0
    for seed in range(streams):
        rng = np.random.default_rng([seed, 9])
        # Small windows: false alarms do not depend on the size, and what a look costs grows with its square.
        rows = pool[0][rng.permutation(len(pool[0]))[: 100 + 30 * 40]]
        monitor = SequentialDrift(rows[:100], seed=seed, device="cpu")
        looks = [monitor.update(rows[i : i + 40]) for i in range(100, len(rows), 40)]
        alarms += looks[-1].verdict == "drift"
        naive += any(look.batch.p_value <= ALPHA for look in looks)
    print(
        f"  30 looks at {streams} quiet streams: {alarms / streams:.3f} alarm; each look at 5 %: {naive / streams:.3f}"
    )


def show_segments(pool: Pair, simulations: int) -> None:
    corrected = naive = 0
    for seed in range(simulations):
        rng = np.random.default_rng([seed, 6])
        draws = [pool[0][rng.permutation(len(pool[0]))[:200]] for _ in range(50)]
        found = detect_segments({i: (rows[:100], rows[100:]) for i, rows in enumerate(draws)}, seed=seed, device="cpu")
        corrected += any(row.result.verdict == "drift" for row in found)
        naive += any(row.result.p_value <= ALPHA for row in found)
    print(
        f"  50 quiet segments, {simulations} times: any alarm {corrected / simulations:.3f}; "
        f"uncorrected {naive / simulations:.3f}",
        flush=True,
    )
    segments = {i: mixed(pool, 0.0 if i % 20 else 0.5, i) for i in range(100)}
    start = time.process_time()
    found = detect_segments(segments, device="cpu")
    cpu = time.process_time() - start
    # A segment may be called anything; here it is its number.
    hit = sum(row.result.verdict == "drift" and int(str(row.segment)) % 20 == 0 for row in found)
    print(f"  100 segments of 500 against 500, 5 with drift: {cpu:.1f} CPU-s ({hit} of 5 found); x10 for 1,000")


def show_scaling() -> None:
    for n, d in ((500, 384), (2000, 384), (5000, 384), (20_000, 384), (100_000, 768)):
        rng = np.random.default_rng(0)
        a, b = (rng.standard_normal((n, d), dtype=np.float32) for _ in range(2))
        start = time.process_time()
        result = detect(a, b, device="cpu")
        cpu = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"  n = {n:>7,} d = {d}: {cpu:7.3f} CPU-s, {result.details['approximation']}; windows of "
            f"{2 * a.nbytes / 2**30:.2f} GiB, peak of the process {peak:.2f} GiB",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pools", type=Path, nargs=2)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--peer-simulations", type=int, default=60)
    parser.add_argument(
        "--peers", nargs="+", help="interpreters with alibi-detect or Evidently, which exclude each other"
    )
    parser.add_argument("--tests", nargs="+", default=[*TESTS, SCIPY], help="the first is the base of the ratios")
    parser.add_argument("--sections", nargs="+", default=list(SECTIONS), choices=SECTIONS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pool = pools(options)
    print(f"alpha {ALPHA}, {N} against {N}, one thread")
    if pool is not None and "text" in options.sections:
        for share in (0.0, 0.05, 0.1, 0.2):
            show_rates(f"near-domain mix, {share:.0%} replaced", lambda seed, s=share: mixed(pool, s, seed), options)
    if pool is not None and "clusters" in options.sections:
        print("\nwhich cluster moved")
        show_explanation(pool, options.simulations)
    if pool is not None and "sequential" in options.sections:
        show_sequential(pool, options.simulations)
    if pool is not None and "segments" in options.sections:
        show_segments(pool, options.simulations)
    options.peers = None  # the peers' Gaussian rows say nothing that the text rows do not
    for kind in GAUSSIAN if "gaussian" in options.sections else ():
        show_rates(f"Gaussian, {kind}", lambda seed, k=kind: gaussian(k, seed), options)
    if "scaling" in options.sections:
        print("\nscaling of mmd")
        show_scaling()


if __name__ == "__main__":
    sys.exit(main())
