"""Spans: narrow rows for lists and waterfalls, and one whole span with its texts.

- `list_spans(project_id, filter, *, cursor=None, limit=50) -> Page[SpanRow]`, newest first
- `get_span(project_id, trace_id, span_id) -> SpanDetail | None`
- `spans_of_trace(project_id, trace_id, minutes, limit) -> list[SpanRow]`, earliest first
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from collectors.contents import SIDES
from collectors.semconv.log_events import EVENT_NAMES, content_of_events, log_event
from heliograph.clickhouse import client
from heliograph.query import contents
from heliograph.query.filters import SpanFilter, from_ns, put, union
from heliograph.query.messages import Document, Message, ToolDefinition, parse_documents, parse_messages, parse_tools
from heliograph.query.paging import IN_ORDER, Page, check_limit, decode_cursor, encode_cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRow:
    """What a list and a waterfall need of a span; `duration_ns` is None while it has not ended."""

    trace_id: str
    span_id: str
    parent_span_id: str
    start_ns: int
    duration_ns: int | None
    service: str
    environment: str
    release: str
    host: str
    name: str
    kind: str
    status: str
    status_message: str
    error_type: str
    operation: str
    provider: str
    # As asked for, and as answered, else as asked.
    model_requested: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    # Whether sums hold its tokens and costs: not those of a span that repeats its children's.
    usage_counted: bool
    # As computed, and as the sender reports it.
    cost: Decimal | None
    reported_cost: Decimal | None
    cost_note: str
    ttft_ns: int | None
    tool_name: str
    session_id: str
    user_id: str
    gpu_uuids: tuple[str, ...]
    input_preview: str
    output_preview: str

    @property
    def start(self) -> datetime:
        """Start as a UTC time."""
        return from_ns(self.start_ns)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at one moment of a span."""

    time_ns: int
    name: str
    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Link:
    """A pointer to a span of this or another trace."""

    trace_id: str
    span_id: str
    attributes: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanDetail(SpanRow):
    """Everything that is stored of a span. `input` and `output` are JSON messages or plain text, as stored."""

    trace_state: str
    received_at: datetime
    host_id: str
    process_id: int | None
    service_instance_id: str
    server_address: str
    server_port: int | None
    scope_name: str
    scope_version: str
    span_kind: str
    dialect: str
    model_family: str
    model_variant: str
    model_params_b: float | None
    model_active_params_b: float | None
    model_quantization: str
    model_bits: float | None
    model_format: str
    adapter: str
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    # Parts of input and output by what they stand for (audio_input, image_output, ...), where they were counted apart.
    modality_tokens: dict[str, int]
    input_cost: Decimal | None
    output_cost: Decimal | None
    cache_read_cost: Decimal | None
    cache_write_cost: Decimal | None
    cost_source: str
    queue_ns: int | None
    prefill_ns: int | None
    decode_ns: int | None
    finish_reason: str
    response_id: str
    # What the call asked for beside model and messages, and what the server says of itself: by OpenTelemetry's names.
    request: dict[str, str]
    response: dict[str, str]
    tags: tuple[str, ...]
    prompt_name: str
    prompt_version: str
    input: str
    output: str
    documents: str
    tools: str
    truncated: tuple[str, ...]
    # As many, of what was cut: bytes of a text, entries of a list; 0 where the sender cut it.
    truncated_sizes: tuple[int, ...]
    # Of the project's mapping rules by which the fields were filled; 0 is the built-in table alone.
    mapping_revision: int
    # Which redaction rules changed what, such as "e-mail: input".
    redacted: tuple[str, ...]
    # For how many spans this one stands, where a sampling rule kept it.
    adjusted_count: float
    attributes: dict[str, str]
    resource: dict[str, str]
    events: tuple[Event, ...]
    links: tuple[Link, ...]

    @property
    def cuts(self) -> list[tuple[str, int]]:
        """What was cut at a cap, by name, with its original size; spans of before sizes were kept have 0."""
        sizes = self.truncated_sizes or (0,) * len(self.truncated)
        return list(zip(self.truncated, sizes, strict=True))

    @property
    def input_messages(self) -> tuple[Message, ...]:
        """The input as messages; a plain text is one message without a role."""
        return parse_messages(self.input)

    @property
    def output_messages(self) -> tuple[Message, ...]:
        """The output as messages; a plain text is one message without a role."""
        return parse_messages(self.output)

    @property
    def tool_definitions(self) -> tuple[ToolDefinition, ...]:
        """The tools that the model could call."""
        return parse_tools(self.tools)

    @property
    def retrieved(self) -> tuple[Document, ...]:
        """The documents of a retriever or reranker."""
        return parse_documents(self.documents)


