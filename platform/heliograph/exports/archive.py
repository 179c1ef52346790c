"""Whole days of a project as Parquet files in a bucket or a folder, written by the engine itself.

    project=<id>/signal=<signal>/day=<YYYY-MM-DD>/<HHMM>.parquet     hive's way to name parts; HHMM is where it begins
    project=<id>/_days/<YYYY-MM-DD>.json                             its files and rows, written when the day is whole

A file is named by where the one before it ended, and noted when it is written: a worker that is killed costs the file
that it was at, which is written again over itself whatever has arrived meanwhile. Before a day is called whole, its
files that this writing did not make are removed.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import transaction
from django.db.models import Case, F, Value, When
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.exports.models import OLDEST_DAY, UNREACHABLE, Archive, ArchivedDay
from heliograph.query import archive as parquet
from heliograph.rules.project import read_retention

logger = logging.getLogger(__name__)

# One worker also judges rules and answers: after so long, what waits has its turn.
TURN_SECONDS = 10.0
# The statement of a file of so many rows, or so many bytes before they are compressed, ends within a page's limits of
# time and memory by far; where it does not, the next file is of half as much.
ROWS_OF_A_FILE = 250_000
BYTES_OF_A_FILE = 2**30
# A file is then of a minute, or of 61 rows: what is wrong is not its size.
MOST_HALVINGS = 12
# Of a project, opened at once: the rest is opened when these are written.
MOST_DAYS_OPEN = 7
# Of a project in one beat, those that are passed over with them.
MOST_DAYS_LOOKED_AT = 100


class CannotArchiveError(Exception):
    """What was asked cannot be written; the text says why."""


def place(project: Project) -> str:
    """Return where a project's files are, as a person looks for them."""
    storage: Any = storages["archive"]
    where: str = storage.where(f"project={project.pk}")
    return where


def open_due(now: datetime) -> int:
    """Open the days of all schedules that are over for long enough; return how many.

    A day that cannot be written is passed over: it stops neither its own schedule nor those of others.
    """
    opened = 0
    for archive in Archive.objects.filter(is_on=True).order_by("pk"):
        if not settings.ARCHIVE_IS_REACHABLE:
            # The operator has taken the bucket away: days stay due.
            logger.warning("%s waits: %s", archive, UNREACHABLE)
            continue
        last = (now - timedelta(hours=archive.hours)).date() - timedelta(days=1)
        room = MOST_DAYS_OPEN - ArchivedDay.waiting().filter(project_id=archive.project_id).count()
        for _ in range(MOST_DAYS_LOOKED_AT):
            if archive.next_day > last or room <= 0:
                break
            if _open(archive):
                opened, room = opened + 1, room - 1
    return opened


def _open(archive: Archive) -> bool:
    """Open the next day of a schedule; False where another worker was faster, or where it cannot be written."""
    day = archive.next_day
    archive.next_day += timedelta(days=1)
    with transaction.atomic():
        if not Archive.objects.filter(pk=archive.pk, next_day=day).update(next_day=archive.next_day):
            return False
        try:
            again(archive.project, day, archive.signals)
        except CannotArchiveError as error:
            logger.warning("%s passes over %s: %s", archive, day, error)
            return False
    return True


def kept_since(project: Project, signals: Iterable[str]) -> date:
    """Return the first day (UTC) of which the store has every row of these signals still, unless the disk filled."""
    rules, usual = read_retention(project.pk), project.effective_retention_days
    # Scores that evaluators give are kept as the project says, those that came with telemetry as long as its longest.
    days = {
        "spans": rules.shortest("traces", usual),
        "scores": min(usual, rules.longest("traces", usual), rules.longest("logs", usual)),
        "logs": rules.shortest("logs", usual),
        "metrics": rules.shortest("metrics", usual),
    }
    return timezone.now().date() - timedelta(days=min(days[signal] for signal in signals) - 1)


