"""Bodies that could not be stored, kept for a person: malformed ones, refused by the store, or failed at replay.

A folder a project. A letter is two files: NAME.spool, a spool file with the one request as it came, and NAME.json, a
note. Of requests that were refused (the sender was told) it is a sample: a few a minute, and none where the project
says so. A request that was acknowledged is always kept. Both are bounded by bytes a project and by days; a refused
letter goes before an acknowledged one.

To replay, a letter's file moves into the spool: a rename, so two clicks replay it once, and the replayer stores it as
whatever was spooled.
"""

import itertools
import json
import logging
import os
import re
import threading
import time
from collections import defaultdict, deque
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings

from heliograph import metrics
from heliograph.ingest import ledger
from heliograph.ingest.durable import write_durably
from heliograph.ingest.exports import Export, decode_by_rules
from heliograph.ingest.spool import DEAD_LETTERS, SUFFIX, file_of, read_file

log = logging.getLogger(__name__)

# What one fault looks like is seen in a few bodies; more would only push the others out.
REFUSED_A_MINUTE = 10
# What a small file takes on a disk: tiny letters must not become too many either.
BLOCK_BYTES = 4096
# A page of letters; the folder's own bounds allow some thousands.
MAX_LISTED = 200
MAX_REASON_CHARS = 1_000
_ID = re.compile(r"\d{20}-\d{1,10}-\d{1,10}")


class NoLetterError(LookupError):
    """There is no such letter: it was replayed, deleted or is too old."""


@dataclass(frozen=True, slots=True)
class Letter:
    """The note of one dead letter. Times in nanoseconds since the epoch, sizes in bytes."""

    id: str
    time_ns: int
    received_ns: int
    project_id: int
    key_id: int
    signal: str
    # A word, such as malformed; and the whole sentence.
    reason: str
    message: str
    size: int
    content_type: str
    content_encoding: str
    # Whether its items are in the ledger as accepted: then they are in the books until the letter is gone.
    is_accepted: bool
    items: int


