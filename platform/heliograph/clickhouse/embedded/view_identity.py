"""Under what a materialized view knows a block again, kept the same over an ALTER of the view.

A block that was stored before is known in a view by the insert's token together with the view's identity. That is the
view's name, but after an ALTER of the view something else, until the engine is started again or the view is renamed
(seen in 26.9: a token used before the restart is not known after it). An insert that a kill cut in two, and that is
sent again afterwards, would then count twice in that view. So an altered view is renamed there and back at once.

Meanwhile nothing may be inserted: an insert that meets a view between its names goes by without it.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from heliograph.clickhouse.embedded.errors import TIMEOUT_EXCEEDED, EngineError

# How long a change waits for inserts: as a client waits for its answer, and meanwhile no insert begins.
PATIENCE_SECONDS = 60.0
# A view between its names; a killed engine may leave it so.
_ASIDE = "_aside"
_ALTER = re.compile(r"\s*ALTER\s+TABLE\s+(\w+)\s", re.IGNORECASE)
_INSERT = re.compile(r"\s*INSERT\s", re.IGNORECASE)
LEFT_ASIDE = f"""
SELECT name FROM system.tables
WHERE database = currentDatabase() AND engine = 'MaterializedView' AND endsWith(name, '{_ASIDE}')
"""  # noqa: S608  # a constant


def altered_table(statement: str) -> str:
    """Return the table or view that a statement alters, '' for any other statement."""
    match = _ALTER.match(statement)
    return match[1] if match else ""


def inserts(statement: str) -> bool:
    """Say whether a statement inserts."""
    return bool(_INSERT.match(statement))


def is_view(name: str) -> str:
    """Return the question whether a name is a view's: a row or none."""
    return f"""
    SELECT 1 FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView' AND name = '{name}'
    """  # noqa: S608  # a word, by `_ALTER`


def rename_there_and_back(view: str) -> str:
    """Return the statement that gives a view the identity that it has after the engine's next start."""
    return f"RENAME TABLE {view} TO {view}{_ASIDE}, {view}{_ASIDE} TO {view}"


def rename_back(aside: str) -> str:
    """Return the statement that gives a view its name again, which an engine that was killed left aside."""
    return f"RENAME TABLE {aside} TO {aside.removesuffix(_ASIDE)}"


class InsertGate:
    """Lets any number of inserts through, or one change of a view and no insert."""

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._changed = threading.Condition()
        self._inserting = 0
        self._is_shut = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Insert; waits while a view is changed."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_shut)
            self._inserting += 1
        try:
            yield
        finally:
            with self._changed:
                self._inserting -= 1
                self._changed.notify_all()

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Change a view; waits for the inserts that are under way, and no further one begins.

        Raises EngineError where they do not end in time, and then nothing was changed.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._is_shut)
            self._is_shut = True
            are_done = self._changed.wait_for(lambda: not self._inserting, self._patience_seconds)
        try:
            if not are_done:
                raise EngineError(TIMEOUT_EXCEEDED, "Inserts do not end, so the view was not altered; try again.")
            yield
        finally:
            with self._changed:
                self._is_shut = False
                self._changed.notify_all()
