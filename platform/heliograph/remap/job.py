"""One re-application: slice after slice of whole minutes, each rewritten, derived again and noted.

Whatever happens in a slice, it is gone through again from its start: spans of the revision are left alone, what was
staged is completed, and what is derived is derived again.
"""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from collectors.contents import MIN_CHARS, SIDES, Splitter
from collectors.otlp.remap import MAPPED_COLUMNS
from heliograph.blobs.store import gone_on
from heliograph.clickhouse import client
from heliograph.clickhouse.errors import StoreError
from heliograph.conventions.mapping import CACHE_SECONDS, index_of
from heliograph.conventions.models import Reapplication, Ruleset
from heliograph.ingest.lock import commits_held
from heliograph.ingest.longtexts import LongTexts, TextWriter
from heliograph.ingest.spool import Spool
from heliograph.remap import rollups, swap
from heliograph.remap.mapping import remapped

logger = logging.getLogger(__name__)

# Spans of a slice, but at least one minute: its minutes' rollups are derived again while commits wait.
SLICE_SPANS = 20_000
# Spans and bytes read and written at once: in Python a batch takes about five times its bytes.
BATCH_SPANS = 5_000
BATCH_BYTES = 32 * 2**20
# Minutes looked ahead for one slice; months without a span cost one question.
MINUTES_AHEAD = 1_000
# An ingest process takes the rules up after CACHE_SECONDS; a commit that was decoded before takes seconds.
SETTLING = timedelta(seconds=CACHE_SECONDS + 5)

_MINUTES = """
SELECT toStartOfMinute(start_time) AS minute, count() AS spans, toStartOfWeek(start_time, 1) AS week
FROM spans
WHERE project_id = %(project_id)s AND toStartOfMinute(start_time) >= %(start)s
    AND toStartOfMinute(start_time) < %(end)s AND mapping_revision < %(revision)s
GROUP BY minute, week
ORDER BY minute
LIMIT %(limit)s
"""
_COUNT = """
SELECT count() AS spans
FROM spans
WHERE project_id = %(project_id)s AND toStartOfMinute(start_time) >= %(start)s
    AND toStartOfMinute(start_time) < %(end)s AND mapping_revision < %(revision)s
"""


class Waiting(Exception):  # noqa: N818  (a state of the world, not a failure)
    """The job cannot go on now; the text says why, for people."""


def spans_to_do(project_id: int, start: datetime, end: datetime, revision: int) -> int:
    """Return how many spans of older revisions start between two minutes. Raises StoreError."""
    given = {"start": start, "end": end, "revision": revision}
    return int(client.query(project_id, _COUNT, given, tag="remap.count")[0]["spans"])


def work_on(job: Reapplication, deadline: float) -> None:
    """Go on with a claimed job until it ends or `time.monotonic()` passes `deadline`, then give it back.

    Raises nothing that the world may do: where the store is away or spooled telemetry waits, the job waits too.
    """
    try:
        _check_settled(job)
        _complete_what_was_left(job)
        while time.monotonic() < deadline:
            if job.cancel_requested:
                _finish(job, Reapplication.Status.CANCELLED)
                return
            if job.cursor >= job.end:
                _finish(job, Reapplication.Status.DONE)
                return
            _work_on_slice(job)
        job.give_back("")
    except Waiting as reason:
        job.give_back(str(reason))
    except StoreError as error:
        logger.warning("%s waits for the store", job, exc_info=True)
        job.give_back(f"The store refuses or is away: {error.user_text}")
    except Exception as error:  # a fault of ours: a person sees it on the page, and the next job completes the slice
        logger.exception("%s failed", job)
        job.end_as(Reapplication.Status.FAILED, f"{type(error).__name__}: {error}")


def _check_settled(job: Reapplication) -> None:
    made = Ruleset.objects.get(project=job.project_id, revision=job.revision).created_at
    if timezone.now() < made + SETTLING:
        raise Waiting("Ingest takes changed rules up within 15 seconds; then it starts.")


def _complete_what_was_left(job: Reapplication) -> None:
    """Finish what a killed worker left half done, also of an earlier job, and make the staging table anew."""
    with commits_held(settings.SPOOL_DIR, "traces"):
        swap.complete(job.project_id)
    swap.prepare(job.project_id)


