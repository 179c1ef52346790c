"""How near the attributed joules of a request come to the true ones, in a simulation that knows both.

    python benchmarks/attribution.py [--seconds 1800] [--seed 1]

One GPU serves requests of 20 tenants in batches. Its power is idle power, and a share for each request at work (reading
a prompt draws as much as writing four answers), with noise and saturation; all of it is invented, so the figures
compare methods and sampling, and promise nothing about a real GPU. A request's true joules are its share of the power
at each millisecond, by the weights that the rule takes too: what the figures show is the error of sampling. Beside the
rule that ships stands the naive one: all the energy that the GPU drew during a request.
"""

import argparse
import random

import numpy as np

from heliograph.query.sharing import Counter, Request, share

STEP_MS = 1
IDLE_W, BUSY_W, FULL_W = 110.0, 300.0, 680.0
TENANTS = 20
SECOND = 10**9


def simulate(seconds: int, seed: int) -> tuple[list[Request], list[int], np.ndarray, np.ndarray]:
    """Return requests, their tenants, their true joules and the GPU's energy at each millisecond."""
    rng = random.Random(seed)
    requests, tenants = [], []
    at = 0.0
    while True:
        at += rng.expovariate(0.9) * (6 if 600 < at < 660 else 1)
        prefill = min(2.0, rng.lognormvariate(-1.6, 0.6))
        decode = min(40.0, rng.lognormvariate(1.0, 0.7))
        if at + prefill + decode > seconds:
            break
        start = round(at * 1000)
        middle, end = start + max(1, round(prefill * 1000)), start + max(2, round((prefill + decode) * 1000))
        requests.append(Request(start * 10**6, middle * 10**6, end * 10**6))
        tenants.append(rng.randrange(TENANTS))
    length = seconds * 1000
    weight = np.zeros(length + 1)
    for each in requests:
        start, middle, end = (ns // 10**6 for ns in (each.start_ns, each.prefill_end_ns, each.end_ns))
        weight[start] += 4
        weight[middle] -= 3
        weight[end] -= 1
    weight = np.cumsum(weight)[:-1]
    noise = np.repeat(np.random.default_rng(seed).normal(1, 0.1, length // 50 + 1), 50)[:length]
    busy = weight > 0.5
    watts = np.where(busy, np.minimum(FULL_W, BUSY_W + 45 * weight) * noise, IDLE_W)
    energy = np.concatenate([[0.0], np.cumsum(watts) * STEP_MS / 1000])
    per_weight = np.concatenate([[0.0], np.cumsum(np.where(busy, watts / np.maximum(weight, 1), 0)) * STEP_MS / 1000])
    true = []
    for each in requests:
        start, middle, end = (ns // 10**6 for ns in (each.start_ns, each.prefill_end_ns, each.end_ns))
        true.append(4 * (per_weight[middle] - per_weight[start]) + per_weight[end] - per_weight[middle])
    return requests, tenants, np.array(true), energy


def main() -> None:
    """Print a line for each sampling interval."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--seconds", type=int, default=1800)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    requests, tenants, true, energy = simulate(options.seconds, options.seed)
    whole = (0, options.seconds * SECOND)
    naive = np.array([energy[each.end_ns // 10**6] - energy[each.start_ns // 10**6] for each in requests])
    print(f"{len(requests)} requests in {options.seconds} s, {energy[-1] / 1000:,.0f} kJ, seed {options.seed}")
    print(f"naive (all energy during each request): counts {naive.sum() / true.sum():.2f} times what they used")
    print("sampling  error of a request p50 / p95  worst tenant  truth within bounds  bounds p50  residue")
    owners = np.array(tenants)
    for interval in (0.1, 1.0, 5.0, 15.0, 60.0):
        step = round(interval * 1000)
        index = np.arange(0, len(energy), step)
        if index[-1] != len(energy) - 1:
            index = np.append(index, len(energy) - 1)
        counter = Counter(index.astype(np.int64) * 10**6, energy[index])
        found = share(counter, requests, [whole])[0]
        error = np.abs(found.joules - true) / true
        by_tenant = [
            abs(found.joules[owners == each].sum() - true[owners == each].sum()) / true[owners == each].sum()
            for each in range(TENANTS)
        ]
        inside = np.mean((found.joules_low <= true * 1.000001) & (true <= found.joules_high * 1.000001))
        width = np.median((found.joules_high - found.joules_low) / 2 / found.joules)
        print(
            f"{interval:6.1f} s  {np.median(error):12.1%} / {np.percentile(error, 95):5.1%}  {max(by_tenant):19.1%}"
            f"  {inside:19.1%}  {width:9.0%}  {found.residue:.0e}"
        )


if __name__ == "__main__":
    main()
