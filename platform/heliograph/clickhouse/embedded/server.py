"""The listening socket: one thread a client, a bounded number of them, and a clean end."""

import logging
import selectors
import socket
import threading
import time
from pathlib import Path

from heliograph.clickhouse.embedded import wire
from heliograph.clickhouse.embedded.engine import Engine
from heliograph.clickhouse.embedded.errors import TOO_MANY_CONNECTIONS, EngineError, ServerError
from heliograph.clickhouse.embedded.session import Client
from heliograph.clickhouse.embedded.watch import Watcher

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
# Web, collector and worker threads keep one connection each; an idle one costs a thread and an engine session.
MAX_CONNECTIONS = 128
# How long statements that run may go on after SIGTERM before they are cancelled, and then to notice it.
GRACE_SECONDS = 5.0
CANCEL_SECONDS = 5.0


class Server:
    """Serves the folder at `path` on loopback. `port` 0 takes a free one; `self.port` says which.

    `backups` is the folder that BACKUP and RESTORE know as a disk; without it they are refused. `cold_endpoint` is
    the address of a bucket and prefix for the disk `cold`; credentials are those of the environment.
    """

    def __init__(
        self,
        path: Path,
        port: int,
        password: str,
        max_memory_bytes: int,
        backups: Path | None = None,
        cold_endpoint: str = "",
    ) -> None:
        self._password = password
        self._stop_receiver, self._stop_sender = socket.socketpair()
        # Bound before the engine starts, so that a taken port is known at once.
        self._listener = socket.create_server((HOST, port), backlog=64)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        try:
            self._engine = Engine(path, max_memory_bytes, backups, cold_endpoint)
        except EngineError:
            self._listener.close()
            raise
        # Parts that the engine found damaged and put aside.
        self.damaged = self._engine.damaged
        self._watcher = Watcher(self._engine)
        self._clients: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Ask `serve` to end; may be called from a signal handler."""
        self._stop_sender.send(b"\0")

    def serve(self) -> None:
        """Accept clients until `stop`, then end cleanly."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._stop_receiver, selectors.EVENT_READ)
            while all(key.fileobj is not self._stop_receiver for key, _ in selector.select()):
                self._accept()
        self._close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the client left between the event and here
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(target=self._serve_client, args=(connection,), name="client", daemon=True)
        with self._lock:
            accepted = len(self._clients) < MAX_CONNECTIONS
            if accepted:
                self._clients[thread] = connection
        if accepted:
            thread.start()
        else:
            self._refuse(connection)

    def _refuse(self, connection: socket.socket) -> None:
        error = ServerError(TOO_MANY_CONNECTIONS, f"Too many connections: {MAX_CONNECTIONS} are open")
        logger.warning("%s", error.text)
        with connection:
            connection.settimeout(0.2)
            try:
                # Unread bytes would turn the close into a reset, and the client would never see the reason.
                connection.recv(wire.RECEIVE_BYTES)
                connection.sendall(wire.exception_packet(error))
            except OSError:
                logger.debug("A refused client did not wait for the reason")

    def _serve_client(self, connection: socket.socket) -> None:
        try:
            with connection:
                Client(connection, self._engine, self._watcher, self._password).serve()
        except Exception:  # one client's fault, of whatever kind, must not take the store from the others
            logger.exception("A connection ended with an error")
        finally:
            with self._lock:
                self._clients.pop(threading.current_thread(), None)

    def _close(self) -> None:
        self._listener.close()
        deadline = time.monotonic() + GRACE_SECONDS
        with self._lock:
            clients = list(self._clients.items())
        for _, connection in clients:
            try:
                # Wakes a thread that waits for the next packet; an answer under way can still be sent.
                connection.shutdown(socket.SHUT_RD)
            except OSError:
                logger.debug("A client left before the server")
        _join(clients, deadline)
        self._watcher.cancel_all()
        _join(clients, time.monotonic() + CANCEL_SECONDS)
        self._watcher.close()
        self._engine.close()
        self._stop_receiver.close()
        self._stop_sender.close()


def _join(clients: list[tuple[threading.Thread, socket.socket]], deadline: float) -> None:
    for thread, _ in clients:
        thread.join(max(0.0, deadline - time.monotonic()))
