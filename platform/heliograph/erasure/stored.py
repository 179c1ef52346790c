"""What the store has of a user, and taking it out: lightweight deletes by trace, each of which may be done again.

A trace is a user's if any of its spans names the user, and goes as a whole: what an agent said to itself on somebody's
behalf is theirs too. Sums by the minute name nobody and stay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from heliograph.clickhouse import client
from heliograph.holds.held import held_of
from heliograph.ingest.lock import commits_held
from heliograph.query.rows_of_traces import OF_SPANS, OF_TRACES, SPANS, with_minutes
from heliograph.remap.rollups import DERIVED, derive

_THEIRS = "SELECT trace_id FROM subject_traces WHERE project_id = %(project_id)s AND kind = 'user' AND id = %(user)s"
_NEXT = f"""
SELECT DISTINCT trace_id FROM ({_THEIRS}) WHERE trace_id > %(after)s ORDER BY trace_id LIMIT %(limit)s
"""  # noqa: S608  (a constant)
# What a view refused is in `spans` alone.
_NEXT_SPANS = """
SELECT DISTINCT trace_id FROM spans
WHERE project_id = %(project_id)s AND user_id = %(user)s AND trace_id > %(after)s
ORDER BY trace_id
LIMIT %(limit)s
"""
_OF_SCORES = f"""
({OF_TRACES}) OR (project_id = %(project_id)s AND trace_id = '' AND session_id IN %(sessions)s)
    OR (project_id = %(project_id)s AND dataset_item_id != '' AND dataset_item_id IN %(items)s)
"""
# Table -> its rows of some traces, and what counts as one of them. Their order is that of the deletion: what finds the
# traces goes last.
_ROWS = {
    "spans": (OF_SPANS, "count()"),
    "log_records": (OF_TRACES, "uniqExact(record_id)"),
    "scores": (_OF_SCORES, "uniqExact(score_id)"),
    "pending_scores": ("project_id = %(project_id)s AND response_id IN %(responses)s", "uniqExact(score_id)"),
    "attributions": (OF_TRACES, "count()"),
    "traces": (OF_TRACES, "uniqExact(trace_id)"),
    "subject_traces": (OF_TRACES, "uniqExact(kind, id, trace_id)"),
}
_RESPONSES = f"SELECT DISTINCT response_id FROM spans WHERE {OF_SPANS} AND response_id != ''"  # noqa: S608  (a constant)
# Sessions that have no other trace.
_SESSIONS = """
SELECT id FROM subject_traces
WHERE project_id = %(project_id)s AND kind = 'session'
    AND id IN (
        SELECT id FROM subject_traces
        WHERE project_id = %(project_id)s AND kind = 'session' AND trace_id IN %(traces)s
    )
GROUP BY id
HAVING countIf(trace_id NOT IN %(traces)s) = 0
"""
_DELETE_HOURS = """
DELETE FROM subject_hours
WHERE project_id = %(project_id)s AND ((kind = 'user' AND id = %(user)s) OR (kind = 'session' AND id IN %(sessions)s))
"""
_USED_TEXTS = """
SELECT DISTINCT substring(arrayJoin(contents), 2) AS hash
FROM spans
WHERE project_id = %(project_id)s AND hasAny(contents, %(used)s) AND hash IN %(hashes)s
"""
_DELETE_TEXTS = "DELETE FROM contents WHERE project_id = %(project_id)s AND hash IN %(hashes)s"
_COUNT_TEXTS = "SELECT uniqExact(hash) AS n FROM contents WHERE project_id = %(project_id)s AND hash IN %(hashes)s"
_USED_BLOBS = """
SELECT DISTINCT arrayJoin(extractAll(
    concat(input, output, documents, tools, toString(attributes), toString(events.attributes)),
    'blob:sha256-([0-9a-f]{64})'
)) AS digest
FROM spans
WHERE project_id = %(project_id)s AND digest IN %(digests)s
"""
_SEEN = "subject_hours WHERE project_id = %(project_id)s AND kind = 'user' AND id = %(user)s"
_PREVIEW = f"""
SELECT
    (SELECT uniqExact(trace_id) FROM ({_THEIRS})) AS traces,
    (SELECT sum(span_count) FROM traces WHERE project_id = %(project_id)s AND trace_id IN ({_THEIRS})) AS spans,
    (
        SELECT uniqExact(record_id) FROM log_records
        WHERE project_id = %(project_id)s AND trace_id IN ({_THEIRS})
    ) AS logs,
    (SELECT uniqExact(score_id) FROM scores WHERE project_id = %(project_id)s AND trace_id IN ({_THEIRS})) AS scores,
    (
        SELECT uniqExact(trace_id) FROM subject_traces
        WHERE project_id = %(project_id)s AND kind = 'user' AND id != %(user)s AND trace_id IN ({_THEIRS})
    ) AS shared,
    (SELECT toUnixTimestamp64Nano(min(first_seen)) FROM {_SEEN}) AS first,
    (SELECT toUnixTimestamp64Nano(max(last_seen)) FROM {_SEEN}) AS last
