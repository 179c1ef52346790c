"""Aligning runs, the gate over many metrics, the bootstrap, sample sizes, and verdicts one may peek at."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from evaluators.regression.align import MAX_ROWS, Run, align
from evaluators.regression.bootstrap import bca_intervals
from evaluators.regression.gate import gate, holm_adjusted
from evaluators.regression.power import minimum_detectable_effect, sample_size
from evaluators.regression.sequential import BETS, EProcess, SequentialComparison


def rows(**scores: object) -> list[dict]:
    return [{"id": key, "quality": score} for key, score in scores.items()]


def run_of(given: list[dict], metric: str) -> Run:
    run = Run()
    for row in given:
        run.add(row, metric)
    return run


def test_runs_meet_by_id_and_the_rest_is_reported() -> None:
    pairs = align(run_of(rows(a=1, b=0.5, c=0), "quality"), run_of(rows(c=1, a=0, d=1), "quality"))
    assert (pairs.ids, pairs.removed, pairs.added) == (("a", "c"), ("b",), ("d",))
    assert list(pairs.candidate - pairs.baseline) == [-1, 1]
    assert pairs.clusters is None


def test_repeated_items_are_averaged_and_counted() -> None:
    baseline = run_of([{"id": 1, "q": 0.0}, {"id": 1, "q": 1.0}], "q")
    pairs = align(baseline, run_of([{"id": "1", "q": True}], "q"))
    assert (pairs.baseline[0], pairs.candidate[0], pairs.repeated) == (0.5, 1.0, 1)


def test_an_item_without_a_cluster_is_its_own() -> None:
    run = run_of([{"id": "a", "q": 1, "cluster": "x"}, {"id": "b", "q": 1, "cluster": "x"}, {"id": "x", "q": 1}], "q")
    clusters = align(run, run).clusters
    assert clusters is not None
    assert (clusters[0] == clusters[1], len(set(clusters))) == (True, 2)


def test_a_null_score_is_unscored_and_not_zero() -> None:
    run = run_of(rows(a=None, b=1), "quality")
    assert (run.unscored, list(run.scores)) == (1, ["b"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"quality": 1}, "no id"),
        ({"id": "a"}, "no score"),
        ({"id": "a", "quality": "good"}, "finite number"),
        ({"id": "a", "quality": math.nan}, "finite number"),
        ({"id": True, "quality": 1}, "string or a whole number"),
        ({"id": "a", "quality": 1, "cluster": 1.5}, "string or a whole number"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_of([row], "quality")


def test_runs_with_nothing_in_common_or_moved_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing in common"):
        align(run_of(rows(a=1), "quality"), run_of(rows(b=1), "quality"))
    one, two = ([{"id": "a", "q": 1, "cluster": name}] for name in "xy")
    with pytest.raises(ValueError, match="cluster x of the baseline"):
        align(run_of(one, "q"), run_of(two, "q"))
    with pytest.raises(ValueError, match="two clusters"):
        run_of([*one, *two], "q")
    assert MAX_ROWS >= 1_000_000


def test_the_batched_bootstrap_matches_scipy_column_by_column() -> None:
    rng = np.random.default_rng(2)
    columns = np.column_stack([rng.exponential(1, 80), rng.normal(0, 1, 80), np.zeros(80)])
    found = bca_intervals(columns, np.arange(80), alpha=0.05)
    for j in (0, 1):
        reference = stats.bootstrap(
            (columns[:, j],), np.mean, confidence_level=0.9, method="BCa", rng=np.random.default_rng(3)
        ).confidence_interval
        assert found[j] == pytest.approx([reference.low, reference.high], abs=0.02)
    assert list(found[2]) == [0.0, 0.0]


def test_cluster_resampling_is_wider_than_item_resampling() -> None:
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(30), 6)
    column = (rng.normal(0, 1, 30)[clusters] + rng.normal(0, 0.3, 180))[:, None]
    naive, robust = (np.ptp(bca_intervals(column, groups)) for groups in (np.arange(180), clusters))
    assert robust > 1.8 * naive


def test_sample_sizes_are_those_of_statsmodels() -> None:
    power = TTestPower()
    for ratio in (0.1, 0.3, 0.8):
        expected = power.solve_power(effect_size=ratio, alpha=0.05, power=0.8, alternative="larger")
        assert sample_size(1.0, ratio) == pytest.approx(expected, abs=1.5)
    assert minimum_detectable_effect(0.1) == pytest.approx(0.1 * (1.6449 + 0.8416), abs=1e-4)
    with pytest.raises(ValueError, match="positive"):
        sample_size(1.0, 0.0)


def test_a_gate_fails_on_the_metric_that_dropped_and_names_the_segment() -> None:
    rng = np.random.default_rng(6)
    segments = np.repeat(["de", "en", "fr"], 200)
    baseline = {name: rng.random(600) for name in ("quality", "tone", "length")}
    candidate = {name: values + rng.normal(0, 0.05, 600) for name, values in baseline.items()}
    candidate["quality"] = candidate["quality"] - 0.2 * (segments == "de")
    found = gate(baseline, candidate, margins={"quality": 0.02}, segments=list(segments), resamples=999)
    assert found.verdict == "fail"
    assert {name for name, result in found.metrics.items() if result.verdict == "fail"} == {"quality"}
    assert (found.segments[0].segment, found.segments[0].metric) == ("de", "quality")
    assert sum(row.q_value <= 0.05 for row in found.segments) == 1
    assert found.metrics["tone"].details["bca_interval"] == pytest.approx(found.metrics["tone"].interval, abs=2e-3)


def test_holms_adjustment_is_that_of_statsmodels() -> None:
    p = [0.04, 0.001, 0.5, 0.01, 0.01]
    assert holm_adjusted(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_keeps_many_metrics_from_failing_by_chance() -> None:
    rng = np.random.default_rng(8)
    fails = 0
    for _ in range(100):
        base = {f"m{i}": np.zeros(60) for i in range(10)}
        new = {name: rng.normal(0, 0.3, 60) for name in base}
        fails += gate(base, new, margins=dict.fromkeys(base, 0.01), resamples=0).verdict == "fail"
    # Ten uncorrected tests would fail 40 of 100 gates.
    assert fails <= 13


def test_a_gate_needs_the_same_metrics_and_one_segment_an_item() -> None:
    with pytest.raises(ValueError, match="same metrics"):
        gate({"a": [1.0]}, {"b": [1.0]})
    with pytest.raises(ValueError, match="segment keys"):
        gate({"a": [1.0, 0.0]}, {"a": [1.0, 0.0]}, segments=["x"])


def test_the_wealth_of_one_bet_is_its_closed_form() -> None:
    process = EProcess(0.0, -1.0, 1.0)
    process.update(1.0)
    assert process.log_e == pytest.approx(math.log(float(np.mean(1 + BETS))))
    process.update(-1.0)
    assert process.log_e == pytest.approx(math.log(float(np.mean((1 + BETS) * (1 - BETS)))))
    with pytest.raises(ValueError, match="outside"):
        process.update(1.5)


def test_a_drop_stops_early_and_no_change_passes_in_the_end() -> None:
    rng = np.random.default_rng(1)
    dropped = SequentialComparison(0.02)
    assert dropped.update(rng.choice([-1.0, 0.0, 1.0], 600, p=[0.2, 0.75, 0.05])) == "fail"
    assert dropped.p_value <= 0.05
    steady = SequentialComparison(0.1)
    assert steady.update(rng.normal(0, 0.1, 600).clip(-1, 1)) == "pass"
    assert SequentialComparison(0.02).effect is None


def test_peeking_after_every_item_keeps_the_error_rate() -> None:
    rng = np.random.default_rng(2)
    fails = sum(
        SequentialComparison(0.02).update(rng.choice([-1.0, 0.0, 1.0], 300, p=[0.1, 0.8, 0.1])) == "fail"
        for _ in range(150)
    )
    # At most 5 % of 150 on average, 7.5; naive looks after every item would fail a third.
    assert fails <= 14
