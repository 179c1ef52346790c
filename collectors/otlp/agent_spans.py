"""An OTLP request of spans out of the log records of coding agents (`collectors.coding_agents`).

A request rather than columns, so that these spans take the way of all others: the same limits, rules, prices and
duplicates' check.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

from collectors.coding_agents import (
    AGENTS,
    TOOL,
    TOOL_NAMES,
    Place,
    duration_of,
    error_of,
    event_of,
    has_failed,
    key_of,
    place_of,
)
from collectors.semconv.convert import label

# A body without any of these holds no record of a coding agent: looking costs a millisecond in 30 MB.
_MARKS = tuple(agent.prefix.encode() for agent in AGENTS)
_ANSWER = "assistant_response"
# A body that is longer is no name.
_MAX_NAME = 200
# Its events are named without the prefix, and some of its versions leave the body empty.
_SCOPE = "anthropic.claude_code"


def mentions_agents(body: bytes) -> bool:
    """Whether a body may hold a coding agent's records."""
    return any(mark in body for mark in _MARKS)


class AgentSpans:
    """Collects the spans of one request's records."""

    def __init__(self) -> None:
        self._request = ExportTraceServiceRequest()
        self._resource: Resource | None = None
        self._scope: ScopeSpans | None = None
        self._calls: dict[tuple[str, str], Span] = {}
        self._answers: dict[tuple[str, str], Any] = {}

    def add(
        self,
        record: LogRecord,
        *,
        resource: Resource,
        scope: InstrumentationScope,
        names: tuple[str, ...],
        values: Mapping[str, Any],
        at: int,
        ids: tuple[str, str],
    ) -> Place | None:
        """Add the span of a record, if it makes one, and answer where the record belongs; None for anybody's record.

        `names` are what the record may be called by, `ids` its own trace and span, `at` its time (ns since the epoch).
        """
        found = event_of(names)
        if found is None:
            return None
        agent, event = found
        place = place_of(agent, event, values, trace_id=ids[0], span_id=ids[1], digest=_digest(record))
        if place is None:
            return None
        key = (place.trace_id, place.span_id)
        if event == _ANSWER and values.get("response"):
            self._answers[key] = values["response"]
        if place.role:
            self._calls[key] = self._span(record, place, resource, scope, values, at)
        return place

    def serialized(self) -> bytes:
        """The request, b'' without any span. Answers that came beside their calls are on them."""
        for key, answer in self._answers.items():
            if (span := self._calls.get(key)) is not None:
                span.attributes.add(key="claude_code.response").value.string_value = str(answer)
        return self._request.SerializeToString() if self._calls else b""

    def _span(
        self,
        record: LogRecord,
        place: Place,
        resource: Resource,
        scope: InstrumentationScope,
        values: Mapping[str, Any],
        at: int,
    ) -> Span:
        span = self._target(resource, scope).spans.add(
            trace_id=bytes.fromhex(place.trace_id),
            span_id=bytes.fromhex(place.span_id),
            parent_span_id=bytes.fromhex(place.parent_id),
            name=name_of(place, values),
            start_time_unix_nano=max(at - duration_of(values), 0),
            end_time_unix_nano=at,
        )
        span.attributes.add(key=f"{place.agent.prefix}event").value.string_value = place.event
        for pair in record.attributes:
            added = span.attributes.add(key=key_of(place.agent, pair.key))
            added.value.CopyFrom(pair.value)
        if has_failed(place.event, values):
            span.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=error_of(values)))
        return span

    def _target(self, resource: Resource, scope: InstrumentationScope) -> ScopeSpans:
        """The part for spans of this resource and scope; records come grouped by both."""
        if self._scope is None or resource is not self._resource or self._scope.scope.name != scope.name:
            self._resource = resource
            part = self._request.resource_spans.add()
            part.resource.CopyFrom(resource)
            self._scope = part.scope_spans.add()
            self._scope.scope.CopyFrom(scope)
        return self._scope


def _digest(record: LogRecord) -> bytes:
    """What stays the same where a record is sent again: all but the time at which somebody saw it."""
    same = LogRecord()
    same.CopyFrom(record)
    same.ClearField("observed_time_unix_nano")
    return blake2b(same.SerializeToString(deterministic=True), digest_size=16).digest()


def name_of(place: Place, values: Mapping[str, Any]) -> str:
    """The name of a record's span: its tool's, else its event's."""
    named = (label(values.get(key)) for key in TOOL_NAMES) if place.role == TOOL else ()
    return next((name for name in named if name), place.event)


def names_of(event_name: str, body: str, scope: str) -> tuple[str, ...]:
    """What a record may be called by: its event's name, a body that is one, or the name within Claude Code's scope."""
    return (event_name, body if len(body) < _MAX_NAME else "", f"claude_code.{event_name}" if _SCOPE in scope else "")
