"""What an authenticated export goes through, the same for HTTP and gRPC: room, decoding, commit."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol, Self

from django.conf import settings
from google.protobuf.message import Message

from collectors import kernel
from heliograph import metrics
from heliograph.blobs import store as blobs
from heliograph.ingest import ledger
from heliograph.ingest.auth import KeyRing, Tenant
from heliograph.ingest.commit import Committer
from heliograph.ingest.dead_letters import DeadLetters
from heliograph.ingest.derived import count_derived
from heliograph.ingest.exports import Batch, Export, decode_by_rules
from heliograph.ingest.gate import StoreGate
from heliograph.ingest.ledger import Ledger
from heliograph.ingest.quota import Meter
from heliograph.ingest.refusals import Busy, MalformedBody, NotStored, Refusal
from heliograph.ingest.replay import Replayer
from heliograph.ingest.signals import SIGNALS
from heliograph.ingest.spool import Spool
from heliograph.ingest.spool_state import SpoolState, state_of
from heliograph.ingest.writer import Writer

log = logging.getLogger(__name__)

# Bytes of bodies that may be in the process at once, on the wire and decompressed; decoded columns take about five
# times their body, so this bounds the process to about 1.5 GB under any load. Two of the largest bodies fit.
ROOM_BYTES = 2 * settings.MAX_DECOMPRESSED_BYTES
# Decoding holds the GIL: the second thread is there so that one huge body does not keep the small ones waiting.
DECODERS = 2
# Requests whose blobs are written at once: they wait for a disk or a network, not for the processor.
BLOB_WRITERS = 8
# Dead letters are kept for days; an hour more is no matter.
EXPIRE_SECONDS = 3_600.0


class Room:
    """Counts the bytes in the process. For one event loop."""

    def __init__(self, capacity: int = ROOM_BYTES) -> None:
        self._left = capacity

    def share(self) -> "Share":
        """Return one request's share, empty at first; use it in a `with` statement."""
        return Share(self)

    def take(self, size: int) -> None:
        """Take bytes, or raise Busy."""
        if size > self._left:
            raise Busy("Too much telemetry is waiting to be stored; retry later.")
        self._left -= size

    def give(self, size: int) -> None:
        """Give bytes back."""
        self._left += size


