"""The verdict of a paired comparison, against other implementations and on the inputs that break naive gates."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from evaluators.regression import compare
from evaluators.regression.paired import mcnemar_mid_p, tango_interval


def noisy(n: int, drop: float, seed: int = 0, spread: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    baseline = rng.random(n)
    return baseline, baseline - drop + rng.normal(0, spread, n)


def test_the_t_test_is_scipys_paired_one() -> None:
    baseline, candidate = noisy(80, 0.01)
    found = compare(baseline, candidate, margin=0.05)
    expected = stats.ttest_rel(candidate, baseline, alternative="less")
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    interval = stats.ttest_rel(candidate, baseline).confidence_interval(0.9)
    assert found.interval == pytest.approx((interval.low, interval.high))


def test_equal_clusters_give_the_t_test_on_cluster_means() -> None:
    baseline, candidate = noisy(100, 0.01)
    clusters = np.repeat(np.arange(20), 5)
    found = compare(baseline, candidate, clusters=list(clusters), margin=0.05)
    means = (candidate - baseline).reshape(20, 5).mean(1)
    expected = stats.ttest_1samp(means, 0, alternative="less")
    assert (found.n, found.n_clusters) == (100, 20)
    assert found.p_value == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("n", [16, 60])
def test_the_rank_test_beside_it_is_scipys_signed_rank_test_of_cluster_means(n: int) -> None:
    baseline, candidate = noisy(n, 0.03)
    found = compare(baseline, candidate, margin=0.05)
    # Exact for few different values, as scipy chooses too; by the normal approximation beyond.
    expected = stats.wilcoxon(candidate - baseline, alternative="less", method="exact" if n <= 25 else "approx")
    assert found.details["p_wilcoxon"] == pytest.approx(expected.pvalue)
    clustered = compare(baseline, candidate, clusters=list(np.repeat(np.arange(n // 2), 2)), margin=0.05)
    means = (candidate - baseline).reshape(-1, 2).mean(1)
    expected = stats.wilcoxon(means, alternative="less", method="exact" if len(means) <= 25 else "approx")
    assert clustered.details["p_wilcoxon"] == pytest.approx(expected.pvalue)
    assert compare(baseline, baseline, margin=0.05).details["p_wilcoxon"] is None


def test_mcnemar_agrees_with_statsmodels_exact_test() -> None:
    mid_p, exact = mcnemar_mid_p(9, 3)
    two_sided = mcnemar([[50, 9], [3, 50]], exact=True).pvalue
    assert 2 * exact == pytest.approx(two_sided)
    assert mid_p < exact


def test_tangos_interval_matches_the_published_example() -> None:
    # Tango (1998), table III: 44 pairs, 0 changed one way and 1 the other, 95 % interval (-0.0606, 0.1176) reversed.
    low, high = tango_interval(worse=1, better=0, n=44, alpha=0.025)
    assert (low, high) == pytest.approx((-0.1176, 0.0606), abs=2e-3)


@pytest.mark.parametrize("n", [1, 7, 200])
def test_tangos_interval_without_changes_is_its_closed_form(n: int) -> None:
    z = stats.norm.isf(0.05)
    low, high = tango_interval(0, 0, n, 0.05)
    assert (low, high) == pytest.approx((-(z**2) / (n + z**2), z**2 / (n + z**2)), abs=1e-6)


def test_all_pairs_worse_is_a_failure_at_the_end_of_the_range() -> None:
    found = compare([1] * 12, [0] * 12)
    assert found.verdict == "fail"
    assert found.interval is not None
    assert found.interval[0] == -1.0


def test_a_clear_drop_fails_and_a_clear_match_passes() -> None:
    assert compare(*noisy(1000, 0.05), margin=0.02).verdict == "fail"
    assert compare(*noisy(1000, 0.0), margin=0.02).verdict == "pass"


def test_a_drop_that_is_certain_but_within_the_margin_passes_and_says_so() -> None:
    found = compare(*noisy(1000, 0.01, spread=0.01), margin=0.02)
    assert found.verdict == "pass"
    assert found.p_value < 0.001
    assert found.details["worse_within_margin"]


def test_too_few_items_are_not_enough_and_the_number_needed_settles_it() -> None:
    few = compare(*noisy(30, 0.0, seed=1), margin=0.02)
    assert few.verdict == "not_enough_data"
    assert few.n_needed is not None
    assert few.n_needed > 30
    settled = [
        compare(*noisy(few.n_needed * 2, 0.0, seed=s), margin=0.02, resamples=0).verdict != "not_enough_data"
        for s in range(20)
    ]
    assert sum(settled) >= 14


def test_identical_runs_pass_once_there_are_enough_of_them() -> None:
    assert compare([1, 0] * 100, [1, 0] * 100, margin=0.02).verdict == "pass"
    assert compare([0.3, 0.8] * 100, [0.3, 0.8] * 100, margin=0.02).verdict == "pass"
    few = compare([1, 0] * 20, [1, 0] * 20, margin=0.02)
    assert (few.verdict, few.n_needed) == ("not_enough_data", 133)
    assert compare([1] * 133, [1] * 133, margin=0.02).verdict == "pass"


@pytest.mark.parametrize("n", [2, 4])
def test_a_handful_of_equal_drops_is_no_proof(n: int) -> None:
    assert compare([0.9] * n, [0.7] * n).verdict == "not_enough_data"


def test_many_equal_drops_are_proof() -> None:
    found = compare([0.9] * 50, [0.7] * 50)
    assert (found.verdict, found.test) == ("fail", "sign")


def test_one_item_has_no_interval_and_no_verdict() -> None:
    found = compare([0.5], [0.1])
    assert (found.verdict, found.interval) == ("not_enough_data", None)
    assert found.n_needed is not None
    assert found.n_needed > 100


def test_a_margin_of_zero_on_identical_runs_names_the_reason() -> None:
    found = compare([0.5] * 50, [0.5] * 50, margin=0)
    assert (found.verdict, found.n_needed) == ("not_enough_data", None)
    assert "margin of zero" in found.details["n_needed_reason"]


def test_lower_is_better_turns_the_verdict_and_not_the_effect() -> None:
    slow, fast = noisy(500, 0.3)
    improved = compare(slow, fast, higher_is_better=False, margin=0.02)
    assert improved.verdict == "pass"
    assert improved.effect < 0
    worse = compare(fast, slow, higher_is_better=False, margin=0.02)
    assert worse.verdict == "fail"
    assert worse.interval is not None
    assert 0 < worse.interval[0] < worse.effect < worse.interval[1]


def test_latencies_compare_as_ratios() -> None:
    rng = np.random.default_rng(3)
    baseline = rng.lognormal(5, 1, 400)
    found = compare(baseline, baseline * 1.2 * rng.lognormal(0, 0.05, 400), kind="ratio", higher_is_better=False)
    assert found.verdict == "fail"
    assert found.effect == pytest.approx(0.2, abs=0.01)


def test_the_bootstrap_interval_is_near_scipys() -> None:
    baseline, candidate = noisy(60, 0.02)
    found = compare(baseline, candidate).details["bca_interval"]
    reference = stats.bootstrap(
        ((candidate - baseline),), np.mean, confidence_level=0.9, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found == pytest.approx([reference.low, reference.high], abs=1.5e-3)


def test_scores_outside_the_unit_range_get_a_relative_default_margin() -> None:
    found = compare([100.0, 200.0, 300.0], [100.0, 201.0, 299.0])
    assert found.margin == pytest.approx(4.0)
    assert "2 %" in found.details["margin_source"]


@pytest.mark.parametrize(
    ("baseline", "candidate", "settings", "message"),
    [
        ([1.0], [1.0, 2.0], {}, "same items"),
        ([], [], {}, "non-empty"),
        ([1.0, math.nan], [1.0, 1.0], {}, "not finite"),
        ([1.0], [1.0], {"margin": -0.1}, "margin"),
        ([1.0], [1.0], {"margin": math.nan}, "margin"),
        ([1.0], [1.0], {"alpha": 0.7}, "alpha"),
        ([1.0, 1.0], [1.0, 1.0], {"clusters": ["a"]}, "cluster keys"),
        ([0.0, 1.0], [1.0, 1.0], {"kind": "ratio"}, "above 0"),
        ([0.5], [1.0], {"kind": "binary"}, "0 and 1"),
    ],
)
def test_unusable_input_is_refused(baseline: list[float], candidate: list[float], settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(baseline, candidate, **settings)


def test_false_failures_stay_near_alpha_also_within_correlated_clusters() -> None:
    rng = np.random.default_rng(11)
    clusters = np.repeat(np.arange(40), 5)
    fails = 0
    for _ in range(300):
        shared = rng.normal(0, math.sqrt(0.6), 40)[clusters] + rng.normal(0, math.sqrt(0.4), 200)
        fails += (
            compare(np.zeros(200), 0.2 * shared, clusters=list(clusters), margin=0.01, resamples=0).verdict == "fail"
        )
    # 5 % of 300 is 15; 27 is three standard errors above.
    assert fails <= 27
