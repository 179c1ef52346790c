"""What a connection may cost before it has sent a request: time, bytes and a file descriptor."""

import asyncio
import logging
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger(__name__)

# uvicorn bounds an idle connection between requests, not one that sends its headers byte by byte.
HEADER_SECONDS = 20
# As h11, uvicorn's other parser, has it; httptools has no bound, and 20 s at line speed would be gigabytes.
MAX_HEADER_BYTES = 64 * 2**10
# A sender's connection is a descriptor, and Debian's soft limit of 1,024 is less than a thousand senders and our files.
WANTED_DESCRIPTORS = 65_536

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a deadline and a bound for the headers of each request."""

    _deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Expect the first request."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Read what came, unless it is yet more headers than anybody needs."""
        super().data_received(data)
        if self._deadline is None:
            return
        self._header_bytes += len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._stop_expecting()
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Expect the rest of the headers."""
        super().on_message_begin()
        self._expect_headers()

    def on_headers_complete(self) -> None:
        """Have them."""
        self._stop_expecting()
        self._header_bytes = 0
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


def raise_descriptor_limit() -> None:
    """Let this process open as many connections as the system allows it, up to WANTED_DESCRIPTORS."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError) as error:  # macOS has a lower limit of its own than it says
        log.warning("at most %d connections: the limit of open files cannot be raised: %s", soft, error)
