"""How often a gate fails two identical systems, how often it finds a true drop, and what looking all the time costs.

    python -m benchmarks.gate [--simulations 400]

Rows are the same in both runs. What decides the power is not the score but how much of it changes from one run to the
next where nothing changed: the *flip rate* of pass-or-fail scores, the *noise* of graded ones. Two runs of one model at
temperature 0 flip 2 to 10 % of their rows, at temperature 1 with a judge behind them 15 to 30 %; measure your own by
running the baseline twice. The goal (a drop of 5 points with 300 rows found at least 80 % of the time) is printed for
the whole grid, met or not. `rows` averages repetitions of each row where more than one run was made.

Live: sides of different requests, a canary that grows from 5 to 50 % of the traffic, traffic whose level follows the
hour, sessions of 1 to 6 requests, and a look every 50 requests.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from evaluators.regression import compare
from evaluators.regression.gate import correct
from evaluators.regression.live import LiveComparison
from evaluators.regression.result import Kind, RegressionResult
from evaluators.regression.unpaired import bucket_sums, compare_unpaired

Scores = NDArray[np.float64]
Runs = tuple[Scores, Scores]
MARGIN = 0.02
ROWS = 300
DROP = 0.05
LOOK_EVERY = 50
FLIPS = (0.02, 0.05, 0.10, 0.15)


def passes(n: int, drop: float, flip: float, repeats: int, rng: np.random.Generator) -> Runs:
    """Pass or fail with a mean of 0.8: a share of the rows is a coin toss in every run, so that `flip` of all rows
    differ between two runs of one system; the drop takes rows that passed."""
    undecided = rng.random(n) < 2 * flip
    settled = rng.random(n) < (0.8 - flip) / max(1e-9, 1 - 2 * flip)
    lost = rng.random(n) < drop / 0.8

    def run(is_candidate: bool) -> Scores:
        tosses = rng.random((repeats, n)) < 0.5
        good = np.where(undecided, tosses, settled)
        return (good & ~lost if is_candidate else good).mean(0).astype(float)

    return run(False), run(True)


def graded(n: int, drop: float, noise: float, repeats: int, rng: np.random.Generator) -> Runs:
    """Scores from 0 to 1 around a difficulty that both runs share, with this noise a run."""
    quality = rng.beta(6, 2, n)

    def run(level: Scores) -> Scores:
        return np.clip(level + rng.normal(0, noise, (repeats, n)), 0, 1).mean(0)

    return run(quality), run(quality - drop)


def exact(flip: float, drop: float) -> float:
    """The share of gates on `passes` that McNemar's mid-p test fails, summed over all outcomes: no simulation."""
    worse, better = chances(flip, drop)
    share = 0.0
    for changed in range(ROWS + 1):
        chance = stats.binom.pmf(changed, ROWS, worse + better)
        counts = np.arange(changed + 1)
        tail = stats.binom.sf(counts - 1, changed, 0.5) - 0.5 * stats.binom.pmf(counts, changed, 0.5)
        share += chance * stats.binom.pmf(counts, changed, worse / (worse + better))[tail <= 0.05].sum()
    return float(share)


def chances(flip: float, drop: float) -> tuple[float, float]:
    """The chances that a row of `passes` gets worse and better."""
    kept = 1 - drop / 0.8
    return flip / 2 * kept + flip / 2 * 2 * drop / 0.8 + (0.8 - flip) * drop / 0.8, flip / 2 * kept


