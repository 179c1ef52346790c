"""A store and a collector for the tests with processes; each test takes a project of its own."""

from collections.abc import Iterator

import pytest

from tests.ingest.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("erasure"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
