"""Two samples that are no pairs, and streams of them that are watched: against scipy, and where naive ones go wrong."""

import numpy as np
import pytest
from scipy import stats

from evaluators.regression.gate import correct
from evaluators.regression.live import MIN_ROWS, LiveComparison, boundary
from evaluators.regression.result import RegressionResult
from evaluators.regression.unpaired import BUCKETS, Sums, bucket_sums, compare_unpaired, no_rows


def alone(values: np.ndarray, first: int = 0) -> Sums:
    """Every value a unit of its own, in buckets of their own from `first`."""
    return bucket_sums(values, (first + np.arange(len(values))) % BUCKETS)


def sides(n: int, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0.6, 0.1, n), rng.normal(0.6 + shift, 0.2, n)


def test_independent_rows_give_welchs_t_test() -> None:
    a, b = sides(200, -0.02)
    found = compare_unpaired(alone(a), alone(b, 256), kind="continuous", margin=0.05)
    expected = stats.ttest_ind(b, a, equal_var=False, alternative="less")
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-3)
    assert found.p_value == pytest.approx(expected.pvalue, rel=2e-2)
    interval = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.9)
    assert found.interval == pytest.approx((interval.low, interval.high), rel=2e-2)
    assert (found.n, found.details["n_candidate"]) == (400, 200)


def test_rows_of_one_session_are_not_taken_as_independent() -> None:
    rng = np.random.default_rng(1)
    level = rng.normal(0, 1, 60)
    values, unit = np.repeat(level, 10), np.repeat(np.arange(60), 10)
    whole = compare_unpaired(
        bucket_sums(values, unit), bucket_sums(values[::-1], unit + 100), kind="continuous", margin=0.1
    )
    single = stats.ttest_ind(level, level).confidence_interval(0.9)
    assert whole.interval == pytest.approx((single.low, single.high), rel=2e-2)


def test_a_user_who_met_both_versions_is_a_pair() -> None:
    rng = np.random.default_rng(2)
    level = rng.normal(0, 1, 100)
    a, b = level + rng.normal(0, 0.1, 100), level + rng.normal(0, 0.1, 100)
    together = compare_unpaired(alone(a), alone(b), kind="continuous", margin=0.1)
    apart = compare_unpaired(alone(a), alone(b, 200), kind="continuous", margin=0.1)
    assert together.interval is not None
    assert apart.interval is not None
    assert np.diff(together.interval) < np.diff(apart.interval) / 4


@pytest.mark.parametrize(("kind", "transform"), [("ratio", np.log), ("mean_ratio", np.asarray)])
def test_twice_as_dear_is_one_more_and_fails(kind: str, transform: object) -> None:
    rng = np.random.default_rng(3)
    a = rng.lognormal(0, 0.5, 400)
    before, after = alone(transform(a)), alone(transform(2 * rng.permutation(a)))  # type: ignore[operator]
    found = compare_unpaired(before, after, kind=kind, margin=0.1, higher_is_better=False)  # type: ignore[arg-type]
    assert found.verdict == "fail"
    assert found.effect == pytest.approx(1.0)
    assert found.interval is not None
    assert found.interval[0] < 1 < found.interval[1]


def test_no_error_on_either_side_of_few_rows_is_not_a_pass() -> None:
    few, many = (alone(np.zeros(n)) for n in (20, 500))
    assert compare_unpaired(few, few, kind="binary", margin=0.02, higher_is_better=False).verdict == "not_enough_data"
    assert compare_unpaired(many, many, kind="binary", margin=0.02, higher_is_better=False).verdict == "pass"


