"""What a backup says of itself, and the sums of its files."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from heliograph.backup.errors import BackupError

# Raised when a reader of today could not read what is written.
FORMAT = 1
MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
# There from the first moment to the last: a folder with it is no backup yet.
UNFINISHED = "UNFINISHED"
# ClickHouse's parts hold many small files and some of gigabytes.
_CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Manifest:
    """`rows` counts each table of the store as it is in the copy, and is None where only the server can read it."""

    format: int
    name: str
    made_at: str
    heliograph: str
    metadata_vendor: str
    metadata_file: str
    # As app.name, all that are applied.
    migrations: list[str]
    clickhouse: str
    database: str
    disk: str
    # As number, name and checksum.
    schema: list[list[str]]
    rows: dict[str, int] | None
    # Where they are instead, when they are not in the copy.
    blobs_elsewhere: str
    # Tells whether secrets that are stored encrypted can be read where the copy is put back.
    secrets_fingerprint: str

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Raises BackupError for a folder that is no backup, or one of a format that is not known yet."""
        if (folder / UNFINISHED).exists():
            raise BackupError(f"{folder} was not finished; make it again.")
        try:
            found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BackupError(f"{folder} is no backup: it has no {MANIFEST}.") from error
        except ValueError as error:
            raise BackupError(f"{folder / MANIFEST} cannot be read: {error}") from error
        if found.get("format") != FORMAT:
            raise BackupError(
                f"{folder.name} has format {found.get('format')!r}, and this version reads {FORMAT}: "
                "restore it with the version of Heliograph that made it, or a newer one."
            )
        return cls(**found)

    def write(self, folder: Path) -> None:
        (folder / MANIFEST).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def write_sums(folder: Path) -> int:
    """Write the sums of all files below `folder`, and bring everything to the disk; return how many bytes there are."""
    size = 0
    with (folder / SUMS).open("w", encoding="utf-8") as sums:
        for path in _files(folder):
            size += path.stat().st_size
            sums.write(f"{_sum(path, sync=True)}  {path.relative_to(folder).as_posix()}\n")
        sums.flush()
        os.fsync(sums.fileno())
    return size


def check_sums(folder: Path) -> int:
    """Return how many files are there and unchanged. Raises BackupError that names those that are not."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise BackupError(f"{folder} has no {SUMS}: it was not finished, or not copied whole.") from error
    expected = {path: digest for digest, _, path in (line.partition("  ") for line in lines)}
    there = {path.relative_to(folder).as_posix() for path in _files(folder)}
    faults = [f"{path} is missing" for path in expected.keys() - there]
    faults += [f"{path} does not belong to it" for path in there - expected.keys()]
    faults += [f"{path} was changed" for path in expected.keys() & there if _sum(folder / path) != expected[path]]
    if faults:
        raise BackupError(f"{folder.name} is damaged, and nothing was restored: " + "; ".join(sorted(faults)[:5]))
    return len(expected)


def _files(folder: Path) -> Iterator[Path]:
    apart = {folder / SUMS, folder / UNFINISHED}
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path not in apart)


def _sum(path: Path, *, sync: bool = False) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
        if sync:
            os.fsync(file.fileno())
    return digest.hexdigest()