"""  # noqa: S608  (constants)


@dataclass(frozen=True, slots=True)
class Found:
    """How much there is of a user; `shared` are traces that name another user too, and go with the others.

    Also what is under legal hold is counted. `first_ns` and `last_ns` are 0 where there is nothing.
    """

    traces: int
    spans: int
    logs: int
    scores: int
    shared: int
    first_ns: int
    last_ns: int


def preview(project_id: int, user: str) -> Found:
    """Return how much there is of a user. Raises StoreError."""
    (row,) = client.query(project_id, _PREVIEW, {"user": user}, tag="erasure.preview")
    first, last = (int(row.pop(name) or 0) for name in ("first", "last"))
    return Found(**{name: int(value or 0) for name, value in row.items()}, first_ns=first, last_ns=last)


@dataclass(frozen=True, slots=True)
class Next:
    """Some traces of a user that may be removed, [] where none is left; `held` are under legal hold before these."""

    traces: list[str]
    held: int


def next_traces(project_id: int, user: str, limit: int) -> Next:
    """Return the next traces of a user, at most `limit`. Raises StoreError."""
    held: set[str] = set()
    for sql in (_NEXT, _NEXT_SPANS):
        after = ""
        while True:
            given = {"user": user, "limit": limit, "after": after}
            rows = client.query(project_id, sql, given, tag="erasure.next")
            traces = [row["trace_id"] for row in rows]
            found = held_of(project_id, traces)
            held |= found
            if free := [trace_id for trace_id in traces if trace_id not in found]:
                return Next(free, len(held))
            if len(traces) < limit:
                break
            after = traces[-1]
    return Next([], len(held))


def look(project_id: int, traces: Sequence[str], items: Sequence[str]) -> dict[str, Any]:
    """Return what is to be removed with some traces, as JSON: by what it is found, and how many rows of each table.

    `items` are rows of data sets as scores name them. Raises StoreError.
    """
    given = with_minutes(project_id, traces) | {"items": [*items, ""]}
    for name, sql, column in (("responses", _RESPONSES, "response_id"), ("sessions", _SESSIONS, "id")):
        # An empty list cannot be bound; nothing has this name.
        found = client.query(project_id, sql, given, tag=f"erasure.{name}")
        given[name] = [each[column] for each in found] or ["\0"]
    counts = {}
    for table, (where, what) in _ROWS.items():
        sql = f"SELECT {what} AS n FROM {table} WHERE {where}"  # noqa: S608  (constants)
        (counted,) = client.query(project_id, sql, given, tag="erasure.count")
        counts[table] = int(counted["n"])
    return given | {"counts": counts}


def remove(project_id: int, user: str, given: dict[str, Any], token: str, may_begin: Callable[[], bool]) -> bool:
    """Take out what a plan names, unless `may_begin`, asked right before, says no; return whether it was taken out.

    May be called again after it was interrupted anywhere. Raises StoreError, and what `may_begin` raises.
    """
    bound = _bound(given)
    # No span of these traces may be stored, and none rewritten, between the noting and the deletion.
    with commits_held(settings.SPOOL_DIR, "traces"):
        if not may_begin():
            return False
        # Spans may have come since it was planned.
        bound |= with_minutes(project_id, bound["traces"])
        # Sums by the minute go on telling of them, also where a minute is derived from its spans again.
        derive(project_id, DERIVED[0], SPANS, bound, into="span_rollups_removed", token=token)
        client.query(project_id, f"DELETE FROM spans WHERE {OF_SPANS}", bound, tag="erasure.delete")  # noqa: S608  (constants)
    client.query(project_id, _DELETE_HOURS, bound | {"user": user}, tag="erasure.delete")
    for table, (where, _) in _ROWS.items():
        if table != "spans":
            client.query(project_id, f"DELETE FROM {table} WHERE {where}", bound, tag="erasure.delete")  # noqa: S608  (constants)
    return True


def _bound(given: dict[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in ("traces", "items", "minutes", "responses", "sessions")}


def unused_texts(project_id: int, hashes: Sequence[str]) -> list[str]:
    """Return those of some long texts that no span refers to. Raises StoreError."""
    if not hashes:
        return []
    given = {"hashes": list(hashes), "used": [side + each for each in hashes for side in "iox"]}
    used = {row["hash"] for row in client.query(project_id, _USED_TEXTS, given, tag="erasure.used_texts")}
    return [each for each in hashes if each not in used]


def count_texts(project_id: int, hashes: Sequence[str]) -> int:
    """Return how many of some long texts are stored. Raises StoreError."""
    if not hashes:
        return 0
    (row,) = client.query(project_id, _COUNT_TEXTS, {"hashes": list(hashes)}, tag="erasure.count_texts")
    return int(row["n"])


def remove_texts(project_id: int, hashes: Sequence[str]) -> None:
    """Remove long texts but those that a span refers to by now. Raises StoreError."""
    # A text is written under this lock before the spans that refer to it.
    with commits_held(settings.SPOOL_DIR, "traces"):
        if unused := unused_texts(project_id, hashes):
            client.query(project_id, _DELETE_TEXTS, {"hashes": unused}, tag="erasure.delete")


def unused_blobs(project_id: int, names: Sequence[str]) -> list[str]:
    """Return those of some blobs that no span refers to. Reads the project's texts. Raises StoreError."""
    if not names:
        return []
    digests = [name.partition("/")[2] for name in names]
    rows = client.query(project_id, _USED_BLOBS, {"digests": digests}, tag="erasure.used_blobs")
    used = {row["digest"] for row in rows}
    return [name for name in names if name.partition("/")[2] not in used]
