"""Drift of numbers, categories, texts, segments and streams."""

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import integrate, spatial, stats

from evaluators.drift import categories, numbers
from evaluators.drift.any_kind import detect_any
from evaluators.drift.categories import detect_categories
from evaluators.drift.numbers import detect_numbers
from evaluators.drift.segments import SequentialSegments, _e_benjamini_hochberg, detect_segments
from evaluators.drift.sequential import SequentialDrift, calibrate
from evaluators.drift.text_statistics import detect_texts

RNG = np.random.default_rng(5)
OLD, NEW = RNG.normal(0, 1, 120), RNG.normal(0.8, 1, 90)


def test_the_number_tests_agree_with_scipy() -> None:
    assert detect_numbers(OLD, NEW).p_value == pytest.approx(stats.ks_2samp(OLD, NEW).pvalue)
    distance = detect_numbers(OLD, NEW, test="wasserstein")
    assert distance.statistic == pytest.approx(stats.wasserstein_distance(OLD, NEW))
    assert distance.effect == pytest.approx(distance.statistic / OLD.std(ddof=1))
    tied = detect_numbers(OLD.round(), NEW.round())
    assert tied.statistic == pytest.approx(stats.ks_2samp(OLD.round(), NEW.round()).statistic)


@pytest.mark.parametrize("test", sorted(numbers.TESTS))
def test_a_shifted_number_is_drift_and_an_equal_or_constant_one_is_not(test: str) -> None:
    assert detect_numbers(OLD, NEW, test=test).verdict == "drift"
    assert detect_numbers(OLD, OLD, test=test).verdict == "no_drift"
    constant = detect_numbers([3.0] * 10, [3.0] * 12, test=test)
    assert (constant.verdict, constant.p_value) == ("no_drift", 1.0)
    assert constant.effect == pytest.approx(0.0)


@pytest.mark.parametrize("test", sorted(numbers.TESTS))
def test_counts_with_ties_keep_the_false_alarm_rate(test: str) -> None:
    rng = np.random.default_rng(1)
    alarms = sum(
        detect_numbers(rng.poisson(2, 60), rng.poisson(2, 50), test=test, permutations=199).verdict == "drift"
        for _ in range(200)
    )
    assert alarms <= 21


