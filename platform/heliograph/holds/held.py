"""Is it held? What whoever removes something asks, and nobody answers otherwise.

A hold and a removal may meet. A hold is written down before it looks for its traces, and each trace before anything is
done for it; a removal is written down before it asks here, and asks right before it removes, under the lock of the
ingest where it takes that. It asks and notes that it has begun in one piece (`one_at_a_time`), and so is a hold placed:
either the removal sees the hold, or it had begun before, and the hold says which of its traces are gone.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from heliograph.accounts.models import Project
from heliograph.clickhouse import client
from heliograph.holds.finding import of_filter
from heliograph.holds.models import MAX_TRIES, HeldBlob, HeldTrace, Hold
from heliograph.query.held_rows import HELD_DAYS

# Of those from which weeks are dropped, the ones that hold rows of traces.
HELD_TABLES = ("spans", "log_records")
HELD_WHY = "legal hold"
# Ids in one question to the database; SQLite binds 32,766.
_AT_ONCE = 5_000

# Traces of users and sessions under hold that came after the hold was placed.
_STANDING = """
SELECT DISTINCT trace_id
FROM subject_traces
WHERE project_id = %(project_id)s AND kind = %(kind)s AND id IN %(ids)s AND trace_id IN %(trace_ids)s
"""
_HELD_WEEKS = """
SELECT DISTINCT _partition_id AS week FROM {table} WHERE retention_days >= %(held)s
"""
_WEEKS_OF_TRACES = """
SELECT DISTINCT _partition_id AS week FROM {table} WHERE project_id = %(project_id)s AND trace_id IN {traces}
"""
_TRACES_OF_SUBJECT = """
(SELECT trace_id FROM subject_traces WHERE project_id = %(project_id)s AND kind = %(kind)s AND id = %(id)s)
"""


@contextmanager
def one_at_a_time(project_id: int) -> Iterator[None]:
    """Of a project, let one hold be placed, or one removal ask and note that it has begun; the others wait."""
    with transaction.atomic():
        Project.objects.select_for_update().only("pk").get(pk=project_id)
        yield


def held_of(project_id: int, trace_ids: Iterable[str]) -> set[str]:
    """Return those of some traces that must not be removed. Raises StoreError."""
    wanted = list(dict.fromkeys(trace_ids))
    holds = list(Hold.objects.filter(project=project_id, state__in=Hold.IN_FORCE)) if wanted else []
    if not holds:
        return set()
    found: set[str] = set()
    for first in range(0, len(wanted), _AT_ONCE):
        part = wanted[first : first + _AT_ONCE]
        of_holds = HeldTrace.objects.filter(project=project_id, trace_id__in=part, hold__state__in=Hold.IN_FORCE)
        found.update(of_holds.values_list("trace_id", flat=True))
        for kind in Hold.STANDING:
            if ids := [hold.subject for hold in holds if hold.kind == kind]:
                given = {"kind": str(kind), "ids": ids, "trace_ids": part}
                rows = client.query(project_id, _STANDING, given, tag="holds.standing")
                found.update(row["trace_id"] for row in rows)
        # What these are about stands by the traces once it has been looked for, and until then in the store alone.
        for hold in holds:
            if hold.kind == Hold.Kind.FILTER and not hold.is_found:
                found |= of_filter(hold, part)
    return found


def held_weeks(table: str) -> set[str]:
    """Return the weeks of a table in which rows are held, or will be by what is being placed. Raises StoreError.

    A hold whose placing fails again and again (`Hold.failing`) counts by what is held of it already.
    """
    holds = list(Hold.objects.filter(state__in=Hold.OPEN))
    if not holds:
        return set()
    rows = client.execute_unscoped(_HELD_WEEKS.format(table=table), {"held": HELD_DAYS}, tag="holds.weeks")
    weeks = {row["week"] for row in rows}
    for hold in holds:
        if hold.state == Hold.State.PLACING and hold.tries < MAX_TRIES:
            weeks |= _weeks_to_be_held(hold, table)
    return weeks


def _weeks_to_be_held(hold: Hold, table: str) -> set[str]:
    weeks: set[str] = set()
    named = list(hold.held.filter(is_kept=False).values_list("trace_id", flat=True))
    asked: list[tuple[str, dict[str, Any]]] = [
        ("%(traces)s", {"traces": named[first : first + _AT_ONCE]}) for first in range(0, len(named), _AT_ONCE)
    ]
    if not hold.is_found and hold.kind in Hold.STANDING:
        asked.append((_TRACES_OF_SUBJECT, {"kind": hold.kind, "id": hold.subject}))
    for traces, given in asked:
        sql = _WEEKS_OF_TRACES.format(table=table, traces=traces)
        weeks.update(row["week"] for row in client.query(hold.project_id, sql, given, tag="holds.weeks"))
    if not hold.is_found and hold.start and hold.end:
        # A trace that a filter finds may have begun before the range, and end after it.
        monday = (hold.start - timedelta(days=hold.start.weekday() + 7)).date()
        while monday <= (hold.end + timedelta(days=7)).date():
            weeks.add(f"{monday:%Y%m%d}")
            monday += timedelta(days=7)
    return weeks


def is_held_blob(project_id: int, name: str) -> bool:
    """Whether a blob, `<day>/<sha256>`, must not be removed."""
    in_force = Q(hold__state__in=Hold.IN_FORCE)
    return HeldBlob.objects.filter(in_force, project=project_id, name=name).exists()
