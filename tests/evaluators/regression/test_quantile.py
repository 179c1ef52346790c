"""A tail is compared by resampling what is independent, and nothing is said of a handful of values."""

import numpy as np
import pytest

from evaluators.regression.quantile import MIN_BEYOND, compare_quantiles


def latencies(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two runs over the same rows of one system."""
    rng = np.random.default_rng(seed)
    row = rng.normal(0, 0.5, n)
    return np.exp(row + rng.normal(0, 0.2, n)), np.exp(row + rng.normal(0, 0.2, n))


def test_a_slower_tail_fails_and_the_same_one_does_not() -> None:
    a, b = latencies(1_000, 1)
    same = compare_quantiles(a, b, margin=0.1)
    assert (same.verdict, same.n, same.n_clusters) == ("pass", 1_000, 1_000)
    assert same.interval is not None
    assert same.interval[0] < 0 < same.interval[1]
    slow = compare_quantiles(a, b * 1.3, margin=0.1)
    assert slow.verdict == "fail"
    assert slow.effect == pytest.approx(1.3 * (1 + same.effect) - 1)
    assert slow.p_value < 0.01


def test_only_the_tail_counts() -> None:
    a, b = latencies(1_000, 2)
    tail = np.where(b >= np.quantile(b, 0.9), b * 1.5, b)
    assert compare_quantiles(a, tail).verdict == "fail"
    body = np.where(b <= np.quantile(b, 0.5), b * 1.5, b)
    assert compare_quantiles(a, body, margin=0.1).verdict == "pass"


def test_identical_systems_seldom_fail() -> None:
    verdicts = [compare_quantiles(*latencies(300, seed), resamples=199).verdict for seed in range(200)]
    # 0.05 and two standard errors of 200.
    assert verdicts.count("fail") <= 200 * 0.05 + 6


def test_values_of_one_session_are_one_unit_on_whichever_side() -> None:
    rng = np.random.default_rng(4)
    a, b = (np.exp(np.repeat(rng.normal(0, 0.5, 60), 20)) for _ in range(2))
    units = np.repeat(np.arange(60), 20)
    clustered = compare_quantiles(a, b, baseline_units=units, candidate_units=units + 60)
    single = compare_quantiles(a, b, baseline_units=np.arange(1_200), candidate_units=np.arange(1_200) + 1_200)
    assert clustered.interval is not None
    assert single.interval is not None
    width, narrow = (np.ptp(np.log1p(each.interval)) for each in (clustered, single))  # type: ignore[arg-type]  # above
    assert width > 2 * narrow
    assert (clustered.n, clustered.n_clusters) == (2_400, 120)


def test_few_values_are_not_enough_data_and_say_how_many_would_be() -> None:
    a, b = latencies(100, 3)
    few = compare_quantiles(a, b * 10)
    assert (few.verdict, few.interval, few.n_needed) == ("not_enough_data", None, MIN_BEYOND * 20)
    with pytest.raises(ValueError, match="above 0"):
        compare_quantiles([1.0, 0.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="same items"):
        compare_quantiles([1.0], [1.0, 1.0])
