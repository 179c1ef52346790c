"""What a user's service imports: spans with their session, scores that never raise."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from heliograph.sdk import observe, score, session
from heliograph.sdk.observation import MAX_VALUE_CHARACTERS, SessionSpanProcessor

EXPORTER = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def provider() -> None:
    # OpenTelemetry lets a process set its provider once.
    provider = TracerProvider()
    provider.add_span_processor(SessionSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(provider)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    EXPORTER.clear()
    return EXPORTER


def attributes(spans: InMemorySpanExporter) -> dict[str, Any]:
    (span,) = spans.get_finished_spans()
    return dict(span.attributes or {})


def test_a_function_is_recorded_with_its_arguments_and_result(spans: InMemorySpanExporter) -> None:
    @observe("tool")
    def add(a: int, b: int) -> int:
        return a + b

    assert add(2, b=3) == 5
    recorded = attributes(spans)
    assert recorded["openinference.span.kind"] == "TOOL"
    assert json.loads(recorded["input.value"]) == {"args": [2], "b": 3}
    assert recorded["output.value"] == "5"


def test_a_coroutine_is_recorded_when_it_ends(spans: InMemorySpanExporter) -> None:
    @observe(name="fetch")
    async def fetch(word: str) -> str:
        await asyncio.sleep(0)
        return word.upper()

    assert asyncio.run(fetch("a")) == "A"
    assert attributes(spans)["output.value"] == "A"


def test_an_exception_passes_through_and_marks_the_span(spans: InMemorySpanExporter) -> None:
    @observe()
    def fail() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError):
        fail()
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.events[0].name == "exception"


def test_everything_inside_a_session_carries_it_and_nothing_outside(spans: InMemorySpanExporter) -> None:
    tracer = trace.get_tracer("test")
    with session("s-1", user_id="alice"), tracer.start_as_current_span("inside"):
        pass
    with tracer.start_as_current_span("outside"):
        pass
    inside, outside = spans.get_finished_spans()
    assert dict(inside.attributes or {}) == {"session.id": "s-1", "user.id": "alice"}
    assert not outside.attributes


def test_a_huge_argument_is_cut(spans: InMemorySpanExporter) -> None:
    @observe()
    def swallow(text: str) -> None:
        assert text

    swallow("x" * 10**6)
    assert len(attributes(spans)["input.value"]) == MAX_VALUE_CHARACTERS


def test_what_json_does_not_know_is_shown_as_it_prints(spans: InMemorySpanExporter) -> None:
    @observe()
    def keep(value: object) -> object:
        return value

    keep(object)
    assert "class 'object'" in attributes(spans)["output.value"]


class _Receiver(BaseHTTPRequestHandler):
    received: list[tuple[dict[str, Any], str]] = []
    status = 200

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.received.append((body, self.headers.get("x-api-key", "")))
        self.send_response(self.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[str]:
    _Receiver.received, _Receiver.status = [], 200
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_score_without_an_id_belongs_to_the_current_span(receiver: str) -> None:
    with trace.get_tracer("test").start_as_current_span("answer") as span:
        assert score("helpful", 1, web_address=receiver, api_key="hg_key")
    (body, key), context = _Receiver.received[0], span.get_span_context()
    assert key == "hg_key"
    assert body["scores"][0]["trace_id"] == f"{context.trace_id:032x}"
    assert body["scores"][0]["span_id"] == f"{context.span_id:016x}"


def test_a_score_that_is_refused_or_goes_nowhere_says_so_and_never_raises(receiver: str) -> None:
    _Receiver.status = 400
    assert not score("helpful", 1, trace_id="0" * 31 + "1", web_address=receiver)
    assert not score("helpful", 1, trace_id="0" * 31 + "1", web_address="http://127.0.0.1:9")
    assert not score("helpful", 1, web_address=receiver)


def test_init_sends_spans_and_instruments_what_is_installed() -> None:
    script = """
import sys
import heliograph.sdk
from opentelemetry import trace
provider = heliograph.sdk.init("shop", release="1.0", environment="test", endpoint="http://127.0.0.1:9")
assert trace.get_tracer_provider() is provider
assert dict(provider.resource.attributes)["service.version"] == "1.0"
from openinference.instrumentation.openai import OpenAIInstrumentor
assert OpenAIInstrumentor().is_instrumented_by_opentelemetry
assert "django" not in sys.modules and "torch" not in sys.modules
import os
os._exit(0)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
