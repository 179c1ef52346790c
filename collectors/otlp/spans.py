"""One span to a row of `spans`."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collectors.blobs import Cutter
from collectors.otlp.columns import SPAN_COLUMNS, SPAN_DEFAULTS, Row
from collectors.otlp.limits import Limits
from collectors.otlp.resources import Origin, gpu_uuids
from collectors.otlp.values import Attributes, Cuts, read_attributes, short_name
from collectors.pricing import ModelPrice
from collectors.semconv.events import Event
from collectors.semconv.meaning import Fields, interpret
from collectors.semconv.model import add_model_columns
from collectors.semconv.table import Index
from collectors.text import cut, fits

_SPAN_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")
_NO_ID = bytes(8)
_NO_TRACE = bytes(16)
# A status message may be a whole traceback; what a person reads of it is its beginning.
_MAX_STATUS_BYTES = 16_384
_NO_EVENTS: list[Event] = []
_in_order = itemgetter(*SPAN_COLUMNS)

# Why a span is refused, in the order in which it is looked at.
REFUSALS = (
    "invalid trace id: must be 16 bytes, not all zero",
    "invalid span id: must be 8 bytes, not all zero",
    "start time missing or too old",
    "start time in the future",
)


class Base(NamedTuple):
    """What the spans of one scope share: the columns that its resource and itself fill, and what was cut of them."""

    origin: Origin
    columns: Fields
    cut: Cuts


def base_of(origin: Origin, scope: InstrumentationScope) -> Base:
    """The base of a scope's spans."""
    columns = SPAN_DEFAULTS | origin.span_columns
    cut_above = origin.truncated.copy()
    columns["scope_name"] = short_name(scope.name, "scope_name", cut_above)
    columns["scope_version"] = short_name(scope.version, "scope_version", cut_above)
    return Base(origin, columns, cut_above)


class Read(NamedTuple):
    """A span's row, and what it was made of."""

    row: Row
    attributes: Attributes
    fields: Fields
    truncated: Cuts


@dataclass(slots=True)
class SpanReader:
    """Reads the spans of one request."""

    limits: Limits
    oldest_ns: int
    newest_ns: int
    prices: Mapping[str, ModelPrice] | None
    index: Index
    cutter: Cutter

    def refusal(self, span: Span) -> str | None:
        """Why a span cannot be kept; None for one that can."""
        trace_id, span_id = span.trace_id, span.span_id
        if len(trace_id) != 16 or trace_id == _NO_TRACE:
            return REFUSALS[0]
        if len(span_id) != 8 or span_id == _NO_ID:
            return REFUSALS[1]
        start = span.start_time_unix_nano
        if start < self.oldest_ns:
            return REFUSALS[2]
        if start > self.newest_ns:
            return REFUSALS[3]
        return None

    def read(self, span: Span, base: Base) -> Read:
        """The row of a span that is not refused."""
        limits, cutter = self.limits, self.cutter
        truncated = base.cut.copy()
        start = span.start_time_unix_nano
        attributes = read_attributes(span.attributes, limits, truncated, cutter)
        row = base.columns.copy()
        events = _add_events(row, span, limits, truncated, cutter) if span.events else _NO_EVENTS
        fields = interpret(attributes.values, events, start_ns=start, price_overrides=self.prices, index=self.index)
        row.update(fields)
        parent = span.parent_span_id
        # A span that names itself its parent has none.
        parent_id = parent.hex() if len(parent) == 8 and parent not in (_NO_ID, span.span_id) else ""
        row["trace_id"], row["span_id"], row["parent_span_id"] = span.trace_id.hex(), span.span_id.hex(), parent_id
        row["trace_state"] = short_name(span.trace_state, "trace_state", truncated) if span.trace_state else ""
        row["is_entry"] = not parent_id
        row["start_time"] = start
        row["duration_ns"] = _duration(start, span.end_time_unix_nano)
        for column in fields.get("cut", ()):
            # Cut by the sender, who alone knows what it was.
            truncated[column] = 0
        row["attributes"] = attributes.texts
        _add_name(row, span, fields, truncated)
        if fields["kind"] == "tool" and not row["tool_name"]:
            # Senders without a key for it name the span after the tool.
            row["tool_name"] = row["name"]
        if row["model"]:
            add_model_columns(row)
        if "gpu_uuids" in fields:
            row["gpu_uuids"] = gpu_uuids(attributes.values) or base.origin.gpu_uuids
        if span.links:
            _add_links(row, span, limits, truncated)
        if truncated:
            row["truncated"], row["truncated_sizes"] = list(truncated), list(truncated.values())
        return Read(_in_order(row), attributes, fields, truncated)


def _duration(start: int, end: int) -> int | None:
    """None while the span runs (or was killed); an end before the start is a clock that was set back: 0."""
    if end == 0:
        return None
    return end - start if end > start else 0


def _add_name(row: Fields, span: Span, fields: Fields, truncated: Cuts) -> None:
    row["name"] = short_name(span.name, "name", truncated)
    if 0 <= span.kind < len(_SPAN_KINDS):
        row["span_kind"] = _SPAN_KINDS[span.kind]
    status = span.status
    code = status.code
    message = status.message
    if code == 2 or "error_type" in fields or fields.get("level") == "ERROR":
        row["status"] = "error"
        row["error_type"] = fields.get("error_type") or fields.get("exception_type", "")
        message = message or fields.get("error_message") or fields.get("exception_message", "")
    elif 0 <= code < len(_STATUSES):
        row["status"] = _STATUSES[code]
    if message and not fits(message, _MAX_STATUS_BYTES):
        truncated["status_message"] = len(message.encode("utf-8", "replace"))
        message = cut(message, _MAX_STATUS_BYTES)
    row["status_message"] = message


def _add_events(row: Fields, span: Span, limits: Limits, truncated: Cuts, cutter: Cutter) -> list[Event]:
    """Add events in the order of their times; an absurd time becomes the span's start."""
    start = span.start_time_unix_nano
    found: list[tuple[int, str, Attributes]] = []
    for event in span.events[: limits.max_events]:
        at = event.time_unix_nano
        if not start // 2 < at < start * 2:
            at = start
        name = short_name(event.name, "events.name", truncated)
        found.append((at, name, read_attributes(event.attributes, limits, truncated, cutter)))
    if len(span.events) > limits.max_events:
        truncated["events"] = len(span.events)
    found.sort(key=itemgetter(0))
    row["events.time"] = [at for at, _, _ in found]
    row["events.name"] = [name for _, name, _ in found]
    row["events.attributes"] = [attributes.texts for _, _, attributes in found]
    return [(at, name, attributes.values) for at, name, attributes in found]


def _add_links(row: Fields, span: Span, limits: Limits, truncated: Cuts) -> None:
    links = span.links[: limits.max_links]
    if len(span.links) > limits.max_links:
        truncated["links"] = len(span.links)
    row["links.trace_id"] = [link.trace_id.hex() for link in links]
    row["links.span_id"] = [link.span_id.hex() for link in links]
    row["links.attributes"] = [read_attributes(link.attributes, limits, truncated).texts for link in links]
