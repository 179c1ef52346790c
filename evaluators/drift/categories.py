"""Have the shares of categories moved: model, language, tool, label?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluators.drift import permutation
from evaluators.drift.result import DriftResult, check_alpha, decide

# More categories than this are identifiers, whose shares say nothing.
MAX_CATEGORIES = 10_000
# Cochran's rule: with fewer expected in a cell the chi-squared table is not to be trusted.
LEAST_EXPECTED = 5
REPORTED = 10

Counts = NDArray[np.int64]
Outcome = tuple[float, float, float, dict[str, Any]]


def detect_categories(
    reference: Iterable[Hashable],
    current: Iterable[Hashable],
    *,
    test: str = "chi_squared",
    alpha: float = 0.05,
    permutations: int = 1999,
    seed: int = 0,
    min_effect: float = 0.0,
) -> DriftResult:
    """Test whether the categories of `current` have the shares of `reference`; a new category counts as any other.

    `test` is one of TESTS: `chi_squared` (default), `jensen_shannon`. `details["changed"]` lists the categories whose
    share changed most. Raises ValueError for an unknown test, an empty side or more than MAX_CATEGORIES categories.
    """
    check_alpha(alpha)
    if test not in TESTS:
        raise ValueError(f"unknown test {test!r}, choose from {', '.join(TESTS)}")
    old, new = Counter(reference), Counter(current)
    names = list(old | new)
    if not old or not new:
        raise ValueError("both sides need at least one value")
    if len(names) > MAX_CATEGORIES:
        raise ValueError(f"{len(names)} categories; more than {MAX_CATEGORIES} are identifiers, not categories")
    table = np.array([[old[name] for name in names], [new[name] for name in names]], dtype=np.int64)
    statistic, p, effect, details = TESTS[test](table, permutations, np.random.default_rng(seed))
    shares = table / table.sum(1, keepdims=True)
    order = np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")[:REPORTED]
    changed = [
        {"category": names[i], "share_reference": float(shares[0, i]), "share_current": float(shares[1, i])}
        for i in order
        if shares[0, i] != shares[1, i]
    ]
    return DriftResult(
        test=test,
        statistic=statistic,
        p_value=p,
        effect=effect,
        interval=None,
        verdict=decide(p, effect, alpha=alpha, min_effect=min_effect),
        n_reference=int(table[0].sum()),
        n_current=int(table[1].sum()),
        details={"alpha": alpha, "seed": seed, "categories": len(names), "changed": changed, **details},
    )


def _relabelled(table: Counts, permutations: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(permutations + 1, 2, k) tables with the margins of the observed one, which stands first."""
    pooled = table.sum(0)
    drawn = rng.multivariate_hypergeometric(pooled, int(table[0].sum()), size=permutations, method="marginals")
    old = np.vstack([table[0], drawn])
    return np.stack([old, pooled - old], axis=1).astype(np.float64)


def _chi_squared(table: Counts, permutations: int, rng: np.random.Generator) -> Outcome:
    """Pearson's chi-squared; effect: Cramer's V from 0 to 1. Sparse tables are permuted instead of looked up."""
    total = float(table.sum())
    expected = np.outer(table.sum(1), table.sum(0)) / total
    statistic = float(((table - expected) ** 2 / expected).sum())
    if table.shape[1] == 1:
        return 0.0, 1.0, 0.0, {"p_value_from": "one category"}
    if expected.min() >= LEAST_EXPECTED:
        p, how = float(stats.chi2.sf(statistic, table.shape[1] - 1)), "chi-squared distribution"
    else:
        values = ((_relabelled(table, permutations, rng) - expected) ** 2 / expected).sum((1, 2))
        p, how = permutation.p_value(values, 1e-9 * statistic), f"{permutations} permutations"
    return statistic, p, math.sqrt(statistic / total), {"p_value_from": how}


def _jensen_shannon(table: Counts, permutations: int, rng: np.random.Generator) -> Outcome:
    """Jensen-Shannon divergence in bits; effect: its root, a distance from 0 to 1 (Endres and Schindelin 2003)."""
    tables = _relabelled(table, permutations, rng)
    shares = tables / tables.sum(2, keepdims=True)
    middle = shares.mean(1, keepdims=True)
    ratio = np.divide(shares, middle, out=np.ones_like(shares), where=shares > 0)
    values = np.maximum(0.0, (shares * np.log2(ratio)).sum(2).mean(1))
    divergence = float(values[0])
    return divergence, permutation.p_value(values, 1e-12), math.sqrt(divergence), {"permutations": permutations}


TESTS: dict[str, Callable[[Counts, int, np.random.Generator], Outcome]] = {
    "chi_squared": _chi_squared,
    "jensen_shannon": _jensen_shannon,
}