class DeadLetters:
    """The folder. Safe in every thread and process."""

    def __init__(self, spool_folder: Path) -> None:
        self._spool_folder = spool_folder
        self._folder = spool_folder / DEAD_LETTERS
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._recent: defaultdict[int, deque[float]] = defaultdict(deque)

    def may_keep(self, project_id: int) -> bool:
        """Say whether the sample of this minute has room for one more refused request, and take it."""
        now = time.monotonic()
        with self._lock:
            recent = self._recent[project_id]
            while recent and recent[0] < now - 60:
                recent.popleft()
            if len(recent) >= REFUSED_A_MINUTE:
                return False
            recent.append(now)
            return True

    def keep(self, export: Export, reason: str, message: str, *, accepted: int | None = None) -> None:
        """Keep a request with the reason. Raises OSError of a full disk.

        `accepted` is the number of its items that the ledger counted as accepted, None for a request that was refused.
        """
        folder = self._folder / str(export.project_id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        data = file_of([export])
        if accepted is None and len(data) > settings.DEAD_LETTER_MAX_BYTES // 4:
            return  # a sample of one
        self._make_room(export.project_id, _weight(len(data)))
        letter = Letter(
            # Width 20 keeps the order of names the order of time; the process id keeps two processes apart.
            id=f"{time.time_ns():020d}-{os.getpid()}-{next(self._numbers)}",
            time_ns=time.time_ns(),
            received_ns=export.received_ns,
            project_id=export.project_id,
            key_id=export.key_id,
            signal=export.signal,
            reason=reason,
            message=message[:MAX_REASON_CHARS],
            size=len(export.body),
            content_type=export.content_type,
            content_encoding=export.content_encoding,
            is_accepted=accepted is not None,
            items=accepted or 0,
        )
        write_durably(folder / f"{letter.id}{SUFFIX}", data)
        write_durably(folder / f"{letter.id}.json", json.dumps(asdict(letter)).encode())
        metrics.ingest_dead_letters.add(1, {metrics.REASON: reason})

    def all_of(self, project_id: int) -> list[Letter]:
        """Return the newest MAX_LISTED letters of a project, newest first."""
        self.expire(project_id)
        notes = sorted((self._folder / str(project_id)).glob("*.json"), reverse=True)[:MAX_LISTED]
        return [letter for letter in map(_read_note, notes) if letter]

    def get(self, project_id: int, letter_id: str) -> tuple[Letter, Export]:
        """Return a letter with its request. Raises NoLetterError, also for a letter of another project."""
        note = self._note(project_id, letter_id)
        letter = _read_note(note)
        try:
            group = read_file(note.with_suffix(SUFFIX))
        except FileNotFoundError as error:
            raise NoLetterError(letter_id) from error
        if letter is None or not group.exports:
            raise NoLetterError(letter_id)
        return letter, group.exports[0]

    def replay(self, project_id: int, letter_id: str) -> int:
        """Hand a letter to the replayer, once; return how many items it holds.

        Raises NoLetterError, or the Refusal that its body still meets; then it stays.
        """
        letter, export = self.get(project_id, letter_id)
        batch = decode_by_rules(export)
        # The replayer counts the same number: of the file where it was spooled before, else of what it decodes.
        items = letter.items or batch.decoded.accepted
        note = self._note(project_id, letter_id)
        try:
            # A rename succeeds once: who made it replays the letter.
            note.with_suffix(SUFFIX).rename(self._spool_folder / f"{letter_id}{SUFFIX}")
        except FileNotFoundError as error:
            raise NoLetterError(letter_id) from error
        note.unlink(missing_ok=True)
        whose = (project_id, letter.key_id, letter.signal)
        if letter.is_accepted:
            ledger.count(*whose, "revived", items)
        else:
            ledger.count(*whose, "accepted", items + batch.sampled)
            ledger.count(*whose, "sampled", batch.sampled)
        ledger.count(*whose, "spooled", items)
        return items

    def delete(self, project_id: int, letter_id: str) -> None:
        """Forget a letter. Raises NoLetterError."""
        note = self._note(project_id, letter_id)
        if not note.exists():
            raise NoLetterError(letter_id)
        self._remove(note)

    def expire(self, project_id: int) -> None:
        """Forget what is older than the days that letters are kept."""
        oldest = time.time() - settings.DEAD_LETTER_DAYS * 86_400
        for note in (self._folder / str(project_id)).glob("*.json"):
            if int(note.name[:20]) < oldest * 10**9:
                self._remove(note)

    def expire_all(self) -> None:
        """Forget what is too old, of every project, and files of an unknown request that were damaged."""
        for folder in self._folder.iterdir():
            if folder.is_dir():
                self.expire(int(folder.name))
        oldest = time.time() - settings.DEAD_LETTER_DAYS * 86_400
        for path in self._folder.glob("*.*"):
            if path.is_file() and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)

    def _note(self, project_id: int, letter_id: str) -> Path:
        if not _ID.fullmatch(letter_id):
            raise NoLetterError(letter_id)
        return self._folder / str(int(project_id)) / f"{letter_id}.json"

    def _make_room(self, project_id: int, size: int) -> None:
        self.expire(project_id)
        notes = sorted((self._folder / str(project_id)).glob("*.json"))
        letters = [letter for letter in map(_read_note, notes) if letter]
        total = size + sum(_weight(letter.size) for letter in letters)
        for letter in sorted(letters, key=lambda one: (one.is_accepted, one.id)):
            if total <= settings.DEAD_LETTER_MAX_BYTES:
                return
            total -= _weight(letter.size)
            if letter.is_accepted:
                log.error("a dead letter of project %s goes for lack of room: %s", project_id, letter.id)
            self._remove(self._note(project_id, letter.id))

    @staticmethod
    def _remove(note: Path) -> None:
        note.with_suffix(SUFFIX).unlink(missing_ok=True)
        note.unlink(missing_ok=True)


def _weight(size: int) -> int:
    """Return what a letter takes: its body and note in whole blocks."""
    return (size // BLOCK_BYTES + 2) * BLOCK_BYTES


def _read_note(note: Path) -> Letter | None:
    try:
        return Letter(**json.loads(note.read_bytes()))
    except FileNotFoundError:  # replayed or deleted meanwhile
        return None
