"""A thousand senders at once, senders that never finish what they say, and endless headers."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest

from tests.faults.load import Load, Sent, traces
from tests.faults.once import is_once
from tests.ingest.books import books
from tests.ingest.stack import Stack, Tenant, eventually

CONNECTIONS = 1_000
SLOW = 150

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def few_descriptors(stack: Stack) -> Iterator[int]:
    """A collector that was started with Debian's soft limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    stack.collector.stop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, hard))
    try:
        stack.start_collector()
    finally:
        # The test itself needs as many as it opens.
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


async def connect(url: str, held: AsyncExitStack) -> Connection:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    held.callback(writer.close)
    return reader, writer


def head(tenant: Tenant, length: int) -> bytes:
    lines = ["POST /v1/traces HTTP/1.1", "host: localhost", "content-type: application/x-protobuf"]
    lines += [f"x-api-key: {tenant.key}", f"content-length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


async def ask(connection: Connection, request: bytes) -> bytes:
    reader, writer = connection
    writer.write(request)
    return (await reader.readuntil(b"\r\n"))[9:12]


async def post_from_all(stack: Stack, tenant: Tenant, bodies: list[bytes]) -> list[bytes]:
    """Open a connection for each body, and when all are open send all at once; return the statuses."""
    async with AsyncExitStack() as held, asyncio.timeout(120):
        connections = [await connect(stack.http, held) for _ in bodies]
        requests = [head(tenant, len(body)) + body for body in bodies]
        return await asyncio.gather(*map(ask, connections, requests))


def test_a_thousand_connections_are_answered_and_everything_is_there_once(
    few_descriptors: int, stack: Stack, tenant: Tenant
) -> None:
    if few_descriptors < CONNECTIONS + 100:
        pytest.skip(f"this machine lets the test itself open {few_descriptors} files only")
    made = [traces("") for _ in range(CONNECTIONS)]
    everything = Sent()
    for _, sent in made:
        everything.add(sent)
    assert set(asyncio.run(post_from_all(stack, tenant, [body for body, _ in made]))) == {b"200"}
    is_once(stack, tenant, everything)
    found = eventually(lambda: (now := books(stack, tenant))["requests"] == CONNECTIONS and now)
    assert found["accepted"] == found["stored"] == sum(map(len, everything.spans.values()))


async def dribble(stack: Stack, tenant: Tenant, load: Load) -> None:
    """Hold many connections that sent half of something, and meanwhile let the load go on."""
    async with AsyncExitStack() as held:
        for address in (stack.http, stack.web_http):
            for _ in range(SLOW):
                _, writer = await connect(address, held)
                writer.write(head(tenant, 1_000)[:-10])
                _, writer = await connect(address, held)
                writer.write(head(tenant, 1_000) + b"\x0a")
        await asyncio.to_thread(load.progress)


def test_slow_senders_take_nothing_from_the_others(stack: Stack, tenant: Tenant, load: Load) -> None:
    asyncio.run(dribble(stack, tenant, load))
    is_once(stack, tenant, load.finish())
    # Nobody heard an answer, and nothing came of what was never whole.
    found = eventually(lambda: (now := books(stack, tenant))["requests"] == load.answers("traces").total() and now)
    assert found["refused"] == 0


async def endless_headers(url: str) -> bytes:
    async with AsyncExitStack() as held, asyncio.timeout(30):
        reader, writer = await connect(url, held)
        # In one read, and little over the bound: what is left unread would make a reset of the answer.
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-more: " + b"x" * 66_000)
        return await reader.read()


def test_endless_headers_are_refused_on_both_ports(stack: Stack) -> None:
    for address in (stack.http, stack.web_http):
        assert asyncio.run(endless_headers(address)).startswith(b"HTTP/1.1 431 ")
