"""OTLP log requests to columns of `log_records`."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from collectors.otlp.agent_spans import AgentSpans, mentions_agents, names_of
from collectors.otlp.body import ContentType, each_scope, read_body
from collectors.otlp.columns import LOG_COLUMNS, Row, to_columns
from collectors.otlp.limits import Limits
from collectors.otlp.resources import NOWHERE, Origin, gpu_uuids, read_resource
from collectors.otlp.values import Cuts, python_value, read_attributes, short_name
from collectors.semconv.convert import MAX_LABEL_CHARS, label
from collectors.text import cut, fits, to_text

_NO_ID = bytes(8)
_NO_TRACE = bytes(16)
_MAX_SEVERITY = 24
# Three places, after the age of the sender: the field, OpenTelemetry's older attribute, LiteLLM's.
_EVENT_NAME_KEYS = ("event.name", "event_name")
# What Rust's tracing calls an event that has no name: by its line in the source. Codex says the name in an attribute.
_LINE_OF_SOURCE = re.compile(r"event \S+\.rs:\d+")
# What was cut is named here, as in the `truncated` column of spans.
TRUNCATED_KEY = "heliograph.truncated"


@dataclass(frozen=True, slots=True)
class DecodedLogs:
    """Columns of equal length, named as in LOG_COLUMNS, how many records were refused, by reason, and spans."""

    columns: dict[str, list[Any]]
    accepted: int
    rejected: Counter[str]
    # An ExportTraceServiceRequest of what coding agents said in records; b"" without.
    spans: bytes = b""


@dataclass(slots=True)
class _Batch:
    limits: Limits
    now_ns: int
    oldest_ns: int
    newest_ns: int
    # None where the body holds no coding agent's records.
    agents: AgentSpans | None = None
    seen: int = 0
    rows: list[Row] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)

    def within_cap(self, records: Sequence[LogRecord]) -> Sequence[LogRecord]:
        """Those that the cap on records, good and bad, leaves room for; the rest is refused."""
        room = max(self.limits.max_log_records - self.seen, 0)
        self.seen += len(records)
        if len(records) > room:
            self.rejected[f"more than {self.limits.max_log_records} records in one request"] += len(records) - room
            return records[:room]
        return records


def decode(body: bytes, *, content_type: ContentType, limits: Limits, now_ns: int) -> DecodedLogs:
    """Decode an ExportLogsServiceRequest.

    Times are nanoseconds since the epoch. A record without a time takes the time it was observed, else `now_ns`.
    `record_id` is a 64-bit hash of the record and its resource, the same in every process. A record that cannot be kept
    is counted in `rejected` by its reason. Raises Malformed where the body as a whole is unreadable.
    """
    request = ExportLogsServiceRequest()
    agents = AgentSpans() if mentions_agents(body) else None
    batch = _Batch(limits, now_ns, limits.oldest_ns(now_ns), limits.newest_ns(now_ns), agents)
    unreadable = read_body(body, request, content_type)
    if unreadable:
        batch.rejected["unreadable record: a value does not fit its field"] = unreadable
    read, origin = None, NOWHERE
    for resource_logs, scope_logs in each_scope(request.resource_logs, "scope_logs", limits.max_log_records):
        records = batch.within_cap(scope_logs.log_records)
        if records and resource_logs is not read:
            read, origin = resource_logs, read_resource(resource_logs.resource, limits)
        for record in records:
            reason = _add(batch, record, origin, resource_logs.resource, scope_logs.scope)
            if reason is not None:
                batch.rejected[reason] += 1
    spans = agents.serialized() if agents else b""
    return DecodedLogs(to_columns(LOG_COLUMNS, batch.rows), len(batch.rows), batch.rejected, spans)


def _add(
    batch: _Batch, record: LogRecord, origin: Origin, resource: Resource, within: InstrumentationScope
) -> str | None:
    """Add a record, or answer why not."""
    at = record.time_unix_nano or record.observed_time_unix_nano or batch.now_ns
    if at < batch.oldest_ns:
        return "time too old"
    if at > batch.newest_ns:
        return "time in the future"
    observed = record.observed_time_unix_nano
    truncated: Cuts = {}
    values, attributes = read_attributes(record.attributes, batch.limits, truncated)
    text = to_text(python_value(record.body)) if record.HasField("body") else ""
    if not fits(text, batch.limits.max_attribute_bytes):
        truncated["body"] = len(text.encode("utf-8", "replace"))
        text = cut(text, batch.limits.max_attribute_bytes)
    named = next((name for key in _EVENT_NAME_KEYS if (name := label(values.get(key))) is not None), "")
    severity = short_name(record.severity_text, "severity_text", truncated)
    event_name = short_name(record.event_name, "event_name", truncated)
    if not event_name or (named and _LINE_OF_SOURCE.fullmatch(event_name)):
        event_name = named
    scope = within.name
    if len(scope) > MAX_LABEL_CHARS:
        scope = short_name(scope, "scope_name", truncated)
    trace_id = record.trace_id.hex() if len(record.trace_id) == 16 and record.trace_id != _NO_TRACE else ""
    span_id = record.span_id.hex() if len(record.span_id) == 8 and record.span_id != _NO_ID else ""
    # Without a time of its own a record that is sent again would be another span.
    if batch.agents is not None and (record.time_unix_nano or observed):
        place = batch.agents.add(
            record,
            resource=resource,
            scope=within,
            names=names_of(event_name, text, scope),
            values=values,
            at=at,
            ids=(trace_id, span_id),
        )
        if place is not None and not trace_id and place.span_id:
            trace_id, span_id = place.trace_id, place.span_id
    if truncated:
        attributes[TRUNCATED_KEY] = ",".join(truncated)
    gpus = gpu_uuids(attributes) or origin.gpu_uuids
    batch.rows.append(
        (
            at,
            observed if batch.oldest_ns <= observed <= batch.newest_ns else at,
            _record_id(record, origin),
            trace_id,
            span_id,
            record.severity_number if 0 <= record.severity_number <= _MAX_SEVERITY else 0,
            severity,
            event_name,
            text,
            origin.service,
            origin.host,
            gpus[0] if gpus else "",
            scope,
            attributes,
            origin.texts,
        )
    )
    return None


def _record_id(record: LogRecord, origin: Origin) -> int:
    data = record.SerializeToString(deterministic=True)
    return int.from_bytes(blake2b(origin.digest + data, digest_size=8).digest(), "big")
