"""Workers load the tasks of their queues, and one that hangs does not hold up the others for good."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings

from heliograph.celery import TASK_MODULES, _load_tasks, app

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


# What a worker of each queue has loaded of what only the extra `evaluators` brings (regex is taken by others if there).
LOADED = """
import sys
import django; django.setup()
from heliograph import celery
extra = "torch transformers safetensors scipy py3langid rapidfuzz sacrebleu tqdm"
for queue in ("default", "evaluations"):
    celery._load_tasks(options={"queues": [queue]})
    print(queue, *(name for name in extra.split() if name in sys.modules))
"""


def test_every_task_is_one_that_workers_of_its_queue_load_and_beat_asks_for_no_other() -> None:
    there = {
        ".".join(path.relative_to(ROOT / "platform").with_suffix("").parts)
        for path in (ROOT / "platform/heliograph").rglob("tasks.py")
    }
    assert there == {module for modules in TASK_MODULES.values() for module in modules}
    for module in there:
        import_module(module)
    ours = [name for name in app.tasks if name.startswith("heliograph.")]
    for name in ours:
        queue = app.amqp.router.route({}, name)["queue"].name
        assert name.rpartition(".")[0] in TASK_MODULES[queue], f"{name} waits in {queue}"
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= set(ours)
    assert [queue.name for queue in settings.CELERY_TASK_QUEUES] == list(TASK_MODULES)


def test_each_queue_has_its_own_exchange_so_that_no_message_comes_twice() -> None:
    assert {name: queue.exchange.name for name, queue in app.amqp.queues.items()} == {
        name: name for name in TASK_MODULES
    }


def test_workers_have_not_loaded_torch_before_there_is_something_to_judge(tmp_path: Path) -> None:
    assert run(LOADED, tmp_path).stdout.splitlines() == ["default", "evaluations scipy"]


def test_a_worker_of_a_queue_that_is_none_says_so_instead_of_waiting_for_nothing() -> None:
    with pytest.raises(SystemExit, match="there is no queue evaluation: there are default, evaluations"):
        _load_tasks(options={"queues": ["evaluation"]})


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "",
        "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}",
        "DJANGO_SETTINGS_MODULE": "heliograph.settings",
        "HELIOGRAPH_DATA_DIR": str(folder),
    }
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)


def test_a_worker_whose_task_hangs_ends_and_says_which_one(tmp_path: Path) -> None:
    done = run(HANGS, tmp_path)
    assert done.returncode == 1
    assert done.stdout.split("\n")[:2] == ["ended", "still here"]
    assert "tests.hangs has run for" in done.stderr
