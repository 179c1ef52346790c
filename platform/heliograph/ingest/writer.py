"""Group commit: many requests share one INSERT, and each waits for its own.

While a group is being stored, the next one gathers; so groups grow with the load by themselves. Where a full group
has gathered, a second thread makes it ready meanwhile, so that the store never waits for it.
"""

import asyncio
import enum
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from opentelemetry import trace

from heliograph import metrics
from heliograph.clickhouse.errors import StoreError
from heliograph.ingest import ledger
from heliograph.ingest.commit import Committer
from heliograph.ingest.exports import Batch
from heliograph.ingest.gate import StoreGate, is_away
from heliograph.ingest.refusals import Busy, NotStored, Refusal
from heliograph.ingest.spool import Spool, SpoolFull
from heliograph.ingest.store_clock import store_time_us

log = logging.getLogger(__name__)
_tracer = trace.get_tracer("heliograph")

# Each INSERT makes a part in every table and view, and parts must be merged: at most five a second and signal. A lone
# request does not wait: the interval counts from the start of the commit before.
COMMIT_INTERVAL_SECONDS = 0.2
# Rows of one INSERT: enough to make its fixed cost small, few enough that its columns take tens of megabytes.
MAX_GROUP_ROWS = 10_000


# One group in the store and one on its way there.
THREADS = 2


class Outcome(enum.Enum):
    """Where an acknowledged request is."""

    STORED = "stored"
    SPOOLED = "spooled"


Result = Outcome | Refusal


@dataclass(frozen=True, slots=True)
class _Waiting:
    batch: Batch
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Outcome]


