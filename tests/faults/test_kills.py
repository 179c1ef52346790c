"""Whatever is killed during load, what was acknowledged is there exactly once, of every signal and in every sum."""

import signal

import pytest

from tests.faults.conftest import start_what_is_missing
from tests.faults.load import ITEMS, Load
from tests.faults.once import books_agree, is_once
from tests.ingest.books import books
from tests.ingest.stack import Stack, Tenant, eventually


@pytest.mark.parametrize("names", [("collector",), ("web",), ("web", "store"), ("collector", "web", "store")])
def test_processes_killed_during_load_lose_and_double_nothing(
    stack: Stack, tenant: Tenant, load: Load, names: tuple[str, ...]
) -> None:
    for _ in range(2):
        load.progress()
        for name in names:
            getattr(stack, name).stop(signal.SIGKILL)
        if names != ("collector", "web", "store"):
            load.progress()
        start_what_is_missing(stack)
    load.progress()
    sent = load.finish()
    assert load.unanswered > 0
    is_once(stack, tenant, sent)
    # What a kill costs of the books are counts of the last seconds; what is stored of traces is never wrong.
    spans = sum(map(len, sent.spans.values()))
    found = eventually(lambda: (now := books(stack, tenant))["replayed"] >= now["spooled"] and now)
    assert found["stored"] == spans
    assert found["accepted"] <= (load.answers("traces")[200] + load.unanswered) * ITEMS["traces"]


def test_a_store_killed_during_load_loses_and_doubles_nothing_and_the_books_agree(
    stack: Stack, tenant: Tenant, load: Load
) -> None:
    for _ in range(3):
        load.progress()
        stack.store.stop(signal.SIGKILL)
        load.progress()
        assert stack.spooled()
        stack.start_store()
    load.progress()
    is_once(stack, tenant, load.finish())
    assert load.unanswered == 0
    books_agree(stack, tenant, load)


# As many groups as three writers in two processes commit within a minute.
MINUTE_OF_GROUPS = 300


def test_after_a_minute_without_the_store_everything_is_stored_once_and_the_books_agree(
    stack: Stack, tenant: Tenant, load: Load
) -> None:
    load.progress()
    stack.store.stop()
    eventually(lambda: len(stack.spooled()) >= MINUTE_OF_GROUPS, 60)
    stack.start_store()
    load.progress()
    is_once(stack, tenant, load.finish())
    books_agree(stack, tenant, load)


def test_a_store_that_hangs_is_a_store_that_is_away(stack: Stack, tenant: Tenant, load: Load) -> None:
    load.progress()
    stack.store.interrupt(signal.SIGSTOP)
    load.progress()
    assert stack.spooled()
    stack.store.interrupt(signal.SIGCONT)
    load.progress()
    is_once(stack, tenant, load.finish())
    books_agree(stack, tenant, load)
