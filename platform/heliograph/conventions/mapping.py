"""The table by which a project's spans are read: in force now, and of an earlier revision."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import close_old_connections

from collectors.pricing import ModelPrice
from collectors.semconv.dialects import INDEX
from collectors.semconv.table import Index
from heliograph.conventions.models import Ruleset
from heliograph.conventions.prices import NO_PRICES, prices_of

# A changed rule counts for new spans after so long at most; without the cache each request would ask the database.
CACHE_SECONDS = 10.0
# An entry is 200 bytes beside its table, which `rules.compiled` keeps.
CACHE_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class ProjectMapping:
    """A table and the revision of the rules in it, 0 without any; and the project's own prices by model."""

    revision: int
    index: Index
    prices: Mapping[str, ModelPrice] = field(default_factory=dict)


BUILT_IN = ProjectMapping(0, INDEX)


class Mappings:
    """Remembers each project's mapping for CACHE_SECONDS. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, tuple[float, ProjectMapping]] = {}

    def of(self, project_id: int) -> ProjectMapping:
        """Return the mapping in force. Raises django.db.Error where it is not known and the database is away."""
        expires, known = self._known.get(project_id, (0.0, BUILT_IN))
        if expires >= time.monotonic():
            return known
        close_old_connections()
        try:
            latest = Ruleset.latest(project_id)
            # A price is a revision too, so that a project without one has no price to ask for.
            prices = prices_of(project_id) if latest else NO_PRICES
        finally:
            close_old_connections()
        found = ProjectMapping(latest.revision, latest.index, prices) if latest else BUILT_IN
        with self._lock:
            if len(self._known) >= CACHE_ENTRIES:
                self._known.clear()
            self._known[project_id] = (time.monotonic() + CACHE_SECONDS, found)
        return found


def index_of(project_id: int, revision: int) -> Index:
    """Return the table of a revision. Raises Ruleset.DoesNotExist; revisions are never deleted."""
    if revision == 0:
        return INDEX
    return Ruleset.objects.get(project=project_id, revision=revision).index
