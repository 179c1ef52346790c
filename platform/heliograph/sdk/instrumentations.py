"""Switches on the instrumentations that are installed, one a library."""

import logging
from collections.abc import Collection, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger("heliograph.sdk")

_GROUPS = ("openinference_instrumentor", "opentelemetry_instrumentor")
# Whose instrumentation of a library is taken where several are installed: by the name of the distribution.
_MAKERS = ("openinference-instrumentation-", "opentelemetry-instrumentation-")
# Different names under which makers register one library; boto's own tracing of Bedrock is part of botocore's.
_SAME = {
    "botocore": "bedrock",
    "google-genai-sdk": "google-genai",
    "google-generativeai": "google-genai",
    "llamaindex": "llama-index",
    "mistral": "mistralai",
    "openai-v2": "openai",
    "vertex-ai": "vertexai",
}


def switch_on(provider: TracerProvider, wanted: Collection[str] | None = None) -> list[str]:
    """Instrument each library once; return the names of those that are on, with those that somebody switched on.

    Args:
        provider: where the spans go.
        wanted: only these libraries; None is all that are installed.
    """
    only = None if wanted is None else {_library(name) for name in wanted}
    done: dict[str, str] = {}
    for entry in _found():
        library = _library(entry.name)
        if library in done or (only is not None and library not in only):
            continue
        try:
            instrumentor: Any = entry.load()()
            # Their base class keeps one instrumentor a class, so this is true also where the user did it.
            if not getattr(instrumentor, "is_instrumented_by_opentelemetry", False):
                instrumentor.instrument(tracer_provider=provider)
        except Exception:  # an instrumentation that breaks must not take the user's service with it
            logger.warning("heliograph: the instrumentation %s could not be switched on", entry.name, exc_info=True)
            continue
        if getattr(instrumentor, "is_instrumented_by_opentelemetry", True):
            done[library] = entry.name
    for missing in sorted((only or set()) - set(done)):
        logger.warning("heliograph: no instrumentation of %s is installed; docs/senders.md names one", missing)
    return sorted(done.values())


def _found() -> Iterator[EntryPoint]:
    """Yield every registered instrumentation, those that are taken first in front."""
    entries = [entry for group in _GROUPS for entry in entry_points(group=group)]
    yield from sorted(entries, key=lambda entry: (_rank(entry), entry.name))


def _rank(entry: EntryPoint) -> int:
    name = entry.dist.name.lower().replace("_", "-") if entry.dist else ""
    return next((rank for rank, maker in enumerate(_MAKERS) if name.startswith(maker)), len(_MAKERS))


def _library(name: str) -> str:
    plain = name.lower().replace("_", "-")
    return _SAME.get(plain, plain)
