"""OTLP/HTTP: POST /v1/traces, /v1/metrics and /v1/logs.

A small Starlette application instead of Django views: Django takes a whole body before a view can refuse it, and a
waiting request would hold a thread, which caps a group commit at the number of threads.
https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from django.conf import settings
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from heliograph import telemetry
from heliograph.ingest import answers
from heliograph.ingest.auth import Tenant
from heliograph.ingest.exports import Export
from heliograph.ingest.pipeline import Pipeline, Receiver, Share, count_refusal
from heliograph.ingest.refusals import Refusal, TooLarge, TooSlow, UnsupportedContentType
from heliograph.ingest.signals import SIGNALS, ContentType, Signal

log = logging.getLogger(__name__)

# Exporters give up after 10 s by default; a minute allows 32 MiB over a line of 5 Mbit/s.
BODY_SECONDS = 60
# A sender of too large a body still gets to read why: this much more is read and thrown away before the line is cut.
DRAIN_SECONDS = 5
# When an edge collector took what it sends on.
RECEIVED_HEADER = "x-heliograph-received"
# An edge whose centre was away for longer has its spool full, or people who wait for it.
MOST_DELAYED_NS = 30 * 86_400 * 10**9
MEDIA_TYPES: dict[ContentType, str] = {"protobuf": "application/x-protobuf", "json": "application/json"}
_CONTENT_TYPES: dict[str, ContentType] = {
    "application/x-protobuf": "protobuf",
    "application/protobuf": "protobuf",
    "application/json": "json",
}
# The path, and what comes of exporters that append it to an endpoint that holds one already.
_PATH = re.compile(r"/+(?:v1/(?:traces|metrics|logs)/+)*v1/(traces|metrics|logs)/*")
# Where the SDKs of Langfuse, LangWatch and LangSmith post below their vendor's address: theirs can be set, this cannot.
_VENDOR_PATH = re.compile(r"/(?:api/public/otel|api/otel|otel)/v1/(traces|metrics|logs)")


class ExportRoute(BaseRoute):
    """Matches the paths of OTLP/HTTP; a joined twice path is served too, with a hint in the log and in the answer."""

    def __init__(self) -> None:
        self._hinted: set[str] = set()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match by the path alone: a wrong method is answered by the handler."""
        path = scope["path"]
        if scope["type"] != "http" or not (found := _PATH.fullmatch(path) or _VENDOR_PATH.fullmatch(path)):
            return Match.NONE, {}
        return Match.FULL, {"signal": SIGNALS[found[1]]}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        signal: Signal = scope["signal"]
        path: str = scope["path"]
        is_as_it_should_be = path == signal.path or _VENDOR_PATH.fullmatch(path)
        if not is_as_it_should_be and len(self._hinted) < 100 and path not in self._hinted:
            self._hinted.add(path)
            log.warning("a sender posts to %r: its endpoint should end before %s", path, signal.path)
        hint = "" if is_as_it_should_be else f"Posted to {path[:200]}: the endpoint should end before {signal.path}."
        response = await export(Request(scope, receive), signal, hint)
        await response(scope, receive, send)


async def export(request: Request, signal: Signal, hint: str = "") -> Response:
    """Parse an export request, hand it to the pipeline, answer; with a hint to the sender where there is one."""
    if request.method != "POST":
        return Response(f"Send OTLP {signal.name} here with POST.\n", 405, {"allow": "POST"}, "text/plain")
    pipeline: Receiver = request.app.state.pipeline
    content_type = _CONTENT_TYPES.get(request.headers.get("content-type", "").partition(";")[0].strip().lower())
    tenant: Tenant | None = None
    try:
        tenant = await pipeline.authenticate(request.headers, request.client.host if request.client else "")
        if content_type is None:
            raise UnsupportedContentType(
                f"Content-Type {request.headers.get('content-type', '')!r} is not supported; "
                f"send {' or '.join(MEDIA_TYPES.values())}."
            )
        with pipeline.room.share() as share:
            body = await _read(request, share)
            rejected = await pipeline.receive(
                Export(
                    signal=signal.name,
                    project_id=tenant.project_id,
                    retention_days=tenant.retention_days,
                    content_type=content_type,
                    content_encoding=request.headers.get("content-encoding", ""),
                    received_ns=_received_ns(request.headers),
                    body=body,
                    key_id=tenant.key_id,
                    is_own=telemetry.OWN in request.headers,
                ),
                share,
                tenant,
            )
    except Refusal as refusal:
        count_refusal(signal.name, refusal, tenant)
        return _refused(refusal, content_type or "json")
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    content = answers.serialize(answers.success(signal, rejected, hint), content_type)
    return Response(content, media_type=MEDIA_TYPES[content_type])


def _received_ns(headers: Mapping[str, str]) -> int:
    """Return when a request came: now, or at its edge. Any sender may say so: it states the times in its body too."""
    now = time.time_ns()
    said = headers.get(RECEIVED_HEADER, "")
    if not said.isdecimal() or len(said) > 19:
        return now
    return int(said) if now - MOST_DELAYED_NS < int(said) < now else now


async def _read(request: Request, share: Share) -> bytes:
    """Return the body as it is on the wire. Raises TooLarge, TooSlow or Busy."""
    cap = settings.MAX_BODY_BYTES
    too_large = TooLarge(f"The body is larger than {cap} bytes (HELIOGRAPH_MAX_BODY_BYTES); send smaller batches.")
    declared = request.headers.get("content-length", "")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            stream = aiter(request.stream())
            if declared.isdecimal() and int(declared) > cap:
                await _drain(stream, cap)
                raise too_large
            async for chunk in stream:
                size += len(chunk)
                if size > cap:
                    chunks.clear()
                    await _drain(stream, cap)
                    raise too_large
                share.take(len(chunk))
                chunks.append(chunk)
    except TimeoutError as error:
        raise TooSlow(f"The body did not arrive within {BODY_SECONDS} s.") from error
    return b"".join(chunks)


async def _drain(stream: AsyncIterator[bytes], most: int) -> None:
    """Throw away what still comes, up to a bound: a sender that is cut off while it sends never reads the answer."""
    size = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            async for chunk in stream:
                size += len(chunk)
                if size > most:
                    return
    except TimeoutError:
        return


def _refused(refusal: Refusal, content_type: ContentType) -> Response:
    headers = {}
    if refusal.retry_after is not None:
        headers["retry-after"] = str(refusal.retry_after)
    if isinstance(refusal, TooLarge | TooSlow):
        headers["connection"] = "close"
    content = answers.serialize(answers.status(refusal), content_type)
    return Response(content, refusal.status, headers, MEDIA_TYPES[content_type])


def routes() -> list[BaseRoute]:
    """Return the routes of OTLP/HTTP. They expect `app.state.pipeline`."""
    return [ExportRoute()]


@asynccontextmanager
async def lifespan(app: Starlette, receiver: Callable[[], Receiver] = Pipeline) -> AsyncIterator[None]:
    """Make the application's pipeline, and store what waits in it at the end."""
    app.state.pipeline = receiver()
    try:
        yield
    finally:
        await app.state.pipeline.stop()