def test_an_open_verdict_says_how_many_rows_would_settle_it_and_they_mostly_do() -> None:
    def gate(n: int, seed: int) -> RegressionResult:
        a, b = sides(n, 0.0, seed)
        return compare_unpaired(alone(a), alone(b, 256), kind="continuous", margin=0.02)

    found = next(result for seed in range(50) if abs((result := gate(30, seed)).effect) < 0.002)
    assert found.verdict == "not_enough_data"
    assert found.n_needed is not None
    settled = [gate(found.n_needed // 2, 100 + seed).verdict == "pass" for seed in range(60)]
    # Planned for 0.8; fewer than 0.6 of 60 would come by chance once in ten thousand.
    assert np.mean(settled) >= 0.6


def test_sides_that_cannot_be_compared_are_refused() -> None:
    one = alone(np.ones(3))
    with pytest.raises(ValueError, match="at least one row"):
        compare_unpaired(one, no_rows(), kind="continuous")
    with pytest.raises(ValueError, match="buckets"):
        compare_unpaired(one, bucket_sums(np.ones(3), np.arange(3), 8), kind="continuous")
    with pytest.raises(ValueError, match="finite"):
        alone(np.array([np.nan]))
    with pytest.raises(ValueError, match="at least one metric"):
        correct({}, 0.05)


def watch(values: np.ndarray, arm: np.ndarray, step: int = 50, **settings: object) -> LiveComparison:
    watched = LiveComparison(**({"kind": "continuous", "margin": 0.02, "alpha": 0.05} | settings))  # type: ignore[arg-type]
    buckets = np.random.default_rng(9).integers(0, BUCKETS, len(values))
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        watched.update(*(bucket_sums(values[part][arm[part] == s], buckets[part][arm[part] == s]) for s in (0, 1)))
    return watched


def test_looking_all_the_time_at_equal_streams_alarms_at_most_as_often_as_it_says() -> None:
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 8])
        watched = watch(
            (rng.random(3000) < 0.03).astype(float), rng.integers(0, 2, 3000), step=100, higher_is_better=False
        )
        alarms += watched.verdict == "fail"
    # 3 of 60 are expected at most; more than 8 would come by chance once in two hundred.
    assert alarms <= 8


def test_a_drop_is_found_and_the_verdict_stays() -> None:
    rng = np.random.default_rng(0)
    arm = rng.integers(0, 2, 4000)
    values = rng.normal(0.7, 0.2, 4000) - 0.1 * arm
    assert watch(values[:2000], arm[:2000]).verdict == "fail"
    values[2000:] += 0.3 * arm[2000:]
    assert watch(values, arm).verdict == "fail"


def test_a_canary_that_grows_while_the_traffic_changes_is_compared_with_the_same_hours() -> None:
    rng = np.random.default_rng(4)
    time = np.arange(20_000) / 20_000
    arm = (rng.random(20_000) < 0.02 + 0.9 * time).astype(int)
    values = 0.9 - 0.4 * time + rng.normal(0, 0.1, 20_000)
    assert values[arm == 1].mean() < values[arm == 0].mean() - 0.05
    assert watch(values, arm, step=400).verdict == "pass"


def test_a_watch_goes_on_from_its_state_as_if_it_had_never_stopped() -> None:
    rng = np.random.default_rng(6)
    values, arm = rng.random(1000), rng.integers(0, 2, 1000)
    whole, first = watch(values, arm), watch(values[:500], arm[:500])
    second = LiveComparison("continuous", 0.02, 0.05)
    second.restore(first.state())
    buckets = np.random.default_rng(9).integers(0, BUCKETS, 1000)
    for start in range(500, 1000, 50):
        part = slice(start, start + 50)
        second.update(*(bucket_sums(values[part][arm[part] == s], buckets[part][arm[part] == s]) for s in (0, 1)))
    again = watch(values[:500], arm[:500])
    assert first.state() == again.state()
    assert second.rows_candidate == whole.rows_candidate == arm.sum()
    assert second.as_dict()["n"] == 1000
    with pytest.raises(ValueError, match="buckets"):
        second.restore(b"12345678")


def test_there_is_no_verdict_before_the_central_limit_holds() -> None:
    few = MIN_ROWS - 1
    arm = np.tile([0, 1], few)
    watched = watch(np.where(arm == 1, -1000.0, 1000.0), arm)
    assert watched.verdict == "not_enough_data"
    assert watched.as_dict()["interval"] is None


def test_the_boundary_is_the_inverse_of_the_half_normal_mixture_or_above_it() -> None:
    for rows in (100, 2_000, 10**6):
        level = 0.1
        m = rows * (-2 * np.log(level) + np.log(-2 * np.log(level)) + 1) / 2_000
        x = boundary(rows, 0.05) * np.sqrt(m / (m + 1))
        mixture = 2 / np.sqrt(m + 1) * np.exp(x**2 / 2) * stats.norm.cdf(x)
        assert 1 / 0.05 <= mixture < 2 / 0.05
