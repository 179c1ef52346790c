"""Senders that send slowly, or nothing, hold a connection for a bounded time."""

import asyncio

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request

from heliograph.ingest import health, http, sockets
from heliograph.ingest.pipeline import Room
from heliograph.ingest.refusals import TooSlow


async def test_a_body_that_never_ends_is_refused_after_the_deadline(monkeypatch):
    monkeypatch.setattr(http, "BODY_SECONDS", 0.05)
    messages = [{"type": "http.request", "body": b"half", "more_body": True}]

    async def receive():
        return messages.pop() if messages else await asyncio.Event().wait()

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    room = Room(capacity=10)
    with room.share() as share, pytest.raises(TooSlow, match="did not arrive"):
        await http._read(request, share)
    with room.share() as share:
        share.take(10)


@pytest.mark.parametrize(
    "sent", [b"", b"POST /v1/traces HTTP/1.1\r\nhost: ", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET "]
)
async def test_a_connection_without_whole_headers_is_closed_after_the_deadline(monkeypatch, sent):
    monkeypatch.setattr(sockets, "HEADER_SECONDS", 0.2)
    config = uvicorn.Config(
        Starlette(routes=[*health.routes()]),
        port=0,
        http=sockets.HttpProtocol,
        log_config=None,
        timeout_keep_alive=60,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110  # uvicorn offers a flag, no event
                await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            answer = await reader.read()
            assert answer == b"" or b"200 OK" in answer
            writer.close()
    finally:
        server.should_exit = True
        await serving
