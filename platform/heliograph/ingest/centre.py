"""The centre as an edge collector sees it: OTLP/HTTP that takes, refuses, or is away.

A sender's own key goes along, and the centre judges by it: an edge holds nothing more powerful than what its senders
hand to it.
"""

import asyncio
from http import HTTPStatus
from typing import Any, cast

import httpx
from google.protobuf.json_format import Parse
from google.protobuf.json_format import ParseError as JsonError
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, status_pb2  # type: ignore[import-untyped]  # published without types

from heliograph import telemetry
from heliograph.ingest.exports import Export
from heliograph.ingest.http import MEDIA_TYPES, RECEIVED_HEADER
from heliograph.ingest.refusals import Refusal
from heliograph.ingest.signals import SIGNALS, ContentType

# Exporters give up after 10 s by default: before that, their body has to be on the edge's disk instead.
LIVE_SECONDS = 8.0
# Nobody waits for a replay: a body of 32 MiB passes a line of 5 Mbit/s in a minute.
REPLAY_SECONDS = 120.0
PING_SECONDS = 5.0
# Requests on their way at once. More wait for their turn, within their time.
CONNECTIONS = 64
# An answer is a count and some lines of text; what is longer is a proxy's page.
MAX_ANSWER_BYTES = 2**20
# The same bytes fail again, whoever says so: the centre or a proxy before it.
_FINAL = {
    HTTPStatus.BAD_REQUEST: code_pb2.INVALID_ARGUMENT,
    HTTPStatus.UNAUTHORIZED: code_pb2.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: code_pb2.PERMISSION_DENIED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: code_pb2.RESOURCE_EXHAUSTED,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: code_pb2.INVALID_ARGUMENT,
}
# How long a key waits that is told to, and not for how long.
_PAUSE_SECONDS = 5


class CentreAwayError(Exception):
    """Nothing answers, or something that is not (or not now) the centre: the same request may be taken later."""


class Relayed(Refusal):
    """What the centre answered to an edge collector, which is the answer to the sender."""

    reason = "centre"

    def __init__(self, message: str, status: HTTPStatus, code: int, retry_after: int | None) -> None:
        super().__init__(message)
        self.status = status  # type: ignore[misc]  # of this answer; other refusals have theirs by their class
        self.code = code  # type: ignore[misc]  # as above
        self.retry_after = retry_after

    @property
    def is_about_the_key(self) -> bool:
        """Whether the centre does not know the key, or does not let it send."""
        return self.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


class Centre:
    """A client of the centre's OTLP/HTTP. For one event loop."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._client = httpx.AsyncClient(
            # A redirect would take senders' keys to another address.
            follow_redirects=False,
            limits=httpx.Limits(max_connections=CONNECTIONS),
            timeout=None,  # noqa: S113  # each call has one time for all of it
        )

    async def send(self, export: Export, key: str, seconds: float, *, sender: str = "edge") -> Message:
        """Return the centre's answer to an export that it took. Raises Relayed where it refuses, or CentreAwayError."""
        content_type = cast(ContentType, export.content_type)
        headers = {
            "authorization": f"Bearer {key}",
            "content-type": MEDIA_TYPES[content_type],
            # Where the centre is on this very machine: whoever sends through us is not on it for that.
            "x-forwarded-for": sender,
            # A record without a time of its own takes its arrival's, which must be the same when it is sent again.
            RECEIVED_HEADER: str(export.received_ns),
        }
        if export.is_own:
            # The centre's own telemetry by way of an edge: stored without a trace of its own, here as there. Whoever
            # else says so has his commits left out of those traces, and nothing more.
            headers[telemetry.OWN] = "1"
        if export.content_encoding:
            headers["content-encoding"] = export.content_encoding
        signal = SIGNALS[export.signal]
        answer = await self._ask("POST", signal.path, seconds, headers=headers, content=export.body)
        if answer.status_code == HTTPStatus.OK:
            return self._read(answer, signal.response(), content_type)
        raise self._refusal(answer, content_type)

    async def ping(self) -> None:
        """Return if the centre is alive. Raises CentreAwayError."""
        answer = await self._ask("GET", "/healthz", PING_SECONDS)
        if answer.status_code != HTTPStatus.OK:
            raise CentreAwayError(f"{self._address}/healthz answers {answer.status_code}")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, method: str, path: str, seconds: float, **parts: Any) -> httpx.Response:
        try:
            async with asyncio.timeout(seconds), self._client.stream(method, self._address + path, **parts) as answer:
                return await self._whole(answer)
        except TimeoutError as error:
            raise CentreAwayError(f"{self._address} did not answer within {seconds:g} s") from error
        except httpx.RequestError as error:
            raise CentreAwayError(f"{self._address}: {error or type(error).__name__}") from error

    async def _whole(self, answer: httpx.Response) -> httpx.Response:
        """Read an answer to its end or its bound: a proxy's page may be endless, or small only while compressed."""
        body = bytearray()
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                raise CentreAwayError(f"{self._address} answers more than OTLP/HTTP does")
        kept = {name: answer.headers[name] for name in ("content-type", "retry-after") if name in answer.headers}
        return httpx.Response(answer.status_code, headers=kept, content=bytes(body))

    def _refusal(self, answer: httpx.Response, content_type: ContentType) -> Relayed:
        status = status_pb2.Status()
        try:
            self._read(answer, status, content_type)
        except CentreAwayError:  # a proxy speaks: what its number means is known without its text
            status.Clear()
        number = answer.status_code
        said = status.message or f"{self._address} answers {number}."
        if number == HTTPStatus.TOO_MANY_REQUESTS:
            seconds = answer.headers.get("retry-after", "")
            pause = int(seconds) if seconds.isdecimal() else _PAUSE_SECONDS
            return Relayed(said, HTTPStatus.TOO_MANY_REQUESTS, code_pb2.RESOURCE_EXHAUSTED, max(1, pause))
        # 500 is final in OTLP, and may come from anybody; only the centre itself says it with a status of its own.
        if number == HTTPStatus.INTERNAL_SERVER_ERROR and status.message:
            return Relayed(said, HTTPStatus.INTERNAL_SERVER_ERROR, code_pb2.INTERNAL, None)
        if number in _FINAL:
            return Relayed(said, HTTPStatus(number), _FINAL[HTTPStatus(number)], None)
        raise CentreAwayError(f"{said} (HTTP {number})")

    def _read(self, answer: httpx.Response, message: Message, content_type: ContentType) -> Message:
        """Read an answer in the encoding in which it was asked for. Raises CentreAwayError for anything else."""
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        if media_type != MEDIA_TYPES[content_type]:
            raise CentreAwayError(f"{self._address} does not answer as OTLP/HTTP does")
        try:
            if content_type == "json":
                return Parse(answer.content, message, ignore_unknown_fields=True)
            message.ParseFromString(answer.content)
        except (DecodeError, JsonError) as error:
            raise CentreAwayError(f"{self._address} does not answer as OTLP/HTTP does: {error}") from error
        return message
