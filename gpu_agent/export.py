"""Send OTLP over HTTP: a bounded queue, one thread, retry with backoff. The oldest is dropped first, and counted."""

import email.utils
import gzip
import http.client
import logging
import random
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

log = logging.getLogger("gpu_agent.export")

METRICS_PATH, LOGS_PATH = "/v1/metrics", "/v1/logs"
MAX_QUEUE_BYTES = 8 << 20  # about an hour of eight GPUs, compressed; keeps the process far under 60 MB
MAX_RESPONSE_BYTES = 64 << 10  # an OTLP answer is some bytes; an error page may be longer
TIMEOUT_S = 10.0
FIRST_BACKOFF_S, MAX_BACKOFF_S = 1.0, 30.0
MAX_RETRY_AFTER_S = 300.0  # a server may ask for a pause, not for silence
COMPRESSION = 1  # repeated values compress well at the fastest level already
RETRYABLE = frozenset({408, 429, 502, 503, 504})


class Body(NamedTuple):
    """One request: `items` points or records in `data` (gzip of protobuf)."""

    path: str
    data: bytes
    items: int


class Refused(Exception):  # noqa: N818  # names a decision
    """The server will never take this body."""


class TryLater(Exception):  # noqa: N818  # names a decision
    """The body may be taken later, after `pause_s` where the server said so."""

    def __init__(self, message: str, pause_s: float | None = None) -> None:
        super().__init__(message)
        self.pause_s = pause_s


class HttpSender:
    """Posts bodies to one server over a connection that stays open. `endpoint` is its base address.

    Raises ValueError for an address or a header that cannot be sent.
    """

    def __init__(self, endpoint: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http(s) address: {endpoint!r}")
        self._scheme, self._host, self._port = parts.scheme, parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        for name, value in headers.items():
            if not (name + value).isprintable() or not (name + value).isascii():
                raise ValueError(f"header {name!r} holds characters that HTTP does not carry")
        self._headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", **headers}
        self._connection: http.client.HTTPConnection | None = None

    def send(self, body: Body) -> int:
        """Send one body and return how many of its items the server refused; raises Refused or TryLater."""
        reused = self._connection is not None
        try:
            status, reason, retry_after, answer = self._post(body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not reused:
                raise TryLater(f"{type(error).__name__}: {error}") from error
            return self.send(body)  # the server had closed the idle connection
        if 200 <= status < 300:
            return _rejected(body.path, answer)
        if status in RETRYABLE:
            raise TryLater(f"{status} {reason}", retry_after)
        raise Refused(f"{status} {reason}: {answer[:200].decode('utf-8', 'replace')}")

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _post(self, body: Body) -> tuple[int, str, float | None, bytes]:
        connection = self._connection = self._connection or self._connect()
        connection.request("POST", self._prefix + body.path, body.data, self._headers)
        response = connection.getresponse()
        answer = response.read(MAX_RESPONSE_BYTES)
        retry_after = parse_retry_after(response.headers.get("Retry-After"), time.time())
        if not response.isclosed():  # a longer answer than we read cannot be followed by another
            self.close()
        return response.status, response.reason, retry_after, answer

    def _connect(self) -> http.client.HTTPConnection:
        if self._scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_S, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)


class Exporter:
    """The queue and its thread. `submit` never blocks; `close` tries to send what is left."""

    def __init__(self, sender: HttpSender, max_queue_bytes: int = MAX_QUEUE_BYTES) -> None:
        self._sender = sender
        self._max_queue_bytes = max_queue_bytes
        self._queue: deque[Body] = deque()
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._closing_at: float | None = None
        self._in_flight = False
        self.dropped: Counter[str] = Counter()  # points and records that never arrived, by reason
        self.sent = 0
        self._thread = threading.Thread(target=self._run, name="export", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, path: str, message: bytes, items: int) -> None:
        """Queue one serialized request; the oldest are dropped where the queue is full."""
        data = gzip.compress(message, COMPRESSION, mtime=0)
        with self._changed:
            self._queue.append(Body(path, data, items))
            self._queued_bytes += len(data)
            while self._queued_bytes > self._max_queue_bytes:
                oldest = self._queue.popleft()
                self._queued_bytes -= len(oldest.data)
                self.dropped["queue_full"] += oldest.items
            self._changed.notify_all()

    def close(self, timeout_s: float) -> bool:
        """Send what is queued for at most `timeout_s`; whether all of it went out. The rest counts as dropped."""
        with self._changed:
            self._closing_at = time.monotonic() + timeout_s
            self._changed.notify_all()
        self._thread.join(timeout_s + 0.5)
        with self._changed:
            left = sum(body.items for body in self._queue)
            if left:
                self.dropped["exit"] += left
            return not left and not self._in_flight

    def _run(self) -> None:
        backoff = FIRST_BACKOFF_S
        while (body := self._next()) is not None:
            try:
                rejected = self._sender.send(body)
                self.sent += body.items - rejected
                if rejected:
                    self.dropped["rejected"] += rejected
                backoff = FIRST_BACKOFF_S
            except Refused as error:
                log.error("the server refused %d points: %s", body.items, error)
                self.dropped["refused"] += body.items
            except TryLater as error:
                self._put_back(body)
                pause = error.pause_s if error.pause_s is not None else backoff * random.uniform(0.8, 1.2)  # noqa: S311  # spreads agents, hides nothing
                log.warning("sending failed, next try in %.1f s: %s", pause, error)
                backoff = min(backoff * 2, MAX_BACKOFF_S)
                self._pause(pause)
            with self._changed:
                self._in_flight = False
        self._sender.close()

    def _next(self) -> Body | None:
        """The oldest body, or None when closing and nothing is left or time is up."""
        with self._changed:
            while not self._queue:
                if self._closing_at is not None:
                    return None
                self._changed.wait()
            if self._closing_at is not None and time.monotonic() >= self._closing_at:
                return None
            body = self._queue.popleft()
            self._queued_bytes -= len(body.data)
            self._in_flight = True
            return body

    def _put_back(self, body: Body) -> None:
        with self._changed:
            self._in_flight = False
            self._queue.appendleft(body)
            self._queued_bytes += len(body.data)

    def _pause(self, seconds: float) -> None:
        """Wait, but no longer than the closing time; new bodies do not shorten a pause that the server asked for."""
        until = time.monotonic() + seconds
        with self._changed:
            while (
                left := (until if self._closing_at is None else min(until, self._closing_at)) - time.monotonic()
            ) > 0:
                self._changed.wait(left)


def parse_retry_after(text: str | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or an HTTP date), within bounds; None where it says nothing."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER_S)
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(moment - now, 0.0), MAX_RETRY_AFTER_S)


def _rejected(path: str, answer: bytes) -> int:
    """Items that a partial success names; an answer that is not OTLP's names none."""
    try:
        if path == METRICS_PATH:
            partial = ExportMetricsServiceResponse.FromString(answer).partial_success
            rejected = partial.rejected_data_points
        else:
            logs = ExportLogsServiceResponse.FromString(answer).partial_success
            partial, rejected = logs, logs.rejected_log_records  # type: ignore[assignment]  # both have error_message
    except DecodeError:
        return 0
    if partial.error_message:
        log.warning("the server took all but %d: %s", rejected, partial.error_message)
    return max(rejected, 0)
