"""Which cluster moved: found with its rows and words, and nothing found where nothing moved."""

import numpy as np
import pytest

from evaluators.drift.explain import explain

CENTRES = np.random.default_rng(9).standard_normal((6, 24)) * 6


def mixture(counts: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    topic = np.repeat(np.arange(6), counts)
    rng.shuffle(topic)
    return (CENTRES[topic] + rng.standard_normal((len(topic), 24))).astype(np.float32), topic


def test_the_topic_that_grew_is_named_with_its_rows_and_words() -> None:
    reference, old = mixture([60, 60, 60, 60, 60, 0], seed=0)
    current, new = mixture([60, 60, 60, 60, 0, 60], seed=1)
    shifts = explain(
        reference,
        current,
        reference_texts=[f"topic{t} question" for t in old],
        current_texts=[f"topic{t} question" for t in new],
    )
    grew = [s for s in shifts if s.direction == "grew"]
    shrank = [s for s in shifts if s.direction == "shrank"]
    assert {int(new[i]) for s in grew for i in s.moved} == {5}
    assert {int(old[i]) for s in shrank for i in s.examples} == {4}
    assert sum(len(s.moved) for s in grew) >= 55
    assert grew[0].terms == ("topic5",)
    assert grew[0].ratio_interval[0] > 5
    assert grew[0].as_dict()["moved"] == len(grew[0].moved)


def test_nothing_is_named_when_nothing_moved() -> None:
    found = [explain(mixture([40] * 6, seed=s)[0], mixture([40] * 6, seed=500 + s)[0], seed=s) for s in range(30)]
    assert sum(bool(shifts) for shifts in found) <= 5


def test_constant_windows_name_nothing() -> None:
    assert explain(np.ones((20, 4)), np.ones((30, 4))) == []


def test_texts_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 current texts for 4 rows"):
        explain(np.ones((4, 2)), np.ones((4, 2)), current_texts=["a"] * 3)
