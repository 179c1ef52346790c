"""Agreement of annotators, against published figures, another implementation and the definition itself."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from evaluators.agreement import cohen, krippendorff

GAP = float("nan")
# Krippendorff (2011), section D: four observers, twelve units, gaps.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, GAP, GAP, GAP],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, GAP, 3],
        [GAP, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, GAP],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, GAP],
    ]
).T
TABLES = st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, GAP]), min_size=3, max_size=3), min_size=2, max_size=12)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_the_one_that_krippendorff_works_out(level: krippendorff.Level, published: float) -> None:
    found = krippendorff.alpha(OBSERVERS, level)
    assert found.value == pytest.approx(published, abs=6e-4)
    assert found.n == 11
    assert found.low is not None
    assert found.high is not None
    assert found.low < published < found.high <= 1


def by_definition(table: np.ndarray, level: str) -> float | None:
    """1 - mean distance within items over mean distance between any two values, pair by pair."""
    units = [unit[~np.isnan(unit)] for unit in table]
    units = [unit for unit in units if len(unit) > 1]
    every = np.concatenate(units) if units else np.array([])

    def distance(a: float, b: float) -> float:
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return (a - b) ** 2
        low, high = min(a, b), max(a, b)
        between = sum(1 for value in every if low <= value <= high)
        ends = sum(1 for value in every if value == low) / 2 + sum(1 for value in every if value == high) / 2
        return (between - ends) ** 2 if a != b else 0.0

    expected = sum(distance(a, b) for a, b in itertools.permutations(every, 2))
    if not expected:
        return None
    within = sum(sum(distance(a, b) for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in units)
    return 1 - within * (len(every) - 1) / expected


@settings(max_examples=60, deadline=None)
@given(TABLES, st.sampled_from(["nominal", "ordinal", "interval"]))
def test_alpha_is_its_definition_whatever_was_judged_by_whom(
    rows: list[list[float]], level: krippendorff.Level
) -> None:
    table = np.array(rows)
    found = krippendorff.alpha(table, level, resamples=2).value
    expected = by_definition(table, level)
    assert found == (None if expected is None else pytest.approx(expected))


def test_alpha_says_nothing_where_nobody_could_have_disagreed() -> None:
    for table in ([[1.0, 1.0], [1.0, 1.0]], [[1.0, GAP], [GAP, 2.0]], np.empty((0, 2))):
        assert krippendorff.alpha(table, "nominal").value is None
        assert krippendorff.alpha(table, "interval").value is None
    assert krippendorff.alpha([[1e9, 1e9], [1e9, 1e9]], "interval").value is None
    assert krippendorff.observed_agreement([[1.0, 1.0, 2.0], [3.0, 3.0, GAP]]) == pytest.approx((1 / 3 + 1) / 2)
    with pytest.raises(ValueError, match="at most 200"):
        krippendorff.alpha(np.arange(1_000.0).reshape(500, 2), "nominal")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40),
    st.sampled_from(["none", "linear", "quadratic"]),
)
def test_kappa_agrees_with_scikit_learn(pairs: list[tuple[int, int]], weights: cohen.Weights) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    found = cohen.kappa(first, second, 4, weights=weights, resamples=2).value
    if len(set(first) | set(second)) == 1:
        assert found is None
    else:
        other = None if weights == "none" else weights
        assert found == pytest.approx(cohen_kappa_score(first, second, labels=[0, 1, 2, 3], weights=other))


def test_the_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """150 samples of 80 items from one population; its own figure comes from 100,000 items."""

    def drawn(rng: np.random.Generator, items: int) -> np.ndarray:
        true = rng.integers(0, 2, items)
        return np.where(rng.random((items, 2)) < 0.85, true[:, None], 1 - true[:, None])

    rng = np.random.default_rng(1)
    many = drawn(rng, 100_000)
    truth = krippendorff.alpha(many, "nominal", resamples=0).value
    also = cohen.kappa(many[:, 0], many[:, 1], 2, resamples=0).value
    assert truth == pytest.approx(also, abs=0.01)
    held = [0, 0]
    for seed in range(150):
        table = drawn(rng, 80)
        for place, found in enumerate(
            (
                krippendorff.alpha(table, "nominal", resamples=300, seed=seed),
                cohen.kappa(table[:, 0], table[:, 1], 2, resamples=300, seed=seed),
            )
        ):
            assert found.low is not None
            assert found.high is not None
            held[place] += found.low <= truth <= found.high
    # 95 % of 150 is 142; a binomial with that mean falls below 132 once in ten thousand such tests.
    assert min(held) >= 132
