"""OTLP trace requests to columns of `spans`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collectors.blobs import Cutter
from collectors.otlp.body import ContentType, each_scope, read_body
from collectors.otlp.columns import SPAN_COLUMNS, SPAN_DEFAULTS, Row, to_columns
from collectors.otlp.limits import Limits
from collectors.otlp.resources import NOWHERE, Origin, gpu_uuids, read_resource
from collectors.otlp.values import Attributes, Cuts, read_attributes, short_name
from collectors.pricing import ModelPrice
from collectors.semconv.dialects import INDEX
from collectors.semconv.events import Event
from collectors.semconv.meaning import Fields, interpret
from collectors.semconv.model import add_model_columns
from collectors.semconv.table import Index
from collectors.text import cut, fits
from collectors.usage import MAX_ANCESTORS, Use, repeats

_SPAN_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")
_NO_ID = bytes(8)
_NO_TRACE = bytes(16)
# A status message may be a whole traceback; what a person reads of it is its beginning.
_MAX_STATUS_BYTES = 16_384
_NO_EVENTS: list[Event] = []
_in_order = itemgetter(*SPAN_COLUMNS)
_USAGE_COUNTED = SPAN_COLUMNS.index("usage_counted")
_TRACE, _SPAN, _RESPONSE = map(SPAN_COLUMNS.index, ("trace_id", "span_id", "response_id"))


@dataclass(frozen=True, slots=True)
class DecodedSpans:
    """Columns of equal length, named as in SPAN_COLUMNS, and how many spans were refused, by reason."""

    columns: dict[str, list[Any]]
    accepted: int
    rejected: Counter[str]
    # Rows that hold a text of at least `contents.MIN_CHARS` characters.
    long_rows: list[int] = field(default_factory=list)
    # What was cut out of them, by SHA-256; the texts hold references.
    blobs: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Batch:
    limits: Limits
    oldest_ns: int
    newest_ns: int
    prices: Mapping[str, ModelPrice] | None
    index: Index
    cutter: Cutter
    seen: int = 0
    rows: list[Row] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    # (trace_id, span_id) -> (row, parent_span_id) of this request.
    places: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    with_usage: list[int] = field(default_factory=list)
    long_rows: list[int] = field(default_factory=list)

    def within_cap(self, spans: Sequence[Span]) -> Sequence[Span]:
        """Those that the cap on spans, good and bad, leaves room for; the rest is refused."""
        room = max(self.limits.max_spans - self.seen, 0)
        self.seen += len(spans)
        if len(spans) > room:
            self.rejected[f"more than {self.limits.max_spans} spans in one request"] += len(spans) - room
            return spans[:room]
        return spans


def decode(
    body: bytes,
    *,
    content_type: ContentType,
    limits: Limits,
    now_ns: int,
    price_overrides: Mapping[str, ModelPrice] | None = None,
    index: Index = INDEX,
    blobs_until: str = "",
) -> DecodedSpans:
    """Decode an ExportTraceServiceRequest.

    Times are nanoseconds since the epoch, ids lower-case hex, missing numbers None, missing texts ''. A span that
    cannot be kept is counted in `rejected` by its reason and costs its neighbours nothing. Raises Malformed where the
    body as a whole is unreadable. `price_overrides` are the project's own prices by model name, `index`
    is the table with the project's own rules. Pure: no clock, no
    state but caches. Images, sound and files are cut out of the texts where `blobs_until` says from which day on
    (`YYYY-MM-DD`) they need not be kept.
    """
    request = ExportTraceServiceRequest()
    cutter = Cutter(blobs_until, limits.max_blob_bytes)
    batch = _Batch(limits, limits.oldest_ns(now_ns), limits.newest_ns(now_ns), price_overrides, index, cutter)
    unreadable = read_body(body, request, content_type)
    if unreadable:
        batch.rejected["unreadable span: a value does not fit its field"] = unreadable
    read, origin = None, NOWHERE
    for resource_spans, scope_spans in each_scope(request.resource_spans, "scope_spans", limits.max_spans):
        spans = batch.within_cap(scope_spans.spans)
        if not spans:
            continue
        if resource_spans is not read:
            read, origin = resource_spans, read_resource(resource_spans.resource, limits)
        _add_spans(batch, spans, origin, scope_spans.scope)
    _mark_entries(batch)
    _count_usage_once(batch)
    columns = to_columns(SPAN_COLUMNS, batch.rows)
    return DecodedSpans(columns, len(batch.rows), batch.rejected, batch.long_rows, cutter.found)


def _add_spans(batch: _Batch, spans: Sequence[Span], origin: Origin, scope: InstrumentationScope) -> None:
    columns = SPAN_DEFAULTS | origin.span_columns
    cut_above = origin.truncated.copy()
    columns["scope_name"] = short_name(scope.name, "scope_name", cut_above)
    columns["scope_version"] = short_name(scope.version, "scope_version", cut_above)
    for span in spans:
        reason = _refusal(batch, span)
        if reason is None:
            _add_span(batch, span, origin, columns, cut_above)
        else:
            batch.rejected[reason] += 1


def _refusal(batch: _Batch, span: Span) -> str | None:
    """Why a span cannot be kept; None for one that can."""
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or trace_id == _NO_TRACE:
        return "invalid trace id: must be 16 bytes, not all zero"
    if len(span_id) != 8 or span_id == _NO_ID:
        return "invalid span id: must be 8 bytes, not all zero"
    start = span.start_time_unix_nano
    if start < batch.oldest_ns:
        return "start time missing or too old"
    if start > batch.newest_ns:
        return "start time in the future"
    return None


def _add_span(batch: _Batch, span: Span, origin: Origin, columns: Fields, cut_above: Cuts) -> None:
    """Add a row; `columns` are the resource's and the scope's, and `cut_above` is what was cut of them."""
    limits, cutter = batch.limits, batch.cutter
    truncated = cut_above.copy()
    start = span.start_time_unix_nano
    attributes, texts = read_attributes(span.attributes, limits, truncated, cutter)
    row = columns.copy()
    events = _add_events(row, span, limits, truncated, cutter) if span.events else _NO_EVENTS
    fields = interpret(attributes, events, start_ns=start, price_overrides=batch.prices, index=batch.index)
    row.update(fields)
    trace_id, span_id, parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id
    # A span that names itself its parent has none.
    parent_id = parent.hex() if len(parent) == 8 and parent not in (_NO_ID, span.span_id) else ""
    row["trace_id"], row["span_id"], row["parent_span_id"] = trace_id, span_id, parent_id
    row["trace_state"] = short_name(span.trace_state, "trace_state", truncated) if span.trace_state else ""
    row["is_entry"] = not parent_id
    row["start_time"] = start
    row["duration_ns"] = _duration(start, span.end_time_unix_nano)
    for column in fields.get("cut", ()):
        # Cut by the sender, who alone knows what it was.
        truncated[column] = 0
    row["attributes"] = texts
    _add_name(row, span, fields, truncated)
    if fields["kind"] == "tool" and not row["tool_name"]:
        # Senders without a key for it name the span after the tool.
        row["tool_name"] = row["name"]
    if row["model"]:
        add_model_columns(row)
    if "gpu_uuids" in fields:
        row["gpu_uuids"] = gpu_uuids(attributes) or origin.gpu_uuids
    if span.links:
        _add_links(row, span, limits, truncated)
    if truncated:
        row["truncated"], row["truncated_sizes"] = list(truncated), list(truncated.values())
    place = len(batch.rows)
    if cutter.saw_long:
        cutter.saw_long = False
        batch.long_rows.append(place)
    batch.places[(trace_id, span_id)] = (place, parent_id)
    if fields["usage_counted"] and ("input_tokens" in fields or "output_tokens" in fields):
        batch.with_usage.append(place)
    batch.rows.append(_in_order(row))


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


def _mark_entries(batch: _Batch) -> None:
    """A span is an entry where its parent is none of this request's."""
    entry = SPAN_COLUMNS.index("is_entry")
    for (trace_id, _), (row, parent_id) in batch.places.items():
        if parent_id and (trace_id, parent_id) not in batch.places:
            batch.rows[row] = _replaced(batch.rows[row], entry, True)


