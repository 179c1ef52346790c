"""A store that answers, while something needs it: the one that runs, or an embedded one that is started for it."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from heliograph import supervisor
from heliograph.backup.errors import BackupError
from heliograph.clickhouse import client
from heliograph.clickhouse.errors import UnavailableError

# A store with years of data opens its parts before it answers.
START_SECONDS = 120
STOP_SECONDS = 60
_END_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM")


@contextmanager
def answering() -> Iterator[None]:
    """Run what is inside with a store that answers. Raises BackupError where there is none."""
    try:
        client.ping()
    except UnavailableError as error:
        if not settings.EMBEDDED_STORE:
            raise BackupError(f"ClickHouse does not answer: {error}") from error
    else:
        yield
        return
    command = next(program.command for program in supervisor.programs() if program.name == "store")
    # Where this process is killed, the store ends too instead of keeping its port and folder from `heliograph up`.
    command = [*_END_WITH_PARENT, *command] if shutil.which(_END_WITH_PARENT[0]) else command
    (settings.DATA_DIR / "logs").mkdir(parents=True, exist_ok=True)
    with (settings.DATA_DIR / "logs" / "store.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(process)
        yield
    finally:
        client.close_connections()
        process.terminate()
        process.wait(STOP_SECONDS)


def _wait(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.ping()
        except UnavailableError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise BackupError(f"The store does not start; see {settings.DATA_DIR / 'logs'}/store.log") from error
            time.sleep(0.1)
        else:
            return
