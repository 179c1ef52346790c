"""The turns of a hold: its traces are found and written down, then kept; and, once it is lifted, let go.

Each turn stores how far it came after it has done it, and is done again where its worker was killed in between.
"""

import hashlib
from functools import partial

from django.conf import settings
from django.utils import timezone

from heliograph.holds import stored
from heliograph.holds.finding import next_traces
from heliograph.holds.held import held_of
from heliograph.holds.models import LEASE, MAX_TRACES, SWEEP, HeldBlob, HeldTrace, Hold
from heliograph.ingest.lock import commits_held

# A deletion names its traces in its text, and commits of ingest wait while a turn writes so many spans anew: seconds.
TRACES_A_TURN = 200
SPANS_A_TURN = 20_000


def turn(hold: Hold) -> None:
    """Do the next part of a hold that was claimed. Raises StoreError."""
    if hold.state == Hold.State.LIFTING:
        _let_go(hold)
    elif hold.state == Hold.State.ACTIVE and _is_due(hold):
        _sweep(hold)
    elif not hold.is_found:
        _find(hold)
    else:
        _keep(hold)


def _is_due(hold: Hold) -> bool:
    return hold.swept_at is None or hold.swept_at < timezone.now() - SWEEP


def _sweep(hold: Hold) -> None:
    """Look at all of it anew: late spans, new scores, and what a session or user has added."""
    hold.held.update(is_kept=False)
    hold.keep(is_found=hold.kind not in Hold.STANDING, found_after="", swept_at=timezone.now())


def _find(hold: Hold) -> None:
    found = next_traces(hold, hold.found_after)
    room = MAX_TRACES - hold.held.count()
    known = set(hold.held.filter(trace_id__in=found.traces).values_list("trace_id", flat=True))
    new = [trace_id for trace_id in found.traces if trace_id not in known]
    HeldTrace.objects.bulk_create(
        (HeldTrace(hold=hold, project_id=hold.project_id, trace_id=trace_id) for trace_id in new[:room]),
        ignore_conflicts=True,
    )
    is_cut = len(new) > room
    hold.keep(
        is_found=is_cut or not found.after,
        found_after=found.after,
        is_cut=hold.is_cut or is_cut,
        traces=hold.held.count(),
    )


def _keep(hold: Hold) -> None:
    waiting = list(hold.held.filter(is_kept=False).order_by("pk").values_list("trace_id", flat=True)[:TRACES_A_TURN])
    if not waiting:
        counted = {"traces": hold.held.count(), "absent": hold.held.filter(is_absent=True).count()}
        hold.keep(state=Hold.State.ACTIVE, swept_at=hold.swept_at or timezone.now(), **counted)
        return
    chosen = stored.few_enough(hold.project_id, waiting, SPANS_A_TURN)
    # In a sweep mostly nothing has come since.
    if not (hold.state == Hold.State.ACTIVE and stored.is_kept(hold.project_id, chosen)):
        with commits_held(settings.SPOOL_DIR, "traces"):
            # Under the lock, since what is done below waits for nobody: where it took long to get, the claim may be
            # another's by now, which lets go what would be kept here for good.
            if not _renew(hold):
                return
            stored.keep(hold.project_id, chosen, partial(_note_blobs, hold))
    there = stored.there(hold.project_id, chosen)
    for is_absent in (True, False):
        these = [trace_id for trace_id in chosen if (trace_id not in there) == is_absent]
        hold.held.filter(trace_id__in=these).update(is_kept=True, is_absent=is_absent)
    # In a sweep no turn follows the last of these.
    hold.keep(absent=hold.held.filter(is_absent=True).count())


def _note_blobs(hold: Hold, names: list[str]) -> None:
    HeldBlob.objects.bulk_create(
        (HeldBlob(hold=hold, project_id=hold.project_id, name=name) for name in names), ignore_conflicts=True
    )


def _renew(hold: Hold) -> bool:
    return hold.keep(leased_until=timezone.now() + LEASE)


def _let_go(hold: Hold) -> None:
    """Let go what no other hold keeps."""
    waiting = list(hold.held.order_by("pk").values_list("trace_id", flat=True)[:TRACES_A_TURN])
    if not waiting:
        hold.blobs.all().delete()
        # Whose it was is nobody's business any more; whoever knows the id can tell by its digest.
        digest = hashlib.sha256(hold.subject.encode()).hexdigest()
        forgotten = {"subject": f"sha256 {digest}"} if hold.kind == Hold.Kind.USER else {}
        hold.keep(state=Hold.State.LIFTED, **forgotten)
        return
    chosen = stored.few_enough(hold.project_id, waiting, SPANS_A_TURN)
    with commits_held(settings.SPOOL_DIR, "traces"):
        if not _renew(hold):
            return
        held = held_of(hold.project_id, chosen)
        if free := [trace_id for trace_id in chosen if trace_id not in held]:
            stored.free(hold.project_id, free)
    hold.held.filter(trace_id__in=chosen).delete()
