"""When targets are scraped: a task each, so that a slow one delays nobody. Knows no database and no store.

A target keeps its own beat, at a phase made of its address: scrapers that are started again go on in step, and targets
of one interval are not asked all at once. A scrape that takes longer than its interval skips beats; none overlap.
"""

import asyncio
import logging
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collectors.prometheus.otlp import add_gauge, to_request
from collectors.prometheus.page import Page, read_page
from heliograph.scrape.addresses import Policy
from heliograph.scrape.credentials import Credentials
from heliograph.scrape.fetch import NOBODY, ScrapeError, client, fetch

log = logging.getLogger(__name__)

# Changed settings and discovered targets are in force after this long at most.
RELOAD_S = 5.0


@dataclass(frozen=True, slots=True)
class Target:
    """What to scrape. `resource` are the attributes of its points' resource; equal targets are the same task."""

    id: int
    project_id: int
    url: str
    interval_s: float
    timeout_s: float
    resource: tuple[tuple[str, str], ...]
    was_scraped: bool = False
    credentials: Credentials = NOBODY

    @property
    def identity(self) -> tuple[object, ...]:
        """What must not change while its task runs."""
        return self.project_id, self.url, self.interval_s, self.timeout_s, self.resource, self.credentials


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scrape went: `error` is '' or why there are no points, or why some are missing."""

    at: float
    seconds: float
    samples: int
    error: str


Load = Callable[[], Awaitable[list[Target]]]
# Stores a request's points; raises ScrapeError with the reason in words.
Deliver = Callable[[Target, ExportMetricsServiceRequest, int], Awaitable[None]]
Note = Callable[[Mapping[int, Outcome]], Awaitable[None]]
# Takes room for a page's bytes and gives it back.
Room = Callable[[], "RoomShare"]


class RoomShare:
    """Room that one scrape holds; this one is without bounds."""

    def take(self, size: int) -> None:
        """Take more bytes, or raise ScrapeError."""

    def give_back(self) -> None:
        """Give all of it back."""


class Scraper:
    """Keeps a task for each target that `load` returns."""

    def __init__(
        self,
        load: Load,
        deliver: Deliver,
        note: Note,
        policy: Policy,
        *,
        room: Room = RoomShare,
        reload_s: float = RELOAD_S,
    ) -> None:
        self._load, self._deliver, self._note = load, deliver, note
        self._policy, self._room, self._reload_s = policy, room, reload_s
        self._tasks: dict[int, tuple[tuple[object, ...], asyncio.Task[None]]] = {}
        self._outcomes: dict[int, Outcome] = {}
        # Tasks whose points are on their way to the store, and those that are to end; both may hold one.
        self._delivering: set[asyncio.Task[None] | None] = set()
        self._ending: set[asyncio.Task[None] | None] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Scrape until `stop` is set, then end every task but deliveries, and note what is not noted yet."""
        async with client() as http:
            try:
                while not stop.is_set():
                    await self._keep_up(http)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), self._reload_s)
            finally:
                for _, task in self._tasks.values():
                    self._end(task)
                await asyncio.gather(*(task for task in self._ending if task), return_exceptions=True)
                await self._write_notes()

    def _end(self, task: asyncio.Task[None]) -> None:
        """End a target's task: at once, or once what it delivers is stored, counted in the ledger and noted."""
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        if task not in self._delivering:
            task.cancel()

    @contextmanager
    def _to_the_end(self) -> Iterator[None]:
        task = asyncio.current_task()
        self._delivering.add(task)
        try:
            yield
        finally:
            self._delivering.discard(task)

    async def _keep_up(self, http: httpx.AsyncClient) -> None:
        await self._write_notes()
        wanted = {target.id: target for target in await self._load()}
        for key, (identity, task) in list(self._tasks.items()):
            if key not in wanted or wanted[key].identity != identity or task.done():
                self._end(task)
                del self._tasks[key]
        for key, target in wanted.items():
            if key not in self._tasks:
                self._tasks[key] = target.identity, asyncio.create_task(self._repeat(http, target))

    async def _write_notes(self) -> None:
        if self._outcomes:
            outcomes, self._outcomes = self._outcomes, {}
            await self._note(outcomes)

    async def _repeat(self, http: httpx.AsyncClient, target: Target) -> None:
        if not target.was_scraped:
            # Whoever has just added it waits to see whether it works.
            await self._once(http, target)
        while asyncio.current_task() not in self._ending:
            await asyncio.sleep(next_beat(target, time.time()) - time.time())
            await self._once(http, target)

    async def _once(self, http: httpx.AsyncClient, target: Target) -> None:
        try:
            self._outcomes[target.id] = await self.scrape(http, target)
        except Exception:  # one target's fault, whatever it is, must not end its beat
            log.exception("scraping %s failed", target.url)
            self._outcomes[target.id] = Outcome(time.time(), 0.0, 0, "Heliograph failed; the scraper's log says why.")

    async def scrape(self, http: httpx.AsyncClient, target: Target) -> Outcome:
        """Scrape a target once and deliver its points, and `up` with them."""
        started, at = time.monotonic(), time.time()
        now_ns = time.time_ns()
        share = self._room()
        error, page = "", Page()
        try:
            try:
                got = await fetch(http, target.url, target.timeout_s, self._policy, share.take, target.credentials)
                # Reading a large page takes a processor for a while, which the others' beats must not wait for.
                request, page = await asyncio.to_thread(_read, got.body, got.content_type, target, now_ns)
                error = _said_of(page)
            except ScrapeError as failed:
                error, request = str(failed), to_request(Page(), dict(target.resource), now_ns)
            seconds = time.monotonic() - started
            add_gauge(request, "up", "1", float(page.samples > 0), now_ns)
            add_gauge(request, "scrape_duration_seconds", "s", seconds, now_ns)
            add_gauge(request, "scrape_samples_scraped", "{sample}", float(page.samples), now_ns)
            try:
                with self._to_the_end():
                    await self._deliver(target, request, now_ns)
            except ScrapeError as refused:
                error = f"{error} {refused}".strip()
        finally:
            share.give_back()
        return Outcome(at, seconds, page.samples, error)


def _read(body: bytes, content_type: str, target: Target, now_ns: int) -> tuple[ExportMetricsServiceRequest, Page]:
    page = read_page(body, content_type)
    return to_request(page, dict(target.resource), now_ns), page


def _said_of(page: Page) -> str:
    """What was wrong with a page, without a word of it: it may be one that the reader has no business to read."""
    if not page.samples:
        return "No metric can be read there: it is no page in Prometheus' or OpenMetrics' text."
    if page.error_count:
        line = next((error.line for error in page.errors if error.line), 0)
        where = f", the first in line {line}" if line else ""
        return f"{page.error_count} parts of the page could not be read{where}; the rest is stored."
    return ""


def next_beat(target: Target, now: float) -> float:
    """Return the next moment of a target's own beat after `now`, in epoch seconds."""
    phase = zlib.crc32(f"{target.project_id}:{target.url}".encode()) / 2**32 * target.interval_s
    return ((now - phase) // target.interval_s + 1) * target.interval_s + phase
