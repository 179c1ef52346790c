"""Connections to the store, shared by the threads of a process and never by two processes."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from clickhouse_driver import Client
from clickhouse_driver.connection import Connection
from clickhouse_driver.util.helpers import parse_url

from heliograph.clickhouse import blocks
from heliograph.clickhouse.errors import CapacityError
from heliograph.clickhouse.prepared import BlockClient

# As many as threads may talk to the store at once in one process; the embedded server takes 128 of all processes.
MAX_CONNECTIONS = 24
# A page that waits this long for a connection is better served by an error that says so.
WAIT_SECONDS = 10.0
CONNECT_SECONDS = 5.0


class Pool:
    """Connections to one address; `connection` lends one."""

    def __init__(self, url: str, receive_seconds: float) -> None:
        self._url = url
        self._receive_seconds = receive_seconds
        self._forget()
        # A forked child must not write on its parent's sockets.
        os.register_at_fork(after_in_child=self._after_fork)

    def _forget(self) -> None:
        self._idle: list[Client] = []
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def _after_fork(self) -> None:
        for client in self._idle:
            if client.connection.socket is not None:
                # Not `disconnect`: that would shut the socket down for the parent too.
                client.connection.socket.close()
        self._forget()

    def _new(self) -> Client:
        host, options = parse_url(self._url)
        options.setdefault("connect_timeout", CONNECT_SECONDS)
        options.setdefault("send_receive_timeout", self._receive_seconds)
        client = BlockClient(host, **options)
        for connection in (client.connection, *client.connections):
            _exact(connection)
        return client

    @contextmanager
    def connection(self) -> Iterator[Client]:
        """Lend a client. It connects, and reconnects after a restart of the server, when it is used."""
        if not self._free.acquire(timeout=WAIT_SECONDS):
            raise CapacityError(f"All {MAX_CONNECTIONS} connections to the store were busy for {WAIT_SECONDS} seconds")
        process, free = os.getpid(), self._free
        try:
            try:
                client = self._idle.pop()  # the one used last is the least likely to have gone stale
            except IndexError:
                client = self._new()
            try:
                yield client
            except BaseException:
                # Whatever was under way, the next user must not read its answer.
                client.disconnect()
                raise
            if process == os.getpid():
                self._idle.append(client)
        finally:
            free.release()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().disconnect()


def _exact(connection: Connection) -> None:
    connection.get_block_in_stream = partial(blocks.input_stream, connection)
    connection.get_block_out_stream = partial(blocks.output_stream, connection)
