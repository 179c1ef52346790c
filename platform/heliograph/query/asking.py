"""Several questions of a page at once: the store has more cores than one question keeps busy.

    with asking() as ask:
        points = ask(overview.series, project_id, chosen)
        names = ask(scores.names, project_id, given)
    points.result()

A question sees the context of its page: the trace that it is part of, the patience, the store. It may ask the store
alone, never the database of users and rules, whose connection belongs to the thread.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

# Of one page. A process lends 24 connections (`clickhouse.pool`), so that six pages ask so at once without waiting.
AT_ONCE = 4

P = ParamSpec("P")
T = TypeVar("T")


class Ask(Protocol):
    """Begins a question; its answer, or what it raised, is the future's."""

    def __call__(self, question: Callable[P, T], *args: P.args, **options: P.kwargs) -> Future[T]: ...


@contextmanager
def asking() -> Iterator[Ask]:
    """Yield what begins a question beside others; at the end all have been answered or have failed."""
    # Threads of its own: they cost 0.1 ms, and none is left over where a process forks.
    with ThreadPoolExecutor(AT_ONCE, "asking") as threads:

        def ask(question: Callable[P, T], *args: P.args, **options: P.kwargs) -> Future[T]:
            return threads.submit(copy_context().run, partial(question, *args, **options))

        yield ask
