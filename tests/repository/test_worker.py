"""The worker of `make run`: what beat asks for exists, and a task that hangs does not hold up the others for good."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

from django.conf import settings

from heliograph.celery import TASK_MODULES, app

ROOT = Path(__file__).resolve().parent.parent.parent
HANGS = """
import django; django.setup()
import time
from heliograph import celery
celery.TASK_SECONDS = 0.2

@celery.app.task(name="tests.hangs")
def hangs():
    time.sleep(60)

@celery.app.task(name="tests.ends")
def ends():
    return "ended"

print(ends.apply().get(), flush=True)
time.sleep(0.5)
print("still here", flush=True)
hangs.apply()
"""


def test_every_task_that_beat_asks_for_is_one_that_workers_load() -> None:
    for module in TASK_MODULES:
        import_module(module)
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= set(app.tasks)


def test_a_worker_whose_task_hangs_ends_and_says_which_one(tmp_path: Path) -> None:
    environment = {
        "PATH": "",
        "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}",
        "DJANGO_SETTINGS_MODULE": "heliograph.settings",
        "HELIOGRAPH_DATA_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", HANGS], env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 1
    assert done.stdout.split("\n")[:2] == ["ended", "still here"]
    assert "tests.hangs has run for" in done.stderr