def ceiling(flip: float, drop: float) -> float:
    """A rate above which no test whatever can find the drop in `passes`, if it fails identical systems at most .05.

    By the lemma of Neyman and Pearson: the most powerful test of one pair of identical systems against this drop, with
    randomization, and of those pairs the one that is hardest to tell from it. Of a row only whether it got worse or
    better speaks about the drop.
    """
    worse, better = np.meshgrid(np.arange(ROWS // 2), np.arange(ROWS // 2), indexing="ij")
    chance_worse, chance_better = chances(flip, drop)

    def outcomes(first: float, second: float) -> Scores:
        parts = [worse, better, ROWS - worse - better]
        each = [special.xlogy(part, p) for part, p in zip(parts, (first, second, 1 - first - second), strict=True)]
        return np.exp(special.gammaln(ROWS + 1) - sum(special.gammaln(part + 1) for part in parts) + sum(each)).ravel()

    found = outcomes(chance_worse, chance_better)
    least = 1.0
    for factor in np.linspace(0.8, 1.2, 41):
        same = (chance_worse + chance_better) / 2 * factor
        identical = outcomes(same, same)
        possible = identical > 0
        order = np.argsort(-found[possible] / identical[possible])
        reached = np.cumsum(identical[possible][order])
        taken = int(np.searchsorted(reached, 0.05))
        power = found[possible][order][: taken + 1]
        rest = (0.05 - (reached[taken - 1] if taken else 0.0)) / identical[possible][order][taken]
        least = min(least, float(power[:-1].sum() + power[-1] * rest))
    return least


def ceiling_of_five(alone: float, draws: int = 400_000) -> float:
    """The same of five independent metrics of which any one drops, where one alone is found at .01 at this rate.

    The best test of level .05 is that of the mean likelihood ratio over which of them drops.
    """
    shift = stats.norm.ppf(alone) - stats.norm.ppf(0.01)
    still = np.random.default_rng(5).standard_normal((draws, 5))
    moved = still.copy()
    moved[:, 0] += shift
    ratios = [np.exp(shift * each - shift**2 / 2).mean(1) for each in (still, moved)]
    return float((ratios[1] > np.quantile(ratios[0], 0.95)).mean())


def rate(make: Callable[[np.random.Generator], list[Runs]], simulations: int, cell: int) -> tuple[float, float, float]:
    """Shares of gates that fail, pass and stay open."""
    verdicts = []
    for seed in range(simulations):
        rng = np.random.default_rng([seed, 40, cell])
        results = {str(i): compare(*runs, margin=MARGIN, resamples=0) for i, runs in enumerate(make(rng))}
        verdicts.append(correct(results, 0.05).verdict)
    return tuple(verdicts.count(name) / simulations for name in ("fail", "pass", "not_enough_data"))  # type: ignore[return-value]  # it is three


def show_paired(simulations: int) -> None:
    cells: list[tuple[str, Callable[[float, np.random.Generator], list[Runs]]]] = []
    for flip in FLIPS:
        for repeats in (1, 3):
            cells.append(
                (
                    f"pass or fail, {flip:.0%} flip, rows of {repeats}",
                    lambda drop, rng, f=flip, r=repeats: [passes(ROWS, drop, f, r, rng)],
                )
            )
    for noise in (0.1, 0.2):
        cells.append((f"graded, noise {noise}", lambda drop, rng, s=noise: [graded(ROWS, drop, s, 1, rng)]))
    cells.append(
        (
            "5 graded metrics, 1 drops (Holm)",
            lambda drop, rng: [graded(ROWS, drop if i == 0 else 0, 0.2, 1, rng) for i in range(5)],
        )
    )
    print(f"paired, {ROWS} rows{'':<27}{'identical':>10}{'pass':>7}{'open':>7}   {f'drop {DROP}':>10}{'goal':>7}")
    for number, (name, make) in enumerate(cells):
        still = rate(lambda rng, m=make: m(0.0, rng), simulations, 2 * number)
        moved = rate(lambda rng, m=make: m(DROP, rng), simulations, 2 * number + 1)
        goal = "met" if still[0] <= 0.05 + 1.64 * 0.011 and moved[0] >= 0.8 else "missed"
        print(f"  {name:<42}{still[0]:>8.3f}{still[1]:>7.2f}{still[2]:>7.2f}   {moved[0]:>10.3f}{goal:>7}", flush=True)


def live(
    rows: int, drop: float, kind: str, rng: np.random.Generator
) -> tuple[Scores, Scores, NDArray[np.intp], Scores]:
    """(values, is candidate, unit, time from 0 to 1) of a stream of requests in sessions."""
    sizes = rng.integers(1, 7, rows)
    unit = np.repeat(np.arange(rows), sizes)[:rows]
    time = np.arange(rows) / rows
    ramp = 0.05 + 0.45 * time
    arm = (rng.random(rows) < ramp[np.searchsorted(unit, unit)])[np.searchsorted(unit, unit)].astype(float)
    level = 0.5 * np.sin(2 * np.pi * 2 * time)
    own = rng.normal(0, 1, rows)[unit]
    if kind == "score":
        noise = 0.1 * own + rng.normal(0, 0.15, rows)
        return np.clip(0.75 + 0.1 * level + noise - drop * arm, 0, 1), arm, unit, time
    if kind == "errors":
        return (rng.random(rows) < 0.01 * (1 + 0.5 * level) + drop * arm).astype(float), arm, unit, time
    # Latency: log-normal with a heavy tail.
    return np.exp(0.4 * level + 0.3 * own + rng.normal(0, 0.8, rows) + drop * arm), arm, unit, time


METRICS: dict[str, tuple[Kind, bool, float]] = {
    "score": ("continuous", True, MARGIN),
    "errors": ("binary", False, 0.005),
    "latency": ("ratio", False, 0.05),
    "cost": ("mean_ratio", False, 0.05),
}


def show_live(simulations: int, rows: int) -> None:
    print(f"\nlive, {rows} requests, a look every {LOOK_EVERY}: share that ever fails (and median request of it)")
    print(f"  {'':<10}{'drop':>7}{'watched':>9}{'stop':>8}{'passes':>8}   {'Welch at each look':>20}{'one look':>10}")
    for name, (kind, higher, margin) in METRICS.items():
        for drop in (0.0, {"score": 0.05, "errors": 0.02, "latency": 0.2, "cost": 0.2}[name]):
            ends: list[str] = []
            stops: list[int] = []
            naive = once = 0
            for seed in range(simulations):
                rng = np.random.default_rng([seed, 41])
                values, arm, unit, _ = live(rows, drop, name, rng)
                values = np.log(values) if kind == "ratio" else values
                buckets = ((unit.astype(np.uint64) * np.uint64(11400714819323198485)) >> np.uint64(55)).astype(np.intp)
                watched = LiveComparison(kind, margin, 0.05, higher)
                failed_at_a_look = False
                result: RegressionResult | None = None
                for start in range(0, rows, LOOK_EVERY):
                    part = slice(start, start + LOOK_EVERY)
                    sides = [
                        bucket_sums(values[part][arm[part] == side], buckets[part][arm[part] == side])
                        for side in (0, 1)
                    ]
                    before = watched.verdict
                    watched.update(sides[0], sides[1])
                    if watched.verdict == "fail" and before != "fail":
                        stops.append(start + LOOK_EVERY)
                    if min(watched.rows_baseline, watched.rows_candidate) >= 100:
                        result = compare_unpaired(
                            watched.baseline, watched.candidate, kind=kind, margin=margin, higher_is_better=higher
                        )
                        failed_at_a_look |= result.verdict == "fail"
                ends.append(watched.verdict)
                naive += failed_at_a_look
                once += result is not None and result.verdict == "fail"
            stop = f"{np.median(stops):.0f}" if stops else "-"
            print(
                f"  {name:<10}{drop:>7}{ends.count('fail') / simulations:>9.3f}{stop:>8}"
                f"{ends.count('pass') / simulations:>8.3f}   {naive / simulations:>20.3f}{once / simulations:>10.3f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--live-simulations", type=int, default=200)
    parser.add_argument("--requests", type=int, default=10_000)
    options = parser.parse_args()
    error = math.sqrt(0.05 * 0.95 / options.simulations)
    print(
        f"margin {MARGIN}, alpha 0.05, {options.simulations} simulations a cell: standard error {error:.3f} at 0.05\n"
    )
    show_paired(options.simulations)
    print(
        "\nthe single runs of pass or fail, summed over all outcomes: identical, drop, and the most that any test finds"
    )
    for flip in FLIPS:
        print(f"  {flip:.0%} flip: {exact(flip, 0.0):.3f}, {exact(flip, DROP):.3f}, {ceiling(flip, DROP):.3f}")
    print(f"\nfive independent metrics, Holm finds .760, the most that any test finds: {ceiling_of_five(0.76):.3f}")
    if options.live_simulations:
        show_live(options.live_simulations, options.requests)


if __name__ == "__main__":
    main()
