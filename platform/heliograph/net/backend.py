"""The connection below HTTP: made to a judged address, and ended when the time of the whole request is over.

A name is resolved once and the connection goes to one of the addresses that were judged, so it does not matter what the
name means a moment later (DNS rebinding). The checks sit where connections are made: there is no way around them.
"""

import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from heliograph.net.addresses import Ip, Policy, judge

# A name with more addresses than this is a trick; each would cost a try to connect.
MAX_ADDRESSES = 8


class Deadline:
    """The end of a request as a whole, however many steps it takes."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left. Raises httpcore.TimeoutException."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore.TimeoutException("the time of the whole request is over")
        return left


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to what the policy allows, until the deadline."""

    def __init__(self, policy: Policy, deadline: Deadline) -> None:
        self._policy, self._deadline = policy, deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers. Raises ForbiddenAddressError, httpcore's errors."""
        judged = [judge(found, self._policy) for found in resolve(host, port, self._deadline.left())]
        for ip in judged[:-1]:
            try:
                return self._connect(ip, port)
            except httpcore.ConnectError:  # the machine has no IPv6, for one; the next may answer
                continue
        return self._connect(judged[-1], port)

    def _connect(self, ip: Ip, port: int) -> httpcore.NetworkStream:
        return _Bounded(self._inner.connect_tcp(str(ip), port, self._deadline.left()), self._deadline)


class _Bounded(httpcore.NetworkStream):
    """A stream each of whose steps ends with the request's time."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read some bytes."""
        return self._inner.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all bytes."""
        self._inner.write(buffer, self._deadline.left())

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Go on encrypted; the certificate is that of the name, not of the address."""
        return _Bounded(self._inner.start_tls(ssl_context, server_hostname, self._deadline.left()), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """Return what the stream below knows."""
        return self._inner.get_extra_info(info)


def resolve(host: str, port: int, seconds: float) -> list[str]:
    """Return the addresses of a name. Raises httpcore.ConnectError or httpcore.ConnectTimeout.

    The system's resolver takes no time limit, so it works in a thread of its own that is left behind when it hangs.
    """
    answers: queue.Queue[list[str] | OSError | UnicodeError] = queue.Queue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            answers.put(error)
        else:
            answers.put([str(entry[4][0]) for entry in found])

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty as error:
        raise httpcore.ConnectTimeout(f"The name {host} was not resolved in time.") from error
    if isinstance(answer, list) and answer:
        return answer[:MAX_ADDRESSES]
    raise httpcore.ConnectError(f"The name {host} cannot be resolved.") from (
        answer if isinstance(answer, Exception) else None
    )