class Writer:
    """Takes decoded exports of one signal from the event loop; answers when each is safe."""

    def __init__(self, committer: Committer, spool: Spool, gate: StoreGate) -> None:
        self._committer = committer
        self._spool = spool
        self._gate = gate
        self._queue: deque[_Waiting] = deque()
        self._rows = 0
        self._changed = threading.Condition()
        self._stopping = False
        # Groups under way, and when the last of them was taken.
        self._busy = 0
        self._taken = -COMMIT_INTERVAL_SECONDS
        name = f"writer-{committer.signal.name}"
        self._threads = [threading.Thread(target=self._run, name=name, daemon=True) for _ in range(THREADS)]
        for thread in self._threads:
            thread.start()

    async def submit(self, batch: Batch) -> Outcome:
        """Return when the batch is stored, or written and fsynced to the spool. Raises Busy or NotStored.

        The caller bounds what waits here (`pipeline.Room`).
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(batch, loop, loop.create_future())
        with self._changed:
            if self._stopping:
                raise Busy("The collector is stopping.")
            self._queue.append(waiting)
            self._rows += batch.decoded.accepted
            if len(self._queue) == 1 or self._rows >= MAX_GROUP_ROWS:
                self._changed.notify()
        return await waiting.answer

    def stop(self) -> None:
        """Store what waits, then end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._committer.close()

    def _run(self) -> None:
        while group := self._next_group():
            try:
                results = self.commit([waiting.batch for waiting in group])
            except Exception as error:  # a fault of ours: the senders must hear of it, and the thread must live on
                log.exception("a group commit failed")
                results = [NotStored(f"Internal error: {type(error).__name__}.")] * len(group)
            with self._changed:
                self._busy -= 1
                self._changed.notify()
            _deliver(group, results)

    def _next_group(self) -> list[_Waiting]:
        """Wait for requests; return some of them, or [] when stopped with none left."""
        with self._changed:
            while not self._stopping and not self._is_due():
                # Without a group under way, what waits is due when the interval is over; else somebody notifies.
                is_early = self._queue and not self._busy
                self._changed.wait(self._taken + COMMIT_INTERVAL_SECONDS - time.monotonic() if is_early else None)
            group: list[_Waiting] = []
            rows = 0
            while self._queue and rows < MAX_GROUP_ROWS:
                waiting = self._queue.popleft()
                rows += waiting.batch.decoded.accepted
                group.append(waiting)
            self._rows -= rows
            if group:
                self._busy += 1
                self._taken = time.monotonic()
            return group

    def _is_due(self) -> bool:
        """Whether a group should be taken now: a full one at once, any other when none is under way."""
        if self._rows >= MAX_GROUP_ROWS:
            return True
        return bool(self._queue) and not self._busy and time.monotonic() >= self._taken + COMMIT_INTERVAL_SECONDS

    def commit(self, group: Sequence[Batch]) -> list[Result]:
        """Store a group, or spool it while the store is away; return each batch's result in order."""
        started = time.perf_counter()
        attributes = {metrics.SIGNAL: self._committer.signal.name}
        if not self._gate.is_open:
            return self._keep_on_disk(group)
        if any(batch.lacks_blobs for batch in group):
            return self._commit_apart(group)
        begun_us = None
        kept: list[Result] = []

        def keep() -> bool:
            kept[:] = self._keep_on_disk(group, begun_us)
            return kept[0] is Outcome.SPOOLED

        try:
            with self._traced(group):
                begun_us = store_time_us()
                self._committer.store(group, keep=keep)
        except StoreError as error:
            if is_away(error):
                self._gate.close(error)
                return kept or self._keep_on_disk(group, begun_us)
            if len(group) > 1:
                # One batch that the store refuses must not cost the others: each goes alone.
                log.warning("the store refuses a group of %d requests, each is tried alone: %s", len(group), error)
                return [result for batch in group for result in self.commit([batch])]
            log.error("the store refuses a batch of project %s: %s", group[0].export.project_id, error)
            return [NotStored(f"The store refuses these rows, and nothing of them is kept: {error.user_text}")]
        metrics.ingest_commit_duration.record(time.perf_counter() - started, attributes)
        metrics.ingest_commit_rows.record(sum(batch.decoded.accepted for batch in group), attributes)
        return [Outcome.STORED] * len(group)

    def _traced(self, group: Sequence[Batch]) -> AbstractContextManager[object]:
        """Begin a trace of our own, but not of a group that is our own telemetry: it would never end."""
        if all(batch.export.is_own for batch in group):
            return nullcontext()
        items = sum(batch.decoded.accepted for batch in group)
        given: dict[str, str | int] = {metrics.SIGNAL: self._committer.signal.name, "heliograph.items": items}
        return _tracer.start_as_current_span("ingest commit", attributes=given | {"heliograph.requests": len(group)})

    def _commit_apart(self, group: Sequence[Batch]) -> list[Result]:
        """Spool the requests whose blobs could not be kept, and store the others."""
        lacking = [batch for batch in group if batch.lacks_blobs]
        others = [batch for batch in group if not batch.lacks_blobs]
        kept = iter(self._keep_on_disk(lacking))
        stored = iter(self.commit(others) if others else ())
        return [next(kept) if batch.lacks_blobs else next(stored) for batch in group]

    def _keep_on_disk(self, group: Sequence[Batch], begun_us: int | None = None) -> list[Result]:
        exports = [replace(batch.export, items=batch.decoded.accepted) for batch in group]
        try:
            self._spool.append(exports, begun_us)
        except SpoolFull as error:
            return [Busy(f"The store is away and {error}.")] * len(group)
        metrics.ingest_spooled.add(len(group), {metrics.SIGNAL: self._committer.signal.name})
        for batch in group:
            export = batch.export
            ledger.count(export.project_id, export.key_id, export.signal, "spooled", batch.decoded.accepted)
        return [Outcome.SPOOLED] * len(group)


def _deliver(group: Sequence[_Waiting], results: Sequence[Result]) -> None:
    """Answer from the writer's thread, with one wake-up for all requests of an event loop."""

    def answer() -> None:
        for waiting, result in zip(group, results, strict=True):
            if waiting.answer.done():  # the sender went away
                continue
            if isinstance(result, Refusal):
                waiting.answer.set_exception(result)
            else:
                waiting.answer.set_result(result)

    # All requests of a process come from its one event loop.
    try:
        group[0].loop.call_soon_threadsafe(answer)
    except RuntimeError:  # the loop was closed: nobody waits any more, and what was stored is stored
        log.info("%d answers came after the end of the event loop", len(group))
