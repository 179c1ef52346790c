"""Which traces a hold is about, some at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from heliograph.clickhouse import client
from heliograph.holds.models import Hold
from heliograph.query.filters import SpanFilter, TimeRange, union
from heliograph.query.language import parse
from heliograph.query.traces import list_traces

# Of one question.
_AT_ONCE = 200
# Ids stand four times in the text of a question, which the store caps at 256 KiB.
_AMONG_AT_ONCE = 500

# What a view refused is in `spans` alone.
_OF_SUBJECT = """
SELECT DISTINCT trace_id FROM
(
    SELECT trace_id FROM subject_traces
    WHERE project_id = %(project_id)s AND kind = %(kind)s AND id = %(id)s AND trace_id > %(after)s
    UNION ALL
    SELECT trace_id FROM spans
    WHERE project_id = %(project_id)s AND {column} = %(id)s AND trace_id > %(after)s
)
ORDER BY trace_id
LIMIT %(limit)s
"""
# Of some traces those with a span that a filter finds; by their minutes, since the key of `spans` begins with these.
_OF_FILTER = """
SELECT DISTINCT trace_id
FROM spans
WHERE project_id = %(project_id)s AND {where}
"""
_AMONG = """
 AND trace_id IN %(among)s AND toStartOfMinute(start_time) IN
    (SELECT arrayJoin(minutes) FROM traces WHERE project_id = %(project_id)s AND trace_id IN %(among)s)
"""


@dataclass(frozen=True, slots=True)
class Found:
    """Some traces, and behind what to go on; `after` is '' where these were the last."""

    traces: list[str]
    after: str


def next_traces(hold: Hold, after: str) -> Found:
    """Return the traces of a hold that follow on a place, '' for the first. Raises StoreError."""
    if hold.kind == Hold.Kind.TRACES:
        return Found(hold.subject.split(), "")
    if hold.kind == Hold.Kind.FILTER:
        page = list_traces(hold.project_id, chosen(hold), cursor=after or None, limit=_AT_ONCE)
        return Found([row.trace_id for row in page.items], page.next_cursor or "")
    given = {"kind": hold.kind, "id": hold.subject, "after": after, "limit": _AT_ONCE}
    sql = _OF_SUBJECT.format(column=f"{hold.kind}_id")
    traces = [row["trace_id"] for row in client.query(hold.project_id, sql, given, tag="holds.find")]
    return Found(traces, traces[-1] if len(traces) == _AT_ONCE else "")


def of_filter(hold: Hold, trace_ids: Sequence[str]) -> set[str]:
    """Return those of some traces that a hold by filter is about. Raises StoreError."""
    sql, given = union(_OF_FILTER, chosen(hold).for_traces(), _AMONG)
    found: set[str] = set()
    for first in range(0, len(trace_ids), _AMONG_AT_ONCE):
        bound = given | {"among": list(trace_ids[first : first + _AMONG_AT_ONCE])}
        found.update(row["trace_id"] for row in client.query(hold.project_id, sql, bound, tag="holds.of_filter"))
    return found


def chosen(hold: Hold) -> SpanFilter:
    """Return what a hold by filter asks for. Raises InvalidFilterError."""
    never = datetime.fromtimestamp(0, UTC)
    return parse(hold.subject, TimeRange(hold.start or never, hold.end or never))
