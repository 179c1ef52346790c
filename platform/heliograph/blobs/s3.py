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


class Bucket(S3Storage):  # type: ignore[misc]  # django-storages has no types
    """A bucket whose failures are OSErrors, as those of a folder are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(client_config=_CONFIG, **options)

    def _open(self, name: str, mode: str = "rb") -> "File[bytes]":
        with _as_os_errors():
            return super()._open(name, mode)  # type: ignore[no-any-return]  # as above

    def _save(self, name: str, content: "File[bytes]") -> str:
        with _as_os_errors():
            return super()._save(name, content)  # type: ignore[no-any-return]  # as above

    def table_function(self, name: str) -> tuple[str, dict[str, str]]:
        """Return the engine's table function over a Parquet file of this name, and what it binds.

        The engine gets the credentials that boto3 finds; it keeps them out of its logs. Raises OSError.
        """
        with _as_os_errors():
            found = self._create_session().get_credentials()
            key = found.get_frozen_credentials() if found else None
            client = self.connection.meta.client
            address = f"{client.meta.endpoint_url}/{self.bucket_name}/{self._normalize_name(name)}"
        if key is None:
            return "s3(%(place)s, NOSIGN, 'Parquet')", {"place": address}
        bound = {"place": address, "key": key.access_key, "secret": key.secret_key}
        if key.token:
            return "s3(%(place)s, %(key)s, %(secret)s, %(token)s, 'Parquet')", bound | {"token": key.token}
        return "s3(%(place)s, %(key)s, %(secret)s, 'Parquet')", bound

    def where(self, name: str) -> str:
        """Return the address of a name, for people."""
        return f"s3://{self.bucket_name}/{self._normalize_name(name)}"

    def settle(self, name: str) -> None:
        """Return at once: an object is whole and safe when its upload has ended."""

    def exists(self, name: str) -> bool:
        """Whether an object has this name."""
        with _as_os_errors():
            return super().exists(name)  # type: ignore[no-any-return]  # as above

    def listdir(self, name: str) -> tuple[list[str], list[str]]:
        """Return the folders and the objects below a prefix."""
        with _as_os_errors():
            return super().listdir(name)  # type: ignore[no-any-return]  # as above

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
