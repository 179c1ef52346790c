"""The broker of one machine, kombu's folder of files, in which a message is there as a whole or not at all.

As kombu writes them, a disk that is full leaves a file without its message, and the worker that reads it ends; so would
each one after it, once for every job that was due while the disk was full.
"""

import logging
import time
import uuid
from pathlib import Path
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.json import dumps

log = logging.getLogger(__name__)


class Channel(filesystem.Channel):
    """Messages as files."""

    def _put(self, queue: str, payload: dict[str, Any], **_: Any) -> None:  # type: ignore[override]  # so in kombu
        # Names sort in the order of sending; a reader takes those that end in the queue's.
        path = Path(self.data_folder_out) / f"{round(time.monotonic() * 1_000)}_{uuid.uuid4()}.{queue}.msg"
        draft = path.with_name(f"{path.name}.draft")
        try:
            draft.write_text(dumps(payload), encoding="utf-8")
            draft.rename(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise ChannelError(f"Cannot add {path} to the queue: {error}") from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        while True:
            try:
                return super()._get(queue)
            except ValueError as error:  # of an earlier version, or of a disk that failed; the file is gone now
                log.warning("a message of the queue %s cannot be read and is left out: %s", queue, error)


class Transport(filesystem.Transport):
    """What Celery connects by where no broker is set."""

    Channel = Channel
