"""What is derived from `spans`, derived again where spans were rewritten.

The questions are the materialized views' own, as the store knows them, over the spans concerned: there is no second
copy of them here. Call with the ingest's lock held (`commit.locked`): the views must not add to what is being replaced.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from heliograph.clickhouse import client


@dataclass(frozen=True, slots=True)
class Derived:
    """A table that a materialized view fills from `spans`: how its rows of some spans are found, and those spans."""

    view: str
    table: str
    by: str


# A test compares with the views that the store has over `spans`.
DERIVED = (
    Derived("span_rollups_1m_from_spans", "span_rollups_1m", "minute"),
    Derived("traces_from_spans", "traces", "trace"),
    Derived("served_models_from_spans", "served_models", "hour"),
    Derived("prompt_versions_1h_from_spans", "prompt_versions_1h", "hour"),
    Derived("subject_hours_from_spans", "subject_hours", "hour"),
    Derived("subject_traces_from_spans", "subject_traces", "trace"),
)

# Views of identity, times and arrival alone, which no rule changes: rewriting a span by attaching it leaves them right.
UNAFFECTED = ("trace_states_from_spans",)

# Not as_select of an own copy: the view may have been given further columns since.
_SELECT = """
SELECT as_select
FROM system.tables
WHERE database = currentDatabase() AND name = %(view)s AND %(project_id)s > 0
"""
_FROM_SPANS = re.compile(r"\bFROM\s+(?:`?\w+`?\.)?`?spans`?\s+AS\s+(\w+)", re.IGNORECASE)

# The spans' traces stand in a table until the slice is done: their minutes are known from `traces` alone, and these
# rows are deleted before they are derived again.
_CREATE_MINUTES = """
CREATE TABLE IF NOT EXISTS {minutes} (trace_id String, minutes Array(DateTime('UTC')))
ENGINE = MergeTree ORDER BY trace_id
"""
_NOTE_MINUTES = """
INSERT INTO {minutes} (trace_id, minutes)
SELECT trace_id, groupUniqArrayArray(minutes)
FROM traces
WHERE project_id = %(project_id)s AND trace_id IN (
    SELECT trace_id
    FROM spans
    WHERE project_id = %(project_id)s AND toStartOfMinute(start_time) >= %(start)s
        AND toStartOfMinute(start_time) < %(end)s AND mapping_revision = %(revision)s
)
GROUP BY trace_id
SETTINGS insert_deduplicate = 0
"""
_DELETE_TRACES = """
DELETE FROM {table}
WHERE project_id = %(project_id)s AND trace_id IN (SELECT trace_id FROM {minutes})
"""
_SPANS_OF_TRACES = """
SELECT *
FROM spans
WHERE project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN (SELECT arrayJoin(minutes) FROM {minutes})
    AND trace_id IN (SELECT trace_id FROM {minutes})
