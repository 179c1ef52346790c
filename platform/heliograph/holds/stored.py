"""Holding rows of the store and letting them go: their days of retention grow by HELD_DAYS, or shrink by them.

`retention_days` stands in no key, so a held row is a row of its own: spans are written beside the table, attached to it
without its views, and the old ones deleted, as re-applied rules do (remap/swap.py); rows of tables that replace equal
keys are written once more. Whatever is interrupted is done again from its start, and finds what is left to do.
"""

import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from heliograph.blobs.store import gone_on
from heliograph.clickhouse import client
from heliograph.query.held_rows import HELD_DAYS
from heliograph.query.rows_of_traces import OF_SPANS, OF_TRACES, SPANS, blobs, texts, with_minutes
from heliograph.remap.rollups import DERIVED, derive

# Of what is derived from spans, what stands by trace. The summaries last: where they are right, all is.
_BY_TRACE = sorted((each for each in DERIVED if each.by == "trace"), key=lambda each: each.table == "traces")

_HELD, _FREE = "retention_days >= %(held)s", "retention_days < %(held)s"
# How a row reads afterwards. What is over by its own days is not brought back, but let go at once.
_KEEP = "toUInt16(retention_days + %(held)s) AS retention_days"
_FREE_AGAIN = "toUInt16(retention_days - %(held)s) AS retention_days"
_NOT_OVER = "toDateTime({moment}) + toIntervalDay(retention_days - %(held)s) > now()"

