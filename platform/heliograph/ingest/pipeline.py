"""What an authenticated export goes through, the same for HTTP and gRPC: room, decoding, commit."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from django.conf import settings

from heliograph import metrics
from heliograph.ingest.auth import KeyRing, Tenant
from heliograph.ingest.commit import Committer
from heliograph.ingest.exports import Export, decode
from heliograph.ingest.gate import StoreGate
from heliograph.ingest.refusals import Busy, Refusal
from heliograph.ingest.replay import Replayer
from heliograph.ingest.signals import SIGNALS
from heliograph.ingest.spool import Spool
from heliograph.ingest.writer import Writer

# Bytes of bodies that may be in the process at once, on the wire and decompressed; decoded columns take about five
# times their body, so this bounds the process to about 1.5 GB under any load. Two of the largest bodies fit.
ROOM_BYTES = 2 * settings.MAX_DECOMPRESSED_BYTES
# Decoding holds the GIL: the second thread is there so that one huge body does not keep the small ones waiting.
DECODERS = 2


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


class Pipeline:
    """Everything behind the two protocols; one a process, made and stopped in its event loop."""

    def __init__(self) -> None:
        self.room = Room()
        self._keys = KeyRing()
        self._decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")
        self._spool = Spool(settings.SPOOL_DIR, settings.SPOOL_MAX_BYTES)
        self._gate = StoreGate()
        self._writers = {
            name: Writer(Committer(signal, self._spool.folder), self._spool, self._gate)
            for name, signal in SIGNALS.items()
        }
        self._replayer = Replayer(self._spool, self._gate)

    async def authenticate(self, headers: Mapping[str, str], peer: str) -> Tenant:
        """Return whose request this is. Raises Unauthenticated or Busy."""
        return await self._keys.tenant(headers, peer)

    async def receive(self, export: Export, share: Share) -> Counter[str]:
        """Return the rejected items by reason, once everything else of the export is stored or spooled.

        Raises a Refusal, and then nothing of the export is kept.
        """
        batch = await asyncio.get_running_loop().run_in_executor(self._decoders, decode, export)
        share.take(batch.size)
        outcome = (await self._writers[export.signal].submit(batch)).value if batch.decoded.accepted else "empty"
        attributes = {metrics.SIGNAL: export.signal}
        metrics.ingest_requests.add(1, attributes | {metrics.OUTCOME: outcome})
        metrics.ingest_accepted.add(batch.decoded.accepted, attributes)
        for reason, count in batch.decoded.rejected.items():
            metrics.ingest_rejected.add(count, attributes | {metrics.REASON: reason})
        return batch.decoded.rejected

    async def stop(self) -> None:
        """Store what waits and end every thread."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._decoders.shutdown()
        for writer in self._writers.values():
            writer.stop()
        self._replayer.stop()
        self._keys.close()


def count_refusal(signal: str, refusal: Refusal) -> None:
    """Count a request that was refused as a whole."""
    metrics.ingest_requests.add(1, {metrics.SIGNAL: signal, metrics.OUTCOME: "refused"})
    metrics.ingest_refused.add(1, {metrics.SIGNAL: signal, metrics.REASON: refusal.reason})
