"""Which spans are stored already: a retried export must not count twice, in the list or in the rollups."""

import hashlib
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from heliograph.clickhouse import client
from heliograph.ingest.exports import Batch

# The latest spans of this process answer an immediate retry even where a replica of the store lags behind. A key takes
# about 200 bytes with its place in the set, so two generations of this size take 40 MB.
RECENT_KEYS = 100_000
# One look-up's text stays below ClickHouse's max_query_size (256 KiB): 35 characters a trace id, 19 a span id.
LOOKUP_IDS = 4_000
# Of traces with more spans than this, the few that are looked for are named; else naming the traces is cheaper, since
# they are fewer, and since the table is ordered by them within a minute.
SPANS_A_TRACE = 20
MINUTE_NS = 60_000_000_000

_STORED = """
SELECT trace_id, span_id, toUnixTimestamp64Micro(received_at) AS received_us
FROM spans
WHERE project_id = %(project_id)s
  AND toStartOfMinute(start_time) IN %(minutes)s
  AND trace_id IN %(trace_ids)s
  AND (%(any_span)s OR span_id IN %(span_ids)s)
"""

# All rows of one insert have the same `received_at`, whatever their project.
_SIZES = """
SELECT toUnixTimestamp64Micro(received_at) AS received_us, count() AS spans
FROM spans
WHERE received_at IN (SELECT fromUnixTimestamp64Micro(arrayJoin(%(received_us)s::Array(Int64)), 'UTC'))
GROUP BY received_us
"""


def key_of(project_id: int, trace_id: str, span_id: str) -> str:
    """Return the text that identifies a span."""
    return f"{project_id}:{trace_id}{span_id}"


def week_of(start_ns: int) -> int:
    """Return the partition of a span: weeks from Monday to Sunday, UTC, counted from the one of 1970-01-01."""
    return (start_ns // (86_400 * 10**9) + 3) // 7


class RecentKeys:
    """A bounded set of spans in two generations: the older one is dropped when the newer is full."""

    def __init__(self) -> None:
        self._new: set[str] = set()
        self._old: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._new or key in self._old

    def add(self, keys: Iterable[str]) -> None:
        """Remember spans that are stored."""
        self._new.update(keys)
        if len(self._new) >= RECENT_KEYS:
            self._old, self._new = self._new, set()


class RecentBodies:
    """Which exports of metrics and logs were stored lately: a retry must not count as stored once more.

    Of this process alone: their rows replace themselves whoever stored them, and to look them up would read every
    series. Safe in every thread; one for the writer and the replayer of a signal.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys = RecentKeys()

    @staticmethod
    def _key(batch: Batch) -> str:
        # With the times of its rows: a record that states none takes the time of its arrival, and is another each time.
        digest = hashlib.blake2b(batch.export.body, digest_size=16).hexdigest()
        return f"{batch.export.project_id}:{digest}:{hash(tuple(batch.decoded.columns['time']))}"

    def new_of(self, batches: Sequence[Batch]) -> list[Batch]:
        """Return the batches that were not stored lately and do not repeat one before them."""
        with self._lock:
            first = {key: batch for batch in reversed(batches) if (key := self._key(batch)) not in self._keys}
        chosen = set(map(id, first.values()))
        return [batch for batch in batches if id(batch) in chosen]

    def add(self, batches: Iterable[Batch]) -> None:
        """Remember batches that are stored."""
        with self._lock:
            self._keys.add(map(self._key, batches))


RECENT_BODIES = {"metrics": RecentBodies(), "logs": RecentBodies()}


def stored_spans(
    project_id: int, trace_ids: Sequence[str], span_ids: Sequence[str], start_times: Sequence[int]
) -> dict[str, int]:
    """Return which of these spans are stored, by key, each with its `received_at` in µs since the epoch.

    The three sequences have one entry a span; `start_times` are in nanoseconds, and only their minutes are looked at.
    More spans of the same traces may be among the result. Raises StoreError.
    """
    minutes = [
        datetime.fromtimestamp(minute * 60, UTC) for minute in sorted({time // MINUTE_NS for time in start_times})
    ]
    found: dict[str, int] = {}
    for first in range(0, len(span_ids), LOOKUP_IDS):
        spans = span_ids[first : first + LOOKUP_IDS]
        traces = set(trace_ids[first : first + LOOKUP_IDS])
        any_span = len(spans) <= SPANS_A_TRACE * len(traces)
        params = {
            "minutes": minutes,
            "trace_ids": tuple(traces),
            "any_span": int(any_span),
            "span_ids": ("",) if any_span else tuple(spans),
        }
        rows = client.query_columns(project_id, _STORED, params, tag="ingest.stored_spans")
        for trace_id, span_id, received_us in zip(*rows.values(), strict=True):
            found[key_of(project_id, trace_id, span_id)] = received_us
    return found


def sizes_of_inserts(received_us: Iterable[int]) -> dict[int, int]:
    """Return how many spans the inserts of these times brought. Raises StoreError."""
    rows = client.execute_unscoped(_SIZES, {"received_us": list(received_us)}, tag="ingest.sizes_of_inserts")
    return {row["received_us"]: row["spans"] for row in rows}


def token_of(keys: Iterable[str]) -> str:
    """Return a name for a set of rows: the same rows in another order have the same name."""
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()