_STAGE = """
INSERT INTO {staging}
SELECT * REPLACE ({days}) FROM (SELECT * FROM spans WHERE {of_spans} AND {old} AND {further})
WHERE (trace_id, span_id) NOT IN (SELECT trace_id, span_id FROM spans WHERE {of_spans} AND {new})
SETTINGS insert_deduplicate = 0
"""
_STAGED = """
SELECT DISTINCT partition_id
FROM system.parts
WHERE database = currentDatabase() AND table = %(table)s AND active AND rows > 0 AND %(project_id)s > 0
"""
# What it is replaced by is there; of what is let go, also what is over.
_DELETE_OLD = """
DELETE FROM spans
WHERE {of_spans} AND {old} AND
(
    (trace_id, span_id) IN (SELECT trace_id, span_id FROM spans WHERE {of_spans} AND {new}) OR NOT ({further})
)
"""
# Those whose summary is not of the retention of their spans, or was lost on the way to it.
_STALE = """
SELECT s.trace_id AS trace_id
FROM (SELECT trace_id, max(retention_days) AS days FROM spans WHERE {of_spans} GROUP BY trace_id) AS s
LEFT JOIN
(
    SELECT trace_id, max(retention_days) AS days FROM {table}
    WHERE project_id = %(project_id)s AND trace_id IN %(traces)s GROUP BY trace_id
) AS t ON t.trace_id = s.trace_id
WHERE s.days != t.days
"""
# Summaries of traces that were let go and were over.
_DELETE_LEFT = """
DELETE FROM {table}
WHERE project_id = %(project_id)s AND trace_id IN %(traces)s AND retention_days >= %(held)s
    AND trace_id NOT IN (SELECT trace_id FROM spans WHERE {of_spans})
"""
_OF_SCORES = f"""
({OF_TRACES}) OR (project_id = %(project_id)s AND trace_id = '' AND session_id IN
(
    SELECT id FROM subject_traces WHERE project_id = %(project_id)s AND kind = 'session' AND trace_id IN %(traces)s
))
"""  # noqa: S608  (constants)
# As long as another trace of the session is held, what was said of the session is.
_OF_FREE_SCORES = f"""
({OF_TRACES}) OR (project_id = %(project_id)s AND trace_id = '' AND session_id IN
(
    SELECT id FROM subject_traces
    WHERE project_id = %(project_id)s AND kind = 'session' AND id IN
    (
        SELECT id FROM subject_traces
        WHERE project_id = %(project_id)s AND kind = 'session' AND trace_id IN %(traces)s
    )
    GROUP BY id
    HAVING countIf(trace_id NOT IN %(traces)s AND retention_days >= %(held)s) = 0
))
"""  # noqa: S608  (constants)
_SESSIONS = f"SELECT DISTINCT id FROM subject_traces WHERE {OF_TRACES} AND kind = 'session'"  # noqa: S608  (a constant)
# The same, when the summaries are those of traces that are held no longer.
_OF_SCORES_SINCE = f"""
({OF_TRACES}) OR (project_id = %(project_id)s AND trace_id = '' AND session_id IN %(sessions)s AND session_id NOT IN
(
    SELECT id FROM subject_traces
    WHERE project_id = %(project_id)s AND kind = 'session' AND id IN %(sessions)s AND retention_days >= %(held)s
))
"""  # noqa: S608  (constants)
# Tables whose rows replace one another by their keys, and which of them are the traces'. Days count from `time`.
_REPLACING = {"log_records": OF_TRACES, "scores": _OF_SCORES}
_REPLACING_FREE = {"log_records": OF_TRACES, "scores": _OF_FREE_SCORES}
# The last written of equal rows is looked at: one that is held already, or one that has come since.
_WRITE_AGAIN = """
INSERT INTO {table}
SELECT * REPLACE ({days}) FROM
(
    SELECT * FROM (SELECT * FROM {table} FINAL WHERE {where}) WHERE {old} AND {further}
)
SETTINGS insert_deduplicate = 0
"""
_KEEP_TEXTS = """
INSERT INTO contents (project_id, hash, text, expires_on)
SELECT project_id, hash, text, toDate(%(until)s)
FROM contents FINAL
WHERE project_id = %(project_id)s AND hash IN %(hashes)s AND expires_on < toDate(%(until)s)
SETTINGS insert_deduplicate = 0
"""
# Of everybody's spans, those that refer to some texts: when the last of them is over, and whether one is held.
_USED_TEXTS = """
SELECT substring(arrayJoin(contents), 2) AS hash, max(toUnixTimestamp(start_time)) AS start_s,
    max(if(trace_id IN %(traces)s AND retention_days >= %(held)s, retention_days - %(held)s, retention_days)) AS days
FROM spans
WHERE project_id = %(project_id)s AND hasAny(contents, %(used)s) AND hash IN %(hashes)s
GROUP BY hash
"""
_FREE_TEXTS = """
INSERT INTO contents (project_id, hash, text, expires_on)
SELECT project_id, hash, any(text), toDate(%(until)s)
FROM contents
WHERE project_id = %(project_id)s AND hash IN %(hashes)s
GROUP BY project_id, hash
SETTINGS insert_deduplicate = 0
"""
_FORGET_HELD_TEXTS = """
DELETE FROM contents WHERE project_id = %(project_id)s AND hash IN %(hashes)s AND expires_on >= toDate(%(held_from)s)
"""
_SIZES = """
SELECT trace_id, sum(span_count) AS spans
FROM traces
WHERE project_id = %(project_id)s AND trace_id IN %(traces)s
GROUP BY trace_id
"""
_THERE = f"""
SELECT DISTINCT trace_id FROM
(
    SELECT trace_id FROM spans WHERE {OF_SPANS}
    UNION ALL
    SELECT trace_id FROM log_records WHERE {OF_TRACES}
)
"""  # noqa: S608  (constants)
# As far ahead as a row's retention lies, and from when on a text's day is that of a held span: by its own days it would
# be ten years away at most.
HELD_TEXTS_UNTIL, HELD_TEXTS_FROM = date(2099, 12, 31), date(2075, 1, 1)


def few_enough(project_id: int, traces: Sequence[str], most_spans: int) -> list[str]:
    """Return the first of some traces, of so many spans together but at least one. Raises StoreError."""
    rows = client.query(project_id, _SIZES, {"traces": list(traces)}, tag="holds.sizes")
    sizes = {row["trace_id"]: int(row["spans"]) for row in rows}
    chosen: list[str] = []
    total = 0
    for trace_id in traces:
        total += sizes.get(trace_id, 0)
        if chosen and total > most_spans:
            break
        chosen.append(trace_id)
    return chosen


