"""`init()`: export to Heliograph, and switch on the instrumentations that are installed."""

import logging
import os
from dataclasses import dataclass
from importlib.metadata import entry_points

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from heliograph.sdk.observation import SessionSpanProcessor

logger = logging.getLogger("heliograph.sdk")

DEFAULT_ENDPOINT = "http://localhost:4318"
DEFAULT_WEB_ADDRESS = "http://localhost:8000"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where telemetry and scores go."""

    endpoint: str
    web_address: str
    api_key: str

    @property
    def headers(self) -> dict[str, str]:
        """The header that names the project, or none on a machine that takes keyless exports."""
        return {"x-api-key": self.api_key} if self.api_key else {}


def destination(endpoint: str = "", api_key: str = "", web_address: str = "") -> Destination:
    """Resolve the arguments against OTEL_EXPORTER_OTLP_ENDPOINT, HELIOGRAPH_API_KEY and HELIOGRAPH_BASE_URL."""
    return Destination(
        (endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", DEFAULT_ENDPOINT)).rstrip("/"),
        (web_address or os.environ.get("HELIOGRAPH_BASE_URL", DEFAULT_WEB_ADDRESS)).rstrip("/"),
        api_key or os.environ.get("HELIOGRAPH_API_KEY", ""),
    )


def init(
    service: str = "",
    *,
    release: str = "",
    environment: str = "",
    endpoint: str = "",
    api_key: str = "",
    instrument: bool = True,
) -> TracerProvider:
    """Send this process's spans to Heliograph and instrument the libraries that it uses.

    Args:
        service: `service.name`; else OTEL_SERVICE_NAME.
        release: `service.version`, which regression checks compare.
        environment: `deployment.environment.name`.
        endpoint: OTLP/HTTP base address; else OTEL_EXPORTER_OTLP_ENDPOINT, else this machine's 4318.
        api_key: key of the project; else HELIOGRAPH_API_KEY.
        instrument: switch on every installed instrumentation that registers itself with OpenTelemetry.

    Returns the provider, which is also set as OpenTelemetry's global one. It flushes at exit.
    """
    target = destination(endpoint, api_key)
    given = {"service.name": service, "service.version": release, "deployment.environment.name": environment}
    provider = TracerProvider(resource=Resource.create({key: value for key, value in given.items() if value}))
    provider.add_span_processor(SessionSpanProcessor())
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(f"{target.endpoint}/v1/traces", headers=target.headers))
    )
    trace.set_tracer_provider(provider)
    if instrument:
        _instrument(provider)
    return provider


def _instrument(provider: TracerProvider) -> None:
    # OpenInference and OpenTelemetry register under different groups; where both know a library, the first one wins.
    done: set[str] = set()
    for group in ("openinference_instrumentor", "opentelemetry_instrumentor"):
        for entry in entry_points(group=group):
            if entry.name in done:
                continue
            try:
                entry.load()().instrument(tracer_provider=provider)
            except Exception:  # an instrumentation that breaks must not take the user's service with it
                logger.warning("heliograph: the instrumentation %s could not be switched on", entry.name, exc_info=True)
            else:
                done.add(entry.name)
