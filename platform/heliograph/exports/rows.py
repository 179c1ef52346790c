"""What a line of a file says of a trace or a span."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from heliograph.query.spans import SpanRow
from heliograph.query.traces import TraceRow

TRACE_COLUMNS = (
    *("trace_id", "start", "duration_ns", "name", "service", "environment", "release", "kind", "status"),
    *("span_count", "error_count", "llm_count", "models", "input_tokens", "output_tokens", "cache_read_tokens"),
    *("cost", "unpriced_count", "ttft_ns", "session_id", "user_id", "tags", "hosts"),
    *("input_preview", "output_preview"),
)
SPAN_COLUMNS = tuple("start" if field.name == "start_ns" else field.name for field in fields(SpanRow))


def text(columns: tuple[str, ...], kind: str, rows: Iterable[TraceRow | SpanRow], *, with_head: bool) -> bytes:
    """Return rows as lines of JSON or CSV."""
    found = [_row(columns, row) for row in rows]
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found).encode()
    place = io.StringIO()
    writer = csv.writer(place)
    if with_head:
        writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in found)
    return place.getvalue().encode()


def _row(columns: tuple[str, ...], row: TraceRow | SpanRow) -> dict[str, Any]:
    cost = row.known_cost if isinstance(row, TraceRow) else row.cost
    known = asdict(row) | {
        "start": f"{row.start:%Y-%m-%dT%H:%M:%S.%fZ}",
        "duration_ns": row.duration_ns,
        "cost": None if cost is None else str(cost),
    }
    if isinstance(row, SpanRow):
        known["reported_cost"] = None if row.reported_cost is None else str(row.reported_cost)
    return {name: known[name] for name in columns}


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        value = ", ".join(value)
    # A spreadsheet takes these as the beginning of a formula, and senders write what they like.
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
