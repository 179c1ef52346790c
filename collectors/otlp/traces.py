"""OTLP trace requests to columns of `spans`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collectors.otlp.body import ContentType, read_body
from collectors.otlp.columns import SPAN_COLUMNS, Row, to_columns
from collectors.otlp.limits import Limits
from collectors.otlp.resources import Origin, gpu_uuids, read_resource
from collectors.otlp.values import read_attributes, texts
from collectors.pricing import ModelPrice
from collectors.semconv.convert import MAX_LABEL_CHARS
from collectors.semconv.events import Event
from collectors.semconv.meaning import Fields, interpret
from collectors.semconv.model import NO_MODEL, model_columns
from collectors.text import cut

_SPAN_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")
_NO_ID = bytes(8)
_NO_TRACE = bytes(16)
# A status message may be a whole traceback; what a person reads of it is its beginning.
_MAX_STATUS_BYTES = 16_384
# Ancestors looked at to find usage that repeats below: deeper chains of calls are not built by frameworks.
_MAX_ANCESTORS = 64
_USAGE_COUNTED = SPAN_COLUMNS.index("usage_counted")


@dataclass(frozen=True, slots=True)
class DecodedSpans:
    """Columns of equal length, named as in SPAN_COLUMNS, and how many spans were refused, by reason."""

    columns: dict[str, list[Any]]
    accepted: int
    rejected: Counter[str]


@dataclass(slots=True)
class _Batch:
    limits: Limits
    oldest_ns: int
    newest_ns: int
    prices: Mapping[str, ModelPrice] | None
    rows: list[Row] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    # (trace_id, span_id) -> (row, parent_span_id) of this request.
    places: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    with_usage: list[int] = field(default_factory=list)


def decode(
    body: bytes,
    *,
    content_type: ContentType,
    limits: Limits,
    now_ns: int,
    price_overrides: Mapping[str, ModelPrice] | None = None,
) -> DecodedSpans:
    """Decode an ExportTraceServiceRequest.

    Times are nanoseconds since the epoch, ids lower-case hex, missing numbers None, missing texts ''. A span that
    cannot be kept is counted in `rejected` by its reason and costs its neighbours nothing. Raises Malformed where the
    body as a whole is unreadable. `price_overrides` are the project's own prices by model name. Pure: no clock, no
    state but caches.
    """
    request = ExportTraceServiceRequest()
    batch = _Batch(limits, limits.oldest_ns(now_ns), limits.newest_ns(now_ns), price_overrides)
    unreadable = read_body(body, request, content_type)
    if unreadable:
        batch.rejected["unreadable span: a value does not fit its field"] = unreadable
    for resource_spans in request.resource_spans:
        origin = read_resource(resource_spans.resource, limits)
        for scope_spans in resource_spans.scope_spans:
            scope = scope_spans.scope
            _add_spans(batch, scope_spans.spans, origin, scope)
    _mark_entries(batch)
    _count_usage_once(batch)
    return DecodedSpans(to_columns(SPAN_COLUMNS, batch.rows), len(batch.rows), batch.rejected)


def _add_spans(batch: _Batch, spans: Iterable[Span], origin: Origin, scope: InstrumentationScope) -> None:
    scope_columns = (scope.name[:MAX_LABEL_CHARS], scope.version[:MAX_LABEL_CHARS])
    for span in spans:
        reason = _refusal(batch, span)
        if reason is None:
            _add_span(batch, span, origin, scope_columns)
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
    if len(batch.rows) >= batch.limits.max_spans:
        return f"more than {batch.limits.max_spans} spans in one request"
    return None


def _add_span(batch: _Batch, span: Span, origin: Origin, scope: tuple[str, str]) -> None:
    limits = batch.limits
    truncated = list(origin.truncated)
    start = span.start_time_unix_nano
    attributes = read_attributes(span.attributes, limits, truncated)
    events = _read_events(span, limits, truncated, start) if span.events else []
    fields = interpret(attributes, events, start_ns=start, price_overrides=batch.prices)
    trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
    parent = span.parent_span_id
    # A span that names itself its parent has none.
    parent_id = parent.hex() if len(parent) == 8 and parent not in (_NO_ID, span.span_id) else ""
    row = len(batch.rows)
    batch.places[(trace_id, span_id)] = (row, parent_id)
    if fields["usage_counted"] and ("input_tokens" in fields or "output_tokens" in fields):
        batch.with_usage.append(row)
    batch.rows.append(
        (
            *(trace_id, span_id, parent_id, span.trace_state[:MAX_LABEL_CHARS], not parent_id),
            *(start, _duration(start, span.end_time_unix_nano)),
            *_origin_columns(origin, fields),
            *scope,
            *_name_columns(span, fields, truncated),
            *_model_columns(fields),
            *_usage_columns(fields),
            *_session_columns(fields, origin),
            *_content_columns(fields),
            truncated,
            texts(attributes),
            origin.texts,
            [at for at, _, _ in events],
            [name for _, name, _ in events],
            [texts(values) for _, _, values in events],
            *(_link_columns(span, limits, truncated) if span.links else ([], [], [])),
        )
    )


def _duration(start: int, end: int) -> int | None:
    """None while the span runs (or was killed); an end before the start is a clock that was set back: 0."""
    if end == 0:
        return None
    return end - start if end > start else 0


def _origin_columns(origin: Origin, fields: Fields) -> Row:
    return (
        origin.service,
        fields.get("environment") or origin.environment,
        fields.get("release") or origin.release,
        origin.host,
        origin.host_id,
        origin.process_id,
        origin.service_instance_id,
        fields.get("server_address", ""),
        fields.get("server_port"),
    )


def _name_columns(span: Span, fields: Fields, truncated: list[str]) -> Row:
    name = span.name
    if len(name) > MAX_LABEL_CHARS:
        name = name[:MAX_LABEL_CHARS]
        truncated.append("name")
    status = span.status
    code = status.code
    error_type = fields.get("error_type", "")
    failed = code == 2 or bool(error_type) or fields.get("level") == "ERROR"
    message = status.message
    if failed:
        error_type = error_type or fields.get("exception_type", "")
        message = message or fields.get("error_message") or fields.get("exception_message", "")
    if len(message) > _MAX_STATUS_BYTES // 4:
        message = cut(message, _MAX_STATUS_BYTES)
    return (
        name,
        fields["kind"],
        _SPAN_KINDS[span.kind] if 0 <= span.kind < len(_SPAN_KINDS) else "unspecified",
        "error" if failed else _STATUSES[code] if 0 <= code < len(_STATUSES) else "unset",
        message,
        error_type,
        fields.get("dialect", ""),
        fields.get("operation", ""),
    )


def _model_columns(fields: Fields) -> Row:
    model = fields.get("model", "")
    requested = fields.get("model_requested", "")
    # An answer often names the model without the quantization or the adapter that was asked for.
    parsed = model_columns(model) if model else NO_MODEL
    return (fields.get("provider", ""), requested, model, *parsed)


def _usage_columns(fields: Fields) -> Row:
    get = fields.get
    return (
        get("input_tokens"),
        get("output_tokens"),
        get("cache_read_tokens"),
        get("cache_write_tokens"),
        get("reasoning_tokens"),
        fields["usage_counted"],
        get("input_cost"),
        get("output_cost"),
        get("cache_read_cost"),
        get("cache_write_cost"),
        get("cost"),
        get("reported_cost"),
        get("cost_source", ""),
        get("cost_note", ""),
        get("ttft_ns"),
        get("queue_ns"),
        get("prefill_ns"),
        get("decode_ns"),
    )


def _session_columns(fields: Fields, origin: Origin) -> Row:
    get = fields.get
    return (
        get("finish_reason", ""),
        get("response_id", ""),
        get("session_id", ""),
        get("user_id", ""),
        get("tags", []),
        get("prompt_name", ""),
        get("prompt_version", ""),
        get("tool_name", ""),
        gpu_uuids(fields["gpu_uuids"]) if "gpu_uuids" in fields else origin.gpu_uuids,
    )


def _content_columns(fields: Fields) -> Row:
    get = fields.get
    return (
        get("input", ""),
        get("output", ""),
        get("documents", ""),
        get("input_preview", ""),
        get("output_preview", ""),
    )


def _read_events(span: Span, limits: Limits, truncated: list[str], start: int) -> list[Event]:
    """Events in the order of their times; an absurd time becomes the span's start."""
    events: list[Event] = []
    for event in span.events:
        if len(events) >= limits.max_events:
            truncated.append("events")
            break
        at = event.time_unix_nano
        if not start // 2 < at < start * 2:
            at = start
        events.append((at, event.name[:MAX_LABEL_CHARS], read_attributes(event.attributes, limits, truncated)))
    events.sort(key=_event_time)
    return events


