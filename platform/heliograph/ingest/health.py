"""/healthz (the process is alive) and /readyz (what it needs can be reached)."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection
from kombu import Connection
from kombu.exceptions import OperationalError as BrokerError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from collectors import kernel
from heliograph.clickhouse import client
from heliograph.clickhouse.errors import StoreError

log = logging.getLogger(__name__)

# An orchestrator asks every few seconds and gives up after about as long.
CHECK_SECONDS = 3
# A look-up that hangs must not take a thread of the pool that requests use.
_threads = ThreadPoolExecutor(3, thread_name_prefix="health")


def _check_store() -> None:
    client.ping()


def _check_metadata() -> None:
    close_old_connections()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _check_broker() -> None:
    options = getattr(settings, "CELERY_BROKER_TRANSPORT_OPTIONS", {})
    with Connection(settings.CELERY_BROKER_URL, transport_options=options, connect_timeout=CHECK_SECONDS) as broker:
        broker.ensure_connection(max_retries=1, timeout=CHECK_SECONDS)


_CHECKS: dict[str, Callable[[], None]] = {
    "store": _check_store,
    "metadata": _check_metadata,
    "broker": _check_broker,
}
# What a part that is away raises; anything else is a fault of ours and shall be seen as one.
_AWAY = (StoreError, DatabaseError, BrokerError, OSError, TimeoutError)


async def healthz(_: Request) -> Response:
    """Answer 200 while the process serves at all."""
    return PlainTextResponse("ok\n")


async def readyz(_: Request) -> Response:
    """Answer 200 with "ok" for each part, or 503 with what is wrong.

    The details are in the log: an error text can hold addresses and user names, and this page is open to everybody.
    """
    lines = dict(zip(_CHECKS, await asyncio.gather(*map(_answer, _CHECKS)), strict=True))
    is_ready = all(line == "ok" for line in lines.values())
    # Ready either way: spans are decoded at a fifth of the speed in Python.
    lines["decoder"] = "python" if kernel.active() is None else "kernel"
    return JSONResponse({"status": "ok" if is_ready else "unavailable", **lines}, 200 if is_ready else 503)


async def _answer(name: str) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await asyncio.get_running_loop().run_in_executor(_threads, _CHECKS[name])
    except _AWAY as error:
        log.warning("/readyz: %s: %s", name, error or type(error).__name__)
        return f"unreachable ({type(error).__name__})"
    return "ok"


def routes() -> list[BaseRoute]:
    """Return the two routes."""
    return [Route("/healthz", healthz), Route("/readyz", readyz)]
