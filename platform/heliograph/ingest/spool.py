"""Telemetry that waits on disk while the store is away.

One group commit is one file: written beside its place, fsynced, renamed into it, and the folder fsynced, so a file is
there as a whole or not at all. A file is

    b"HGSPOOL1", record, record, ...
    record = length of header (u32), length of body (u32), CRC-32 (u32), header, body

with little-endian numbers, a JSON header, and the CRC over header and body. The first record is about the group
(how many follow, and when an insert of it was begun), each other one is a request with its body as it came. File
names sort in the order of arrival.

Groups that were never tried are replayed many at a time (`batches`), or an hour's outage would take an hour to catch
up. Which go together is written down first (`PLAN`): where a replay is cut off, the same rows must go together again,
since only together have they the token that their half done insert had (`commit`).
"""

import fcntl
import itertools
import json
import logging
import os
import struct
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heliograph.ingest.durable import write_durably
from heliograph.ingest.exports import Export

log = logging.getLogger(__name__)

MAGIC = b"HGSPOOL1"
_LENGTHS = struct.Struct("<III")
SUFFIX = ".spool"
DEAD_LETTERS = "dead-letters"
PLAN = "replay-plan.json"
# Where a batch for replay is full: as many items as a full group commit has, and the bytes of one large body.
BATCH_ITEMS = 10_000
BATCH_BYTES = 32 * 2**20


class SpoolFull(Exception):  # noqa: N818  (a state of the spool, answered with 503)
    """No room, by the bound or on the disk: the request must not be acknowledged."""


@dataclass(frozen=True, slots=True)
class SpooledGroup:
    """One file; `damage` says what could not be read of it, '' for nothing."""

    path: Path
    exports: list[Export]
    damage: str
    # The store's time (µs) when an insert of exactly this group was begun, which may be half done; None for never.
    begun_us: int | None


@dataclass(frozen=True, slots=True)
class ReplayBatch:
    """Files of one signal that are stored together."""

    groups: list[SpooledGroup]
    # As of a group: of an insert of exactly these rows.
    begun_us: int | None