def _count_usage_once(batch: _Batch) -> None:
    """Of spans that report the usage of the same model call, one counts: see `collectors.usage`."""
    if len(batch.with_usage) < 2:
        return
    by_trace: dict[str, list[int]] = {}
    for row in batch.with_usage:
        by_trace.setdefault(batch.rows[row][_TRACE], []).append(row)
    for trace_id, rows in by_trace.items():
        if len(rows) > 1:
            _count_once_in(batch, trace_id, rows)


def _count_once_in(batch: _Batch, trace_id: str, rows: list[int]) -> None:
    parents: dict[str, str] = {}
    for row in rows:
        span_id = batch.rows[row][_SPAN]
        for _ in range(MAX_ANCESTORS):
            place = batch.places.get((trace_id, span_id))
            if place is None or span_id in parents:
                break
            parents[span_id] = place[1]
            span_id = place[1]
    uses = [Use(batch.rows[row][_SPAN], batch.rows[row][_RESPONSE]) for row in rows]
    repeated = repeats(uses, parents)
    for row, use in zip(rows, uses, strict=True):
        if use.span_id in repeated:
            batch.rows[row] = _replaced(batch.rows[row], _USAGE_COUNTED, False)


def _replaced(row: Row, at: int, value: Any) -> Row:
    return (*row[:at], value, *row[at + 1 :])
