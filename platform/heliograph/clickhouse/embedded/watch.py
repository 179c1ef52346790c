"""Watching the clients whose statements run: a Cancel packet or a closed socket stops the query."""

import logging
import selectors
import socket
import threading

from heliograph.clickhouse.embedded.engine import Engine
from heliograph.clickhouse.embedded.errors import EngineError

logger = logging.getLogger(__name__)

_CANCEL = b"\x03"
# A kill finds nothing while the engine still parses the query, so it is repeated until the statement has ended.
KILL_AGAIN_SECONDS = 0.05


class Watch:
    """One running statement. `cancelled` is set when nobody wants its result any more."""

    def __init__(self, connection: socket.socket, mark: str) -> None:
        self.connection = connection
        self.mark = mark
        self.cancelled = threading.Event()
        self.gone = False


class Watcher:
    """One thread that looks at the sockets of all running statements."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._selector = selectors.DefaultSelector()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, None)
        self._lock = threading.Lock()
        self._cancelling: set[Watch] = set()
        self._running: set[Watch] = set()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def begin(self, connection: socket.socket, mark: str) -> Watch:
        watch = Watch(connection, mark)
        with self._lock:
            self._running.add(watch)
            self._selector.register(connection, selectors.EVENT_READ, watch)
        self._wake()
        return watch

    def end(self, watch: Watch) -> None:
        with self._lock:
            self._running.discard(watch)
            self._cancelling.discard(watch)
            if watch.connection.fileno() in self._selector.get_map():
                self._selector.unregister(watch.connection)

    def cancel(self, watch: Watch) -> None:
        watch.cancelled.set()
        with self._lock:
            self._cancelling.add(watch)
        self._wake()

    def running(self) -> int:
        with self._lock:
            return len(self._running)

    def cancel_all(self) -> None:
        """Stop every running statement."""
        with self._lock:
            for watch in self._running:
                watch.cancelled.set()
            self._cancelling |= self._running
        self._wake()

    def close(self) -> None:
        self._stopping = True
        self._wake()
        self._thread.join()
        self._selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def _wake(self) -> None:
        self._wake_sender.send(b"\0")

    def _run(self) -> None:
        while not self._stopping:
            events = self._selector.select(KILL_AGAIN_SECONDS if self._cancelling else None)
            with self._lock:
                for key, _ in events:
                    if key.data is None:
                        self._wake_receiver.recv(4096)
                    elif key.data in self._running:
                        self._look(key.data)
                marks = [watch.mark for watch in self._cancelling]
            for mark in marks:
                try:
                    self._engine.kill(mark)
                except EngineError:
                    logger.exception("A cancelled query could not be stopped")

    def _look(self, watch: Watch) -> None:
        """Read what a client sent while its statement runs, without taking a later packet from the session."""
        self._selector.unregister(watch.connection)
        try:
            first = watch.connection.recv(1, socket.MSG_PEEK)
            if first == _CANCEL:
                watch.connection.recv(1)
        except OSError:
            first = b""
        if first and first != _CANCEL:
            return
        watch.gone = not first
        watch.cancelled.set()
        self._cancelling.add(watch)
