"""Where telemetry and scores go."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

DEFAULT_ENDPOINT = "http://localhost:4318"
_COLLECTOR_PORT, _WEB_PORT = 4318, 8000


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
    """Resolve the arguments against OTEL_EXPORTER_OTLP_ENDPOINT, HELIOGRAPH_API_KEY and HELIOGRAPH_URL.

    Scores go to HELIOGRAPH_URL (or HELIOGRAPH_BASE_URL, as the server calls it); else to port 8000 of the host whose
    4318 takes the spans, else to where the spans go, which is right behind a proxy and for the web process.
    """
    spans = (endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINT).strip().rstrip("/")
    named = web_address or os.environ.get("HELIOGRAPH_URL") or os.environ.get("HELIOGRAPH_BASE_URL") or _web(spans)
    return Destination(spans, named.strip().rstrip("/"), (api_key or os.environ.get("HELIOGRAPH_API_KEY", "")).strip())


def _web(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    try:
        port = parts.port
    except ValueError:  # no number; the exporter will say so
        return endpoint
    if port != _COLLECTOR_PORT:
        return endpoint
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return urlunsplit((parts.scheme, f"{host}:{_WEB_PORT}", "", "", ""))
