"""One store, collector and web process that tests may kill; each test finds all three running and takes a project."""

from collections.abc import Iterator

import pytest

from tests.faults.load import Load
from tests.ingest.stack import Stack, Tenant


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("faults"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def stack(shared_stack: Stack) -> Iterator[Stack]:
    """The stack with everything running; what a test stopped or killed is started again."""
    start_what_is_missing(shared_stack)
    yield shared_stack
    if shared_stack.settings:
        shared_stack.settings.clear()
        shared_stack.collector.stop()


def start_what_is_missing(stack: Stack) -> None:
    if not stack.store.is_running:
        stack.start_store()
    # Both at once: most of a start is imports.
    starting = [
        (process, start)
        for process, start in ((stack.collector, stack.start_collector), (stack.web, stack.start_web))
        if not process.is_running
    ]
    for _, start in starting:
        start(wait=False)
    stack.wait_for_addresses()


@pytest.fixture
def tenant(stack: Stack) -> Tenant:
    return next(stack.tenants)


@pytest.fixture
def load(stack: Stack, tenant: Tenant) -> Iterator[Load]:
    """Senders of all three signals, under way until the test ends."""
    load = Load(stack, tenant)
    load.start()
    yield load
    load.stop()
