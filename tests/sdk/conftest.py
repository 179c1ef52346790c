"""A server that keeps what the SDK sends, and a process-wide provider that keeps spans in memory."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from heliograph.sdk.contexts import ContextSpanProcessor


class Spans(InMemorySpanExporter):
    """Ended spans of this process."""

    def only(self) -> tuple[Any, dict[str, Any]]:
        """Return the one span and its attributes."""
        (span,) = self.get_finished_spans()
        return span, dict(span.attributes or {})


_EXPORTER = Spans()


@pytest.fixture(scope="session")
def provider() -> TracerProvider:
    # OpenTelemetry lets a process set its provider once.
    provider = TracerProvider()
    provider.add_span_processor(ContextSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(_EXPORTER))
    trace.set_tracer_provider(provider)
    return provider


@pytest.fixture
def spans(provider: TracerProvider) -> Spans:
    _EXPORTER.clear()
    return _EXPORTER


class Receiver:
    """Takes OTLP and scores; answers with the statuses that it is given, then 200."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.bodies: list[bytes] = []
        self.exports: list[int] = []
        self.scores: list[tuple[list[dict[str, Any]], str]] = []
        self.statuses: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                status = outer.statuses.pop(0) if outer.statuses else 200
                if status == 200:
                    outer.keep(self.path, body, self.headers.get("x-api-key", ""))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def keep(self, path: str, body: bytes, key: str) -> None:
        if path == "/api/v1/scores":
            self.scores.append((json.loads(body)["scores"], key))
            return
        assert path == "/v1/traces"
        request = ExportTraceServiceRequest.FromString(body)
        found = [span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans]
        self.bodies.append(body)
        self.exports.append(len(found))
        self.spans += found

    @property
    def names(self) -> list[str]:
        return sorted(span.name for span in self.spans)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join(5)
