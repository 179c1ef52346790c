"""What stands before and after a trace in a list: its neighbours in the order of `traces.list_traces`.

- `of_trace(project_id, filter, trace_id) -> Neighbours | None`
"""

import time
from dataclasses import dataclass
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.filters import SpanFilter, put, union
from heliograph.query.paging import IN_ORDER, encode_cursor
from heliograph.query.traces import MAX_MINUTES, list_traces, summaries

# Traces that have a span soon after: of these the one that the list shows next. A trace stands in a list at its latest
# matching span, so a long one that began here may stand further up.
_CANDIDATES = 30
# A page of a list may be empty though more follow.
_MAX_PAGES = 5
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The ids of the traces that a list shows just above (newer) and below (older) one; None at its ends."""

    newer: str | None
    older: str | None


POSITIONS = """
SELECT trace_id, toUnixTimestamp64Nano(max(start_time)) AS at_ns
FROM spans
WHERE project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN %(minutes)s
    AND trace_id IN %(trace_ids)s
    AND {where}
GROUP BY trace_id
"""

SOON_AFTER = """
SELECT trace_id, at_ns
FROM ({matching})
ORDER BY at_ns, trace_id
LIMIT 1 BY trace_id
LIMIT %(limit)s
{settings}
"""

MATCHING = """
SELECT trace_id, toUnixTimestamp64Nano(start_time) AS at_ns
FROM spans
WHERE project_id = %(project_id)s AND {where}
ORDER BY toStartOfMinute(start_time), start_time, trace_id
LIMIT 1 BY trace_id
LIMIT %(limit)s
"""
_AFTER = (
    " AND start_time >= fromUnixTimestamp64Nano(%(at_ns)s, 'UTC')"
    " AND (start_time, trace_id) > (fromUnixTimestamp64Nano(%(at_ns)s, 'UTC'), %(at_trace)s)"
)


def of_trace(project_id: int, chosen: SpanFilter, trace_id: str) -> Neighbours | None:
    """Return the neighbours of a trace in the list of a filter; None where that list does not show it."""
    driver = chosen.for_traces()
    at_ns = _positions(project_id, driver, (trace_id,)).get(trace_id)
    if at_ns is None:
        return None
    return Neighbours(_newer(project_id, driver, at_ns, trace_id), _older(project_id, chosen, at_ns, trace_id))


def _positions(project_id: int, driver: SpanFilter, trace_ids: tuple[str, ...]) -> dict[str, int]:
    """Return where a list shows these traces: at their latest matching spans."""
    found = summaries(project_id, trace_ids).values()
    minutes = sorted({minute for row in found for minute in row.minutes})[-MAX_MINUTES:]
    if not minutes:
        return {}
    where, parameters = driver.where()
    parameters |= {"trace_ids": trace_ids, "minutes": tuple(minutes)}
    rows = client.query(project_id, put(POSITIONS, where=where), parameters, tag="neighbours.positions")
    return {row["trace_id"]: row["at_ns"] for row in rows}


def _newer(project_id: int, driver: SpanFilter, at_ns: int, trace_id: str) -> str | None:
    matching, parameters = union(MATCHING, driver, _AFTER)
    given: dict[str, Any] = {"at_ns": at_ns, "at_trace": trace_id, "limit": _CANDIDATES}
    sql = put(SOON_AFTER, matching=matching, settings=IN_ORDER)
    rows = client.query(project_id, sql, parameters | given, tag="neighbours.newer")
    others = tuple(row["trace_id"] for row in rows if row["trace_id"] != trace_id)
    if not others:
        return None
    positions = _positions(project_id, driver, others)
    return min(((at, other) for other, at in positions.items()), default=(0, None))[1]


def _older(project_id: int, chosen: SpanFilter, at_ns: int, trace_id: str) -> str | None:
    # Of the store's clock, which may be ahead of this one.
    cursor: str | None = encode_cursor(at_ns, trace_id, int(time.time() * 1e6) + _DAY_US)
    for _ in range(_MAX_PAGES):
        page = list_traces(project_id, chosen, cursor=cursor, limit=1)
        if page.items:
            return page.items[0].trace_id
        cursor = page.next_cursor
        if cursor is None:
            return None
    return None
