"""The three signals of OTLP: what differs between them, as a table."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from django.conf import settings
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from collectors import kernel
from collectors.otlp import logs, metrics, traces
from collectors.otlp.limits import Limits

LIMITS = Limits(
    max_attributes=settings.MAX_ATTRIBUTES,
    max_attribute_bytes=settings.MAX_ATTRIBUTE_BYTES,
    max_blob_bytes=settings.MAX_BLOB_BYTES,
)

kernel.use(settings.DECODER == "auto")

ContentType = Literal["protobuf", "json"]
Columns = dict[str, list[Any]]


class Decoded(Protocol):
    """What every decoder returns: columns of equal length, and the refused items by reason."""

    @property
    def columns(self) -> Columns: ...
    @property
    def accepted(self) -> int: ...
    @property
    def rejected(self) -> Counter[str]: ...


class Decode(Protocol):
    """A pure function from a request's bytes to columns; raises Malformed."""

    def __call__(self, body: bytes, *, content_type: ContentType, limits: Limits, now_ns: int) -> Decoded: ...


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal: where it arrives, how it is decoded, where it is stored, how it is answered."""

    name: str
    table: str
    decode: Decode
    response: Callable[[], Message]
    rejected_field: str
    grpc_service: str

    @property
    def path(self) -> str:
        """The path of OTLP/HTTP."""
        return f"/v1/{self.name}"


TRACES = Signal(
    name="traces",
    table="spans",
    decode=traces.decode,
    response=trace_service_pb2.ExportTraceServiceResponse,
    rejected_field="rejected_spans",
    grpc_service="opentelemetry.proto.collector.trace.v1.TraceService",
)
METRICS = Signal(
    name="metrics",
    table="metric_points",
    decode=metrics.decode,
    response=metrics_service_pb2.ExportMetricsServiceResponse,
    rejected_field="rejected_data_points",
    grpc_service="opentelemetry.proto.collector.metrics.v1.MetricsService",
)
LOGS = Signal(
    name="logs",
    table="log_records",
    decode=logs.decode,
    response=logs_service_pb2.ExportLogsServiceResponse,
    rejected_field="rejected_log_records",
    grpc_service="opentelemetry.proto.collector.logs.v1.LogsService",
)
SIGNALS = {signal.name: signal for signal in (TRACES, METRICS, LOGS)}
