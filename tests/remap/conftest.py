"""A store and a collector for all tests of this folder; each test takes a project of its own."""

from collections.abc import Iterator

import pytest

from tests.ingest.stack import Stack, Tenant


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("remap"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def tenant(stack: Stack) -> Tenant:
    return next(stack.tenants)