def again(project: Project, day: date, signals: list[str], *, may_lose: bool = False) -> ArchivedDay:
    """Have a day written, from the beginning where it was before or is being written.

    Its files are the only copy of rows that are over in the store: a day so old is written again with `may_lose` alone.
    Raises CannotArchiveError.
    """
    if not settings.ARCHIVE_IS_REACHABLE:
        raise CannotArchiveError(UNREACHABLE)
    today = timezone.now().date()
    if not today - OLDEST_DAY <= day < today:
        raise CannotArchiveError(f"A day is written when it is over: choose one of the last {OLDEST_DAY.days} (UTC).")
    _refuse_to_lose(project, day, signals, may_lose=may_lose)
    wishes: dict[str, Any] = {"signals": signals, "may_lose": may_lose}
    found, is_new = ArchivedDay.objects.get_or_create(project=project, day=day, defaults=wishes)
    if not is_new:
        running = When(status=ArchivedDay.Status.RUNNING, then=Value(ArchivedDay.Status.RUNNING))
        # In one statement: its worker may end it meanwhile. `attempts` names the claims and never goes back; as many
        # turns forgive the workers that it has cost.
        ArchivedDay.objects.filter(pk=found.pk).update(
            asked=F("asked") + 1,
            status=Case(running, default=Value(ArchivedDay.Status.QUEUED)),
            turns=F("attempts"),
            error="",
            started_at=None,
            finished_at=None,
            **wishes,
        )
        found.refresh_from_db()
    return found


def _refuse_to_lose(project: Project, day: date, signals: list[str], *, may_lose: bool) -> None:
    """Raise CannotArchiveError for a day that was written and of which rows may be over in the store."""
    found = ArchivedDay.objects.filter(project=project, day=day).first()
    if may_lose or found is None or (found.status == ArchivedDay.Status.DONE and not found.rows):
        return
    since = kept_since(project, {*signals, *found.signals})
    if day < since:
        raise CannotArchiveError(
            f"The store keeps all rows of these signals since {since} only, and the files of {day} may be the one copy"
            " of what is over there. Confirm that it may be lost (may_lose), or remove yourself what has to go."
        )


def next_waiting() -> ArchivedDay | None:
    """Return the day that was not worked on for longest, claimed; None where none waits."""
    waiting = ArchivedDay.waiting().select_related("project").order_by(F("started_at").asc(nulls_first=True), "day")
    return next((day for day in waiting[:10] if day.claim()), None)


def turn(day: ArchivedDay) -> None:
    """Write the next files of a claimed day; the last turn writes what there is too.

    Raises StoreError, OSError where the bucket or the folder does not take it, CannotArchiveError where it would only
    take away, LostLeaseError.
    """
    midnight = datetime(day.day.year, day.day.month, day.day.day, tzinfo=UTC)
    end = midnight + timedelta(days=1)
    if day.begun != day.asked:
        _begin(day, midnight, end)
    signals = _with_texts(day.signals)
    at, start = day.cursor[0], datetime.fromisoformat(day.cursor[1])
    deadline = time.monotonic() + TURN_SECONDS
    while at < len(signals) and time.monotonic() < deadline:
        minutes = parquet.minutes(day.project_id, signals[at], start, end)
        if not minutes:
            at, start = at + 1, midnight
            continue
        piece_end = _end_of_piece(minutes, end, _most_rows(day, signals[at], start, end))
        # By the cursor, not by the first row: what arrives late in front of it must not change the name.
        name = f"signal={signals[at]}/day={day.day}/{start:%H%M}.parquet"
        rows = _write(day, signals[at], (start, piece_end), name)
        start = piece_end
        day.keep(cursor=[at, start.isoformat()], files=[*day.files, [name, rows]] if rows else day.files)
    is_done = at == len(signals)
    if is_done:
        _remove_others(day)
        storages["archive"].save(_manifest_of(day), ContentFile(_manifest(day)))
    rows = sum(count for name, count in day.files if not name.startswith("signal=contents/"))
    day.put(is_done=is_done, cursor=[at, start.isoformat()], rows=rows)