class Share:
    """What one request holds of a room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._size = 0

    def take(self, size: int) -> None:
        """Take more bytes, or raise Busy."""
        self._room.take(size)
        self._size += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._room.give(self._size)


class Receiver(Protocol):
    """What the two protocols hand their requests to."""

    room: Room

    async def authenticate(self, headers: Mapping[str, str], peer: str) -> Tenant: ...
    async def receive(self, export: Export, share: Share, tenant: Tenant) -> Counter[str] | Message: ...
    def waiting(self) -> SpoolState: ...
    async def stop(self) -> None: ...


class Pipeline:
    """Everything behind the two protocols; one a process, made and stopped in its event loop."""

    def __init__(self) -> None:
        if settings.DECODER == "auto" and kernel.active() is None:
            log.warning("spans are decoded in Python, which takes longer: no compiled kernel (%s)", kernel.MISSING)
        self.room = Room()
        self._keys = KeyRing()
        self._decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")
        self._blob_writers = ThreadPoolExecutor(BLOB_WRITERS, thread_name_prefix="blobs")
        self._spool = Spool(settings.SPOOL_DIR, settings.SPOOL_MAX_BYTES)
        self._gate = StoreGate()
        self._writers = {
            name: Writer(Committer(signal, self._spool.folder), self._spool, self._gate)
            for name, signal in SIGNALS.items()
        }
        self._replayer = Replayer(self._spool, self._gate)
        self._dead_letters = DeadLetters(self._spool.folder)
        self._expire_at = 0.0
        self._meter = Meter(wants_refresh=self._flush_soon)
        self._ledger = Ledger(self._spool.folder / "ledger", self._meter.on_cut, self._after_flush)
        self._ledger.start()

    async def authenticate(self, headers: Mapping[str, str], peer: str) -> Tenant:
        """Return whose request this is. Raises Unauthenticated or Busy."""
        return await self._keys.tenant(headers, peer)

    async def receive(self, export: Export, share: Share, tenant: Tenant) -> Counter[str]:
        """Return the rejected items by reason, once everything else of the export is stored or spooled.

        Raises a Refusal, and then nothing of the export is kept but, within bounds, its body as a dead letter.
        """
        try:
            with self._meter.permit(tenant, len(export.body)) as permit:
                batch = await asyncio.get_running_loop().run_in_executor(self._decoders, decode_by_rules, export)
                derived = batch.derived
                share.take(batch.size + (derived.size if derived else 0))
                if export.signal == "traces":
                    permit.take_spans(batch.decoded.accepted)
                elif derived:
                    permit.take_spans(derived.decoded.accepted)
                outcome = await self._store(batch)
                # Where the records are in the spool, their replay makes the spans.
                if derived and outcome != "spooled":
                    await self._store(derived)
                    count_derived(derived)
                count_acknowledged(export, batch, outcome)
                permit.keep()
        except (MalformedBody, NotStored) as refusal:
            await self._keep_dead_letter(export, refusal, tenant)
            raise
        return batch.decoded.rejected

    async def _store(self, batch: Batch) -> str:
        """Return what became of the rows: stored, spooled, or that there are none."""
        if batch.blobs:
            batch = await self._keep_blobs(batch)
        if not batch.decoded.accepted:
            return "empty"
        return (await self._writers[batch.export.signal].submit(batch)).value

    async def _keep_blobs(self, batch: Batch) -> Batch:
        """Write a request's blobs, or say that it has to wait for that in the spool."""
        export = batch.export
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._blob_writers, blobs.keep, export.project_id, batch.blobs_until, batch.blobs
            )
        except blobs.BlobsAwayError as error:
            log.warning("a request waits in the spool for the blob store: %s", error)
            return replace(batch, lacks_blobs=True)
        metrics.ingest_blobs.add(len(batch.blobs))
        return batch

    async def _keep_dead_letter(self, export: Export, refusal: Refusal, tenant: Tenant) -> None:
        if not (tenant.keep_dead_letters and self._dead_letters.may_keep(export.project_id)):
            return
        try:
            await asyncio.to_thread(self._dead_letters.keep, export, refusal.reason, refusal.message)
        except OSError:  # the sender shall hear why the request was refused, not why we cannot remember it
            log.exception("a dead letter of project %s cannot be kept", export.project_id)

    def _flush_soon(self) -> None:
        self._ledger.soon()

    def _after_flush(self, is_sent: bool) -> None:
        self._meter.on_flushed(is_sent)
        if time.monotonic() >= self._expire_at:
            self._dead_letters.expire_all()
            self._expire_at = time.monotonic() + EXPIRE_SECONDS

    def waiting(self) -> SpoolState:
        """Return what waits on this machine's disk for the store; safe in every thread."""
        return state_of(self._spool.folder, settings.SPOOL_MAX_BYTES)

    async def stop(self) -> None:
        """Store what waits and end every thread."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._decoders.shutdown()
        self._blob_writers.shutdown()
        for writer in self._writers.values():
            writer.stop()
        self._replayer.stop()
        self._ledger.stop()
        self._keys.close()


def count_acknowledged(export: Export, batch: Batch, outcome: str) -> None:
    """Count a request that was stored, spooled or empty."""
    attributes = {metrics.SIGNAL: export.signal}
    metrics.ingest_requests.add(1, attributes | {metrics.OUTCOME: outcome})
    metrics.ingest_accepted.add(batch.decoded.accepted + batch.sampled, attributes)
    metrics.ingest_sampled.add(batch.sampled, attributes)
    metrics.ingest_redacted.add(batch.redacted, attributes)
    whose = (export.project_id, export.key_id, export.signal)
    ledger.count(*whose, "requests")
    ledger.count(*whose, "bytes", len(export.body))
    # What a rule leaves out was taken from the sender, and then not kept.
    ledger.count(*whose, "accepted", batch.decoded.accepted + batch.sampled)
    ledger.count(*whose, "sampled", batch.sampled)
    ledger.count(*whose, "redacted", batch.redacted)
    for reason, count in batch.decoded.rejected.items():
        metrics.ingest_rejected.add(count, attributes | {metrics.REASON: reason})
        ledger.count(*whose, "rejected", count, reason)


def count_refusal(signal: str, refusal: Refusal, tenant: Tenant | None) -> None:
    """Count a request that was refused as a whole; without a tenant it belongs to no project's ledger."""
    metrics.ingest_requests.add(1, {metrics.SIGNAL: signal, metrics.OUTCOME: "refused"})
    metrics.ingest_refused.add(1, {metrics.SIGNAL: signal, metrics.REASON: refusal.reason})
    # An edge does not know the project: the centre has counted it.
    if tenant and tenant.project_id:
        ledger.count(tenant.project_id, tenant.key_id, signal, "requests")
        ledger.count(tenant.project_id, tenant.key_id, signal, "refused", 1, refusal.reason)