_NARROW = """
    trace_id, span_id, parent_span_id, toUnixTimestamp64Nano(start_time) AS start_ns, duration_ns, service, environment,
    release, host, name, kind, status, status_message, error_type, operation, provider, model_requested, model,
    input_tokens, output_tokens, usage_counted, cost, reported_cost, cost_note, ttft_ns, tool_name, session_id, user_id,
    gpu_uuids, input_preview, output_preview"""

SPANS = """
SELECT *
FROM ({matching})
ORDER BY start_ns DESC, trace_id DESC, span_id DESC
LIMIT 1 BY trace_id, span_id
LIMIT %(limit)s
{settings}
"""

MATCHING = """
SELECT {columns}
FROM spans
WHERE project_id = %(project_id)s AND {where}
ORDER BY toStartOfMinute(start_time) DESC, start_time DESC, trace_id DESC, span_id DESC
LIMIT %(limit)s
"""

SPANS_OF_TRACE = """
SELECT {columns}
FROM spans
WHERE project_id = %(project_id)s AND toStartOfMinute(start_time) IN %(minutes)s AND trace_id = %(trace_id)s
ORDER BY start_time, span_id
LIMIT %(limit)s
"""

SPAN = """
SELECT
    {columns},
    trace_state, received_at, host_id, process_id, service_instance_id, server_address, server_port, scope_name,
    scope_version, span_kind, dialect, model_family, model_variant, model_params_b,
    model_active_params_b, model_quantization, model_bits, model_format, adapter, cache_read_tokens,
    cache_write_tokens, reasoning_tokens, modality_tokens, input_cost, output_cost, cache_read_cost, cache_write_cost,
    cost_source, queue_ns, prefill_ns, decode_ns, finish_reason, response_id, request, response, tags,
    prompt_name, prompt_version, input, output, documents, tools, truncated, truncated_sizes, mapping_revision,
    redacted, adjusted_count, attributes, resource, contents,
    arrayMap(t -> toUnixTimestamp64Nano(t), events.time) AS event_times, events.name AS event_names,
    events.attributes AS event_attributes,
    links.trace_id AS link_traces, links.span_id AS link_spans, links.attributes AS link_attributes
FROM spans
WHERE project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN (
        SELECT arrayJoin(minutes) FROM traces WHERE project_id = %(project_id)s AND trace_id = %(trace_id)s
    )
    AND trace_id = %(trace_id)s AND span_id = %(span_id)s
LIMIT 1
"""


TEXT_COLUMNS = tuple(name for name, _ in SIDES)

# Senders of the older GenAI conventions put messages into log records that carry the ids of their span.
EVENTS_OF_SPAN = """
SELECT toUnixTimestamp64Nano(time) AS time_ns, event_name, body, attributes
FROM log_records FINAL
WHERE project_id = %(project_id)s AND trace_id = %(trace_id)s AND span_id = %(span_id)s AND event_name IN %(names)s
    AND time >= fromUnixTimestamp64Nano(%(from_ns)s, 'UTC') AND time < fromUnixTimestamp64Nano(%(to_ns)s, 'UTC')
ORDER BY time
LIMIT %(limit)s
"""
# A conversation of more turns than this comes in messages, not in events.
_MAX_EVENTS = 1_000
# Log records of a call are written while it runs, by the same clock: a minute covers rounding and batching. Where that
# minute has none, the clocks differ, or somebody wrote days before or after: the wide look costs more.
_EVENT_MARGINS_NS = (60 * 10**9, 30 * 86_400 * 10**9)