def make_smaller(day: ArchivedDay, reason: str) -> None:
    """Give a day back whose file was more than the store could write, to go on with half as much.

    It fails after MOST_HALVINGS. Raises LostLeaseError.
    """
    if day.halvings >= MOST_HALVINGS:
        day.fail(f"Files were made smaller {day.halvings} times, and the store still could not write one. {reason}")
    else:
        day.wait(f"Tried again with smaller files. {reason}", halvings=day.halvings + 1)


def _begin(day: ArchivedDay, midnight: datetime, end: datetime) -> None:
    """Forget what was written before, whose files go when there are others; see `again` for what may not be lost.

    The days for which rows are kept are not enough to know: they may have been fewer when the rows came, or the disk
    guard may have dropped their week. So the store is asked.
    """
    listdir = storages["archive"].listdir
    lost = [
        signal
        for signal in Archive.Signal.values
        if not day.may_lose
        and _files_in(listdir, f"{_folder(day)}/signal={signal}/day={day.day}")
        and not parquet.minutes(day.project_id, signal, midnight, end)
    ]
    if lost:
        raise CannotArchiveError(
            f"The store has no {', '.join(lost)} of this day any more, and its files stay as they were. Confirm that"
            " they may be lost (may_lose), or remove yourself what has to go."
        )
    storages["archive"].delete(_manifest_of(day))
    day.keep(begun=day.asked, cursor=[0, midnight.isoformat()], files=[], rows=0, halvings=0)


def _write(day: ArchivedDay, signal: str, piece: tuple[datetime, datetime], name: str) -> int:
    storage: Any = storages["archive"]
    whole = f"{_folder(day)}/{name}"
    function, bound = storage.table_function(whole)
    rows = parquet.write(day.project_id, signal, *piece, function, bound)
    if rows:
        storage.settle(whole)
    else:  # spans without long texts
        storage.delete(whole)
    return rows


def _most_rows(day: ArchivedDay, signal: str, start: datetime, end: datetime) -> int:
    """Return how many rows the next file may have, by their number and by what the first ones weigh."""
    of_bytes = BYTES_OF_A_FILE * parquet.SAMPLE // max(parquet.weight(day.project_id, signal, start, end), 1)
    return min(ROWS_OF_A_FILE, of_bytes) >> day.halvings


def _end_of_piece(minutes: list[tuple[datetime, int]], end: datetime, most: int) -> datetime:
    """Return up to where the next file goes: whole minutes, one at least, up to `most` rows where one has no more."""
    total = 0
    for minute, rows in minutes:
        total += rows
        if total > most and minute > minutes[0][0]:
            return minute
    return end


def _with_texts(signals: list[str]) -> list[str]:
    """Return the signals in the order in which they are written, spans with the long texts that they refer to."""
    return [each for signal in signals for each in ((signal, "contents") if signal == "spans" else (signal,))]


def _remove_others(day: ArchivedDay) -> None:
    """Remove the day's files that this writing did not make: an earlier one's may begin at other minutes."""
    named = {name for name, _ in day.files}
    storage = storages["archive"]
    for signal in _with_texts(list(Archive.Signal.values)):
        folder = f"signal={signal}/day={day.day}"
        for file in _files_in(storage.listdir, f"{_folder(day)}/{folder}"):
            if f"{folder}/{file}" not in named:
                storage.delete(f"{_folder(day)}/{folder}/{file}")


def _files_in(listdir: Callable[[str], tuple[list[str], list[str]]], folder: str) -> list[str]:
    try:
        return listdir(folder)[1]
    except FileNotFoundError:  # of a bucket the list is empty instead
        return []


def _manifest(day: ArchivedDay) -> bytes:
    said = {"project": day.project_id, "day": str(day.day), "signals": day.signals}
    said["files"] = [{"name": name, "rows": rows} for name, rows in day.files]
    return json.dumps(said, indent=1).encode()


def _manifest_of(day: ArchivedDay) -> str:
    return f"{_folder(day)}/_days/{day.day}.json"


def _folder(day: ArchivedDay) -> str:
    return f"project={day.project_id}"
