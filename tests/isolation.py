"""Loaded by pytest (`-p tests.isolation`) before Django reads its settings: tests never touch a developer's data."""

import atexit
import os
import shutil
import tempfile

for _name in [
    name for name in os.environ if name.startswith("HELIOGRAPH_") and not name.startswith("HELIOGRAPH_TEST_")
]:
    del os.environ[_name]
for _name in ("DATABASE_URL", "CELERY_BROKER_URL"):
    os.environ.pop(_name, None)

# CI runs the tests of ingest with the compiled kernel and, by this, without it.
if _decoder := os.environ.get("HELIOGRAPH_TEST_DECODER"):
    os.environ["HELIOGRAPH_DECODER"] = _decoder

# Processes that tests start would compile the package each anew, a second of processor time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_data_dir = tempfile.mkdtemp(prefix="heliograph-tests-")
_process = os.getpid()


def _remove() -> None:
    if os.getpid() == _process:  # a forked child runs the exit handlers too
        shutil.rmtree(_data_dir, ignore_errors=True)


atexit.register(_remove)
os.environ["HELIOGRAPH_DATA_DIR"] = _data_dir
# Nobody listens there: a test that forgets the `store` fixture fails instead of finding a developer's store.
os.environ["HELIOGRAPH_STORE_PORT"] = "1"
