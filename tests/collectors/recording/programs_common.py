"""What the recorded programs share. It runs in a sender's own environment and imports nothing of the project."""

import os
from typing import Any

OTLP = os.environ.get("RECORDER_OTLP", "")
OPENAI = os.environ.get("RECORDER_OPENAI", "")
ANTHROPIC = os.environ.get("RECORDER_ANTHROPIC", "")

SYSTEM = "Answer in one sentence."
QUESTION = "What is the capital of France?"
SESSION = "session-7"
USER = "user-3"
# What a retriever may find; the first says what the question asks.
DOCUMENTS = ("Paris is the capital of France.", "Lyon lies on the Rhone.")
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def messages() -> list[dict[str, Any]]:
    """The question, with the system's instruction."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]


def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: Name of the city.
    """
    return f"21 degrees in {city}"


def tracing() -> Any:
    """A tracer provider, set as the global one, that sends to the recorder."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource({"service.name": "recorder", "service.version": "1.0"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{OTLP}/v1/traces")))
    trace.set_tracer_provider(provider)
    return provider


def must_fail(call: Any) -> None:
    """Make a call of which the stub is asked to fail."""
    try:
        call()
    except Exception as error:  # noqa: BLE001  (each library raises its own)
        print("failed as it should:", type(error).__name__)  # noqa: T201  (a script's output)
        return
    raise AssertionError("the stub did not fail")
