"""Make the next input ready while the last one is being computed, in one thread.

The fast tokenizers and torch's operators run without the interpreter's lock, so that one core reads and tokenizes while
another, or a GPU, computes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")

# Items made ready beyond the one in use: one hides the preparation, and each more only holds memory.
DEPTH = 1


def ahead(items: Iterable[Item], prepare: Callable[[Item], Prepared]) -> Generator[tuple[Item, Prepared]]:
    """Each item with what `prepare` makes of it, in order; DEPTH further ones are prepared meanwhile, one by one.

    `items` is read in the caller's thread. What `prepare` raises is raised at the place of its item, and nothing is
    prepared any more once the caller stops.
    """
    waiting: deque[tuple[Item, Future[Prepared]]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="prepare")
    try:
        for item in items:
            waiting.append((item, pool.submit(prepare, item)))
            if len(waiting) > DEPTH:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)
