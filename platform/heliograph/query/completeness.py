"""Whether a trace is complete: its root ended, no span is open, no parent is missing, and nothing new came for a while.

- `states(project_id, trace_ids) -> dict[str, Completeness]`: of traces by id, for a page of a list
- `settled(project_id, after, until) -> Settled`: traces of which nothing more came, in the order of their last arrival,
  for whoever waits for whole traces (evaluators, sampling)
- `ready(project_id, trace_ids) -> set[str]`: of which nobody waits for more: for a job that asks for
  complete ones only
- `removed(project_id, trace_ids) -> set[str]`: those that tail sampling took out

Read from `trace_states`, which a materialized view keeps up at arrival, by the primary key: a page of a list reads as
many granules as it has traces, whatever is stored. "For a while" is TRACE_QUIET_SECONDS for a trace that is whole, and
TRACE_GIVE_UP_SECONDS for one that is not: after that it is called incomplete, and nobody waits for it any longer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from django.conf import settings

from heliograph.clickhouse import client

State = Literal["complete", "running", "incomplete", "removed"]

# As `trace_states` keeps of each trace; beyond, missing parents are not looked for.
_KNOWN_IDS = 512
# Arrivals looked through for one page of `settled`: a minute of a busy project, and after a long stop its hours part
# by part.
WINDOW_SPANS = 500_000
# Traces of one page of `settled`: an evaluator's or a sampler's batch.
SETTLED_TRACES = 2_000

STATES = """
SELECT
    trace_id, last_us, spans, root_ended, open_spans, removed_at, removed_why, kept_at, kept_why,
    if(length(known) < %(known_ids)s, arrayCount(parent -> NOT has(known, parent), wanted), 0) AS missing_parents,
    toUnixTimestamp64Micro(now64(6)) AS now_us
FROM (
    SELECT
        trace_id,
        toUnixTimestamp64Micro(max(s.last_received)) AS last_us,
        sum(s.span_count) AS spans,
        max(s.root_ended) AS root_ended,
        sum(s.open_count) AS open_spans,
        groupUniqArrayArray(512)(s.ids) AS known,
        groupUniqArrayArray(512)(s.parents) AS wanted,
        toUnixTimestamp(max(s.removed_at)) AS removed_at,
        max(s.removed_why) AS removed_why,
        toUnixTimestamp(max(s.kept_at)) AS kept_at,
        max(s.kept_why) AS kept_why
    FROM trace_states AS s
    WHERE s.project_id = %(project_id)s AND s.trace_id IN %(trace_ids)s
    GROUP BY trace_id
)
"""

# The end of a bounded piece of the arrivals; spans of one insert share their time and stay together.
WINDOW_END = """
SELECT toUnixTimestamp64Micro(max(received_at)) AS end_us, count() AS spans
FROM (
    SELECT received_at
    FROM spans
    WHERE project_id = %(project_id)s
        AND received_at >= fromUnixTimestamp64Micro(%(after_us)s, 'UTC')
        AND received_at < fromUnixTimestamp64Micro(%(until_us)s, 'UTC')
    ORDER BY received_at
    LIMIT %(most)s
)
"""

ARRIVED = """
SELECT trace_id, toUnixTimestamp64Micro(max(received_at)) AS last_us
FROM spans
WHERE project_id = %(project_id)s
    AND received_at >= fromUnixTimestamp64Micro(%(after_us)s, 'UTC')
    AND received_at <= fromUnixTimestamp64Micro(%(end_us)s, 'UTC')