def there(project_id: int, traces: Sequence[str]) -> set[str]:
    """Return those of some traces of which there are spans or log records. Raises StoreError."""
    rows = client.query(project_id, _THERE, with_minutes(project_id, traces), tag="holds.there")
    return {row["trace_id"] for row in rows}


def is_kept(project_id: int, traces: Sequence[str]) -> bool:
    """Whether `keep` has nothing to do for some traces: nothing has come since. Raises StoreError."""
    given = _given(project_id, traces)
    stale = _STALE.format(of_spans=OF_SPANS, table="traces")
    if client.query(project_id, stale, given, tag="holds.stale"):
        return False
    free = f"SELECT 1 AS one FROM spans WHERE {OF_SPANS} AND {_FREE} LIMIT 1"  # noqa: S608  (constants)
    if client.query(project_id, free, given, tag="holds.free"):
        return False
    for table, where in _REPLACING.items():
        inner = f"SELECT retention_days FROM {table} FINAL WHERE {where}"  # noqa: S608  (constants)
        free = f"SELECT 1 AS one FROM ({inner}) WHERE {_FREE} LIMIT 1"  # noqa: S608  (constants)
        if client.query(project_id, free, _times(given), tag="holds.free"):
            return False
    return True


def keep(project_id: int, traces: Sequence[str], note_blobs: Callable[[list[str]], None]) -> None:
    """Have everything of some traces stay, until `free`; tell `note_blobs` which blobs these refer to.

    Blobs are `<day>/<sha256>`, and told before any row is changed: whoever comes after a worker that was killed may
    find by the rows that nothing is left to do. With the ingest's lock held: no span may be stored, and none rewritten,
    meanwhile. May be called again after it was interrupted anywhere, and for traces of which more has come. Raises
    StoreError.
    """
    given = _given(project_id, traces)
    note_blobs(blobs(project_id, given))
    _keep_texts(project_id, given)
    _rewrite_spans(project_id, given, days=_KEEP, old=_FREE, new=_HELD, further="1")
    for table, where in _REPLACING.items():
        sql = _WRITE_AGAIN.format(table=table, days=_KEEP, old=_FREE, where=where, further="1")
        client.query(project_id, sql, _times(given), tag="holds.keep")


def free(project_id: int, traces: Sequence[str]) -> None:
    """Have what was kept of some traces go in its own time; what is over goes at once.

    With the ingest's lock held. May be called again after it was interrupted anywhere. Raises StoreError.
    """
    given = _given(project_id, traces)
    hashes = texts(project_id, given)
    found = client.query(project_id, _SESSIONS, given, tag="holds.sessions")
    # An empty list cannot be bound; nothing has this name.
    sessions = {"sessions": [row["id"] for row in found] or ["\0"]}
    # First what is found by the summaries.
    for table, where in _REPLACING_FREE.items():
        _free_replacing(project_id, given, table, where)
    # Before the spans that name them: of a text that is forgotten here, nobody would know that it was held.
    _free_texts(project_id, hashes, given)
    further = _NOT_OVER.format(moment="start_time")
    _rewrite_spans(project_id, given, days=_FREE_AGAIN, old=_HELD, new=_FREE, further=further)
    for derived in _BY_TRACE:
        client.query(project_id, _DELETE_LEFT.format(table=derived.table, of_spans=OF_SPANS), given, tag="holds.free")
    # What was judged meanwhile was held by the summaries of then (query.held_rows).
    _free_replacing(project_id, given | sessions, "scores", _OF_SCORES_SINCE)


