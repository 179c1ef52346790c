"""The lock under which spans are stored: whoever else rewrites spans, or what is derived from them, takes it too."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def lock_path(folder: Path, signal: str) -> Path:
    """Return the file that all ingest processes lock while they store a group of a signal; `folder` is the spool's."""
    return folder / f"commit-{signal}.lock"


@contextmanager
def commits_held(folder: Path, signal: str) -> Iterator[None]:
    """Hold back all commits of a signal; they wait, and no request is refused. Keep it short.

    The lock ends with its process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock_path(folder, signal).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
