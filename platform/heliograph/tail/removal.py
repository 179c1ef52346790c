"""Taking whole traces out of `spans`: every step may be done again, so that a worker may be killed at any.

What a removed span had added to `span_rollups_1m` stays there, since charts speak of all traffic; it is noted in
`span_rollups_removed`, for when a minute is derived from its spans again. A trace's summary stays too.
"""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from heliograph.clickhouse import client
from heliograph.holds.held import HELD_WHY, held_of, one_at_a_time
from heliograph.ingest.lock import commits_held
from heliograph.query.rows_of_traces import OF_SPANS, SPANS
from heliograph.remap.rollups import DERIVED, derive
from heliograph.rules.models import TailSampler
from heliograph.rules.pins import pinned_of

NOT_WANTED = "no sampling rule wanted it"
LATE = "it came after its trace was removed"
PINNED = "pinned"
# What an item of the ledger is counted in: spans that were stored and then removed, and decided traces.
REMOVED_SPANS, KEPT_TRACES, REMOVED_TRACES = "removed", "kept_traces", "removed_traces"

_COUNT = f"SELECT key_id, count() AS spans FROM spans WHERE {OF_SPANS} GROUP BY key_id"  # noqa: S608  (a constant)
_DELETE = f"DELETE FROM spans WHERE {OF_SPANS}"  # noqa: S608  (a constant)


def plan(
    removed: Mapping[str, str], kept: Mapping[str, str], minutes: Sequence[int], retention_days: int
) -> dict[str, Any]:
    """Return what is to be done, as JSON: traces to remove with why, traces to keep with their rule's name.

    `minutes` are those of the removed traces, epoch seconds.
    """
    return {
        "id": uuid.uuid4().hex,
        "at": int(datetime.now(UTC).timestamp()),
        "removed": dict(removed),
        "kept": dict(kept),
        "minutes": sorted(set(minutes)),
        "retention_days": retention_days,
    }


def carry_out(sampler: TailSampler) -> None:
    """Do what the sampler's `pending` says, and forget it. May be called again after it was interrupted anywhere.

    Raises StoreError, and then it is still pending.
    """
    work: dict[str, Any] | None = sampler.pending
    if work is None:
        return
    project_id = sampler.project_id
    if work["removed"]:
        # No span of these traces may be stored between the counting and the deletion, and none be rewritten.
        with commits_held(settings.SPOOL_DIR, "traces"):
            # Under the lock: who waits for it may wait for long, and a hold may be placed meanwhile.
            _spare_pinned(sampler, work)
            if work["removed"]:
                _remove(sampler, work)
    client.insert("trace_states", _marks(project_id, work), token=f"tail-marks-{work['id']}")
    client.insert("ingest_ledger", _entries(project_id, work), token=f"tail-ledger-{work['id']}")
    sampler.pending = None
    sampler.save()


def _spare_pinned(sampler: TailSampler, work: dict[str, Any]) -> None:
    """Keep what was pinned or held since it was decided, unless its removal has begun (`rules.pins`, `holds.held`)."""
    # `spans` of one that an earlier version had begun.
    if "is_begun" in work or "spans" in work:
        return
    with one_at_a_time(sampler.project_id):
        pinned = pinned_of(sampler.project_id, work["removed"])
        spared = {trace: PINNED for trace in pinned if work["removed"][trace] != LATE}
        spared |= dict.fromkeys(held_of(sampler.project_id, work["removed"]), HELD_WHY)
        for trace_id, why in spared.items():
            del work["removed"][trace_id]
            work["kept"][trace_id] = why
        work["is_begun"] = True
        sampler.save(update_fields=["pending"])


def _remove(sampler: TailSampler, work: dict[str, Any]) -> None:
    given = {"traces": list(work["removed"]), "minutes": work["minutes"]}
    if "spans" not in work:
        rows = client.query(sampler.project_id, _COUNT, given, tag="tail.count")
        # Before anything is deleted: how many there were cannot be asked again.
        work["spans"] = {str(row["key_id"]): row["spans"] for row in rows}
        sampler.save(update_fields=["pending"])
    if "noted" not in work:
        derive(sampler.project_id, DERIVED[0], SPANS, given, into="span_rollups_removed", token=f"tail-{work['id']}")
        work["noted"] = True
        sampler.save(update_fields=["pending"])
    client.query(sampler.project_id, _DELETE, given, tag="tail.delete")


def _marks(project_id: int, work: Mapping[str, Any]) -> dict[str, list[Any]]:
    at, never = datetime.fromtimestamp(work["at"], UTC), datetime.fromtimestamp(0, UTC)
    decided = [*work["removed"], *work["kept"]]
    removed = len(work["removed"])
    return {
        "project_id": [project_id] * len(decided),
        "trace_id": decided,
        "removed_at": [at] * removed + [never] * len(work["kept"]),
        "removed_why": [*work["removed"].values()] + [""] * len(work["kept"]),
        "kept_at": [never] * removed + [at] * len(work["kept"]),
        "kept_why": [""] * removed + [*work["kept"].values()],
        # By which the mark is forgotten in its time.
        "start_time": [at] * len(decided),
        "retention_days": [work["retention_days"]] * len(decided),
    }


def _entries(project_id: int, work: Mapping[str, Any]) -> dict[str, list[Any]]:
    minute = datetime.fromtimestamp(work["at"] // 60 * 60, UTC)
    rows: list[tuple[int, str, str, int]] = [
        (int(key), REMOVED_SPANS, "", spans) for key, spans in work.get("spans", {}).items()
    ]
    late = sum(why == LATE for why in work["removed"].values())
    rows.append((0, REMOVED_TRACES, "", len(work["removed"]) - late))
    rows += [(0, KEPT_TRACES, rule, n) for rule, n in Counter(work["kept"].values()).items()]
    rows = [row for row in rows if row[3]]
    keys, whats, reasons, counts = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    n = len(rows)
    return {
        "project_id": [project_id] * n,
        "key_id": keys,
        "signal": ["traces"] * n,
        "minute": [minute] * n,
        "what": whats,
        "reason": reasons,
        "n": counts,
    }
