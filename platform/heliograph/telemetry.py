"""Heliograph observed by itself: its traces and metrics over OTLP to a project of its own, where a setting says so.

It cannot feed on itself. A trace begins at three places only: a request to Django, a task of a worker, and a commit of
telemetry that others sent (`ingest.writer` looks for the mark that our exporters put on a request). Questions to the
store are spans below one of these and never begin a trace. Metrics are as many series however often they are sent.
"""

import logging
import os

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span

from heliograph import metrics

log = logging.getLogger(__name__)

# The header of our own exports. Whoever else sends it has his commits left out of our traces, and nothing more.
OWN = "x-heliograph-own"
KEY_FILE = "own-telemetry-key"
# Of a request to Django. All else says who asked and for what: addresses, agents, one-time links, words sought.
_KEPT = frozenset({"http.request.method", "http.response.status_code", "http.route", "url.scheme", "error.type"})


def start(service: str) -> None:
    """Send this process's telemetry, where that is switched on; metrics are shown on /metrics in any case.

    Before the first span and, in the web process, before Django's handler is made.
    """
    if not settings.SELF_TELEMETRY:
        metrics.configure(service)
        return
    key = settings.SELF_TELEMETRY_KEY or _key_of_file()
    if not key:
        log.warning("no telemetry of our own: HELIOGRAPH_SELF_TELEMETRY_KEY is not set, and setup has made no key")
        metrics.configure(service)
        return
    # The names of OpenTelemetry's stable conventions, which the list above is written by.
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    headers = {"authorization": f"Bearer {key}", OWN: "1"}
    base = settings.SELF_TELEMETRY_ENDPOINT
    provider = TracerProvider(resource=Resource.create({"service.name": f"heliograph-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{base}/v1/traces", headers=headers)))
    trace.set_tracer_provider(provider)
    exporter = OTLPMetricExporter(f"{base}/v1/metrics", headers=headers)
    metrics.configure(service, PeriodicExportingMetricReader(exporter))
    if service == "web":
        DjangoInstrumentor().instrument(response_hook=_keep_only_what_says_nothing_of_people)
    if service == "worker":
        CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]  # its constructor has no annotations


def _key_of_file() -> str:
    path = settings.DATA_DIR / KEY_FILE
    return str(path.read_text(encoding="utf-8").strip()) if path.exists() else ""


def _keep_only_what_says_nothing_of_people(span: Span, _: HttpRequest, __: HttpResponse) -> None:
    if isinstance(span, ReadableSpan) and span.attributes:
        for name in span.attributes:
            if name not in _KEPT:
                span.set_attribute(name, "")
