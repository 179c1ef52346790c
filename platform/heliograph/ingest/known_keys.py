"""Which keys the centre took lately, on disk: whose telemetry an edge keeps while the centre is away."""

import json
import logging
import time
from collections import OrderedDict
from pathlib import Path

from heliograph.ingest.durable import write_durably

log = logging.getLogger(__name__)

# An entry is about 90 bytes of the file, which is written as a whole.
MOST = 10_000
# So much older may the file be than what is known; a key that is new is written at the next look.
SAVE_SECONDS = 60.0


class KnownKeys:
    """When the centre last took each key, by the key's digest. For one thread."""

    def __init__(self, path: Path, trusted_seconds: float) -> None:
        self._path = path
        self._trusted_seconds = trusted_seconds
        self._taken_at: OrderedDict[str, float] = OrderedDict()
        self._is_new = False
        self._saved_at = time.monotonic()
        try:
            self._taken_at.update(json.loads(path.read_bytes()))
        except FileNotFoundError:
            pass
        except ValueError as error:  # by somebody else's hand: it is written whole or not at all
            log.error("%s cannot be read, and no key is known until the centre takes it: %s", path, error)

    def note(self, digest: str) -> None:
        """The centre took this key just now."""
        self._is_new = self._is_new or digest not in self._taken_at
        self._taken_at[digest] = time.time()
        self._taken_at.move_to_end(digest)
        if len(self._taken_at) > MOST:
            self._taken_at.popitem(last=False)

    def forget(self, digest: str) -> None:
        """The centre refuses this key."""
        self._is_new = self._taken_at.pop(digest, None) is not None or self._is_new

    def is_trusted(self, digest: str) -> bool:
        """Say whether the centre took it so lately that it may be trusted while the centre cannot be asked."""
        return time.time() - self._taken_at.get(digest, 0.0) < self._trusted_seconds

    def to_save(self) -> bytes:
        """Return what to give to `save`, b'' where that can wait."""
        if not self._is_new and time.monotonic() < self._saved_at + SAVE_SECONDS:
            return b""
        self._is_new = False
        self._saved_at = time.monotonic()
        return json.dumps(self._taken_at).encode()

    def save(self, data: bytes) -> None:
        """Write the file; may run in another thread."""
        try:
            # Left by a process that was killed while it wrote.
            self._path.with_name(self._path.name + ".draft").unlink(missing_ok=True)
            write_durably(self._path, data)
        except OSError as error:  # a full disk: what is known is known until this process ends
            log.warning("which keys are known cannot be written down: %s", error)
