"""The collector's application: HTTP and gRPC over one pipeline."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from django.conf import settings
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from heliograph.ingest import grpc, health, http

log = logging.getLogger(__name__)

# Requests in flight wait for a commit, which takes less than a second but where the store is slow.
STOP_SECONDS = 10
# uvicorn bounds an idle connection between requests, not one that sends its headers byte by byte.
HEADER_SECONDS = 20


def application(grpc_port: int) -> Starlette:
    """Return the ASGI application whose lifespan also runs the gRPC server."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with http.lifespan(app):
            host = f"[{settings.HOST}]" if ":" in settings.HOST else settings.HOST
            server, port = grpc.server(app.state.pipeline, f"{host}:{grpc_port}")
            await server.start()
            log.info("OTLP/gRPC on %s:%d", host, port)
            try:
                yield
            finally:
                await server.stop(STOP_SECONDS)

    return Starlette(routes=[*http.routes(), *health.routes()], lifespan=lifespan)


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a deadline for the headers of each request."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Expect the first request."""
        super().connection_made(transport)
        self._expect_headers()

    def on_message_begin(self) -> None:
        """Expect the rest of the headers."""
        super().on_message_begin()
        self._expect_headers()

    def on_headers_complete(self) -> None:
        """Have them."""
        self._stop_expecting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._stop_expecting()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        self._stop_expecting()
        self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_expecting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
