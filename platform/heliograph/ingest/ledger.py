"""What came of every request, per project, key, signal and minute.

Counts are summed in the process (`count`) and written every FLUSH_SECONDS as one immutable page: fsynced into a folder
that all ingest processes share, then inserted with the page's name as its token, then removed. So a page counts once,
however often it is sent; a store that is away only makes pages wait, and whichever process holds the lock sends them.

What a kill loses: the counts of the last FLUSH_SECONDS, of that process. What is stored of traces is not among them:
the store derives it from the rows themselves (`ingest_stored_1m`, by a materialized view in the same insert).

The books balance, for each project and key and over a time in which nothing was killed:
accepted + revived = stored + duplicates + sampled + dead + (spooled - replayed).
"""

import fcntl
import itertools
import json
import logging
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from heliograph.clickhouse import client
from heliograph.clickhouse.errors import StoreError
from heliograph.ingest.durable import write_durably
from heliograph.ingest.gate import is_away

log = logging.getLogger(__name__)

What = Literal[
    "requests",  # authenticated requests, refused ones too
    "bytes",  # of the bodies of acknowledged requests as they came, compressed where they were
    "refused",  # requests refused as a whole, by reason
    "accepted",  # items (spans, data points, log records) of acknowledged requests
    "rejected",  # items refused inside acknowledged requests, by reason
    "duplicates",  # spans dropped because they were stored already
    "sampled",  # items left out by a sampling rule
    "redacted",  # items of which a rule blanked something
    "spooled",  # items written to the spool
    "replayed",  # items that left the spool
    "stored",  # data points and log records; of spans the store itself knows
    "dead",  # items of acknowledged requests set aside as a dead letter
    "removed",  # spans that were stored, and that tail sampling removed with their trace
    "kept_traces",  # traces that tail sampling decided to keep, by rule
    "removed_traces",  # traces that it decided to remove
    "revived",  # items of dead letters of acknowledged requests that were sent to replay
]

FLUSH_SECONDS = 5.0
# Where the store stays away, pages are cut less often once this many wait: a day is then 1,500 small files.
PATIENT_PAGES = 100
PATIENT_SECONDS = 60.0
# A week of patience. Beyond, counts are given up with an error in the log: telemetry needs the disk more.
MAX_PAGES = 10_000
# Keys x signals x reasons x minutes of one page; a page of this size is about 8 MB.
MAX_ROWS = 100_000
# The reasons are ours, but a bound costs nothing: a project's further ones count as "other".
MAX_REASONS = 50
MAX_REASON_CHARS = 100
_SUFFIX = ".json"

# project, key, signal, minute since the epoch, what, reason
_Place = tuple[int, int, str, int, str, str]

_lock = threading.Lock()
_counts: Counter[_Place] = Counter()
_reasons: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
_numbers = itertools.count()


def count(project: int, key: int, signal: str, what: What, n: int = 1, reason: str = "") -> None:
    """Add `n` to one count of this minute. A few microseconds, safe in every thread: for once a request.

    `project` is the project's id, `key` the key's (0 for a request without a key), `signal` traces, metrics or logs.
    """
    if not n:
        return
    minute = int(time.time()) // 60
    with _lock:
        if reason:
            known = _reasons[project, what]
            reason = reason[:MAX_REASON_CHARS]
            if reason not in known:
                if len(known) < MAX_REASONS:
                    known.add(reason)
                else:
                    reason = "other"
        place = (project, key, signal, minute, what, reason)
        if place in _counts or len(_counts) < MAX_ROWS:
            _counts[place] += n


def pending() -> dict[_Place, int]:
    """Return what this process counted and has not yet written to a page."""
    with _lock:
        return dict(_counts)


class Ledger:
    """Writes this process's counts to the store from a thread of its own.

    `on_cut` is called under the lock at the moment where a page is cut, `on_flushed` after each round with whether all
    counts that were cut until now are in the store.
    """

    def __init__(
        self,
        folder: Path,
        on_cut: Callable[[], None] = lambda: None,
        on_flushed: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._on_cut = on_cut
        self._on_flushed = on_flushed
        self._stopping = False
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def soon(self) -> None:
        """Write now instead of at the next turn."""
        self._wanted.set()

    def stop(self) -> None:
        """Write what was counted, to the disk at least, and end the thread."""
        self._stopping = True
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            patient = len(self._pages()) >= PATIENT_PAGES
            self._wanted.wait(PATIENT_SECONDS if patient else FLUSH_SECONDS)
            self._wanted.clear()
            self._try()
        self._try()

    def _try(self) -> None:
        try:
            self.flush()
        except Exception:  # a fault of ours or of the disk: the counts stay, and the thread must live on
            log.exception("the ingest ledger could not be written; it is tried again")

    def flush(self) -> bool:
        """Cut a page and send all that wait; return whether none waits any more. Raises OSError of a full disk."""
        self._cut()
        is_sent = self._send()
        self._on_flushed(is_sent)
        return is_sent

    def _cut(self) -> None:
        with _lock:
            counts = dict(_counts)
            _counts.clear()
            self._on_cut()
        if not counts:
            return
        if len(self._pages()) >= MAX_PAGES:
            log.error("%d counts of the ingest ledger are given up: %d pages wait", len(counts), MAX_PAGES)
            return
        # Width 20 keeps the order of names the order of time; the process id keeps two processes apart.
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(_numbers)}{_SUFFIX}"
        try:
            write_durably(self._folder / name, json.dumps([[*place, n] for place, n in counts.items()]).encode())
        except OSError:
            with _lock:
                _counts.update(counts)
            raise

    def _pages(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{_SUFFIX}"))

    def _send(self) -> bool:
        # Where another process holds the lock, it sends our pages too; whether it is done yet is not known.
        with (self._folder / "send.lock").open("ab") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return all(map(self._send_page, self._pages()))
        return False

    def _send_page(self, page: Path) -> bool:
        try:
            client.insert("ingest_ledger", _columns_of(page.read_bytes()), token=page.stem)
        except StoreError as error:
            if is_away(error):
                return False
            log.exception("the store refuses page %s of the ingest ledger; it is kept aside", page.name)
            page.rename(page.with_suffix(".refused"))
            return True
        page.unlink()
        return True


def _columns_of(data: bytes) -> dict[str, list[object]]:
    rows = json.loads(data)
    columns = dict(
        zip(("project_id", "key_id", "signal", "minute", "what", "reason", "n"), zip(*rows, strict=True), strict=True)
    )
    minutes = [datetime.fromtimestamp(minute * 60, UTC) for minute in columns["minute"]]
    return {name: list(values) for name, values in columns.items()} | {"minute": list[object](minutes)}
