"""Batches that fill a device: by token budget, of one padded length each, halved when memory runs out."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

# Padded lengths are multiples of this: ragged shapes make a CPU compile and keep a kernel for each.
BUCKET = 32
# Tokens in a batch. A CPU core is full with few; a GPU needs many to be busy.
CPU_TOKENS, GPU_TOKENS = 4_096, 65_536


@dataclass(slots=True)
class Stats:
    """What a scorer has run through its model since it was made."""

    pairs: int = 0
    batches: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    seconds: float = 0.0
    halvings: int = 0
    lengths: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def pairs_per_second(self) -> float | None:
        return self.pairs / self.seconds if self.seconds else None

    @property
    def padding_waste(self) -> float | None:
        """Share of the tokens computed that were padding."""
        return 1 - self.tokens / self.padded_tokens if self.padded_tokens else None

    def report(self) -> str:
        """The same in words."""
        return (
            f"{self.pairs} pairs in {self.batches} batches, {self.pairs_per_second or 0:.1f} pairs/s, "
            f"{self.padding_waste or 0:.1%} padding, halved for want of memory {self.halvings} times"
        )


def default_budget(device: torch.device) -> int:
    return CPU_TOKENS if device.type == "cpu" else GPU_TOKENS


def padded(length: int) -> int:
    """The next multiple of BUCKET."""
    return max(BUCKET, -(-length // BUCKET) * BUCKET)


def filled(batch: list[Item], size: int) -> list[Item]:
    """`batch` with its last item repeated until it has `size` items."""
    return batch + batch[-1:] * (size - len(batch))


def batches(lengths: Sequence[int], token_budget: int) -> Iterator[tuple[int, list[int]]]:
    """(padded length, indexes) so that rows x padded length stays within the budget, longest first.

    The padded length of an item depends on the item alone, never on its neighbours, so that neither do its scores.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    for length, group in groupby(order, key=lambda index: padded(lengths[index])):
        indexes = list(group)
        size = max(1, token_budget // length)
        for start in range(0, len(indexes), size):
            yield length, indexes[start : start + size]


def run_batched(
    items: Sequence[Item],
    lengths: Sequence[int],
    compute: Callable[[list[Item], int], list[Result]],
    token_budget: int,
    stats: Stats,
    fixed: bool = False,
) -> list[Result]:
    """`compute(items, padded length)` for every item, results in the order of `items`.

    With `fixed`, batches of one padded length all have the same number of rows, the last one filled up with copies:
    in bfloat16 a matrix product rounds differently for another number of rows, and a score would depend on it.

    A batch that runs out of device memory is halved and tried again; one item that does not fit alone raises.
    """
    results: dict[int, Result] = {}
    for length, indexes in batches(lengths, token_budget):
        started = time.perf_counter()
        batch = [items[index] for index in indexes]
        size = max(1, token_budget // length) if fixed else len(batch)
        found = _halving(filled(batch, size), length, compute, stats)[: len(batch)]
        stats.seconds += time.perf_counter() - started
        stats.pairs += len(indexes)
        stats.batches += 1
        stats.tokens += sum(lengths[index] for index in indexes)
        stats.padded_tokens += length * size
        stats.lengths[length] += len(indexes)
        results.update(zip(indexes, found, strict=True))
    return [results[index] for index in range(len(items))]


def _halving(
    batch: list[Item], length: int, compute: Callable[[list[Item], int], list[Result]], stats: Stats
) -> list[Result]:
    try:
        return compute(batch, length)
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    # Outside the except block: the traceback would keep the failed batch's tensors alive.
    stats.halvings += 1
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(batch) // 2
    return _halving(batch[:middle], length, compute, stats) + _halving(batch[middle:], length, compute, stats)
