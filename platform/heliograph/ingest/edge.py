"""A collector at the edge: hands each request on to the centre, and keeps it on disk while the centre is away.

The centre judges everything (keys, limits, rules, the ledger); so this process needs no database and no store. While
the centre answers, its answer is the sender's. While it does not, requests are decoded, to refuse what nobody could
read, and kept as they came; they are sent on when it is back. A request whose answer was lost is sent again, and the
centre stores its rows once (`commit`).
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from heliograph import metrics
from heliograph.accounts.models import ApiKey
from heliograph.ingest.auth import HINT, MAX_KEY_CHARS, Tenant, key_of
from heliograph.ingest.centre import LIVE_SECONDS, REPLAY_SECONDS, Centre, CentreAwayError, Relayed
from heliograph.ingest.exports import Export, decode
from heliograph.ingest.health import healthz
from heliograph.ingest.known_keys import KnownKeys
from heliograph.ingest.lanes import Lane, Lanes
from heliograph.ingest.pipeline import Room, Share
from heliograph.ingest.refusals import Busy, Unauthenticated
from heliograph.ingest.spool import SpoolFull
from heliograph.ingest.spool_state import SpoolState

log = logging.getLogger(__name__)

# How often an absent centre is asked, and what waits looked at.
INTERVAL_SECONDS = 0.5
# Requests that come within this time share a file of their key: an fsync each would be the bound.
GROUP_SECONDS = 0.2
# Replayed requests on their way at once: live ones keep most of the connections.
REPLAYS = 16
# A lane that the centre cannot take now, for a cause that may be its own.
LANE_PAUSE_SECONDS = 5.0
# How old a span may be is the project's to say, which is the centre's to know; nothing is kept longer than this.
MOST_DAYS = 3_650


@dataclass(frozen=True, slots=True)
class _Waiting:
    key: str
    export: Export
    kept: asyncio.Future[None]


class Edge:
    """Takes requests as `Pipeline` does. Made in its event loop."""

    def __init__(self) -> None:
        self.room = Room()
        folder = settings.SPOOL_DIR / "edge"
        self._lanes = Lanes(folder, settings.SPOOL_MAX_BYTES)
        self._known = KnownKeys(folder / "known-keys.json", settings.FORWARD_TRUST_SECONDS)
        self._centre = Centre(settings.FORWARD_TO)
        self._away = ""
        self._waiting: list[_Waiting] = []
        self._has_waiting = asyncio.Event()
        self._is_stopping = False
        self._replays = asyncio.Semaphore(REPLAYS)
        self._keeper = asyncio.create_task(self._keep_groups())
        self._sender = asyncio.create_task(self._send_on())

    async def authenticate(self, headers: Mapping[str, str], peer: str) -> Tenant:
        """Return the key as it came: whether it is good is the centre's to say. Raises Unauthenticated."""
        key = key_of(headers)
        if not key.startswith(ApiKey.PREFIX) or len(key) > MAX_KEY_CHARS:
            raise Unauthenticated(f"No API key of ours (they begin with {ApiKey.PREFIX}): {HINT}.")
        return Tenant(project_id=0, retention_days=MOST_DAYS, secret=key, peer=peer)

    async def receive(self, export: Export, share: Share, tenant: Tenant) -> Counter[str] | Message:
        """Return the centre's answer, or the rejected items by reason once everything else is on disk.

        Raises a Refusal: the centre's own, Busy, or of a body that nobody can read.
        """
        digest = ApiKey.digest_of(tenant.secret)
        if not self._away:
            try:
                answer = await self._centre.send(export, tenant.secret, LIVE_SECONDS, sender=tenant.peer or "edge")
            except CentreAwayError as error:
                self._note_away(error)
            except Relayed as refusal:
                if refusal.is_about_the_key:
                    self._known.forget(digest)
                raise
            else:
                self._known.note(digest)
                self._count(export, "forwarded")
                return answer
        if not self._known.is_trusted(digest):
            raise Busy("The centre is away, and it has not lately taken this key; retry later.")
        batch = await asyncio.to_thread(decode, export)
        share.take(batch.size)
        if batch.decoded.accepted:
            await self._keep(tenant.secret, replace(export, items=batch.decoded.accepted))
        self._count(export, "spooled")
        return batch.decoded.rejected

    def state(self) -> dict[str, Any]:
        """Return how it stands: ready also while the centre is away, for that is what an edge is there for."""
        files, size = self._lanes.waiting()
        return {
            # Half is what one key may fill.
            "status": "unavailable" if size >= self._lanes.max_bytes // 2 else "ok",
            "centre": "away" if self._away else "ok",
            "waiting_files": files,
            "waiting_bytes": size,
            "max_bytes": self._lanes.max_bytes,
        }

    def waiting(self) -> SpoolState:
        """Return what waits on this machine's disk for the centre; safe in every thread."""
        return self._lanes.state()

    async def stop(self) -> None:
        """Keep what is on its way to the disk; what waits there waits for the next process."""
        self._is_stopping = True
        self._has_waiting.set()
        await self._keeper
        self._sender.cancel()
        await asyncio.gather(self._sender, return_exceptions=True)
        await self._centre.close()
        self._lanes.close()

    def _note_away(self, error: Exception) -> None:
        if not self._away:
            log.warning("the centre is away, telemetry is kept on disk: %s", error)
        self._away = str(error)

    @staticmethod
    def _count(export: Export, outcome: str) -> None:
        metrics.ingest_requests.add(1, {metrics.SIGNAL: export.signal, metrics.OUTCOME: outcome})

    async def _keep(self, key: str, export: Export) -> None:
        """Return when the request is on disk. Raises Busy."""
        if self._is_stopping:
            raise Busy("The collector is stopping.")
        waiting = _Waiting(key, export, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._has_waiting.set()
        await waiting.kept
        metrics.ingest_spooled.add(1, {metrics.SIGNAL: export.signal})

    async def _keep_groups(self) -> None:
        while True:
            await self._has_waiting.wait()
            self._has_waiting.clear()
            groups: defaultdict[str, list[_Waiting]] = defaultdict(list)
            for waiting in self._waiting:
                groups[waiting.key].append(waiting)
            self._waiting = []
            for key, group in groups.items():
                error: Busy | None = None
                try:
                    await asyncio.to_thread(
                        self._lanes.append, ApiKey.digest_of(key), key, [waiting.export for waiting in group]
                    )
                except SpoolFull as full:
                    error = Busy(f"The centre is away and {full}.")
                except Exception as fault:  # a fault of ours: these senders hear of it, and this task must live on
                    log.exception("a group of requests could not be kept")
                    error = Busy(f"The centre is away, and keeping this failed ({type(fault).__name__}); retry later.")
                for waiting in group:
                    if waiting.kept.done():  # the sender went away
                        continue
                    waiting.kept.set_exception(error) if error else waiting.kept.set_result(None)
            if self._is_stopping and not self._waiting:
                return
            await asyncio.sleep(GROUP_SECONDS)

    async def _send_on(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                if data := self._known.to_save():
                    await asyncio.to_thread(self._known.save, data)
                if self._away:
                    await self._centre.ping()
                    log.warning("the centre is back")
                    self._away = ""
                # To the end of each: a lane that fails must not be begun again beside those that still go on.
                for result in await asyncio.gather(*map(self._empty, self._lanes.due()), return_exceptions=True):
                    if isinstance(result, Exception):
                        log.error("what waits of one key could not be sent on; it is tried again", exc_info=result)
            except CentreAwayError as error:
                self._note_away(error)
            except Exception:  # a fault of ours or of the disk: what waits stays, and this task must live on
                log.exception("what waits could not be sent on; it is tried again")

    async def _empty(self, lane: Lane) -> None:
        """Send what waits of one key, oldest first, until the centre bids it wait."""
        while lane.not_before <= time.monotonic() and not self._away:
            oldest = await asyncio.to_thread(self._lanes.oldest, lane)
            if oldest is None:
                return
            path, exports = oldest
            are_done = await asyncio.gather(*(self._send(lane, export) for export in exports))
            # Written anew without those that are done: sent once more, they would be stored once and use up the
            # key's limits twice.
            left = [export for export, is_done in zip(exports, are_done, strict=True) if not is_done]
            if not left or len(left) < len(exports):
                await asyncio.to_thread(self._lanes.put_back, lane, path, left)

    async def _send(self, lane: Lane, export: Export) -> bool:
        """Say whether the centre has taken or refused a request, and it need not be sent again."""
        async with self._replays:
            if lane.not_before > time.monotonic():
                return False
            try:
                await self._centre.send(export, lane.key, REPLAY_SECONDS)
            except CentreAwayError as error:
                log.warning("the centre does not take what waits: %s", error)
                lane.not_before = time.monotonic() + LANE_PAUSE_SECONDS
                return False
            except Relayed as refusal:
                if refusal.retry_after is not None:
                    lane.not_before = time.monotonic() + refusal.retry_after
                    return False
                if refusal.is_about_the_key:
                    self._known.forget(lane.digest)
                log.error("the centre refuses a kept request of key %s…: %s", lane.key[:9], refusal.message)
                await asyncio.to_thread(self._lanes.set_aside, lane, export, refusal.message)
                metrics.ingest_dead_letters.add(1, {metrics.REASON: refusal.reason})
                return True
        self._known.note(lane.digest)
        metrics.ingest_replayed.add(1, {metrics.SIGNAL: export.signal})
        return True


async def readyz(request: Request) -> Response:
    """Answer 200, or 503 where the disk takes no more."""
    state = request.app.state.pipeline.state()
    return JSONResponse(state, 200 if state["status"] == "ok" else 503)


def routes() -> list[BaseRoute]:
    """Return /healthz and /readyz of an edge."""
    return [Route("/healthz", healthz), Route("/readyz", readyz)]
