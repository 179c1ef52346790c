"""Bring spooled telemetry to the store, oldest first, once the store is back."""

import logging
import threading

from heliograph import metrics
from heliograph.blobs import store as blobs
from heliograph.clickhouse import client
from heliograph.clickhouse.errors import StoreError
from heliograph.ingest import ledger
from heliograph.ingest.commit import Committer
from heliograph.ingest.dead_letters import DeadLetters
from heliograph.ingest.derived import count_derived
from heliograph.ingest.exports import Batch, Export, decode_by_rules
from heliograph.ingest.gate import StoreGate, is_away
from heliograph.ingest.refusals import Busy, Refusal
from heliograph.ingest.signals import SIGNALS
from heliograph.ingest.spool import ReplayBatch, Spool, SpooledGroup
from heliograph.ingest.store_clock import store_time_us

log = logging.getLogger(__name__)

# How often the spool is looked at and an absent store is asked.
INTERVAL_SECONDS = 0.5


class Replayer:
    """A thread of every ingest process; the one that holds the spool's lock replays."""

    def __init__(self, spool: Spool, gate: StoreGate) -> None:
        self._spool = spool
        self._gate = gate
        self._dead_letters = DeadLetters(spool.folder)
        self._committers = {name: Committer(signal, spool.folder) for name, signal in SIGNALS.items()}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the file at hand, then end; the rest waits on disk for the next process."""
        self._stopping.set()
        self._thread.join()
        for committer in self._committers.values():
            committer.close()

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_SECONDS):
            try:
                self._step()
            except blobs.BlobsAwayError as error:
                log.warning("the spool waits for the blob store: %s", error)
            except Exception:  # a fault of ours or of the disk: what is spooled stays, and the thread must live on
                log.exception("the spool could not be replayed; it is tried again")

    def _step(self) -> None:
        try:
            if not self._gate.is_open:
                client.ping()
                self._gate.open()
            self._committers["traces"].complete()
            if self._spool.files():
                with self._spool.replay_lock() as is_ours:
                    if is_ours:
                        self._replay_all()
        except StoreError as error:
            self._gate.close(error)

    def _replay_all(self) -> None:
        self._spool.remove_drafts()
        for batch in self._spool.batches(store_time_us):
            self._replay(batch)
            if self._stopping.is_set():
                return

    def _replay(self, batch: ReplayBatch) -> None:
        """Store a batch and remove its files. Raises StoreError while the store is away, and then the files stay."""
        decoded = [each for group in batch.groups for each in self._decode(group)]
        if decoded:
            self._store(decoded, batch.begun_us)
            self._store_derived(decoded, batch.begun_us)
            metrics.ingest_replayed.add(len(decoded), {metrics.SIGNAL: decoded[0].export.signal})
        for group in batch.groups:
            if group.damage:
                log.error("spool file %s: %s", group.path.name, group.damage)
                metrics.ingest_dead_letters.add(1, {metrics.REASON: "damaged"})
                self._spool.set_file_aside(group.path, group.damage)
        self._spool.remove([group for group in batch.groups if not group.damage])

    def _decode(self, group: SpooledGroup) -> list[Batch]:
        batches = []
        for export in group.exports:
            try:
                batches.append(decode_by_rules(export))
            except Busy:  # the project's rules cannot be read now: the file stays, and is tried again
                raise
            except Refusal as refusal:  # it was readable when it was acknowledged: the decoder changed, or a cap
                self._set_aside(export, refusal.message, refusal.reason, export.items)
        return batches

    def _store(self, batches: list[Batch], begun_us: int | None) -> None:
        committer = self._committers[batches[0].export.signal]
        for batch in batches:
            blobs.keep(batch.export.project_id, batch.blobs_until, batch.blobs)
        try:
            committer.store(batches, begun_us=begun_us)
        except StoreError as error:
            if is_away(error):
                raise
            if len(batches) > 1:
                log.warning("the store refuses %d spooled requests, each is tried alone: %s", len(batches), error)
                for batch in batches:
                    self._store([batch], begun_us)
                return
            self._set_aside(batches[0].export, str(error), "refused_by_store", _items(batches[0]))
            return
        for batch in batches:
            export = batch.export
            ledger.count(export.project_id, export.key_id, export.signal, "replayed", _items(batch))
            # A sampling rule that came after the request was spooled.
            left_out = max(_items(batch) - batch.decoded.accepted, 0)
            ledger.count(export.project_id, export.key_id, export.signal, "sampled", left_out)

    def _store_derived(self, batches: list[Batch], begun_us: int | None) -> None:
        """Store the spans that the log records make, which waited in the spool with them."""
        for derived in (batch.derived for batch in batches if batch.derived and batch.derived.decoded.accepted):
            self._store([derived], begun_us)
            count_derived(derived)
            export = derived.export
            ledger.count(export.project_id, export.key_id, export.signal, "spooled", derived.decoded.accepted)

    def _set_aside(self, export: Export, message: str, reason: str, items: int) -> None:
        log.error("a spooled request of project %s is set aside: %s", export.project_id, message)
        self._dead_letters.keep(export, reason, message, accepted=items)
        ledger.count(export.project_id, export.key_id, export.signal, "replayed", items)
        ledger.count(export.project_id, export.key_id, export.signal, "dead", items)


def _items(batch: Batch) -> int:
    """Return as how many items the request was spooled."""
    return batch.export.items or batch.decoded.accepted
