"""Rows for the tests, written as the ingest writes them, and plain SQL to check answers against."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.filters import SpanFilter, TimeRange, to_ns

SECOND = 10**9
# Whole minutes, so that a 1-minute rollup and the raw rows speak of the same time.
# On the hour, so that a step of an hour is one step whenever the tests run.
START = (datetime.now(UTC) - timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
HOUR = TimeRange(START, START + timedelta(hours=1))
_numbers = itertools.count(1)


def at(seconds: float) -> int:
    """Nanoseconds since the epoch, so many seconds into the hour that the tests look at."""
    return to_ns(START) + round(seconds * SECOND)


def new_trace_id() -> str:
    return f"{next(_numbers):032x}"


def span(trace_id: str, seconds: float, **fields: Any) -> dict[str, Any]:
    """A root span of service shop that lasts a second, but for what is given."""
    row = {
        "trace_id": trace_id,
        "span_id": f"{next(_numbers):016x}",
        "parent_span_id": "",
        "start_time": at(seconds),
        "duration_ns": SECOND,
        "service": "shop",
        "name": "answer",
        "kind": "agent",
        "status": "ok",
        "usage_counted": False,
        "environment": "",
        "release": "",
        "host": "",
        "service_instance_id": "",
        "model": "",
        "adapter": "",
        "input_tokens": None,
        "output_tokens": None,
        "cost": None,
        "ttft_ns": None,
        "queue_ns": None,
        "prefill_ns": None,
        "session_id": "",
        "user_id": "",
        "tags": [],
        "gpu_uuids": [],
        "input": "",
        "output": "",
        "documents": "",
        "input_preview": "",
        "output_preview": "",
        "attributes": {},
        "retention_days": 90,
    }
    row |= fields
    row.setdefault("is_entry", row["parent_span_id"] == "")
    return row


def llm(trace_id: str, seconds: float, **fields: Any) -> dict[str, Any]:
    """A model call below some parent."""
    usual = {"parent_span_id": "f" * 16, "kind": "llm", "name": "chat", "model": "gpt-4o", "usage_counted": True}
    return span(trace_id, seconds, **(usual | fields))


def store_rows(project_id: int, table: str, rows: list[dict[str, Any]]) -> None:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    client.insert(table, columns | {"project_id": [project_id] * len(rows)})


def store_spans(project_id: int, *rows: dict[str, Any]) -> None:
    store_rows(project_id, "spans", list(rows))


def plain(project_id: int, sql: str) -> list[dict[str, Any]]:
    """Ask by hand, past the code under test; `{mine}` is the condition on the project."""
    return client.execute_unscoped(sql.replace("{mine}", f"project_id = {project_id}"))


def spans_in_hour(**fields: Any) -> SpanFilter:
    return SpanFilter(range=HOUR, **fields)


def point(metric: str, seconds: float, value: float | None, **fields: Any) -> dict[str, Any]:
    """A gauge's point of the series 1, but for what is given."""
    return {
        "metric": metric,
        "series": 1,
        "time": at(seconds),
        "start_time": at(-3600),
        "type": "gauge",
        "unit": "1",
        "temporality": "",
        "is_monotonic": False,
        "service": "",
        "host": "",
        "gpu_uuid": "",
        "value": value,
        "count": 0,
        "sum": None,
        "attributes": {},
        "retention_days": 90,
    } | fields
