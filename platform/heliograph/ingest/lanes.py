"""Telemetry that waits on an edge's disk for the centre: a folder a key, so that no key waits for another.

    edge/<digest of the key>/key             the key itself, as the centre wants to see it
    edge/<digest of the key>/<time>-N.spool  requests, in the format of `spool`
    edge/refused/                            what the centre refused after it was acknowledged here, with the reason

Safe in every thread. One process has the folder: it counts what is there instead of looking at each write.
"""

import fcntl
import itertools
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heliograph.ingest.durable import write_durably
from heliograph.ingest.exports import Export
from heliograph.ingest.spool import SUFFIX, SpoolFull, file_of, read_file
from heliograph.ingest.spool_state import SpoolState, age_of

log = logging.getLogger(__name__)

KEY = "key"
REFUSED = "refused"
# Refused requests are for a person to look at; beyond this part of the spool the oldest go.
REFUSED_PART = 10


@dataclass(slots=True)
class Lane:
    """What waits of one key. Before `not_before` (monotonic) nothing of it is sent."""

    digest: str
    key: str
    # Oldest first. An OrderedDict finds its first entry at once, however many before it are gone.
    sizes: OrderedDict[Path, int] = field(default_factory=OrderedDict)
    # Their sum, kept beside them: an outage of a day leaves half a million files of a key.
    size: int = 0
    not_before: float = 0.0

    def put(self, path: Path, size: int) -> None:
        """Note a file, or that it has become another size."""
        self.size += size - self.sizes.get(path, 0)
        self.sizes[path] = size

    def remove(self, path: Path) -> None:
        """Forget a file."""
        self.size -= self.sizes.pop(path)


class Lanes:
    """The folder, bounded by `max_bytes` in total, and so that no key can fill it for the others."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._folder = folder
        self._refused = folder / REFUSED
        self._refused.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._held = (folder / "edge.lock").open("ab")
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._held.close()
            raise RuntimeError(
                f"{folder} belongs to another edge collector: give each its own HELIOGRAPH_DATA_DIR."
            ) from None
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._lanes: dict[str, Lane] = {}
        for path in folder.glob(f"*/{KEY}"):
            self._take_up(path.parent)

    def _take_up(self, folder: Path) -> None:
        """Continue a lane of an earlier process."""
        for draft in folder.glob("*.draft"):  # left half written, never acknowledged
            draft.unlink()
        lane = Lane(folder.name, (folder / KEY).read_text())
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            lane.put(path, path.stat().st_size)
        self._lanes[lane.digest] = lane

    def append(self, digest: str, key: str, exports: Sequence[Export]) -> None:
        """Write requests to the disk itself; when this returns, they survive kill -9 and loss of power.

        Raises SpoolFull.
        """
        data = file_of(exports)
        with self._lock:
            lane = self._lanes.get(digest) or Lane(digest, key)
            free = self.max_bytes - sum(each.size for each in self._lanes.values())
            # As much as is left free besides: one key alone fills half, two a third each, and a quiet one finds room.
            if lane.size + len(data) > free - len(data):
                raise SpoolFull(f"this key's part of the spool is full (HELIOGRAPH_SPOOL_MAX_BYTES: {self.max_bytes})")
            folder = self._folder / digest
            path = folder / f"{time.time_ns():020d}-{next(self._numbers)}{SUFFIX}"
            try:
                if not (folder / KEY).exists():
                    folder.mkdir(exist_ok=True, mode=0o700)
                    write_durably(folder / KEY, key.encode())
                    (folder / KEY).chmod(0o600)
                write_durably(path, data)
            except OSError as error:
                raise SpoolFull(f"the spool cannot be written: {error}") from error
            lane.put(path, len(data))
            self._lanes[digest] = lane

    def due(self) -> list[Lane]:
        """Return the lanes of which something may be sent now."""
        with self._lock:
            now = time.monotonic()
            return [lane for lane in self._lanes.values() if lane.sizes and lane.not_before <= now]

    def oldest(self, lane: Lane) -> tuple[Path, list[Export]] | None:
        """Return the requests that wait longest; a damaged file is set aside with what can be read of it sent."""
        with self._lock:
            path = next(iter(lane.sizes), None)
        if path is None:
            return None
        group = read_file(path)
        if group.damage:
            log.error("spool file %s: %s", path, group.damage)
            write_durably(self._refused / f"{path.name}.damaged", path.read_bytes())
        return path, group.exports

    def put_back(self, lane: Lane, path: Path, left: Sequence[Export]) -> None:
        """Note what of a file still waits; without anything it is removed, and the key with the last of them."""
        with self._lock:
            if left:
                data = file_of(left)
                write_durably(path, data)
                lane.put(path, len(data))
                return
            path.unlink()
            lane.remove(path)
            if not lane.sizes:
                (path.parent / KEY).unlink()
                path.parent.rmdir()
                del self._lanes[lane.digest]

    def set_aside(self, lane: Lane, export: Export, reason: str) -> None:
        """Keep what the centre refuses, for a person to look at, and drop the oldest of that beyond its bound."""
        with self._lock:
            target = self._refused / f"{time.time_ns():020d}-{lane.digest[:16]}{SUFFIX}"
            write_durably(target, file_of([export]))
            write_durably(target.with_suffix(".json"), json.dumps({"reason": reason}).encode())
            found = sorted(self._refused.glob(f"*{SUFFIX}"))
            sizes = {path: path.stat().st_size for path in found}
            while sum(sizes.values()) > self.max_bytes // REFUSED_PART and len(sizes) > 1:
                oldest = min(sizes)
                log.error("%s goes: more was refused than is kept", oldest)
                oldest.unlink()
                oldest.with_suffix(".json").unlink(missing_ok=True)
                del sizes[oldest]

    def waiting(self) -> tuple[int, int]:
        """Return how many files and bytes wait."""
        with self._lock:
            lanes = list(self._lanes.values())
        return sum(len(lane.sizes) for lane in lanes), sum(lane.size for lane in lanes)

    def state(self) -> SpoolState:
        """Return what waits, with the age of the oldest."""
        files, size = self.waiting()
        with self._lock:
            first = min((next(iter(lane.sizes)).name for lane in self._lanes.values() if lane.sizes), default="")
        return SpoolState(files, size, self.max_bytes, age_of(first))

    def close(self) -> None:
        """Let another process have the folder."""
        self._held.close()
