"""What waits to be sent: bounded, sent by a thread of its own, and empty in the child of a fork.

OpenTelemetry's own batch processor bounds spans by their number only, does not count what it drops, and waits up to
30 s at exit; a span of a language model may hold a megabyte. It is also what scores need. docs/adr/0046.
"""

import atexit
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, set_value

logger = logging.getLogger("heliograph.sdk")

Item = TypeVar("Item")

# What waits is sent after this long, or as soon as a batch is full.
DELAY_S = 2.0
# Long enough for one request to a server that answers, short enough for whoever stops a service by hand.
EXIT_S = 5.0
# A log line about drops at most this often: a full queue must not fill a log too.
WARN_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What came of the items since the process began: `dropped` for want of room, `failed` when sending."""

    sent: int
    waiting: int
    dropped: int
    failed: int


class Outbox(Generic[Item]):
    """A bounded queue with a thread that empties it. No method raises, and only `flush` and `close` wait.

    `send` gets a batch and returns how many of it were not taken; it runs on the thread, and what it raises is logged.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[Item]], int],
        *,
        most_items: int,
        most_bytes: int,
        batch_items: int,
        batch_bytes: int,
    ) -> None:
        self._name, self._send = name, send
        self._most_items, self._most_bytes = most_items, most_bytes
        self._batch_items, self._batch_bytes = batch_items, batch_bytes
        self._reset()
        if hasattr(os, "register_at_fork"):
            reset = weakref.WeakMethod(self._reset)
            os.register_at_fork(after_in_child=lambda: (method := reset()) and method())

    def put(self, item: Item, size: int) -> bool:
        """Leave an item to be sent; False where there is no room or the outbox is closed."""
        with self._lock:
            if self.closing.is_set() or len(self._items) >= self._most_items or self._bytes + size > self._most_bytes:
                self._dropped += 1
                self._warn()
                return False
            self._items.append((item, size))
            self._bytes += size
            if self._thread is None:
                self._start()
            is_full = len(self._items) >= self._batch_items or self._bytes >= self._batch_bytes
        if is_full and not self._wake.is_set():
            self._wake.set()
        return True

    def flush(self, timeout_s: float = EXIT_S) -> bool:
        """Wait until what was put before is sent or has failed; False where that takes longer."""
        with self._lock:
            if self._thread is None:
                return True
            wanted = self._put_so_far()
        self._wake.set()
        deadline = time.monotonic() + timeout_s
        with self._done:
            while self._sent + self._failed < wanted:
                left = deadline - time.monotonic()
                if left <= 0 or not self._done.wait(left):
                    return False
        return True

    def close(self, timeout_s: float = EXIT_S) -> None:
        """Send what waits, for so long; then give up what is left. A second call does nothing."""
        if self.closing.is_set():
            return
        self.closing.set()
        thread = self._thread
        if thread is None:
            return
        self._wake.set()
        thread.join(timeout_s)
        left = self.counts().waiting
        if left:
            logger.warning("heliograph: %d %s were not sent before the process ended", left, self._name)

    def counts(self) -> Counts:
        """Return what came of the items of this process."""
        with self._lock:
            waiting = self._put_so_far() - self._sent - self._failed
            return Counts(self._sent, waiting, self._dropped, self._failed)

    def _reset(self) -> None:
        """Begin anew: as the object is made, and in the child of a fork, where the parent's items are the parent's."""
        # Reentrant: a signal's handler or a finalizer may put something while this thread is putting.
        self._lock = threading.RLock()
        self._done = threading.Condition(self._lock)
        self._wake = threading.Event()
        self.closing = threading.Event()
        self._items: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._sent = self._failed = self._dropped = self._in_flight = 0
        self._warned = float("-inf")
        # Started with the first item, so that a server that forks its workers forks no thread.
        self._thread: threading.Thread | None = None

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"heliograph-{self._name}", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is ending, or has no thread left
            self._thread = None
            logger.warning("heliograph: no thread can be started, so %s are not sent", self._name)
            return
        # Here and not in __init__: a child of multiprocessing forgets the handlers of its parent.
        atexit.register(self.close)

    def _run(self) -> None:
        # Instrumented HTTP clients are not to make spans of our own requests.
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        while not self.closing.is_set():
            self._wake.wait(DELAY_S)
            self._wake.clear()
            self._empty()
        self._empty()

    def _empty(self) -> None:
        while batch := self._take():
            failed = len(batch)
            try:
                failed = min(len(batch), self._send(batch))
            except Exception:  # whatever a transport raises: the next batch may do better
                logger.warning("heliograph: %d %s could not be sent", len(batch), self._name, exc_info=True)
            with self._done:
                self._failed += failed
                self._sent += len(batch) - failed
                self._in_flight = 0
                self._done.notify_all()

    def _take(self) -> list[Item]:
        with self._lock:
            batch: list[Item] = []
            taken = 0
            while self._items and len(batch) < self._batch_items:
                item, size = self._items[0]
                if batch and taken + size > self._batch_bytes:
                    break
                self._items.popleft()
                batch.append(item)
                taken += size
            self._bytes -= taken
            self._in_flight = len(batch)
            return batch

    def _put_so_far(self) -> int:
        return self._sent + self._failed + self._in_flight + len(self._items)

    def _warn(self) -> None:
        now = time.monotonic()
        if now - self._warned >= WARN_EVERY_S and not self.closing.is_set():
            self._warned = now
            logger.warning(
                "heliograph: %d %s were dropped so far: more come than can be sent, or the server is away",
                self._dropped,
                self._name,
            )
