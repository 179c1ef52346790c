"""`init()`: export to Heliograph, and switch on the instrumentations that are installed."""

import logging
import os
from collections.abc import Collection
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased

from heliograph.sdk import instrumentations, scoring, state
from heliograph.sdk.contexts import ContextSpanProcessor
from heliograph.sdk.destination import Destination, destination
from heliograph.sdk.export import SpanSender
from heliograph.sdk.masking import Mask
from heliograph.sdk.outbox import EXIT_S, Counts

logger = logging.getLogger("heliograph.sdk")

# How long one batch is tried for, on the sending thread: the restart of a server. What comes meanwhile waits.
EXPORT_TIMEOUT_S = 30
# As the server's HELIOGRAPH_MAX_ATTRIBUTES and HELIOGRAPH_MAX_ATTRIBUTE_BYTES; OpenTelemetry's default of 128 cuts long
# conversations, whose messages are an attribute a field.
_MOST_ATTRIBUTES, _MOST_CHARACTERS = 2_048, 2**20
_COUNT_SETTINGS = ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")
_LENGTH_SETTINGS = ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")


@dataclass(frozen=True, slots=True)
class Stats:
    """What came of this process's spans and scores."""

    spans: Counts
    scores: Counts


def init(
    service: str = "",
    *,
    release: str = "",
    environment: str = "",
    endpoint: str = "",
    api_key: str = "",
    web_address: str = "",
    instrument: bool | Collection[str] = True,
    mask: Mask | None = None,
    sample_rate: float = 1.0,
) -> TracerProvider:
    """Send this process's spans to Heliograph and instrument the libraries that it uses.

    Args:
        service: `service.name`; else OTEL_SERVICE_NAME.
        release: `service.version`, which regression checks compare.
        environment: `deployment.environment.name`.
        endpoint: OTLP/HTTP base address; else OTEL_EXPORTER_OTLP_ENDPOINT, else this machine's 4318.
        api_key: key of the project; else HELIOGRAPH_API_KEY.
        web_address: where scores go; else HELIOGRAPH_URL, else found from `endpoint`.
        instrument: switch on every installed instrumentation that registers itself with OpenTelemetry, or those of
            the libraries named, such as ["openai", "langchain"].
        mask: called as `mask(key, value)` with every text that would be sent, on the sending thread; what it returns
            is sent instead, None leaves it out. Where it fails, the text is left out and the span is sent.
        sample_rate: share of traces that are kept, 0 to 1, decided by the trace's id; a caller's decision goes first.

    Returns the provider, which is also set as OpenTelemetry's global one; where there is one already, spans go to
    Heliograph beside wherever they went, by that provider's own sampling and limits. A second call changes nothing.
    Nothing here waits for the network or raises: what is wrong is logged. What waits is sent at exit.
    """
    with state.lock:
        known = state.settled()
        if known is not None:
            logger.warning("heliograph: init() was called before; the first call counts")
            return known.provider
        target = destination(endpoint, api_key, web_address)
        if mask is not None and not callable(mask):
            logger.error("heliograph: the mask is no function, so every text is left out")
        sender = SpanSender(lambda: _exporter(target), mask)
        given = {"service.name": service, "service.version": release, "deployment.environment.name": environment}
        provider = _provider({key: str(value) for key, value in given.items() if value}, sample_rate)
        provider.add_span_processor(ContextSpanProcessor())
        provider.add_span_processor(sender)
        state.settle(state.Settled(provider, sender, target, mask))
    if instrument:
        wanted = None if instrument is True else instrument
        on = instrumentations.switch_on(provider, wanted)
        logger.info("heliograph: sending to %s, instrumented: %s", target.endpoint, ", ".join(on) or "nothing")
    return provider


def flush(timeout_s: float = EXIT_S) -> bool:
    """Wait until the spans and scores of before are sent, as a function that is frozen between calls needs it.

    Returns False where that takes longer than `timeout_s`.
    """
    known = state.settled()
    spans = known.sender.outbox.flush(timeout_s) if known else True
    return scoring.outbox.flush(timeout_s) and spans


def stats() -> Stats:
    """Return what came of this process's spans and scores: sent, waiting, dropped for want of room, failed."""
    known = state.settled()
    return Stats(known.sender.outbox.counts() if known else Counts(0, 0, 0, 0), scoring.outbox.counts())


def _provider(attributes: dict[str, str], sample_rate: float) -> TracerProvider:
    existing = trace.get_tracer_provider()
    if isinstance(existing, TracerProvider):
        logger.info("heliograph: OpenTelemetry is set up already; its spans go to Heliograph too")
        return existing
    provider = TracerProvider(
        sampler=_sampler(sample_rate), resource=Resource.create(dict(attributes)), span_limits=_limits()
    )
    trace.set_tracer_provider(provider)
    return provider


def _sampler(rate: float) -> Sampler | None:
    """Return the sampler; None leaves it to OTEL_TRACES_SAMPLER, which keeps all where it is not set."""
    try:
        if rate == 1:
            return None
        return ParentBased(TraceIdRatioBased(float(rate)))
    except (TypeError, ValueError):
        logger.error("heliograph: sample_rate is %r and must be from 0 to 1; every trace is kept", rate)
        return None


def _limits() -> SpanLimits:
    # A limit that is passed goes before the environment; what the user set there is to count.
    count = None if any(os.environ.get(name) for name in _COUNT_SETTINGS) else _MOST_ATTRIBUTES
    length = None if any(os.environ.get(name) for name in _LENGTH_SETTINGS) else _MOST_CHARACTERS
    return SpanLimits(max_span_attributes=count, max_span_attribute_length=length)


def _exporter(target: Destination) -> SpanExporter:
    compression = None if os.environ.get("OTEL_EXPORTER_OTLP_COMPRESSION") else Compression.Gzip
    return OTLPSpanExporter(
        f"{target.endpoint}/v1/traces",
        headers=target.headers or None,
        timeout=EXPORT_TIMEOUT_S,
        compression=compression,
    )