GROUP BY trace_id
HAVING (last_us, trace_id) > (%(after_us)s, %(after_trace)s)
ORDER BY last_us, trace_id
LIMIT %(limit)s
"""

REMOVED = """
SELECT trace_id
FROM trace_states
WHERE project_id = %(project_id)s AND trace_id IN %(trace_ids)s
GROUP BY trace_id
HAVING max(removed_at) > toDateTime(0, 'UTC')
"""


@dataclass(frozen=True, slots=True)
class Completeness:
    """How far a trace is. `why` says in words what is missing, or why it was removed; '' for a complete one.

    `is_whole` says that its root ended, no span is open and no parent is missing, however lately.
    """

    state: State
    why: str
    is_whole: bool
    span_count: int
    last_received: datetime
    # The sampling rule that wanted it kept; '' where tail sampling has decided nothing, or removed it.
    kept_by: str = ""

    @property
    def label(self) -> str:
        """The state in words for people."""
        if self.state == "running":
            return "just ended" if self.is_whole else "still running"
        if self.state == "incomplete":
            return f"incomplete: {self.why}"
        return "sampled out" if self.state == "removed" else "complete"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """How far the traces of a project are read, in the order of their last arrival."""

    received_us: int
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """Traces of which nothing more came, by id in the order of their last arrival, and where to go on.

    `is_last` where nothing more is settled now.
    """

    traces: dict[str, Completeness]
    place: Place
    is_last: bool


def states(project_id: int, trace_ids: Iterable[str]) -> dict[str, Completeness]:
    """Return how far these traces are; a trace from before this was kept is absent. Raises StoreError."""
    wanted = tuple(trace_ids)
    if not wanted:
        return {}
    parameters = {"trace_ids": wanted, "known_ids": _KNOWN_IDS}
    rows = client.query(project_id, STATES, parameters, tag="completeness.states")
    return {row["trace_id"]: _completeness(row) for row in rows if row["spans"] or row["removed_at"]}


def settled(project_id: int, after: Place, until: datetime, *, limit: int = SETTLED_TRACES) -> Settled:
    """Return the traces whose last span was stored after `after` and before `until`, earliest first.

    A trace of which more comes later is returned again then: every trace is met after each of its silences, and no
    state need be kept of those that are waited for. Raises StoreError.
    """
    until_us = _us(until)
    given: dict[str, Any] = {"after_us": after.received_us, "until_us": until_us, "most": WINDOW_SPANS}
    (window,) = client.query(project_id, WINDOW_END, given, tag="completeness.window")
    if not window["spans"]:
        return Settled({}, after, is_last=True)
    given = {
        "after_us": after.received_us,
        "after_trace": after.trace_id,
        "end_us": window["end_us"],
        "limit": limit,
    }
    arrived = client.query(project_id, ARRIVED, given, tag="completeness.arrived")
    found = states(project_id, (row["trace_id"] for row in arrived))
    quiet = {
        row["trace_id"]: found[row["trace_id"]]
        for row in arrived
        if row["trace_id"] in found and _us(found[row["trace_id"]].last_received) == row["last_us"]
    }
    if len(arrived) == limit:
        return Settled(quiet, Place(arrived[-1]["last_us"], arrived[-1]["trace_id"]), is_last=False)
    # Behind every trace of the last moment: ids are hexadecimal, and sort before "~".
    return Settled(quiet, Place(window["end_us"], "~"), is_last=window["spans"] < WINDOW_SPANS)


def ready(project_id: int, trace_ids: Iterable[str]) -> set[str]:
    """Return those of these traces of which nobody waits for more. Raises StoreError.

    They are complete, or were given up as incomplete, or come from before states were kept; not those that are running,
    nor what sampling took out. A job that judges complete traces only asks this of its batch and leaves the others for
    its next pass; one that goes through all of them in order asks `settled`, which needs no list of who was left.
    """
    wanted = set(trace_ids)
    known = states(project_id, wanted)
    return {trace for trace in wanted if trace not in known or known[trace].state in ("complete", "incomplete")}


def removed(project_id: int, trace_ids: Iterable[str]) -> set[str]:
    """Return those of these traces that tail sampling took out. Raises StoreError."""
    wanted = tuple(trace_ids)
    if not wanted:
        return set()
    rows = client.query(project_id, REMOVED, {"trace_ids": wanted}, tag="completeness.removed")
    return {row["trace_id"] for row in rows}


def quiet_since() -> datetime:
    """Return the time before which a whole trace's last span must have been stored for it to be complete."""
    return datetime.now(UTC) - timedelta(seconds=settings.TRACE_QUIET_SECONDS)


def given_up_since() -> datetime:
    """Return the time before which the last span of a trace that is not whole must have been stored to give it up."""
    return datetime.now(UTC) - timedelta(seconds=settings.TRACE_GIVE_UP_SECONDS)


def _completeness(row: dict[str, Any]) -> Completeness:
    lacks = []
    if not row["root_ended"]:
        lacks.append("root missing")
    if row["missing_parents"]:
        lacks.append(f"{row['missing_parents']} parent{'s' if row['missing_parents'] > 1 else ''} missing")
    if row["open_spans"]:
        lacks.append(f"{row['open_spans']} span{'s have' if row['open_spans'] > 1 else ' has'} not ended")
    silent_s = (row["now_us"] - row["last_us"]) / 1e6
    state: State = "running"
    why = ", ".join(lacks)
    if row["removed_at"]:
        state, why = "removed", row["removed_why"]
    elif lacks:
        state = "incomplete" if silent_s >= settings.TRACE_GIVE_UP_SECONDS else "running"
    elif silent_s >= settings.TRACE_QUIET_SECONDS:
        state = "complete"
    else:
        why = f"its last span came less than {settings.TRACE_QUIET_SECONDS} s ago, and more may follow"
    return Completeness(
        state,
        why,
        not lacks,
        row["spans"],
        datetime.fromtimestamp(0, UTC) + timedelta(microseconds=row["last_us"]),
        row["kept_why"] if row["kept_at"] else "",
    )


def _us(moment: datetime) -> int:
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
