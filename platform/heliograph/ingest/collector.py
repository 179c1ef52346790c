"""The collector's application: HTTP and gRPC over one pipeline."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from django.conf import settings
from starlette.applications import Starlette

from heliograph.ingest import edge, exposition, grpc, health, http
from heliograph.ingest.edge import Edge
from heliograph.ingest.pipeline import Pipeline, Receiver

log = logging.getLogger(__name__)

# Requests in flight wait for a commit, which takes less than a second but where the store is slow.
STOP_SECONDS = 10


def application(grpc_port: int) -> Starlette:
    """Return the ASGI application whose lifespan also runs the gRPC server."""
    receiver: Callable[[], Receiver] = Edge if settings.FORWARD_TO else Pipeline
    others = edge.routes() if settings.FORWARD_TO else health.routes()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with http.lifespan(app, receiver):
            host = f"[{settings.HOST}]" if ":" in settings.HOST else settings.HOST
            server, port = grpc.server(app.state.pipeline, f"{host}:{grpc_port}")
            await server.start()
            log.info("OTLP/gRPC on %s:%d", host, port)
            try:
                yield
            finally:
                await server.stop(STOP_SECONDS)

    return Starlette(routes=[*http.routes(), *others, *exposition.routes()], lifespan=lifespan)
