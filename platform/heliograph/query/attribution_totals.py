"""What models on GPUs of one's own cost, beside the prices of APIs: by trace and over time.

- `of_traces(project_id, traces, prices) -> dict[str, Cost]`: by trace id, those that ran on a known GPU
- `over_time(project_id, range, prices, step_s, *, service=(), model=(), adapter=()) -> dict[int, Cost]`

Every number is an estimate (docs/attribution.md). A call of the last minutes is not worked out yet.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.attribution import (
    COMMITTED,
    MAX_RANGE,
    PRICED,
    SUMS,
    Cost,
    Price,
    between_minutes,
    cost_of,
    prices_in_order,
)
from heliograph.query.filters import InvalidFilterError, TimeRange, put
from heliograph.query.traces import TraceRow

# A page of a list; a trace is looked for in its first hours.
MAX_TRACES = 200
MAX_MINUTES = 240

OF_TRACES = """
SELECT trace_id, {priced}, {sums}, uniqExact(a.span_id) AS requests
FROM attributions AS a
WHERE project_id = %(project_id)s AND minute IN %(minutes)s AND trace_id IN %(trace_ids)s
    AND (minute, gpu_uuid, version) IN (
        SELECT minute, gpu_uuid, max(version)
        FROM attribution_windows
        WHERE project_id = %(project_id)s AND minute IN %(minutes)s
        GROUP BY minute, gpu_uuid
    )
GROUP BY trace_id, period, priced_name
LIMIT 10000
"""

# All requests of a project: a row a GPU and minute.
OF_WINDOWS = """
SELECT intDiv(toUnixTimestamp(minute), %(step_s)s) * %(step_s)s AS start_s, {priced},
    sum(a.request_seconds) AS gpu_seconds, sum(a.request_seconds_low) AS gpu_seconds_low,
    sum(a.request_seconds_high) AS gpu_seconds_high,
    sum(a.request_joules) AS joules, sum(a.request_joules_low) AS joules_low,
    sum(a.request_joules_high) AS joules_high, sum(a.request_unmetered_seconds) AS unmetered_seconds,
    sum(a.requests) AS requests
FROM attribution_windows AS a FINAL
WHERE project_id = %(project_id)s AND request_seconds > 0
    AND minute >= toDateTime(%(start_s)s, 'UTC') AND minute < toDateTime(%(end_s)s, 'UTC')
GROUP BY start_s, period, priced_name
LIMIT 100000
"""

OF_SHARES = """
SELECT intDiv(toUnixTimestamp(minute), %(step_s)s) * %(step_s)s AS start_s, {priced}, {sums},
    uniqExact(a.trace_id, a.span_id) AS requests
FROM attributions AS a
WHERE {committed} AND span_id != '' AND {where}
GROUP BY start_s, period, priced_name
LIMIT 100000
"""


def of_traces(project_id: int, traces: Sequence[TraceRow], prices: Sequence[Price] = ()) -> dict[str, Cost]:
    """Return the shares of the first MAX_TRACES traces; `requests` counts the calls that they stand for."""
    minutes = sorted({at for trace in traces[:MAX_TRACES] for at in _minutes(trace)})
    if not minutes:
        return {}
    ordered, priced = prices_in_order(prices)
    asked = priced | {"minutes": minutes, "trace_ids": [trace.trace_id for trace in traces[:MAX_TRACES]]}
    sql = put(OF_TRACES, priced=PRICED, sums=SUMS)
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in client.query(project_id, sql, asked, tag="attribution.of_traces"):
        rows.setdefault(row["trace_id"], []).append(row)
    return {trace_id: cost_of(found, ordered) for trace_id, found in rows.items()}


def over_time(
    project_id: int,
    span: TimeRange,
    prices: Sequence[Price],
    step_s: int,
    *,
    service: tuple[str, ...] = (),
    model: tuple[str, ...] = (),
    adapter: tuple[str, ...] = (),
) -> dict[int, Cost]:
    """Return what requests cost by the start of each step (epoch seconds); steps without any are absent.

    Raises InvalidFilterError where a narrowed question spans more than MAX_RANGE.
    """
    ordered, priced = prices_in_order(prices)
    asked: dict[str, Any] = between_minutes(span) | priced | {"step_s": step_s}
    narrowed = {
        name: values for name, values in (("service", service), ("model", model), ("adapter", adapter)) if values
    }
    if narrowed and span.end - span.start > MAX_RANGE:
        raise InvalidFilterError("start", f"may be at most {MAX_RANGE.days} days before end")
    where = " AND ".join(f"a.{name} IN %({name})s" for name in narrowed)
    sql = put(put(OF_SHARES, committed=COMMITTED, where=where), sums=SUMS) if narrowed else OF_WINDOWS
    rows = client.query(project_id, put(sql, priced=PRICED), asked | narrowed, tag="attribution.over_time")
    by_start: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_start.setdefault(row["start_s"], []).append(row)
    return {start: cost_of(found, ordered) for start, found in by_start.items()}


def _minutes(trace: TraceRow) -> range:
    """The minutes in which the trace's calls ran, as epoch seconds."""
    first = trace.start_ns // 10**9 // 60 * 60
    last = min(trace.end_ns // 10**9, first + 60 * (MAX_MINUTES - 1))
    return range(first, last + 1, 60)
