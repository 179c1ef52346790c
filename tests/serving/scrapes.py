"""Pages as a scraper stores them: parsed, turned into OTLP, decoded, inserted."""

from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collectors.otlp import metrics
from collectors.otlp.limits import Limits
from collectors.prometheus.otlp import to_request
from collectors.prometheus.page import read_page
from heliograph.clickhouse import client
from tests.query.rows import at

PAGES = Path(__file__).parent / "pages"


def page(name: str) -> bytes:
    return (PAGES / f"{name}.prom").read_bytes()


def request_of(body: bytes, seconds: float, **resource: str) -> ExportMetricsServiceRequest:
    read = read_page(body)
    assert not read.errors
    request = to_request(read, resource, at(seconds))
    # The pages were written at another time than the tests': their start times say nothing here.
    for metric in request.resource_metrics[0].scope_metrics[0].metrics:
        for data in (metric.sum, metric.histogram, metric.summary):
            for point in data.data_points:
                point.start_time_unix_nano = 0
    return request


def emptied(request: ExportMetricsServiceRequest) -> ExportMetricsServiceRequest:
    """The same page of a process that has just begun: every counter at 0."""
    fresh = ExportMetricsServiceRequest()
    fresh.CopyFrom(request)
    for metric in fresh.resource_metrics[0].scope_metrics[0].metrics:
        for number in metric.sum.data_points:
            number.as_double = 0.0
        for point in metric.histogram.data_points:
            point.count, point.sum = 0, 0.0
            point.bucket_counts[:] = [0] * len(point.bucket_counts)
    return fresh


def decoded(request: ExportMetricsServiceRequest) -> list[dict[str, object]]:
    found = metrics.decode(request.SerializeToString(), content_type="protobuf", limits=Limits(), now_ns=at(7_200))
    assert not found.rejected
    names = list(found.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*found.columns.values(), strict=True)]


def store(project_id: int, request: ExportMetricsServiceRequest) -> None:
    found = metrics.decode(request.SerializeToString(), content_type="protobuf", limits=Limits(), now_ns=at(7_200))
    assert not found.rejected
    rows = found.accepted
    client.insert("metric_points", {"project_id": [project_id] * rows, "retention_days": [90] * rows, **found.columns})


def two_scrapes(project_id: int, name: str, **resource: str) -> None:
    """A process that began at second 0, and what it had counted a hundred seconds later."""
    request = request_of(page(name), 100, **resource)
    begun = emptied(request)
    for metric in begun.resource_metrics[0].scope_metrics[0].metrics:
        for data in (metric.gauge, metric.sum, metric.histogram, metric.summary):
            for point in data.data_points:
                point.time_unix_nano = at(0)
    store(project_id, begun)
    store(project_id, request)
