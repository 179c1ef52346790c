"""Who sends: the resource attributes of the host, and the settings that OpenTelemetry's environment variables carry."""

import socket
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import unquote

DEFAULT_ENDPOINT = "http://localhost:4318"
MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
MAX_PAIRS = 128  # a variable with more pairs than this was not written by a person


def key_values(text: str) -> dict[str, str]:
    """The pairs of OpenTelemetry's list form, `a=1,b=two%20words`; a part without `=` is left out."""
    pairs = (part.partition("=") for part in text.split(",")[:MAX_PAIRS])
    return {key.strip(): unquote(value.strip()) for key, equals, value in pairs if equals and key.strip()}


def resource_attributes(environment: Mapping[str, str]) -> dict[str, str | int]:
    """What is on every resource; OTEL_RESOURCE_ATTRIBUTES wins, so a pod can name its node."""
    attributes: dict[str, str | int] = {
        "service.name": "gpu-agent",
        "service.version": _version(),
        "host.name": socket.gethostname(),
    }
    if machine := _machine_id():
        attributes["host.id"] = machine
    if name := environment.get("OTEL_SERVICE_NAME"):
        attributes["service.name"] = name
    return attributes | key_values(environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))


def headers(environment: Mapping[str, str], api_key: str | None) -> dict[str, str]:
    """HTTP headers of each request; a key given by itself wins over one in the list."""
    found = key_values(environment.get("OTEL_EXPORTER_OTLP_HEADERS", ""))
    if key := api_key or environment.get("HELIOGRAPH_API_KEY"):
        found = {name: value for name, value in found.items() if name.lower() != "authorization"}
        found["Authorization"] = f"Bearer {key}"
    return found


def endpoint(environment: Mapping[str, str], given: str | None) -> str:
    return given or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINT


def _machine_id() -> str:
    for path in MACHINE_ID_FILES:
        try:
            if text := path.read_text().strip():
                return text
        except OSError:  # not every system has one
            continue
    return ""


def _version() -> str:
    try:
        return version("heliograph")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
