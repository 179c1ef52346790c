"""Blobs in a bucket that speaks the S3 API. Needs the extra `s3`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import File
from storages.backends.s3 import S3Storage

# An export waits for its blobs, and its sender gives up after about ten seconds: then it goes to the spool instead.
_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})


class Bucket(S3Storage):  # type: ignore[misc]  # see above
    """A bucket whose failures are OSErrors, as those of a folder are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(client_config=_CONFIG, **options)

    def _open(self, name: str, mode: str = "rb") -> "File[bytes]":
        with _as_os_errors():
            return super()._open(name, mode)  # type: ignore[no-any-return]

    def _save(self, name: str, content: "File[bytes]") -> str:
        with _as_os_errors():
            return super()._save(name, content)  # type: ignore[no-any-return]

    def exists(self, name: str) -> bool:
        """Whether an object has this name."""
        with _as_os_errors():
            return super().exists(name)  # type: ignore[no-any-return]

    def listdir(self, name: str) -> tuple[list[str], list[str]]:
        """Return the folders and the objects below a prefix."""
        with _as_os_errors():
            return super().listdir(name)  # type: ignore[no-any-return]

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is removed already."""
        with _as_os_errors():
            super().delete(name)


@contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise OSError(f"the bucket: {error}") from error
