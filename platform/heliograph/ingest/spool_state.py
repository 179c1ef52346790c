"""What waits in the spool now, of the whole installation: one file holds requests of many projects."""

import time
from dataclasses import dataclass
from pathlib import Path

from heliograph.ingest.spool import SUFFIX


@dataclass(frozen=True, slots=True)
class SpoolState:
    """Files and bytes that wait, the bound, and the age in seconds of the oldest; None where nothing waits."""

    files: int
    bytes: int
    max_bytes: int
    oldest_s: float | None


def state_of(folder: Path, max_bytes: int) -> SpoolState:
    """Return what waits in a spool folder; a folder that is not there yet holds nothing."""
    names: list[str] = []
    size = 0
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            size += path.stat().st_size
        except FileNotFoundError:  # replayed meanwhile
            continue
        names.append(path.name)
    return SpoolState(len(names), size, max_bytes, age_of(min(names, default="")))


def age_of(name: str) -> float | None:
    """Return the seconds since a file of the spool was written, None for no file: its name begins with the time."""
    written = name.partition("-")[0]
    # Clocks differ between hosts that share a folder: never below 0.
    return max(0.0, time.time() - int(written) / 1e9) if written.isdecimal() else None