def _finish(job: Reapplication, status: Reapplication.Status) -> None:
    swap.drop(job.project_id)
    rollups.drop_minutes(job.project_id)
    job.end_as(status)


def _work_on_slice(job: Reapplication) -> None:
    """Rewrite the next slice, from the job's cursor, and note that it is done."""
    end = _end_of_slice(job)
    done = changed = 0
    texts = TextWriter()
    while columns := swap.read_batch(
        job.project_id, job.cursor, end, job.revision, max_rows=BATCH_SPANS, max_bytes=BATCH_BYTES
    ):
        rewritten, differing = _rewritten(job, columns, texts)
        swap.stage(job.project_id, rewritten)
        with commits_held(settings.SPOOL_DIR, "traces"):
            swap.complete(job.project_id)
        done += len(columns["span_id"])
        changed += differing
        job.renew()
    with commits_held(settings.SPOOL_DIR, "traces"):
        # An insert that the store broke off may be in `spans` and not in what is derived; its replay adds that.
        if Spool(settings.SPOOL_DIR, settings.SPOOL_MAX_BYTES).files():
            raise Waiting("Spooled telemetry is being replayed; it goes on afterwards.")
        rollups.rebuild(job.project_id, job.cursor, end, job.revision, is_last=end >= job.end)
    job.advance(end, done, changed)


def _end_of_slice(job: Reapplication) -> datetime:
    """Return the minute before which the next slice ends: SLICE_SPANS spans, in one week, a minute at least."""
    given = {"start": job.cursor, "end": job.end, "revision": job.revision, "limit": MINUTES_AHEAD}
    minutes = client.query(job.project_id, _MINUTES, given, tag="remap.minutes")
    spans = 0
    for row in minutes:
        spans += row["spans"]
        is_full = spans > SLICE_SPANS and row is not minutes[0]
        if is_full or row["week"] != minutes[0]["week"]:
            return _utc(row["minute"])
    if len(minutes) == MINUTES_AHEAD:
        return _utc(minutes[-1]["minute"]) + timedelta(minutes=1)
    return job.end


def _utc(minute: datetime) -> datetime:
    """A minute of the store, which may come without its zone."""
    return minute.replace(tzinfo=UTC)


def _rewritten(
    job: Reapplication, columns: dict[str, Sequence[Any]], texts: TextWriter
) -> tuple[dict[str, Sequence[Any]], int]:
    """Return the rows by the job's rules, and in how many of them a field is another."""
    tables = {revision: index_of(job.project_id, revision) for revision in set(columns["mapping_revision"])}
    now = index_of(job.project_id, job.revision)
    was = [tables[revision] for revision in columns["mapping_revision"]]
    made = remapped(job.project_id, columns, was, now)
    rows = range(len(was))
    differing = [row for row in rows if any(made[name][row] != columns[name][row] for name in MAPPED_COLUMNS)]
    used = _split_long_texts(job.project_id, columns, made, differing, texts)
    rewritten: dict[str, Sequence[Any]] = {
        **columns,
        **made,
        "contents": used,
        "mapping_revision": [job.revision] * len(was),
    }
    return rewritten, len(differing)


def _split_long_texts(
    project_id: int,
    columns: dict[str, Sequence[Any]],
    made: dict[str, list[Any]],
    differing: Sequence[int],
    writer: TextWriter,
) -> list[Any]:
    """Put references into the place of long texts that the rules brought into a column, as the ingest does."""
    contents_used = list(columns["contents"])
    splitter = Splitter(project_id.to_bytes(8, "big"))
    expires = None
    for row in differing:
        used = list(contents_used[row])
        for name, side in SIDES:
            text = made[name][row]
            if text == columns[name][row]:
                continue
            used = [each for each in used if side == "x" or not each.startswith(side)]
            if len(text) >= MIN_CHARS:
                made[name][row] = splitter.split(text, used, side)
        if used != contents_used[row]:
            contents_used[row] = list(dict.fromkeys(used))
            gone = gone_on(columns["start_time"][row], columns["retention_days"][row])
            expires = gone if expires is None else max(expires, gone)
    if splitter.texts and expires is not None:
        writer.store([LongTexts(project_id, expires, splitter.texts)])
    return contents_used
