"""Thresholds and curves that are chosen from labels, judged on labels that they were not chosen from."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score

from evaluators.calibration import platt
from evaluators.calibration.reliability import reliability
from evaluators.calibration.report import judge_scores
from evaluators.calibration.threshold import best_threshold, choose


def labelled(n: int, seed: int = 0, better: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    return truth, rng.normal(truth * better)


@pytest.mark.parametrize("higher", [True, False])
def test_no_other_threshold_is_better_by_more_than_its_smoothing(higher: bool) -> None:
    truth, score = labelled(120)
    score = score if higher else -score
    for criterion, reference in (("balanced_accuracy", balanced_accuracy_score), ("f1", f1_score)):
        found = best_threshold(truth, score, criterion, higher_is_positive=higher)  # type: ignore[arg-type]  # literals
        reached = reference(truth, (score >= found) == higher)
        best = max(reference(truth, (score >= cut) == higher) for cut in score)
        assert best - 0.02 <= reached <= best


def test_what_a_threshold_is_worth_is_measured_on_labels_that_did_not_choose_it() -> None:
    """Scores that say nothing: on the labels that choose it a threshold looks good, out of fold it does not."""
    rng = np.random.default_rng(4)
    chosen, fitted = [], []
    for seed in range(12):
        truth, score = rng.random(60) < 0.5, rng.random(60)
        if min(truth.sum(), (~truth).sum()) < 10:
            continue
        found = choose(truth, score, seed=seed)
        assert found.out_of_fold.value is not None
        chosen.append(found.out_of_fold.value)
        fitted.append(balanced_accuracy_score(truth, score >= best_threshold(truth, score)))
    assert np.mean(fitted) > 0.55
    assert np.mean(chosen) == pytest.approx(0.5, abs=0.06)


def test_the_interval_of_a_threshold_shrinks_with_more_labels() -> None:
    widths = []
    for n in (60, 4_000):
        found = choose(*labelled(n, seed=2)).threshold
        assert found.low is not None
        assert found.high is not None
        assert found.value is not None
        assert found.low <= found.value <= found.high
        widths.append(found.high - found.low)
    assert widths[1] < 0.7 * widths[0]


def test_too_few_labels_of_a_class_are_refused_with_the_number_that_is_needed() -> None:
    with pytest.raises(ValueError, match="need 10 labels of each class, got 3"):
        choose([True] * 3 + [False] * 50, np.arange(53.0))
    with pytest.raises(ValueError, match="both classes"):
        platt.fit([True, True], [0.1, 0.2])


def test_the_curve_is_that_of_a_logistic_regression_where_labels_are_many() -> None:
    truth, score = labelled(5_000)
    curve = platt.fit(truth, score)
    other = LogisticRegression(C=1e9).fit(score[:, None], truth)
    assert curve.slope == pytest.approx(other.coef_[0, 0], rel=0.02)
    assert curve.intercept == pytest.approx(other.intercept_[0], rel=0.02)
    # Two classes that do not overlap, and scores that are all the same, leave numbers that can be used.
    apart = platt.fit([False] * 20 + [True] * 20, np.r_[np.zeros(20), np.ones(20)])
    assert 0.9 < apart.probability(1.0) < 1.0
    assert platt.fit([False, True, True], [5.0, 5.0, 5.0]).probability(5.0) == pytest.approx(0.6, abs=0.1)


def test_a_diagram_tells_an_honest_score_from_a_boasting_one() -> None:
    rng = np.random.default_rng(6)
    stated = rng.random(600)
    honest = reliability(rng.random(600) < stated, stated)
    assert honest.error < honest.honest_error
    assert len(honest.bins) == 10
    assert sum(each.n for each in honest.bins) == 600
    boast = reliability(rng.random(600) < stated / 2, stated)
    assert boast.error > 2 * boast.honest_error
    assert all(each.rate_low <= each.rate <= each.rate_high for each in boast.bins)
    assert len(reliability([True, False], [0.9, 0.1]).bins) == 1
    with pytest.raises(ValueError, match="from 0 to 1"):
        reliability([True], [1.5])


def test_a_report_holds_the_verdicts_of_today_beside_the_ones_that_are_proposed() -> None:
    rng = np.random.default_rng(8)
    truth = rng.random(800) < 0.5
    # Ranks well, but boasts: its probabilities are near 1 also where people say no.
    score = 1 / (1 + np.exp(-(4 + rng.normal(truth * 3.0))))
    found = judge_scores(truth, score, said=score >= 0.5)
    assert found.now is not None
    assert found.stated is not None
    assert found.now.kappa.value is not None
    assert found.proposed.kappa.value is not None
    assert abs(found.now.kappa.value) < 0.05
    assert found.proposed.kappa.value > 0.7
    assert found.chosen.out_of_fold.value is not None
    assert found.chosen.out_of_fold.value > 0.85
    assert found.stated.error > 0.3
    assert found.calibrated.error < 2 * found.calibrated.honest_error
    assert found.auroc.value == pytest.approx(0.983, abs=0.02)
    # The same evaluator with its sign turned is worth the same.
    turned = judge_scores(truth, 1 - score, higher_is_positive=False)
    assert turned.auroc.value == pytest.approx(found.auroc.value)
    assert turned.chosen.out_of_fold.value == pytest.approx(found.chosen.out_of_fold.value, abs=0.02)
    assert turned.stated is not None
    assert turned.stated.error == pytest.approx(found.stated.error, abs=1e-6)