def _event_time(event: Event) -> int:
    return event[0]


def _link_columns(span: Span, limits: Limits, truncated: list[str]) -> Row:
    links = span.links[: limits.max_links]
    if len(span.links) > limits.max_links:
        truncated.append("links")
    return (
        [link.trace_id.hex() for link in links],
        [link.span_id.hex() for link in links],
        [texts(read_attributes(link.attributes, limits, truncated)) for link in links],
    )


def _mark_entries(batch: _Batch) -> None:
    """A span is an entry where its parent is none of this request's."""
    entry = SPAN_COLUMNS.index("is_entry")
    for (trace_id, _), (row, parent_id) in batch.places.items():
        if parent_id and (trace_id, parent_id) not in batch.places:
            batch.rows[row] = _replaced(batch.rows[row], entry, True)


def _count_usage_once(batch: _Batch) -> None:
    """Where one instrumented library calls another, both report the same usage: the innermost span's counts."""
    trace, parent = SPAN_COLUMNS.index("trace_id"), SPAN_COLUMNS.index("parent_span_id")
    counted = set(batch.with_usage)
    for row in batch.with_usage:
        trace_id, parent_id = batch.rows[row][trace], batch.rows[row][parent]
        for _ in range(_MAX_ANCESTORS):
            above = batch.places.get((trace_id, parent_id)) if parent_id else None
            if above is None:
                break
            if above[0] in counted and above[0] != row:
                counted.discard(above[0])
                batch.rows[above[0]] = _replaced(batch.rows[above[0]], _USAGE_COUNTED, False)
            parent_id = above[1]


def _replaced(row: Row, at: int, value: Any) -> Row:
    return (*row[:at], value, *row[at + 1 :])
