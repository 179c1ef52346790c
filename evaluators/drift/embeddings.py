"""Has the distribution of embeddings moved? Four two-sample tests on (n, d) windows, all calibrated without tables.

Memory stays bounded: the exact kernel tests hold one square matrix of at most 2 x MAX_EXACT rows, larger windows go
through random features (MMD), streamed sums (classifier) or a label-blind subsample (energy, k-NN), and say so in
`details["approximation"]`. Same seed, data and device: same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from evaluators.drift import permutation
from evaluators.drift.arrays import Windows, median_squared_distance, windows
from evaluators.drift.result import DriftResult, check_alpha, decide

# Above 3,000 rows a window the pooled kernel matrix passes 144 MB and its product with the labels a second.
MAX_EXACT = 3000
# 512 frequencies, cosine and sine each: the kernel's error, about 1/sqrt(512), costs little power.
FREQUENCIES = 512
NEIGHBOURS = 5
# Shrinkage of the discriminant's covariance towards a sphere, in units of the mean variance.
DISCRIMINANT_RIDGE = 30.0
# The interval needs only the spread of the witness function, which 2,000 points a window give to 2 %.
SPREAD_POINTS = 2000
Z_95 = 1.959963984540054


def detect(
    reference: NDArray[Any],
    current: NDArray[Any],
    *,
    test: str = "mmd",
    alpha: float = 0.05,
    permutations: int = 299,
    seed: int = 0,
    device: str | None = None,
    min_effect: float = 0.0,
) -> DriftResult:
    """Test whether `current` (m, d) comes from the distribution of `reference` (n, d).

    `test` is one of TESTS: `mmd` (default), `energy`, `classifier`, `knn`. `permutations` is ignored by
    `classifier`, whose p-value is a rank test on held-out rows. `device` is a torch device; None takes CUDA if there.
    Raises ValueError for an unknown test, alpha outside (0, 1), or windows that are not finite (n >= 2, d) arrays.
    """
    check_alpha(alpha)
    if test not in TESTS:
        raise ValueError(f"unknown test {test!r}, choose from {', '.join(TESTS)}")
    sample = windows(reference, current, device)
    statistic, p, effect, interval, details = TESTS[test](sample, permutations, np.random.default_rng(seed))
    return DriftResult(
        test=test,
        statistic=statistic,
        p_value=p,
        effect=effect,
        interval=interval,
        verdict=decide(p, effect, alpha=alpha, min_effect=min_effect),
        n_reference=sample.n,
        n_current=sample.m,
        details={"alpha": alpha, "seed": seed, "device": str(sample.device), **details},
    )


Outcome = tuple[float, float, float, tuple[float, float] | None, dict[str, Any]]


def _mmd(sample: Windows, permutations: int, rng: np.random.Generator) -> Outcome:
    """Squared maximum mean discrepancy, RBF kernel exp(-d^2 / median d^2) (Gretton et al. 2012).

    statistic: the unbiased squared MMD; effect: its root (0 when negative), in [0, sqrt(2)].
    """
    bandwidth = median_squared_distance(sample, rng)
    details: dict[str, Any] = {"bandwidth_squared": bandwidth, "permutations": permutations}
    if max(sample.n, sample.m) > MAX_EXACT:
        squared, spread, p = _random_feature_mmd(sample, bandwidth, permutations, rng)
        details |= {"approximation": f"random features ({2 * FREQUENCIES})"}
    else:
        kernel = _squared_distances(sample.pooled()).div_(-bandwidth).exp_()
        squared, spread, p = _kernel_test(kernel, 1.0, sample, permutations, rng)
        details |= {"approximation": "exact"}
    interval = tuple(math.sqrt(max(0.0, squared + side * Z_95 * spread)) for side in (-1, 1))
    return squared, p, math.sqrt(max(0.0, squared)), (interval[0], interval[1]), details


def _energy(sample: Windows, permutations: int, rng: np.random.Generator) -> Outcome:
    """Energy distance 2E|X-Y| - E|X-X'| - E|Y-Y'| (Szekely and Rizzo 2013).

    statistic: its unbiased estimate, in units of distance; effect: that over 2E|X-Y|, from 0 to 1.
    """
    used = sample.subsample(MAX_EXACT, rng)
    kernel = _squared_distances(used.pooled()).sqrt_().neg_()
    across = -2 * float(kernel[: used.n, used.n :].mean(dtype=torch.float64))
    distance, spread, p = _kernel_test(kernel, 0.0, used, permutations, rng)
    scale = across if across > 0 else 1.0
    interval = tuple(min(1.0, max(0.0, (distance + side * Z_95 * spread) / scale)) for side in (-1, 1))
    details = {"permutations": permutations, "approximation": _subsampled(used, sample)}
    return distance, p, max(0.0, distance / scale), (interval[0], interval[1]), details


def _classifier(sample: Windows, permutations: int, rng: np.random.Generator) -> Outcome:
    """Can a linear discriminant tell the windows apart on rows it has not seen? (Lopez-Paz and Oquab 2017.)

    Trained on a random half of each window, judged on the other half by the one-sided Mann-Whitney test.
    statistic: the area under the ROC curve; effect: 2 AUC - 1 (0: cannot tell, 1: tells every row), with DeLong's
    interval.
    """
    del permutations  # the rank test needs none
    train = np.zeros(sample.n + sample.m, dtype=bool)
    train[rng.choice(sample.n, sample.n // 2, replace=False)] = True
    train[sample.n + rng.choice(sample.m, sample.m // 2, replace=False)] = True
    direction = _discriminant(sample, train)
    scores = np.concatenate([(block.double() @ direction).cpu().numpy() for _, block in sample.blocks()])
    held_out = ~train
    a, b = scores[: sample.n][held_out[: sample.n]], scores[sample.n :][held_out[sample.n :]]
    if np.ptp(np.concatenate([a, b])) <= 1e-12 * max(1e-300, float(np.abs(scores).max())):
        return 0.5, 1.0, 0.0, None, {"reason": "the held-out rows cannot be ranked: all score the same"}
    auc, spread = _auc(a, b)
    p = float(stats.mannwhitneyu(b, a, alternative="greater").pvalue)
    interval = (max(-1.0, 2 * (auc - Z_95 * spread) - 1), min(1.0, 2 * (auc + Z_95 * spread) - 1))
    return auc, p, 2 * auc - 1, interval, {"trained_on": int(train.sum()), "judged_on": int(held_out.sum())}


def _knn(sample: Windows, permutations: int, rng: np.random.Generator) -> Outcome:
    """Are a row's nearest neighbours mostly of its own window? (Schilling 1986, Henze 1988.)

    statistic: share of the NEIGHBOURS nearest rows that belong to the row's own window; effect: how far that share
    has gone from chance (0) to certainty (1); no interval.
    """
    used = sample.subsample(MAX_EXACT, rng)
    total = used.n + used.m
    k = min(NEIGHBOURS, total - 1)
    # Ties are broken by position, so positions must not follow the labels.
    order = rng.permutation(total)
    distances = _squared_distances(used.pooled()[torch.from_numpy(order).to(used.device)]).fill_diagonal_(math.inf)
    nearest = distances.topk(k, largest=False).indices.cpu().numpy()
    table = permutation.labels(used.n, used.m, permutations, rng)[:, order]
    same = np.array([np.mean(row[nearest] == row[:, None]) for row in table], dtype=np.float64)
    expected = (used.n * (used.n - 1) + used.m * (used.m - 1)) / (total * (total - 1))
    details = {"permutations": permutations, "k": k, "approximation": _subsampled(used, sample)}
    return float(same[0]), permutation.p_value(same, 1e-9), float((same[0] - expected) / (1 - expected)), None, details


TESTS: dict[str, Callable[[Windows, int, np.random.Generator], Outcome]] = {
    "mmd": _mmd,
    "energy": _energy,
    "classifier": _classifier,
    "knn": _knn,
}


def _subsampled(used: Windows, sample: Windows) -> str:
    return "exact" if used is sample else f"random subsample of {used.n} and {used.m} rows"


def _squared_distances(points: torch.Tensor) -> torch.Tensor:
    """(n, n) squared Euclidean distances, zero on the diagonal; centred first so that little cancels."""
    points = points - points.mean(0)
    norms = points.square().sum(1)
    return torch.addmm(norms[:, None] + norms, points, points.T, alpha=-2).clamp_(min=0).fill_diagonal_(0)


def _kernel_test(
    kernel: torch.Tensor, self_value: float, sample: Windows, permutations: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """(unbiased statistic, standard error, p-value) of a kernel two-sample test; changes `kernel` in place.

    All permutations are one matrix product: row b of `w` holds the weights of labelling b, and its statistic is
    w K w'. The standard error is the first-order one of a U-statistic (Gretton et al. 2012, section 4.2).
    """
    n, m = sample.n, sample.m
    to_reference = kernel[:, :n].sum(1).double().cpu().numpy()
    to_current = kernel[:, n:].sum(1).double().cpu().numpy()
    x = (to_reference[:n] - self_value) / (n - 1) - to_current[:n] / m
    y = (to_current[n:] - self_value) / (m - 1) - to_reference[n:] / n
    spread = 2 * math.sqrt(float(x.var(ddof=1)) / n + float(y.var(ddof=1)) / m)
    w = permutation.weights(permutation.labels(n, m, permutations, rng), n, m, sample.device)
    # Weights sum to zero, so a constant taken off the kernel changes nothing but the rounding.
    level = float(to_reference.sum() + to_current.sum()) / kernel.numel()
    kernel -= level
    values = ((w @ kernel) * w).sum(1, dtype=torch.float64).cpu().numpy()
    p = permutation.p_value(values, 1e-6 * abs(level) * (1 / n + 1 / m))
    return float(x.mean() + y.mean()), spread, p


def _random_feature_mmd(
    sample: Windows, bandwidth: float, permutations: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """As `_kernel_test` for the RBF kernel, from random Fourier features (Rahimi and Recht 2007), in one pass."""
    width = sample.reference.shape[1]
    frequencies = rng.standard_normal((width, FREQUENCIES), dtype=np.float32) * math.sqrt(2 / bandwidth)
    omega = torch.from_numpy(frequencies.astype(np.float32)).to(sample.device)
    table = permutation.labels(sample.n, sample.m, permutations, rng)
    sums = torch.zeros((permutations + 1, 2 * FREQUENCIES), device=sample.device)
    means = torch.zeros((2, 2 * FREQUENCIES), dtype=torch.float64, device=sample.device)
    for start, block in sample.blocks():
        features = _features(block, omega)
        part = np.ascontiguousarray(table[:, start : start + len(block)])
        sums += permutation.weights(part, sample.n, sample.m, sample.device) @ features
        means[0 if start < sample.n else 1] += features.sum(0).double()
    values = sums.square().sum(1, dtype=torch.float64).cpu().numpy()
    n, m = sample.n, sample.m
    own = [float((means[i].square().sum() - size) / (size * (size - 1))) for i, size in ((0, n), (1, m))]
    squared = own[0] + own[1] - 2 * float(means[0] @ means[1]) / (n * m)
    witness = (means[0] / n - means[1] / m).float()
    spreads = []
    for first, size in ((0, n), (n, m)):
        index = first + np.sort(rng.choice(size, min(size, SPREAD_POINTS), replace=False))
        spreads.append(float((_features(sample.rows(index), omega) @ witness).var()) / size)
    return squared, 2 * math.sqrt(sum(spreads)), permutation.p_value(values, 1e-7 * (1 / n + 1 / m))


def _features(block: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
    """(rows, 2 x FREQUENCIES) features of unit length whose inner products approximate the RBF kernel."""
    angles = block @ omega
    return torch.cat([angles.cos(), angles.sin()], dim=1).mul_(1 / math.sqrt(FREQUENCIES))


def _discriminant(sample: Windows, train: NDArray[np.bool_]) -> torch.Tensor:
    """(d,) float64 direction of the ridge-shrunk linear discriminant on the training rows, from streamed sums."""
    width = sample.reference.shape[1]
    sums = torch.zeros((2, width), dtype=torch.float64, device=sample.device)
    products = torch.zeros((width, width), dtype=torch.float64, device=sample.device)
    for start, block in sample.blocks():
        chosen = block[torch.from_numpy(train[start : start + len(block)]).to(sample.device)]
        sums[0 if start < sample.n else 1] += chosen.sum(0, dtype=torch.float64)
        products += (chosen.T @ chosen).double()
    counts = [int(train[: sample.n].sum()), int(train[sample.n :].sum())]
    means = [sums[i] / counts[i] for i in (0, 1)]
    scatter = products - sum(counts[i] * torch.outer(means[i], means[i]) for i in (0, 1))
    covariance = scatter / max(1, sum(counts) - 2)
    ridge = DISCRIMINANT_RIDGE * covariance.diagonal().mean().clamp(min=1e-12)
    shrunk = covariance + ridge * torch.eye(width, dtype=torch.float64, device=sample.device)
    direction: torch.Tensor = torch.linalg.solve(shrunk, means[1] - means[0])
    return direction


def _auc(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """Probability that a value of b exceeds one of a (ties half), and its standard error (DeLong et al. 1988)."""
    ranks = stats.rankdata(np.concatenate([a, b]))
    over_a = (ranks[len(a) :] - stats.rankdata(b)) / len(a)
    over_b = 1 - (ranks[: len(a)] - stats.rankdata(a)) / len(b)
    variance = sum(float(v.var(ddof=1)) / len(v) if len(v) > 1 else 0.25 for v in (over_a, over_b))
    return float(over_a.mean()), math.sqrt(variance)
