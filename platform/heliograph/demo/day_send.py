"""Sends a scripted day through the public OTLP endpoint, as its services, scraper and GPU agent would."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from gpu_agent.export import METRICS_PATH, Body, HttpSender, Refused, TryLater
from heliograph.demo import day_engines, day_gpus
from heliograph.demo.day import Day

TRACES_PER_EXPORT = 250
SCRAPES_PER_EXPORT = 20
# Sixty exports for a day of five hours; a real agent sends each five seconds.
EXPORT_S = 300.0


class NotTakenError(Exception):
    """The endpoint did not take what was sent."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent, and what the server refused of it."""

    traces: int
    gpu_points: int
    refused: int


def send(day: Day, endpoint: str, headers: Mapping[str, str], *, interval_s: float = 5.0) -> Sent:
    """Send the day: GPUs first, so that their processes are known when the spans come. Raises NotTakenError."""
    points = refused = 0
    sender = HttpSender(endpoint, headers)
    try:
        for body in (*day_gpus.play(day, interval_s=interval_s, export_s=EXPORT_S), *_scrapes(day)):
            refused += sender.send(body)
            points += body.items if body.path == METRICS_PATH else 0
    except (Refused, TryLater) as error:
        raise NotTakenError(f"{endpoint} did not take the metrics: {error}") from error
    finally:
        sender.close()
    return Sent(_send_spans(day_engines.spans(day), endpoint, headers), points, refused)


def _scrapes(day: Day) -> Iterator[Body]:
    stream = day_engines.metrics(day)
    while batch := list(islice(stream, SCRAPES_PER_EXPORT)):
        joined = ExportMetricsServiceRequest()
        for request in batch:
            joined.MergeFrom(request)
        yield day_gpus.body_of(METRICS_PATH, joined.SerializeToString(), 0)


def _send_spans(traces: Iterable[list[ReadableSpan]], endpoint: str, headers: Mapping[str, str]) -> int:
    exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", headers=dict(headers), timeout=30)
    stream, sent = iter(traces), 0
    while batch := list(islice(stream, TRACES_PER_EXPORT)):
        if exporter.export([span for trace in batch for span in trace]) is not SpanExportResult.SUCCESS:
            raise NotTakenError(f"{endpoint} did not take the traces")
        sent += len(batch)
    exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK left it untyped
    return sent
