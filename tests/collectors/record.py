"""Records what the real instrumentations send: `python tests/collectors/record.py [scenario ...]`.

Each scenario drives an instrumented OpenAI client against the local stub in a process of its own, as instrumentations
read their settings once, and keeps the OTLP bodies a local receiver got as `recorded/<scenario>.<signal>.bin`; several
bodies are joined, which in protobuf is the same as one request. Run it again after an instrumentation's upgrade.

opentelemetry-instrumentation-openai-v2 2.4b0 shapes its spans by the installed opentelemetry-util-genai:
`openai_v2_default` and `openai_v2_events` were recorded with 0.4b0, the last that sends content as one log event a
message; the `latest` ones with 1.1b0, the last that it imports with.
"""

import importlib
import os
import subprocess
import sys
import threading
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: E402  (the path comes first)
    ExportTraceServiceRequest,
)

from tests.stubs.openai_stub import openai_stub  # noqa: E402  (the path comes first)

RECORDED = Path(__file__).parent / "recorded"
# Instrumentor and the environment it runs in.
SCENARIOS: dict[str, tuple[str, dict[str, str]]] = {
    "openinference_openai": ("openinference.instrumentation.openai:OpenAIInstrumentor", {}),
    "openai_v2_default": ("opentelemetry.instrumentation.openai_v2:OpenAIInstrumentor", {}),
    "openai_v2_events": (
        "opentelemetry.instrumentation.openai_v2:OpenAIInstrumentor",
        {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"},
    ),
    "openai_v2_latest": (
        "opentelemetry.instrumentation.openai_v2:OpenAIInstrumentor",
        {
            "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
        },
    ),
    "openai_v2_latest_events": (
        "opentelemetry.instrumentation.openai_v2:OpenAIInstrumentor",
        {
            "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "EVENT_ONLY",
        },
    ),
}


@contextmanager
def receiver() -> Iterator[tuple[str, dict[str, list[bytes]]]]:
    """Serve OTLP/HTTP on a free port; yields its address and the bodies it got, by signal."""
    bodies: dict[str, list[bytes]] = defaultdict(list)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if "Content-Length" in self.headers:
                body = self.rfile.read(int(self.headers["Content-Length"]))
            else:
                body = b"".join(self._chunks())
            if self.headers.get("Content-Encoding") == "gzip":
                body = zlib.decompress(body, wbits=31)
            bodies[self.path.rsplit("/", 1)[-1]].append(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        server.server_close()


def drive(instrumentor: str, base_url: str, otlp: str) -> None:
    """Instrument the OpenAI client, make the calls, send everything."""
    from openai import OpenAI, OpenAIError
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create(
        {
            "service.name": "recorder",
            "service.version": "1.0",
            "host.name": "alice",
            "deployment.environment.name": "test",
        }
    )
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{otlp}/v1/traces")))
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{otlp}/v1/logs")))
    set_logger_provider(logs)
    metrics = MeterProvider(
        resource=resource, metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter(f"{otlp}/v1/metrics"))]
    )
    module, _, name = instrumentor.partition(":")
    getattr(importlib.import_module(module), name)().instrument(
        tracer_provider=traces, logger_provider=logs, meter_provider=metrics
    )
    client = OpenAI(base_url=base_url, api_key="none", max_retries=0)
    question = [
        {"role": "system", "content": "Answer in one sentence."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    tools = [
        {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
    ]
    with traces.get_tracer("recorder").start_as_current_span("conversation"):
        client.chat.completions.create(model="gpt-4o", messages=question, temperature=0.5)
        list(
            client.chat.completions.create(
                model="gpt-4o", messages=question, stream=True, stream_options={"include_usage": True}
            )
        )
        call = client.chat.completions.create(model="gpt-4o", messages=question, tools=tools).choices[0].message
        answered = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": '{"degrees": 21}'}
        client.chat.completions.create(
            model="gpt-4o", messages=[*question, call.model_dump(exclude_none=True), answered], tools=tools
        )
        list(client.chat.completions.create(model="gpt-4o", messages=question, tools=tools, stream=True))
        picture = {"type": "image_url", "image_url": {"url": "https://example.org/tower.png"}}
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}]
        )
        client.responses.create(
            model="gpt-4o", instructions="Answer in one sentence.", input="What is the capital of France?"
        )
        client.embeddings.create(model="text-embedding-3-small", input=["one text", "another text"])
        try:
            client.chat.completions.create(model="broken", messages=question)
        except OpenAIError:
            pass
        else:
            raise AssertionError("the stub did not fail")
    for provider in (traces, logs, metrics):
        provider.shutdown()


def without_paths(body: bytes) -> bytes:
    """Stack traces name files: of where it was recorded, nothing stays."""
    request = ExportTraceServiceRequest.FromString(body)
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                for event in span.events:
                    for pair in event.attributes:
                        if pair.key == "exception.stacktrace":
                            text = pair.value.string_value.replace(sys.prefix, "/venv").replace(str(ROOT), "/app")
                            pair.value.string_value = text.replace(sys.base_prefix, "/python")
    return request.SerializeToString()


def record(scenario: str) -> None:
    _, environment = SCENARIOS[scenario]
    with openai_stub() as base_url, receiver() as (otlp, bodies):
        command = [sys.executable, __file__, "--drive", scenario, base_url, otlp]
        subprocess.run(command, check=True, env={**os.environ, **environment}, timeout=180)
    for signal, parts in sorted(bodies.items()):
        body = b"".join(parts)
        if signal == "traces":
            body = without_paths(body)
        (RECORDED / f"{scenario}.{signal}.bin").write_bytes(body)
        print(f"{scenario}.{signal}: {len(parts)} bodies, {len(body)} bytes")  # noqa: T201  (a script's output)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        drive(SCENARIOS[sys.argv[2]][0], *sys.argv[3:])
    else:
        RECORDED.mkdir(exist_ok=True)
        for each in sys.argv[1:] or SCENARIOS:
            record(each)
