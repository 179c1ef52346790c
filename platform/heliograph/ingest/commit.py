"""One group of decoded exports into the store, each row exactly once.

Three things keep a row from being stored twice:
- a span that is in the store already is dropped (`duplicates`), under a lock that all ingest processes share, so that
  nobody inserts it between the look-up and the insert;
- each insert carries a token made of its rows, and ClickHouse drops an insert whose token it has seen, in the table and
  in each materialized view on its own. So where the store died in the middle of an insert, it is sent again at replay
  with the same token, and only what is missing is added; where the process died too, `begun` knows the group;
- metric points and log records replace themselves by their sorting key.
"""

import fcntl
import logging
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

from heliograph import metrics
from heliograph.clickhouse import client
from heliograph.clickhouse.errors import Permanent, StoreError, UnavailableError
from heliograph.clickhouse.prepared import Prepared, prepare
from heliograph.ingest import duplicates, ledger, usage_once
from heliograph.ingest.begun import Begun
from heliograph.ingest.exports import Batch, decode_by_rules
from heliograph.ingest.gate import is_away
from heliograph.ingest.lock import lock_path
from heliograph.ingest.longtexts import TextWriter
from heliograph.ingest.refusals import Busy, Refusal
from heliograph.ingest.rules import with_rule_columns
from heliograph.ingest.sent_scores import store_scores
from heliograph.ingest.signals import Columns, Signal
from heliograph.ingest.spool import file_of
from heliograph.ingest.store_clock import store_time_us

log = logging.getLogger(__name__)