class Spool:
    """A folder of groups, bounded by `max_bytes` in total. Many processes may append; one at a time replays."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._numbers = itertools.count()
        # Replayed alone before, for want of a plan, and when by the store's time.
        self._alone: dict[str, int] = {}
        (folder / DEAD_LETTERS).mkdir(parents=True, exist_ok=True, mode=0o700)

    def append(self, exports: Sequence[Export], begun_us: int | None = None) -> None:
        """Write one group to the disk itself; when this returns, it survives kill -9 and loss of power.

        `begun_us` is the store's time when an insert of this group was begun. Raises SpoolFull.
        """
        data = file_of(exports, begun_us)
        # Width 20 keeps the order of names the order of time; the process id keeps two processes apart.
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._numbers)}{SUFFIX}"
        try:
            if self.size() + len(data) > self.max_bytes:
                raise SpoolFull(f"the spool holds {self.max_bytes} bytes (HELIOGRAPH_SPOOL_MAX_BYTES)")
            write_durably(self.folder / name, data)
        except OSError as error:
            raise SpoolFull(f"the spool cannot be written: {error}") from error

    def size(self) -> int:
        """Return the bytes of what waits; dead letters have a bound of their own, notes of inserts are no groups."""
        total = 0
        with os.scandir(self.folder) as entries:
            for entry in entries:
                try:
                    total += entry.stat().st_size if entry.is_file() and not entry.name.endswith(".begun") else 0
                except FileNotFoundError:  # replayed by another process meanwhile
                    continue
        return total

    def files(self) -> list[Path]:
        """Return the groups that wait, oldest first."""
        with os.scandir(self.folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.name.endswith(SUFFIX))

    def batches(self, store_time_us: Callable[[], int]) -> Iterator[ReplayBatch]:
        """Yield what waits, oldest first of each signal, as what is to be stored together.

        Each has to be removed, or the iteration ended, before the next is asked for. Call with the replay lock held.
        """
        planned = self._planned()
        if planned and planned.groups:
            yield planned
        gathering: defaultdict[str, list[SpooledGroup]] = defaultdict(list)
        sizes: Counter[str] = Counter()
        items: Counter[str] = Counter()
        for path in self.files():
            group = read_file(path)
            if group.begun_us is not None or path.name in self._alone or group.damage or not group.exports:
                yield ReplayBatch([group], self._alone.get(path.name, group.begun_us))
                continue
            signal = group.exports[0].signal
            items[signal] += sum(export.items for export in group.exports)
            sizes[signal] += sum(len(export.body) for export in group.exports)
            gathering[signal].append(group)
            if items[signal] >= BATCH_ITEMS or sizes[signal] >= BATCH_BYTES:
                del items[signal], sizes[signal]
                yield from self._planned_now(gathering.pop(signal), store_time_us())
        for groups in gathering.values():
            yield from self._planned_now(groups, store_time_us())

    def _planned(self) -> ReplayBatch | None:
        try:
            plan = json.loads((self.folder / PLAN).read_bytes())
        except FileNotFoundError:
            return None
        # Those that are gone were stored together with the others.
        paths = [path for name in plan["names"] if (path := self.folder / name).exists()]
        return ReplayBatch([read_file(path) for path in paths], plan["begun_us"])

    def _planned_now(self, groups: list[SpooledGroup], now_us: int) -> Iterator[ReplayBatch]:
        plan = {"names": [group.path.name for group in groups], "begun_us": now_us}
        try:
            (self.folder / f"{PLAN}.draft").unlink(missing_ok=True)
            write_durably(self.folder / PLAN, json.dumps(plan).encode())
        except OSError as error:
            # One after the other, as if each had been tried: that needs no plan, and makes room for the next one.
            log.warning("no room for a plan of what is replayed: %s", error)
            for group in groups:
                self._alone[group.path.name] = now_us
                yield ReplayBatch([group], None)
        else:
            yield ReplayBatch(groups, None)

    def remove(self, groups: Sequence[SpooledGroup]) -> None:
        """Forget what is stored. Lost power may bring it back; its spans are then found stored and dropped."""
        for group in groups:
            group.path.unlink(missing_ok=True)
            self._alone.pop(group.path.name, None)
        (self.folder / PLAN).unlink(missing_ok=True)

    def set_file_aside(self, path: Path, reason: str) -> None:
        """Keep a damaged file whole, with the reason."""
        target = self.folder / DEAD_LETTERS / path.name
        write_durably(target.with_suffix(".json"), json.dumps({"reason": reason}).encode())
        path.rename(target)

    @contextmanager
    def replay_lock(self) -> Iterator[bool]:
        """Yield whether this process may replay now. The lock ends with its process, however that ends."""
        with (self.folder / "replay.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def remove_drafts(self) -> None:
        """Remove what a killed process left half written (never acknowledged). Call with the replay lock held."""
        for draft in self.folder.glob(f"*{SUFFIX}.draft"):
            # One that is finished meanwhile has another name.
            with suppress(FileNotFoundError):
                # A live process finishes a draft in far less than a minute.
                if time.time() - draft.stat().st_mtime > 60:
                    draft.unlink()


def read_file(path: Path) -> SpooledGroup:
    """Return what a file holds; of a damaged one, everything up to the damage."""
    data = path.read_bytes()
    exports: list[Export] = []
    position = len(MAGIC)
    damage = ""
    begun_us = None
    try:
        if not data.startswith(MAGIC):
            raise ValueError("it does not begin as a spool file does")
        head, _, position = _read_record(data, position)
        begun_us = head.get("begun_us")
        while len(exports) < head["exports"]:
            header, body, position = _read_record(data, position)
            exports.append(Export(**header, body=body))
    except (struct.error, ValueError) as error:
        damage = f"damaged at byte {position}: {error}"
    return SpooledGroup(path, exports, damage, begun_us)


def file_of(exports: Sequence[Export], begun_us: int | None = None) -> bytes:
    """Return a group as the bytes of a file."""
    head = {"exports": len(exports), "begun_us": begun_us}
    return MAGIC + _record(head, b"") + b"".join(_record_of(export) for export in exports)


def _record_of(export: Export) -> bytes:
    header = asdict(export)
    body = header.pop("body")
    return _record(header, body)


def _record(header: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return _LENGTHS.pack(len(text), len(body), zlib.crc32(body, zlib.crc32(text))) + text + body


def _read_record(data: bytes, position: int) -> tuple[dict[str, Any], bytes, int]:
    header_length, body_length, checksum = _LENGTHS.unpack_from(data, position)
    start = position + _LENGTHS.size
    middle = start + header_length
    end = middle + body_length
    if end > len(data) or zlib.crc32(data[start:end]) != checksum:
        raise ValueError("the checksum does not match")
    return json.loads(data[start:middle]), data[middle:end], end