def _free_replacing(project_id: int, given: dict[str, Any], table: str, where: str) -> None:
    """Give rows of a table that replaces equal keys their own days again."""
    held = f"({where}) AND {_HELD}"
    some = f"SELECT 1 AS one FROM {table} WHERE {held} LIMIT 1"  # noqa: S608  (constants)
    if not client.query(project_id, some, _times(given), tag="holds.free"):
        return
    further = _NOT_OVER.format(moment="time")
    sql = _WRITE_AGAIN.format(table=table, days=_FREE_AGAIN, old=_HELD, where=where, further=further)
    client.query(project_id, sql, _times(given), tag="holds.free")
    client.query(project_id, f"DELETE FROM {table} WHERE {held}", _times(given), tag="holds.free")  # noqa: S608  (constants)


def _given(project_id: int, traces: Sequence[str]) -> dict[str, Any]:
    return with_minutes(project_id, traces) | {"held": HELD_DAYS}


def _times(given: dict[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in ("traces", "sessions", "held") if name in given}


def _rewrite_spans(project_id: int, given: dict[str, Any], *, days: str, old: str, new: str, further: str) -> None:
    """Give spans other days, and what is derived by trace with them. With the ingest's lock held."""
    staging = f"remap_held_{project_id:d}"
    words = {"of_spans": OF_SPANS, "old": old, "new": new, "further": further, "staging": staging, "days": days}
    client.execute_unscoped(f"DROP TABLE IF EXISTS {staging} SYNC", tag="holds.drop")
    client.execute_unscoped(f"CREATE TABLE {staging} AS spans", tag="holds.create")
    client.query(project_id, _STAGE.format(**words), given, tag="holds.stage")
    for row in client.query(project_id, _STAGED, {"table": staging}, tag="holds.staged"):
        client.execute_unscoped(
            f"ALTER TABLE spans ATTACH PARTITION ID '{row['partition_id']}' FROM {staging}", tag="holds.attach"
        )
    client.query(project_id, _DELETE_OLD.format(**words), given, tag="holds.delete")
    client.execute_unscoped(f"DROP TABLE IF EXISTS {staging} SYNC", tag="holds.drop")
    for derived in _BY_TRACE:
        sql = _STALE.format(of_spans=OF_SPANS, table=derived.table)
        stale = [row["trace_id"] for row in client.query(project_id, sql, given, tag="holds.stale")]
        if stale:
            of_stale = given | {"traces": stale}
            delete = f"DELETE FROM {derived.table} WHERE {OF_TRACES}"  # noqa: S608  (constants)
            client.query(project_id, delete, {"traces": stale}, tag="holds.delete")
            derive(project_id, derived, SPANS, {name: of_stale[name] for name in ("traces", "minutes")})


def _keep_texts(project_id: int, given: dict[str, Any]) -> None:
    if hashes := texts(project_id, given):
        bound = {"hashes": hashes, "until": HELD_TEXTS_UNTIL.isoformat()}
        client.query(project_id, _KEEP_TEXTS, bound, tag="holds.keep_texts")


def _free_texts(project_id: int, hashes: Sequence[str], given: dict[str, Any]) -> None:
    """Have texts go when the last span that refers to each is over, unless one is held."""
    if not hashes:
        return
    used = [side + each for each in hashes for side in "iox"]
    asked = {"hashes": list(hashes), "used": used} | _times(given)
    rows = client.query(project_id, _USED_TEXTS, asked, tag="holds.used_texts")
    # Not at once where nothing refers to it: a collector remembers for minutes which texts it need not write again.
    until = dict.fromkeys(hashes, gone_on(time.time_ns(), 1))
    for row in rows:
        if row["days"] >= HELD_DAYS:
            del until[row["hash"]]
        else:
            # By the latest span and the longest retention: no earlier than any of them.
            until[row["hash"]] = max(until[row["hash"]], gone_on(int(row["start_s"]) * 10**9, row["days"]))
    for day in sorted(set(until.values())):
        bound = {"hashes": [each for each, its_day in until.items() if its_day == day]}
        client.query(project_id, _FREE_TEXTS, bound | {"until": day.isoformat()}, tag="holds.free_texts")
        client.query(
            project_id, _FORGET_HELD_TEXTS, bound | {"held_from": HELD_TEXTS_FROM.isoformat()}, tag="holds.free_texts"
        )
