"""What a row says of a legal hold: HELD_DAYS beyond the retention that it came with (docs/adr/0073)."""

from collections.abc import Iterable

from heliograph.clickhouse import client

# Added to the days of a row's retention while it is held: 55 years, which ends before DateTime does, in 2106, and tells
# held rows from others, whose days are 3,650 at most; taken off again, it leaves what the row came with.
HELD_DAYS = 20_000

_HELD = """
SELECT DISTINCT 'trace' AS kind, trace_id AS id
FROM traces
WHERE project_id = %(project_id)s AND trace_id IN %(traces)s AND retention_days >= %(held)s
UNION ALL
SELECT DISTINCT 'session' AS kind, id
FROM subject_traces
WHERE project_id = %(project_id)s AND kind = 'session' AND id IN %(sessions)s AND retention_days >= %(held)s
"""


def held_traces_and_sessions(
    project_id: int, traces: Iterable[str], sessions: Iterable[str]
) -> tuple[set[str], set[str]]:
    """Return those of some traces that are held, and those of some sessions of which a trace is. Raises StoreError."""
    given = {"traces": list(set(traces)), "sessions": list(set(sessions)), "held": HELD_DAYS}
    # An empty list cannot be bound; nothing has this name.
    bound = given | {name: given[name] or ["\0"] for name in ("traces", "sessions")}
    rows = client.query(project_id, _HELD, bound, tag="held_rows.of")
    of_kind = {kind: {row["id"] for row in rows if row["kind"] == kind} for kind in ("trace", "session")}
    return of_kind["trace"], of_kind["session"]