@pytest.mark.parametrize(
    ("sample", "message"), [([1.0], "two numbers"), ([1.0, math.nan], "not finite"), ([[1.0], [2.0]], "one dimension")]
)
def test_unusable_numbers_are_refused(sample: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detect_numbers(sample, [1.0, 2.0])


def test_category_tests_agree_with_scipy() -> None:
    old, new = ["a"] * 60 + ["b"] * 40, ["a"] * 30 + ["b"] * 50
    found = detect_categories(old, new)
    expected = stats.chi2_contingency([[60, 40], [30, 50]], correction=False)
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    distance = spatial.distance.jensenshannon([0.6, 0.4], [0.375, 0.625], base=2)
    assert detect_categories(old, new, test="jensen_shannon").effect == pytest.approx(distance)


@pytest.mark.parametrize("test", sorted(categories.TESTS))
def test_a_new_category_is_drift_and_is_named(test: str) -> None:
    found = detect_categories(["en"] * 50, ["en"] * 35 + ["tlh"] * 15, test=test)
    assert found.verdict == "drift"
    assert {"category": "tlh", "share_reference": 0.0, "share_current": 0.3} in found.details["changed"]
    assert detect_categories(["en"] * 5, ["en"] * 9, test=test).p_value == 1.0


def test_an_empty_side_and_identifiers_are_no_categories() -> None:
    with pytest.raises(ValueError, match="at least one"):
        detect_categories([], ["a"])
    with pytest.raises(ValueError, match="identifiers"):
        detect_categories(range(20_000), range(5))


def test_text_statistics_find_longer_refusing_german_texts() -> None:
    english = [f"The order {i} has been shipped to the customer this morning." for i in range(80)]
    german = [f"Die Bestellung {i} wurde heute morgen an den Kunden verschickt." for i in range(80)]
    refusing = [f"I'm sorry, but I cannot help with the order {i}, please ask somebody else today." for i in range(80)]
    assert {n for n, r in detect_texts(english, german).items() if r.verdict == "drift"} >= {"language"}
    assert {n for n, r in detect_texts(english, refusing).items() if r.verdict == "drift"} >= {"refusals", "characters"}
    assert {r.verdict for r in detect_texts(english[::2], english[1::2]).values()} <= {"no_drift"}


def test_the_test_of_texts_says_what_moved_and_what_of_it_is_large_enough() -> None:
    old = np.array([f"The order {i} has been shipped to the customer this morning." for i in range(80)])
    new = np.array([f"Die Bestellung {i} wurde heute morgen an den Kunden verschickt." for i in range(80)])
    found = detect_any(old, new, test="texts")
    assert (found.test, found.verdict, found.n_reference) == ("texts", "drift", 80)
    assert found.details["statistics"]["language"]["verdict"] == "drift"
    assert found.details["statistics"][found.details["decided_by"]]["details"]["q_value"] == found.p_value
    assert json.loads(json.dumps(found.as_dict()))["details"]["decided_by"] == found.details["decided_by"]
    assert detect_any(old, new, test="texts", min_effect=1e9).verdict == "no_drift"
    assert detect_any(old[::2], old[1::2], test="texts").verdict == "no_drift"
    with pytest.raises(ValueError, match="one column"):
        detect_any(OLD, NEW, test="texts")
    with pytest.raises(ValueError, match="permutations"):
        detect_any(old, new, test="texts", permutations=99)


def test_topics_are_a_statistic_of_texts_that_can_be_embedded() -> None:
    money = [f"invoice refund payment number {i}" for i in range(60)]
    system = [f"kernel driver crash number {i}" for i in range(60)]

    def embed(texts: Sequence[str]) -> np.ndarray:
        return np.eye(6)[[int(text.startswith("kernel")) for text in texts]]

    old = money[:30] + system[:30]
    found = detect_texts(old, money[30:] + system[30:35], embed=embed)
    assert found["topics"].verdict == "drift"
    assert detect_texts(old, money[30:] + system[30:], embed=embed)["topics"].verdict == "no_drift"
    assert "topics" not in detect_texts(old, old)


def test_the_kind_of_array_picks_the_test() -> None:
    rows = RNG.standard_normal((30, 4))
    assert detect_any(rows, rows, test=None).test == "mmd"
    assert detect_any(OLD, NEW, test=None).test == "ks"
    assert detect_any(np.array(["a", "b"] * 9), np.array(["a", "c"] * 9), test=None).test == "chi_squared"
    with pytest.raises(ValueError, match="one column"):
        detect_any(rows, rows, test="ks")
    with pytest.raises(ValueError, match="unknown test"):
        detect_any(rows, rows, test="nope")


def test_a_result_is_json() -> None:
    assert json.loads(json.dumps(detect_numbers(OLD, NEW).as_dict()))["n"] == {"reference": 120, "current": 90}


def windows(shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((40, 8)), rng.standard_normal((40, 8)) + shift


def test_the_drifting_segment_is_first_and_the_rest_are_quiet() -> None:
    found = detect_segments({f"tenant {i}": windows(1.0 if i == 7 else 0.0, i) for i in range(30)})
    assert found[0].segment == "tenant 7"
    assert [row.segment for row in found if row.result.verdict == "drift"] == ["tenant 7"]


def test_of_many_streams_the_drifting_one_is_found_at_a_share_of_false_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluators.drift.sequential.PERMUTATIONS", 199)
    rng = np.random.default_rng(4)
    names = [f"tenant {i}" for i in range(8)]
    watched = SequentialSegments({name: rng.standard_normal((40, 4)) for name in names}, test="knn")
    for day in range(12):
        shift = 3.0 if day >= 6 else 0.0
        batches = {name: rng.standard_normal((15, 4)) + (shift if name == "tenant 5" else 0.0) for name in names}
        found = watched.update(batches)
        if day < 6:
            assert [row.segment for row in found if row.verdict == "drift"] == []
    assert [row.segment for row in found if row.verdict == "drift"] == ["tenant 5"]
    assert found[0].segment == "tenant 5"
    # A single stream alarms from 1 / alpha on; among eight it takes eight times that.
    assert found[0].look.e_value >= 8 / 0.05
    with pytest.raises(KeyError, match="no reference"):
        watched.update({"unknown": rng.standard_normal((15, 4))})
    with pytest.raises(ValueError, match="segments"):
        SequentialSegments({})


@pytest.mark.parametrize(
    ("e_values", "tested", "rejected"),
    # At alpha 0.05: one of four needs 80, two need 40 each; a stream that was never looked at counts too.
    [([100.0, 50.0, 1.0, 0.2], 4, 2), ([79.0, 1.0, 1.0, 1.0], 4, 0), ([81.0, 39.0], 4, 1), ([81.0, 39.0], 5, 0)],
)
def test_the_correction_over_streams_asks_for_more_evidence_the_more_there_are(
    e_values: list[float], tested: int, rejected: int
) -> None:
    assert _e_benjamini_hochberg(e_values, tested, 0.05) == rejected


def test_the_calibrator_is_an_e_value() -> None:
    # Its mean under a uniform p-value must be 1; the substitution p = exp(-t) keeps the integrand bounded.
    mean = integrate.quad(lambda t: calibrate(math.exp(-t)) * math.exp(-t), 0, 700, limit=500)[0]
    assert mean == pytest.approx(1.0, abs=0.01)
    with pytest.raises(ValueError, match="p-value"):
        calibrate(0.0)


def test_a_stream_alarms_after_the_change_and_keeps_the_alarm() -> None:
    rng = np.random.default_rng(0)
    monitor = SequentialDrift(rng.standard_normal((200, 8)), seed=1)
    quiet = [monitor.update(rng.standard_normal((50, 8))) for _ in range(6)]
    assert {look.verdict for look in quiet} == {"no_drift"}
    loud = [monitor.update(rng.standard_normal((50, 8)) + 0.8) for _ in range(3)]
    assert loud[-1].verdict == "drift"
    assert monitor.update(rng.standard_normal((50, 8))).verdict == "drift"


def test_thirty_looks_at_a_quiet_stream_rarely_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluators.drift.sequential.PERMUTATIONS", 199)
    alarms = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        monitor = SequentialDrift(rng.standard_normal((40, 3)), seed=seed, test="knn")
        alarms += any(monitor.update(rng.standard_normal((8, 3))).verdict == "drift" for _ in range(30))
    # At most 5 % of 12 on average; naive daily tests would alarm in 9 of them.
    assert alarms <= 3
