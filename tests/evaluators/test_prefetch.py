"""The next input is made ready while the last one is used: in order, within bounds, with its errors."""

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from evaluators.parallel import Usage, score_here
from evaluators.prefetch import DEPTH, ahead
from evaluators.score import PreparingScorer, Sample, Score

PATIENCE = 60


def test_items_come_in_order_with_what_was_made_of_them() -> None:
    assert list(ahead(range(20), lambda item: item * item)) == [(item, item * item) for item in range(20)]
    assert list(ahead([], str)) == []


def test_the_next_item_is_prepared_while_the_caller_holds_the_last_one() -> None:
    prepared = [threading.Event() for _ in range(3)]

    def prepare(item: int) -> int:
        prepared[item].set()
        return threading.get_ident()

    found = ahead(range(3), prepare)
    _, thread = next(found)
    assert prepared[1].wait(PATIENCE)
    assert thread != threading.get_ident()
    assert [item for item, _ in found] == [1, 2]


def test_no_more_is_prepared_than_the_depth_allows() -> None:
    lock, ready, used = threading.Lock(), 0, 0
    most = 0

    def prepare(item: int) -> int:
        nonlocal ready, most
        with lock:
            ready += 1
            most = max(most, ready - used)
        return item

    for _ in ahead(range(50), prepare):
        with lock:
            used += 1
    # The one handed out counts as used only once the caller has it.
    assert most <= DEPTH + 1


def test_an_error_of_the_thread_reaches_the_caller_at_its_place() -> None:
    def prepare(item: int) -> int:
        if item == 2:
            raise RuntimeError("item 2 is broken")
        return item

    found = ahead(range(9), prepare)
    assert [next(found)[0], next(found)[0]] == [0, 1]
    with pytest.raises(RuntimeError, match="item 2 is broken"):
        next(found)


def test_a_caller_that_stops_leaves_no_thread_behind() -> None:
    taken = []
    found = ahead(range(1000), lambda item: taken.append(item) or threading.current_thread())
    _, thread = next(found)
    found.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(taken) <= DEPTH + 1


class TwoSteps:
    """Scores by the length of the answer; remembers in which thread each step ran."""

    name, revision = "two_steps", "1"
    arguments: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.preparing: set[int] = set()
        self.scoring: set[int] = set()

    def __call__(self, samples: list[Sample]) -> list[Score]:
        return self.score(samples)

    def score(self, samples: list[Sample]) -> list[Score]:
        return self.score_prepared(samples, self.prepare(samples))

    def prepare(self, samples: list[Sample]) -> list[float]:
        self.preparing.add(threading.get_ident())
        return [float(len(sample.answer)) for sample in samples]

    def score_prepared(self, samples: list[Sample], ready: list[float]) -> list[Score]:
        self.scoring.add(threading.get_ident())
        return [Score(value, None, sample.id) for sample, value in zip(samples, ready, strict=True)]


def test_a_file_is_scored_in_order_with_the_first_step_in_a_thread_of_its_own() -> None:
    scorer, usage = TwoSteps(), Usage(1)
    assert isinstance(scorer, PreparingScorer)
    chunks = [[Sample(f"{chunk}-{i}", "", "", "x" * (chunk * 3 + i)) for i in range(3)] for chunk in range(4)]
    found = [score for _, scores in score_here(scorer, chunks, usage) for score in scores]
    assert [score.explanation for score in found] == [sample.id for chunk in chunks for sample in chunk]
    assert [score.value for score in found] == [float(i) for i in range(12)]
    assert scorer.scoring == {threading.get_ident()}
    assert scorer.preparing.isdisjoint(scorer.scoring)
