"""What a killed engine leaves: inserts that it notes as done and did not do.

A MergeTree table writes an insert's deduplication record before it renames the insert's part into its place. Killed in
between, the record names a part that is nowhere, and the engine would drop the same rows, sent again under their
token, as repeated ones: they would be missing from that table for good. So before a folder is opened, such records are
taken back, by the record that the engine itself writes when it drops a part.

The log is `deduplication_logs/deduplication_log_N.txt` in a table's folder, a line a record:

    operation (1 added, 2 dropped, 3 not dropped after all), TAB, part, TAB, token's hash
"""

import fcntl
import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

# What a part is called: partition, first block, last block, level of merging, and the mutation it went through.
_PART = re.compile(r"([^_]+)_(\d+)_(\d+)_\d+(?:_\d+)?")
_LOG = re.compile(r"deduplication_log_(\d+)\.txt")
_DROPPED = "2"


def take_back_what_is_not_there(folder: Path) -> int:
    """Take back the records of parts that are not there, in every table; return how many.

    Does nothing to a folder that an engine has open.
    """
    with _owned(folder) as is_ours:
        if not is_ours:
            return 0
        return sum(_repair(logs) for logs in folder.glob("store/*/*/deduplication_logs"))


@contextmanager
def _owned(folder: Path) -> Iterator[bool]:
    """Yield whether the folder is ours for now, by the lock that an engine holds while it has it open."""
    try:
        descriptor = os.open(folder / "status", os.O_RDWR)
    except FileNotFoundError:  # never opened: nothing is in it
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _repair(logs: Path) -> int:
    numbered = sorted((int(match[1]), path) for path in logs.iterdir() if (match := _LOG.fullmatch(path.name)))
    if not numbered:
        return 0
    files = [path for _, path in numbered]
    _cut_torn_record(files[-1])
    # Token's hash -> part, as the engine reads it.
    noted: dict[str, str] = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            match line.split("\t"):
                case [operation, part, token] if operation == _DROPPED:
                    noted.pop(token, None)
                case [_, part, token]:
                    noted[token] = part
    # Partition -> first and last block of each part that is there.
    blocks: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for place in (logs.parent, *_on_other_disks(logs.parent)):
        for entry in place.iterdir():
            if match := _PART.fullmatch(entry.name):
                blocks[match[1]].append((int(match[2]), int(match[3])))
    missing = [(token, part) for token, part in noted.items() if not _is_within(part, blocks)]
    if missing:
        with files[-1].open("a", encoding="utf-8") as log:
            log.writelines(f"{_DROPPED}\t{part}\t{token}\n" for token, part in missing)
            log.flush()
            os.fsync(log.fileno())
        table = logs.parent.name
        logger.warning("%d inserts into %s were noted and not done: they may be sent again", len(missing), table)
    return len(missing)


def _on_other_disks(table: Path) -> Iterator[Path]:
    """Yield the folders of a table's parts on disks beside the engine's own, such as the local side of a bucket."""
    store = table.parent.parent
    return store.parent.glob(f"disks/*/{table.relative_to(store.parent)}")


def _cut_torn_record(file: Path) -> None:
    """Remove a last line that has no end: the engine was killed as it wrote it, before its part was there."""
    data = file.read_bytes()
    if data and not data.endswith(b"\n"):
        os.truncate(file, data.rfind(b"\n") + 1)


def _is_within(part: str, blocks: Mapping[str, list[tuple[int, int]]]) -> bool:
    """Whether a part, or one that it was merged into, is there. Of a name that cannot be read nothing is said."""
    match = _PART.fullmatch(part)
    if match is None:
        return True
    first, last = int(match[2]), int(match[3])
    return any(start <= first and last <= end for start, end in blocks.get(match[1], ()))
