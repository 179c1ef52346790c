"""What sampling rules look at of whole traces, and which traces came lately.

- `facts(project_id, trace_ids, scores) -> dict[str, Facts]`
- `recent_traces(project_id, range, limit) -> list[str]`, newest first
- `origins(project_id, facts) -> list[Origin]`: how many of their spans came from where
"""

from collections.abc import Iterable
from dataclasses import dataclass

from heliograph.clickhouse import client
from heliograph.query.filters import TimeRange, put, started_in
from heliograph.query.rows_of_traces import OF_SPANS

FACTS = """
SELECT
    t.trace_id AS trace_id,
    argMinMerge(t.service) AS service,
    argMinMerge(t.environment) AS environment,
    sum(t.error_count) AS error_count,
    dateDiff('nanosecond', min(t.start_time), max(t.end_time)) / 1e9 AS duration_s,
    toFloat64(sum(t.cost)) AS cost,
    arrayMap(m -> toUnixTimestamp(m), groupUniqArrayArray(t.minutes)) AS minutes
FROM traces AS t
WHERE t.project_id = %(project_id)s AND t.trace_id IN %(trace_ids)s
GROUP BY t.trace_id
"""

# A score stands at the time of what it judges; the table is ordered by it.
SCORES = """
SELECT trace_id, name, groupArray(assumeNotNull(value)) AS given
FROM scores FINAL
WHERE project_id = %(project_id)s AND name IN %(names)s AND trace_id IN %(trace_ids)s AND value IS NOT NULL
    AND time >= toDateTime(%(from_s)s, 'UTC') AND time < toDateTime(%(to_s)s, 'UTC')
GROUP BY trace_id, name
"""

RECENT = """
SELECT trace_id
FROM spans
WHERE project_id = %(project_id)s AND is_entry AND {where}
ORDER BY toStartOfMinute(start_time) DESC, start_time DESC
LIMIT 1 BY trace_id
LIMIT %(limit)s
"""


ORIGINS = f"""
SELECT trace_id, service, environment, trace_state, count() AS spans
FROM spans
WHERE {OF_SPANS}
GROUP BY trace_id, service, environment, trace_state
"""  # noqa: S608  (a constant)


@dataclass(frozen=True, slots=True)
class Origin:
    """Spans of one trace that came from one service and environment, under one trace state."""

    trace_id: str
    service: str
    environment: str
    trace_state: str
    spans: int


@dataclass(frozen=True, slots=True)
class Facts:
    """A whole trace: its root's service and environment, errors, seconds, USD, scores by name, and its minutes."""

    trace_id: str
    service: str
    environment: str
    error_count: int
    duration_s: float
    cost: float
    minutes: tuple[int, ...]
    scores: dict[str, list[float]]


def facts(project_id: int, trace_ids: Iterable[str], scores: Iterable[str] = ()) -> dict[str, Facts]:
    """Return what is known of these traces, with their scores of some names. Raises StoreError."""
    wanted, names = tuple(trace_ids), tuple(scores)
    if not wanted:
        return {}
    rows = client.query(project_id, FACTS, {"trace_ids": wanted}, tag="trace_facts.traces")
    given: dict[str, dict[str, list[float]]] = {}
    minutes = [minute for row in rows for minute in row["minutes"]]
    if names and minutes:
        asked = {"trace_ids": wanted, "names": names, "from_s": min(minutes), "to_s": max(minutes) + 60}
        for row in client.query(project_id, SCORES, asked, tag="trace_facts.scores"):
            given.setdefault(row["trace_id"], {})[row["name"]] = row["given"]
    return {
        row["trace_id"]: Facts(**row | {"minutes": tuple(row["minutes"])}, scores=given.get(row["trace_id"], {}))
        for row in rows
    }


def origins(project_id: int, known: Iterable[Facts]) -> list[Origin]:
    """Return where the spans of these traces came from. Raises StoreError."""
    found = list(known)
    if not found:
        return []
    minutes = sorted({minute for each in found for minute in each.minutes})
    given = {"traces": tuple(each.trace_id for each in found), "minutes": minutes}
    return [Origin(**row) for row in client.query(project_id, ORIGINS, given, tag="trace_facts.origins")]


def recent_traces(project_id: int, span: TimeRange, limit: int) -> list[str]:
    """Return the newest traces of a range by id. Raises StoreError."""
    where, parameters = started_in(span)
    rows = client.query(project_id, put(RECENT, where=where), parameters | {"limit": limit}, tag="trace_facts.recent")
    return [row["trace_id"] for row in rows]
