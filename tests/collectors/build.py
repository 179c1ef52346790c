"""OTLP requests for tests, and rows out of decoded columns."""

import base64
import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collectors.otlp.limits import Limits
from collectors.otlp.traces import DecodedSpans, decode

NOW = 1_790_000_000_000_000_000
SECOND = 1_000_000_000
START = NOW - 60 * SECOND
TRACE = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def any_value(value: Any) -> AnyValue:
    made = AnyValue()
    if isinstance(value, bool):
        made.bool_value = value
    elif isinstance(value, int):
        made.int_value = value
    elif isinstance(value, float):
        made.double_value = value
    elif isinstance(value, str):
        made.string_value = value
    elif isinstance(value, bytes):
        made.bytes_value = value
    elif isinstance(value, list):
        made.array_value.SetInParent()
        made.array_value.values.extend(any_value(item) for item in value)
    elif isinstance(value, dict):
        made.kvlist_value.SetInParent()
        made.kvlist_value.values.extend(pairs(value))
    return made


def pairs(attributes: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def span(
    attributes: dict[str, Any] | None = None,
    *,
    span_id: int = 1,
    parent: int = 0,
    events: list[tuple[int, str, dict[str, Any]]] | None = None,
    **fields: Any,
) -> Span:
    given = {"name": "a span", "start_time_unix_nano": START, "end_time_unix_nano": START + SECOND, "trace_id": TRACE}
    made = Span(**{**given, "span_id": span_id.to_bytes(8, "big"), **fields})
    if parent:
        made.parent_span_id = parent.to_bytes(8, "big")
    made.attributes.extend(pairs(attributes or {}))
    for at, name, values in events or []:
        made.events.add(time_unix_nano=at, name=name).attributes.extend(pairs(values))
    return made


def request(*spans: Span, resource: dict[str, Any] | None = None) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    resource_spans = made.resource_spans.add()
    resource_spans.resource.attributes.extend(pairs(resource or {"service.name": "shop"}))
    resource_spans.scope_spans.add().spans.extend(spans)
    return made


def as_json(message: Message) -> bytes:
    """OTLP/JSON of a request: protobuf's JSON with hex ids."""

    def with_hex(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: base64.b64decode(value).hex() if key in _IDS else with_hex(value) for key, value in node.items()
            }
        return [with_hex(item) for item in node] if isinstance(node, list) else node

    return json.dumps(with_hex(json_format.MessageToDict(message))).encode()


def decode_spans(*spans: Span, limits: Limits | None = None) -> DecodedSpans:
    body = request(*spans).SerializeToString()
    return decode(body, content_type="protobuf", limits=limits or Limits(), now_ns=NOW)


def rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    assert len({len(values) for values in columns.values()}) == 1, "columns of unequal length"
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def row_of(attributes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The row of one span with these attributes."""
    (row,) = rows(decode_spans(span(attributes, **fields)).columns)
    return row