# Exporters give up after 10 s by default: a store that hangs must be known before that, so that the spool can answer
# them. An insert takes a few hundred milliseconds; one that is cut off here is completed at replay.
COMMIT_SECONDS = 8.0
# How far the clocks of the store's replicas may differ. More would reach back to inserts whose tokens are forgotten.
CLOCKS_DIFFER_US = 10 * 10**6


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows that go in together; `keys` are their spans, `token` names them, `places` are theirs in the group."""

    columns: Columns
    keys: list[str]
    token: str
    places: list[int]


class Committer:
    """Stores groups of one signal. Of two threads, one makes its group's bytes while the other's is being stored."""

    def __init__(self, signal: Signal, folder: Path) -> None:
        self.signal = signal
        # Opened here, by this committer alone: flock then also excludes the other threads of this process.
        self._lock = lock_path(folder, signal.name).open("ab")
        # The file excludes other processes and other committers; this one excludes the threads that share it.
        self._turn = threading.Lock()
        self._begun = Begun(folder, signal.name)
        self._recent = duplicates.RecentKeys()
        self._texts = TextWriter()

    def store(
        self, group: Sequence[Batch], *, begun_us: int | None = None, keep: Callable[[], bool] = lambda: False
    ) -> None:
        """Store all rows of a group that are not there yet.

        `begun_us` is the store's time when an insert of this very group was begun before, which may be half done.
        `keep` is asked to note the group elsewhere where the store goes away in the middle of it, and says whether it
        did; else whoever stores next completes it.
        Raises `errors.StoreError`, and then nothing of the group counts as stored.
        """
        with client.answered_within(COMMIT_SECONDS):
            if self.signal.table != "spans":
                self._store_replacing(group)
            elif columns := merge(group):
                self._store_spans(group, columns, begun_us, keep)

    def _store_replacing(self, group: Sequence[Batch]) -> None:
        """Store points or records: a row that is there already is replaced by itself."""
        recent = duplicates.RECENT_BODIES[self.signal.name]
        new = recent.new_of(group)
        if columns := merge(new):
            client.insert(self.signal.table, columns)
        _store_scores(group)
        recent.add(new)
        are_new = set(map(id, new))
        for batch in group:
            self._count(batch, "stored" if id(batch) in are_new else "duplicates", batch.decoded.accepted)

    def _store_spans(
        self, group: Sequence[Batch], columns: Columns, begun_us: int | None, keep: Callable[[], bool]
    ) -> None:
        _add_keys(columns, group)
        # Nearly always every row is new, so that the bytes are made before the lock is taken.
        prepared = prepare(columns)
        exports = [replace(batch.export, items=batch.decoded.accepted) for batch in group]
        noted = file_of(exports, store_time_us()) if begun_us is None else None
        with self._locked():
            self._complete_what_was_begun()
            if noted:
                self._begun.write(noted)
            stays_noted = False
            try:
                inserts = self._insert(group, columns, prepared, begun_us)
            except StoreError as error:
                stays_noted = is_away(error) and not keep()
                raise
            finally:
                if stays_noted:
                    self._begun.stay()
                elif noted:
                    self._begun.clear()
        _store_scores(group)
        self._count_duplicates(group, inserts, len(columns["project_id"]))

    def complete(self) -> None:
        """Complete an insert of a process that died in the middle of it. Raises StoreError."""
        if self._begun.is_there():
            with client.answered_within(COMMIT_SECONDS), self._locked():
                self._complete_what_was_begun()

    def _complete_what_was_begun(self) -> None:
        group = self._begun.left_over()
        if group is None:
            return
        log.warning("an insert of %d requests did not end and is completed", len(group.exports))
        try:
            batches = [decode_by_rules(export) for export in group.exports]
            columns = merge(batches)
            # Where nothing of it was stored, nothing is half done: nobody was told that it is safe, and it comes again.
            if columns and self._look_up(columns, _keys_of(columns)):
                _add_keys(columns, batches)
                self._insert(batches, columns, None, group.begun_us)
                for batch in batches:
                    self._count(batch, "accepted", batch.decoded.accepted)
        except Busy as busy:  # the project's rules cannot be read now: everything waits in the spool until then
            raise UnavailableError(busy.message) from busy
        except (StoreError, Refusal) as error:
            if isinstance(error, StoreError) and is_away(error):
                raise
            log.error("an insert that did not end cannot be completed: %s", error)
        self._begun.clear()

    def _insert(
        self, group: Sequence[Batch], columns: Columns, prepared: Prepared | None, begun_us: int | None
    ) -> list[Insert]:
        """Insert what is missing, with the lock held; return what that was."""
        # Before the spans that refer to them: a crash in between leaves texts that nobody misses, and no gaps.
        self._texts.store(batch.texts for batch in group)
        # An insert from before was not of this group, and its token may be forgotten.
        tried_after_us = None if begun_us is None else begun_us - CLOCKS_DIFFER_US
        inserts = self._missing(columns, tried_after_us)
        for insert in inserts:
            ready = None
            if prepared is not None and insert.columns is columns:
                # What the look-up may have changed.
                ready = prepared.encoded_again("usage_counted")
            self._send(insert, ready)
            self._recent.add(insert.keys)
        return inserts

    def _send(self, insert: Insert, ready: Prepared | None) -> None:
        """Insert rows. Raises StoreError where they are not stored.

        A view that refuses a row ends the insert when the rows are stored already and the views behind it have nothing.
        Whoever sends these rows again finds them stored, so the other views get theirs here or never.
        """
        try:
            client.insert(self.signal.table, insert.columns, token=insert.token, prepared=ready)
        except Permanent as error:
            if is_away(error) or not self._look_up(insert.columns, insert.keys):
                raise
            log.error("a view refuses %d spans that are stored, and lacks them: %s", len(insert.keys), error)
            metrics.ingest_refused_by_views.add(len(insert.keys))
            client.insert(self.signal.table, insert.columns, token=insert.token, prepared=ready, despite_views=True)

    def close(self) -> None:
        """Close the lock file."""
        self._lock.close()

    def _count_duplicates(self, group: Sequence[Batch], inserts: list[Insert], rows: int) -> None:
        """Note of each request how many of its spans were dropped; the group's rows are the requests' in order."""
        if sum(len(insert.places) for insert in inserts) == rows:
            return
        stored = sorted(place for insert in inserts for place in insert.places)
        start = 0
        for batch in group:
            end = start + batch.decoded.accepted
            kept = bisect_left(stored, end) - bisect_left(stored, start)
            self._count(batch, "duplicates", batch.decoded.accepted - kept)
            start = end

    def _count(self, batch: Batch, what: ledger.What, n: int) -> None:
        ledger.count(batch.export.project_id, batch.export.key_id, self.signal.name, what, n)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._turn:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _missing(self, columns: Columns, tried_after_us: int | None) -> list[Insert]:
        """Return what is to be inserted: the rows that are new, and those of an earlier try that may be half done."""
        keys = _keys_of(columns)
        first_places = dict(zip(reversed(keys), range(len(keys) - 1, -1, -1), strict=True))
        stored = self._look_up(columns, keys)
        is_new = [
            first_places[key] == place and key not in stored and key not in self._recent
            for place, key in enumerate(keys)
        ]
        if tried_after_us is None:
            new = _insert_of(columns, keys, is_new)
            usage_once.count_once(new.columns, stored)
            metrics.ingest_duplicates.add(len(keys) - len(new.keys))
            return [new] if new.keys else []
        own = {key: us for key, us in stored.items() if key in first_places and us >= tried_after_us}
        weeks = [duplicates.week_of(start) for start in columns["start_time"]]
        repeated = [
            _insert_of(columns, keys, wanted)
            for wanted in _inserts_to_repeat(_earlier_inserts(own), keys, first_places, is_new, weeks)
        ]
        for insert in repeated:
            usage_once.count_once(insert.columns, stored)
        return repeated

    def _look_up(self, columns: Columns, keys: list[str]) -> dict[str, int]:
        places: defaultdict[int, list[int]] = defaultdict(list)
        for place, (project_id, key) in enumerate(zip(columns["project_id"], keys, strict=True)):
            if key not in self._recent:
                places[project_id].append(place)
        stored: dict[str, int] = {}
        for project_id, chosen in places.items():
            traces, spans, starts = (
                [columns[name][place] for place in chosen] for name in ("trace_id", "span_id", "start_time")
            )
            starts += usage_once.minutes_within(columns, chosen)
            stored |= duplicates.stored_spans(project_id, traces, spans, starts)
        return stored


def _store_scores(group: Sequence[Batch]) -> None:
    """Store the scores that the group's exports carry. After the spans that they judge; sent again, they stay one."""
    store_scores([(batch.export.project_id, batch.longest_days, batch.scores) for batch in group])


