"""GET /metrics: this process and what it waits for, in Prometheus' text; docs/metrics.md lists it.

Not for the world: with HELIOGRAPH_METRICS_TOKEN for whoever sends it, without one for this machine alone.
"""

import asyncio
import hmac
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from heliograph import metrics
from heliograph.ingest.auth import is_own_machine
from heliograph.ingest.spool_state import SpoolState

# Prometheus gives up after 10 s by default, and would then know nothing of why.
SCRAPE_SECONDS = 9.0


def gauge(name: str, said: str, value: float | None) -> Iterator[Metric]:
    """Yield one value; nothing where it is not known, since 0 would be a reading."""
    if value is not None:
        yield GaugeMetricFamily(f"heliograph_{name}", said, value=value)


def spool_metrics(spool: SpoolState) -> Iterator[Metric]:
    """Yield what waits on this machine's disk."""
    lag = spool.oldest_s or 0.0
    yield from gauge("ingest_lag_seconds", "Age of the oldest telemetry that was acknowledged and is not stored.", lag)
    yield from gauge("spool_files", "Files of telemetry that wait on disk.", spool.files)
    yield from gauge("spool_bytes", "Bytes of telemetry that wait on disk.", spool.bytes)
    yield from gauge("spool_max_bytes", "Bytes that may wait on disk; then senders have to.", spool.max_bytes)


class _Spool(Collector):
    """The spool of the application whose page it is, which has a pipeline once it runs."""

    app: Any = None

    def collect(self) -> Iterator[Metric]:
        """Yield it; Prometheus' own name."""
        if self.app is not None:
            yield from spool_metrics(self.app.state.pipeline.waiting())


def _refusal(request: Request) -> Response | None:
    if token := settings.METRICS_TOKEN:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
            return None
        why = "Send HELIOGRAPH_METRICS_TOKEN as 'Authorization: Bearer TOKEN'.\n"
        return PlainTextResponse(why, 401, {"www-authenticate": "Bearer"})
    peer = request.client.host if request.client else ""
    if settings.METRICS_FOR_THIS_MACHINE and is_own_machine(request.headers, peer):
        return None
    return PlainTextResponse("Set HELIOGRAPH_METRICS_TOKEN and send it to read this from elsewhere.\n", 403)


def routes(*collectors: Collector) -> list[BaseRoute]:
    """Return the route of a process's page, with what else it has to tell."""
    registry = CollectorRegistry()
    spool = _Spool()
    # What is measured in between is a registry of its own, which is collected as a part is.
    for each in (metrics.REGISTRY, spool, *collectors):
        registry.register(each)
    # One at a time: questions to the store and the databases, which somebody impatient must not multiply.
    thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
    turn = asyncio.Semaphore(1)

    async def show(request: Request) -> Response:
        if refused := _refusal(request):
            return refused
        spool.app = request.app
        try:
            async with asyncio.timeout(SCRAPE_SECONDS), turn:
                text = await asyncio.get_running_loop().run_in_executor(thread, generate_latest, registry)
        except TimeoutError:
            return PlainTextResponse(f"Not within {SCRAPE_SECONDS:.0f} s.\n", 503)
        return Response(text, headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4, "cache-control": "no-store"})

    return [Route("/metrics", show)]
