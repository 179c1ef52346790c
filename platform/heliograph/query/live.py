"""What arrived since a moment: the tail of the list of traces.

- `arrived(project_id, filter, since_us, *, limit) -> Arrivals`
"""

from dataclasses import dataclass

from heliograph.clickhouse import client
from heliograph.query.filters import SpanFilter, put
from heliograph.query.paging import check_limit
from heliograph.query.traces import TraceRow, summaries

# A row gets its time when its insert begins and is seen when that ends, so a later one may be seen before it: what
# came shortly before the last look is looked at again, and whoever shows it replaces what it shows already.
OVERLAP_US = 5_000_000

ARRIVED = """
SELECT trace_id, toUnixTimestamp64Micro(max(received_at)) AS received_us
FROM spans
WHERE project_id = %(project_id)s AND received_at > fromUnixTimestamp64Micro(%(since_us)s, 'UTC') AND {where}
GROUP BY trace_id
ORDER BY received_us DESC, trace_id
LIMIT %(limit)s
"""

NOW = "SELECT toUnixTimestamp64Micro(now64(6)) AS now_us, %(project_id)s AS project"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Traces with a matching span since the last look, the latest first, and the moment to ask from next time."""

    traces: tuple[TraceRow, ...]
    next_us: int


def arrived(project_id: int, chosen: SpanFilter, since_us: int, *, limit: int = 50) -> Arrivals:
    """Return what arrived since a moment of the store's clock (microseconds); `since_us` 0 asks for that moment only.

    Of more than `limit` traces the latest are given: nobody reads more between two looks.
    """
    check_limit(limit)
    if not since_us:
        [now] = client.query(project_id, NOW, {}, tag="live.now")
        return Arrivals((), now["now_us"])
    where, parameters = chosen.for_traces().where()
    parameters |= {"since_us": since_us - OVERLAP_US, "limit": limit}
    rows = client.query(project_id, put(ARRIVED, where=where), parameters, tag="live.arrived")
    found = summaries(project_id, (row["trace_id"] for row in rows))
    latest = max((row["received_us"] for row in rows), default=since_us)
    return Arrivals(tuple(found[row["trace_id"]] for row in rows if row["trace_id"] in found), max(since_us, latest))