def merge(group: Sequence[Batch]) -> Columns:
    """Return the columns of several batches as one, with the columns that the writer adds; {} without rows."""
    filled = [batch for batch in group if batch.decoded.accepted]
    if not filled:
        return {}
    with_rule_columns([batch.decoded.columns for batch in filled])
    columns: Columns = {"project_id": [], "retention_days": []}
    for batch in filled:
        columns["project_id"] += [batch.export.project_id] * batch.decoded.accepted
        columns["retention_days"] += batch.retention_days
    for name in filled[0].decoded.columns:
        merged = columns[name] = []
        for batch in filled:
            merged += batch.decoded.columns[name]
    return columns


def _keys_of(columns: Columns) -> list[str]:
    return list(map(duplicates.key_of, columns["project_id"], columns["trace_id"], columns["span_id"]))


def _add_keys(columns: Columns, group: Sequence[Batch]) -> None:
    columns["key_id"] = [batch.export.key_id for batch in group for _ in range(batch.decoded.accepted)]


def _earlier_inserts(stored: dict[str, int]) -> list[set[str]]:
    """Return those of the stored spans that one earlier insert brought, and nothing else: its token is theirs."""
    by_insert: defaultdict[int, set[str]] = defaultdict(set)
    for key, received_us in stored.items():
        by_insert[received_us].add(key)
    if not by_insert:
        return []
    sizes = duplicates.sizes_of_inserts(by_insert)
    return [found for received_us, found in by_insert.items() if sizes[received_us] == len(found)]


def _inserts_to_repeat(
    earlier: list[set[str]], keys: list[str], first_places: dict[str, int], is_new: list[bool], weeks: list[int]
) -> list[list[bool]]:
    """Return which rows go into each insert of a replay: earlier ones again, completed, and what is new.

    ClickHouse stores an insert partition by partition, a week each. Where the store died in between, the weeks that
    are there and those that are missing were one insert, and only together have they the token that it had. Rows of
    the same week were stored by inserts of their own, such as a sender's retry, each with its own token.
    """
    parts = [[key in found and first_places[key] == place for place, key in enumerate(keys)] for found in earlier]
    inserts: list[list[bool]] = []
    cut: list[bool] = [False] * len(keys)
    for part in [*parts, is_new]:
        if set(compress(weeks, cut)).isdisjoint(compress(weeks, part)):
            cut = [one or other for one, other in zip(cut, part, strict=True)]
        else:
            inserts.append(part)
    if earlier:
        log.warning("%d inserts of a group may be half done and are completed", len(earlier))
    return [wanted for wanted in (cut, *inserts) if any(wanted)]


def _insert_of(columns: Columns, keys: list[str], wanted: list[bool]) -> Insert:
    chosen = list(compress(keys, wanted))
    if len(chosen) < len(keys):
        columns = {name: list(compress(values, wanted)) for name, values in columns.items()}
    places = list(compress(range(len(keys)), wanted))
    return Insert(columns, chosen, duplicates.token_of(chosen), places)
