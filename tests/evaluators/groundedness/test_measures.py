import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from evaluators.calibration import metrics
from evaluators.calibration.threshold import best_threshold
from evaluators.groundedness.language import foreign
from evaluators.groundedness.lexical import Vocabulary


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=60))
def test_auroc_agrees_with_scikit_learn_also_with_ties(rows):
    truth, values = [a for a, _ in rows], [b for _, b in rows]
    if len(set(truth)) == 1:
        assert np.isnan(metrics.auroc(truth, values))
    else:
        assert metrics.auroc(truth, values) == pytest.approx(roc_auc_score(truth, values))
        said = [value > 2 for value in values]
        assert metrics.balanced_accuracy(truth, said) == pytest.approx(balanced_accuracy_score(truth, said))


def test_calibration_error_is_zero_for_honest_probabilities_and_the_gap_for_boasts():
    rng = np.random.default_rng(3)
    stated = rng.uniform(size=20_000)
    happened = rng.uniform(size=20_000) < stated
    assert metrics.expected_calibration_error(happened, stated) < 0.02
    assert metrics.expected_calibration_error(rng.uniform(size=20_000) < 0.5, np.full(20_000, 0.9)) == pytest.approx(
        0.4, abs=0.02
    )


def test_the_threshold_separates_what_can_be_separated():
    threshold = best_threshold([0] * 50 + [1] * 50, [*np.linspace(0, 0.4, 50), *np.linspace(0.6, 1, 50)])
    assert 0.38 < threshold < 0.62


def test_groups_with_one_class_have_no_ranking():
    assert metrics.by_group(["a", "a", "b"], [1, 0, 1], [0.9, 0.1, 0.5]) == {"a": 1.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The tower is 330 metres tall and it was built for the fair.", None),
        ("Paris", None),
        ("GPU A100-SXM4-80GB 400 W 81920 MiB", None),
        ("", None),
        ("Der Turm ist nicht in der Stadt und wird auch von Besuchern gesehen", "looks like German"),
        ("La torre es una de las atracciones que los turistas visitan en la ciudad", "looks like Spanish"),
        ("La tour est une des attractions que les touristes visitent dans la ville", "looks like French"),
        ("東京は日本の首都です。", "mostly not in Latin script"),
        ("Γειά σου κόσμε", "mostly not in Latin script"),
    ],
)
def test_a_language_is_told_by_script_and_function_words(text, expected):
    assert foreign(text) == expected


def test_words_numbers_and_pairs_that_the_context_lacks_are_counted():
    found = Vocabulary("Rome was founded in 753 by twins.").compare("Rome was founded in 754 by wolves.")
    assert found.unseen_words == pytest.approx(2 / 4)
    assert found.unseen_numbers == 1.0
    assert found.unseen_pairs == pytest.approx(3 / 6)


def test_a_text_without_words_lacks_nothing():
    found = Vocabulary("Rome").compare("?!")
    assert (found.unseen_words, found.unseen_pairs, found.unseen_numbers) == (0.0, 0.0, 0.0)
