import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evaluators.batching import BUCKET, Stats, batches, padded, run_batched


@given(st.lists(st.integers(1, 500), max_size=60), st.integers(1, 2000))
def test_batches_hold_every_item_once_within_the_budget(lengths, budget):
    found = list(batches(lengths, budget))
    assert sorted(index for _, batch in found for index in batch) == list(range(len(lengths)))
    for length, batch in found:
        assert len(batch) == 1 or length * len(batch) <= budget
        assert all(padded(lengths[index]) == length for index in batch)


def test_results_come_back_in_the_order_asked():
    stats = Stats()
    items = ["a" * size for size in (5, 90, 33, 1)]
    found = run_batched(items, [len(item) for item in items], lambda batch, _: [len(item) for item in batch], 64, stats)
    assert found == [5, 90, 33, 1]
    assert (stats.pairs, stats.tokens, stats.padded_tokens) == (4, 129, 32 + 96 + 64 + 32)
    assert stats.padding_waste == pytest.approx(1 - 129 / 224)
    assert stats.pairs_per_second > 0


def test_a_batch_that_does_not_fit_is_halved_until_it_does():
    sizes = []

    def compute(batch, length):
        if len(batch) > 2:
            raise torch.OutOfMemoryError("no memory")
        sizes.append(len(batch))
        return [item * 10 for item in batch]

    stats = Stats()
    assert run_batched(list(range(7)), [4] * 7, compute, 10_000, stats) == [i * 10 for i in range(7)]
    assert sum(sizes) == 7
    assert stats.halvings >= 3


def test_fixed_batches_have_as_many_rows_whoever_is_in_them():
    seen, stats = [], Stats()

    def compute(batch, length):
        seen.append((len(batch), length))
        return batch

    found = run_batched(list(range(5)), [20] * 5, compute, 96, stats, fixed=True)
    assert found == list(range(5))
    assert seen == [(3, 32), (3, 32)]
    assert stats.padding_waste == pytest.approx(1 - 100 / 192)


def test_one_item_that_does_not_fit_alone_is_not_hidden():
    def compute(batch, length):
        raise torch.OutOfMemoryError("no memory")

    with pytest.raises(torch.OutOfMemoryError):
        run_batched([1], [4], compute, 64, Stats())


def test_an_unused_scorer_has_no_speed_rather_than_none_at_all():
    assert (Stats().pairs_per_second, Stats().padding_waste) == (None, None)
    assert padded(1) == BUCKET
