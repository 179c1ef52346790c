"""Files that are there as a whole or not at all, and survive kill -9 and loss of power."""

import os
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file beside its place, fsync it, rename it into its place and fsync the folder. Raises OSError."""
    draft = path.with_name(path.name + ".draft")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
