"""One turn of an erasure: some traces, or some of what they referred to, or the receipt.

A plan is stored before anything of it is removed and folded into the counts once all of it is: a worker that is killed
anywhere is followed by one that does the same plan again.
"""

import uuid
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from heliograph.audit.models import Entry
from heliograph.audit.record import record
from heliograph.blobs import store as blobs
from heliograph.erasure import copies, stored
from heliograph.erasure.models import Erasure, Piece
from heliograph.exports.models import KEPT as EXPORTS_KEPT
from heliograph.holds.held import held_of, one_at_a_time
from heliograph.ingest.longtexts import REMEMBERED_SECONDS
from heliograph.query import rows_of_traces

# A deletion names its traces in its text; so many keep it small, and a turn some seconds.
TRACES_A_TURN = 200
PIECES_A_TURN = 500
# A collector that has written a text lately does not write it again: it remembers for up to two of these. After so
# long, a text to which nothing refers is one that whoever sends it next brings along.
SETTLE = timedelta(seconds=2 * REMEMBERED_SECONDS + 60)


def turn(erasure: Erasure) -> None:
    """Do the next part of an erasure that was claimed. Raises StoreError, BlobsAwayError, LostLeaseError."""
    if erasure.plan is None and not _plan(erasure):
        _pieces_or_receipt(erasure)
        return
    plan: dict[str, Any] = erasure.plan
    counts = Counter(erasure.counts)
    counts.update(plan["counts"])
    if "pieces" in plan:
        _remove_pieces(erasure.project_id, plan)
        with transaction.atomic():
            Piece.objects.filter(pk__in=plan["pieces"]).delete()
            # Its time has come: the next turn goes on with the next of them.
            erasure.give_back(plan=None, counts=dict(counts), note="")
        return
    if not stored.remove(erasure.project_id, erasure.subject, plan, plan["token"], partial(_may_begin, erasure)):
        # A hold was placed since it was planned: what it spares is planned without it.
        erasure.give_back(plan=None)
        return
    copies.remove(erasure.project_id, plan["traces"])
    # Spans that were found after the waiting begins it again.
    erasure.give_back(plan=None, counts=dict(counts), not_before=None, note="")


def _may_begin(erasure: Erasure) -> bool:
    """Whether a plan may be carried out, which is noted: one that was begun is ended, whatever is held by then.

    What was noted and deleted of it is known by the plan alone. Raises LostLeaseError where another worker has it.
    """
    if "is_begun" in erasure.plan:
        return True
    with one_at_a_time(erasure.project_id):
        if held_of(erasure.project_id, erasure.plan["traces"]):
            return False
        erasure.keep(plan=erasure.plan | {"is_begun": True})
    return True


def _plan(erasure: Erasure) -> bool:
    """Store what the next traces are and what goes with them; False where none is left."""
    project_id = erasure.project_id
    traces = stored.next_traces(project_id, erasure.subject, TRACES_A_TURN).traces
    if not traces:
        return False
    plan = stored.look(project_id, traces, copies.items_of(project_id, traces))
    plan["counts"] |= copies.count(project_id, traces)
    plan["token"] = f"erasure-{uuid.uuid4().hex}"
    named = [(Piece.Kind.TEXT, name) for name in rows_of_traces.texts(project_id, plan)]
    named += [(Piece.Kind.BLOB, name) for name in rows_of_traces.blobs(project_id, plan)]
    with transaction.atomic():
        Piece.objects.bulk_create(
            (Piece(erasure=erasure, kind=kind, name=name) for kind, name in named), ignore_conflicts=True
        )
        erasure.keep(plan=plan)
    return True


def _pieces_or_receipt(erasure: Erasure) -> None:
    if not erasure.pieces.exists():
        _finish(erasure)
        return
    now = timezone.now()
    if erasure.not_before is None:
        until = now + SETTLE
        note = f"Its spans are erased. Long texts and files that nothing else refers to follow after {until:%H:%M} UTC."
        erasure.give_back(not_before=until, note=note)
        return
    _plan_pieces(erasure)
    turn(erasure)


def _plan_pieces(erasure: Erasure) -> None:
    chosen = list(erasure.pieces.order_by("pk")[:PIECES_A_TURN])
    named = {kind: [piece.name for piece in chosen if piece.kind == kind] for kind in Piece.Kind}
    texts = stored.unused_texts(erasure.project_id, named[Piece.Kind.TEXT])
    files = stored.unused_blobs(erasure.project_id, named[Piece.Kind.BLOB])
    counts = {"texts": stored.count_texts(erasure.project_id, texts), "blobs": len(files)}
    erasure.keep(plan={"pieces": [piece.pk for piece in chosen], "texts": texts, "blobs": files, "counts": counts})


def _remove_pieces(project_id: int, plan: dict[str, Any]) -> None:
    stored.remove_texts(project_id, plan["texts"])
    for name in plan["blobs"]:
        day, _, digest = name.partition("/")
        blobs.remove(project_id, day, digest)


def _finish(erasure: Erasure) -> None:
    now = timezone.now()
    held = stored.next_traces(erasure.project_id, erasure.subject, TRACES_A_TURN).held
    receipt = {
        "project": erasure.project.slug,
        "user_id_sha256": erasure.digest,
        "requested_by": str(erasure.requested_by or "an API key"),
        "requested_at": erasure.created_at.isoformat(),
        "finished_at": now.isoformat(),
        "counts": {name: n for name, n in sorted(erasure.counts.items()) if n},
        "held_traces": held,
        "remains": [*held_traces(held), *remains(erasure.created_at, now)],
    }
    with transaction.atomic():
        erasure.finish(receipt)
        Erasure.objects.filter(pk=erasure.pk).update(subject="")
        record(
            "erasure-done",
            via=Entry.Via.COMMAND,
            actor="a worker",
            project=erasure.project,
            target={"erasure": erasure.pk, "user_id_sha256": erasure.digest},
        )


def held_traces(count: int) -> list[str]:
    """Return what a legal hold has kept from an erasure, if anything."""
    if not count:
        return []
    return [f"{count} traces under legal hold, as they were. Once it is lifted, erase again."]


def remains(asked: datetime, now: datetime) -> list[str]:
    """Return what an erasure does not reach, each with the day from which it is gone, or what to do."""
    letters = asked + timedelta(days=settings.DEAD_LETTER_DAYS)
    exports = now + EXPORTS_KEPT
    return [
        f"Backups made before {now:%Y-%m-%d}, until they are deleted; after one is restored, erase again.",
        f"Requests that could not be stored (dead letters), until {letters:%Y-%m-%d}.",
        f"Files of exports that were made before, until {exports:%Y-%m-%d} or until somebody deletes them.",
        "Days of the archive that were written before: write them again, where the project has an archive. Of days that"
        " are over in the store their files are the one copy: remove there what has to go.",
        "The store's files on disk, until their next merge takes the deleted rows out; no query reads them.",
        "Sums that name nobody (traffic, tokens and cost by the minute), and the times of traces by their ids.",
        "A judge's cached answers, which name nobody, until they expire; results of gates and drift monitors.",
        "What was sent elsewhere: webhooks, downloads, what people copied.",
    ]
