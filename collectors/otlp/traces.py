"""OTLP trace requests to columns of `spans`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.blobs import Cutter
from collectors.otlp import fast, hostile
from collectors.otlp.body import ContentType, each_scope, read_body
from collectors.otlp.columns import SPAN_COLUMNS, Row, to_columns
from collectors.otlp.limits import Limits
from collectors.otlp.resources import NOWHERE, read_resource
from collectors.otlp.spans import SpanReader, base_of
from collectors.pricing import ModelPrice
from collectors.semconv.dialects import INDEX
from collectors.semconv.table import Index
from collectors.usage import MAX_ANCESTORS, Use, repeats

Columns = dict[str, list[Any]]
# (trace_id, span_id) -> (row, parent_span_id) of one request.
_Places = dict[tuple[str, str], tuple[int, str]]


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

    The kernel does this where it can; what it leaves, and everything without it, is read in Python.
    """
    cutter = Cutter(blobs_until, limits.max_blob_bytes)
    reader = SpanReader(limits, limits.oldest_ns(now_ns), limits.newest_ns(now_ns), price_overrides, index, cutter)
    if content_type == "protobuf":
        # The kernel makes no messages of a request, so that it takes an eighth of the memory.
        hostile.check_protobuf(body, ExportTraceServiceRequest.DESCRIPTOR, times=8)
    found = fast.read(body, reader) if content_type == "protobuf" else None
    if found is None:
        found = _read(body, content_type, reader)
    columns = found.columns
    places: _Places = dict(
        zip(
            zip(columns["trace_id"], columns["span_id"], strict=True),
            enumerate(columns["parent_span_id"]),
            strict=True,
        )
    )
    _mark_entries(columns, places)
    _count_usage_once(columns, places)
    return DecodedSpans(columns, len(columns["span_id"]), found.rejected, found.long_rows, cutter.found)


def _read(body: bytes, content_type: ContentType, reader: SpanReader) -> fast.Found:
    """Read a request span by span."""
    request = ExportTraceServiceRequest()
    rejected: Counter[str] = Counter()
    rows: list[Row] = []
    long_rows: list[int] = []
    unreadable = read_body(body, request, content_type)
    if unreadable:
        rejected["unreadable span: a value does not fit its field"] = unreadable
    most = reader.limits.max_spans
    seen = 0
    read, origin = None, NOWHERE
    for resource_spans, scope_spans in each_scope(request.resource_spans, "scope_spans", most):
        spans = scope_spans.spans
        room, seen = max(most - seen, 0), seen + len(spans)
        if len(spans) > room:
            rejected[f"more than {most} spans in one request"] += len(spans) - room
            spans = spans[:room]
        if not spans:
            continue
        if resource_spans is not read:
            read, origin = resource_spans, read_resource(resource_spans.resource, reader.limits)
        base = base_of(origin, scope_spans.scope)
        for span in spans:
            reason = reader.refusal(span)
            if reason is not None:
                rejected[reason] += 1
                continue
            row = reader.read(span, base).row
            if reader.cutter.saw_long:
                reader.cutter.saw_long = False
                long_rows.append(len(rows))
            rows.append(row)
    return fast.Found(to_columns(SPAN_COLUMNS, rows), rejected, long_rows)


def _mark_entries(columns: Columns, places: _Places) -> None:
    """A span is an entry where its parent is none of this request's."""
    is_entry = columns["is_entry"]
    for (trace_id, _), (row, parent_id) in places.items():
        if parent_id and (trace_id, parent_id) not in places:
            is_entry[row] = True


def _count_usage_once(columns: Columns, places: _Places) -> None:
    """Of spans that report the usage of the same model call, one counts: see `collectors.usage`."""
    by_trace: dict[str, list[int]] = {}
    names = ("usage_counted", "input_tokens", "output_tokens", "trace_id")
    for row, (counted, given, out, trace_id) in enumerate(zip(*(columns[name] for name in names), strict=True)):
        if counted and (given is not None or out is not None):
            by_trace.setdefault(trace_id, []).append(row)
    for trace_id, rows in by_trace.items():
        if len(rows) > 1:
            _count_once_in(columns, places, trace_id, rows)


def _count_once_in(columns: Columns, places: _Places, trace_id: str, rows: list[int]) -> None:
    parents: dict[str, str] = {}
    span_ids, responses = columns["span_id"], columns["response_id"]
    for row in rows:
        span_id = span_ids[row]
        for _ in range(MAX_ANCESTORS):
            place = places.get((trace_id, span_id))
            if place is None or span_id in parents:
                break
            parents[span_id] = place[1]
            span_id = place[1]
    repeated = repeats([Use(span_ids[row], responses[row]) for row in rows], parents)
    for row in rows:
        if span_ids[row] in repeated:
            columns["usage_counted"][row] = False
