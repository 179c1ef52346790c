"""Blobs in a folder of this machine."""

import os
import secrets
from pathlib import Path

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage


class DurableFolder(FileSystemStorage):
    """Django's folder, but a saved file survives loss of power, is there as a whole or not at all, and replaces itself.

    A name is made of the content (store.py), so that whoever writes it again writes the same bytes.
    """

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return the name itself: whoever has it has the same content."""
        return name

    def table_function(self, name: str) -> tuple[str, dict[str, str]]:
        """Return the engine's table function over a Parquet file of this name, and what it binds.

        Only an engine on this machine sees the folder.
        """
        path = Path(self.path(name))
        self._make(path.parent)
        return "file(%(place)s, 'Parquet')", {"place": str(path)}

    def where(self, name: str) -> str:
        """Return the path of a name, for people."""
        return self.path(name)

    def settle(self, name: str) -> None:
        """Return when a file that somebody else wrote survives loss of power, and only its owner reads it."""
        path = Path(self.path(name))
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fchmod(descriptor, 0o600)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync(path.parent)

    def _save(self, name: str, content: "File[bytes]") -> str:
        path = Path(self.path(name))
        self._make(path.parent)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with draft.open("xb") as file:
                for chunk in content.chunks():
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        _sync(path.parent)
        return name

    def _make(self, folder: Path) -> None:
        """Make a folder and those above it, each durably in the one above."""
        if folder.is_dir():
            return
        self._make(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