def list_spans(project_id: int, chosen: SpanFilter, *, cursor: str | None = None, limit: int = 50) -> Page[SpanRow]:
    """Return matching spans, newest first. Raises InvalidFilterError for a foreign cursor or limit."""
    check_limit(limit)
    matching, parameters = union(MATCHING, chosen, _BEFORE if cursor is not None else "")
    if cursor is not None:
        at_ns, trace_id, span_id = decode_cursor(cursor, int, str, str)
        parameters |= {"at_ns": at_ns, "at_trace": trace_id, "at_span": span_id}
    sql = put(SPANS, matching=put(matching, columns=_NARROW), settings=IN_ORDER)
    rows = client.query(project_id, sql, parameters | {"limit": limit + 1}, tag="spans.list")
    items = tuple(_row(row) for row in rows[:limit])
    last = items[-1] if len(rows) > limit else None
    return Page(items, encode_cursor(last.start_ns, last.trace_id, last.span_id) if last else None)


_BEFORE = (
    " AND start_time <= fromUnixTimestamp64Nano(%(at_ns)s, 'UTC')"
    " AND (start_time, trace_id, span_id) < (fromUnixTimestamp64Nano(%(at_ns)s, 'UTC'), %(at_trace)s, %(at_span)s)"
)


def spans_of_trace(project_id: int, trace_id: str, minutes: Sequence[int], limit: int) -> list[SpanRow]:
    """Return the spans of one trace, earliest first; `minutes` are the minutes (epoch seconds) that hold it."""
    parameters = {"trace_id": trace_id, "minutes": tuple(minutes), "limit": limit}
    rows = client.query(project_id, put(SPANS_OF_TRACE, columns=_NARROW), parameters, tag="traces.spans")
    return [_row(row) for row in rows]


def get_span(project_id: int, trace_id: str, span_id: str) -> SpanDetail | None:
    """Return one span with its texts, attributes, events and links, or None where the project has none such."""
    parameters = {"trace_id": trace_id, "span_id": span_id}
    rows = client.query(project_id, put(SPAN, columns=_NARROW), parameters, tag="spans.get")
    if not rows:
        return None
    row = rows[0]
    contents.restore(project_id, rows, (*TEXT_COLUMNS, "attributes", "event_attributes"))
    events = zip(row.pop("event_times"), row.pop("event_names"), row.pop("event_attributes"), strict=True)
    links = zip(row.pop("link_traces"), row.pop("link_spans"), row.pop("link_attributes"), strict=True)
    for name in ("tags", "truncated", "truncated_sizes", "gpu_uuids", "redacted"):
        row[name] = tuple(row[name])
    if not row["input"] and not row["output"]:
        row |= _content_of_logs(project_id, row)
    return SpanDetail(
        **row, events=tuple(Event(*event) for event in events), links=tuple(Link(*link) for link in links)
    )


def _content_of_logs(project_id: int, row: dict[str, Any]) -> dict[str, str]:
    """Return the texts that log records say about a span, in whatever order they and the span came."""
    given = {"trace_id": row["trace_id"], "span_id": row["span_id"], "names": tuple(EVENT_NAMES), "limit": _MAX_EVENTS}
    for margin_ns in _EVENT_MARGINS_NS:
        ends = {
            "from_ns": max(row["start_ns"] - margin_ns, 0),
            "to_ns": row["start_ns"] + (row["duration_ns"] or 0) + margin_ns,
        }
        rows = client.query(project_id, EVENTS_OF_SPAN, given | ends, tag="spans.log_events")
        if rows:
            said = content_of_events(log_event(**event) for event in rows)
            return {field.name: text for field in fields(said) if (text := getattr(said, field.name))}
    return {}


def _row(row: dict[str, Any]) -> SpanRow:
    return SpanRow(**(row | {"gpu_uuids": tuple(row["gpu_uuids"])}))