"""
_DELETE_MINUTES = """
DELETE FROM span_rollups_1m
WHERE project_id = %(project_id)s AND minute >= %(start)s AND minute < %(end)s
"""
_ADD_REMOVED = """
INSERT INTO span_rollups_1m
SELECT * FROM span_rollups_removed
WHERE project_id = %(project_id)s AND minute >= %(start)s AND minute < %(end)s
SETTINGS insert_deduplicate = 0
"""
_SPANS_OF_MINUTES = """
SELECT *
FROM spans
WHERE project_id = %(project_id)s AND toStartOfMinute(start_time) >= %(start)s AND toStartOfMinute(start_time) < %(end)s
"""
_DELETE_HOURS = """
DELETE FROM {table}
WHERE project_id = %(project_id)s AND hour >= %(first)s AND hour < %(end)s
"""
_SPANS_OF_HOURS = """
SELECT *
FROM spans
WHERE project_id = %(project_id)s AND toStartOfHour(start_time) >= %(first)s AND toStartOfHour(start_time) < %(end)s
"""


def minutes_table(project_id: int) -> str:
    """Name of the table that holds the traces of the slice at hand, with their minutes."""
    return f"remap_traces_{project_id:d}"


def rebuild(project_id: int, start: datetime, end: datetime, revision: int, *, is_last: bool) -> None:
    """Derive the minutes from `start` to before `end` again, and every trace with a span of `revision` in them.

    Whole minutes, UTC. `is_last` says that no slice follows. May be called again after it was interrupted anywhere.
    Raises StoreError.
    """
    given = {"start": start, "end": end, "revision": revision}
    minutes = minutes_table(project_id)
    # A crash may have left the traces of this slice deleted: their minutes are there still, and are kept.
    client.execute_unscoped(_CREATE_MINUTES.format(minutes=minutes), tag="remap.create")
    client.query(project_id, _NOTE_MINUTES.format(minutes=minutes), given, tag="remap.note_minutes")
    client.query(project_id, _DELETE_MINUTES, given, tag="remap.delete_minutes")
    derive(project_id, DERIVED[0], _SPANS_OF_MINUTES, given)
    # What tail sampling removed was traffic all the same, and counts on by its fields of then.
    client.query(project_id, _ADD_REMOVED, given, tag="remap.add_removed")
    for derived in _by("trace"):
        delete = _DELETE_TRACES.format(minutes=minutes, table=derived.table)
        client.query(project_id, delete, tag="remap.delete_traces")
        derive(project_id, derived, _SPANS_OF_TRACES.format(minutes=minutes), {})
    client.execute_unscoped(f"TRUNCATE TABLE {minutes}", tag="remap.truncate")
    _rebuild_hours(project_id, start, end, is_last)


def _rebuild_hours(project_id: int, start: datetime, end: datetime, is_last: bool) -> None:
    """Derive the hours again that end in the slice, once each: a busy hour has many slices."""
    first, last = (moment.replace(minute=0, second=0, microsecond=0) for moment in (start, end))
    given: dict[str, object] = {"first": first, "end": end if is_last else last}
    if is_last or first < last:
        for derived in _by("hour"):
            client.query(project_id, _DELETE_HOURS.format(table=derived.table), given, tag="remap.delete_hours")
            derive(project_id, derived, _SPANS_OF_HOURS, given)


def _by(what: str) -> list[Derived]:
    return [derived for derived in DERIVED if derived.by == what]


def drop_minutes(project_id: int) -> None:
    """Remove the table of `rebuild`, once nothing is left to be derived again."""
    client.execute_unscoped(f"DROP TABLE IF EXISTS {minutes_table(project_id)} SYNC", tag="remap.drop")


def derive(
    project_id: int, derived: Derived, spans: str, given: dict[str, object], into: str = "", token: str = ""
) -> None:
    """Add what some spans make of a derived table to it, or to the table `into`; with a token, once.

    `spans` is a question for whole rows of `spans`. Raises StoreError.
    """
    (row,) = client.query(project_id, _SELECT, {"view": derived.view}, tag="remap.view")
    select, found = _FROM_SPANS.subn(lambda match: f"FROM ({spans}) AS {match[1]}", row["as_select"].replace("%", "%%"))
    if found != 1:
        raise ValueError(f"the view {derived.view} does not read FROM spans AS a name: {row['as_select'][:200]}")
    # The columns by name: a view's may stand in another order than its table's. Without a token, the same rows as
    # before are no duplicates here, since those were deleted.
    names = client.execute_unscoped(f"DESCRIBE TABLE {derived.view}", tag="remap.columns")
    columns = ", ".join(f"`{each['name']}`" for each in names)
    # Under a token a block is recognised by the thread that made it and its number there: with several threads the same
    # rows come from another one the next time, and are stored a second time.
    once = "insert_deduplication_token = %(token)s, max_threads = 1" if token else "insert_deduplicate = 0"
    sql = f"INSERT INTO {into or derived.table} ({columns}) SELECT {columns} FROM ({select}) SETTINGS {once}"  # noqa: S608  (the view's own question)
    client.query(project_id, sql, given | ({"token": token} if token else {}), tag="remap.derive")
