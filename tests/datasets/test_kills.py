"""A worker that is killed with -9 in the middle of an experiment: the next one ends it with each row once."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.datasets.test_running import asked, echo
from tests.net.servers import Handler, serving

ROWS, KILLS = 90, 3
SETUP = """
import sys, django
django.setup()
from heliograph.accounts.models import Organization, Project
from heliograph.datasets import experiments, versions
from heliograph.datasets.content import RowContent
from heliograph.datasets.models import Dataset, Endpoint
project = Project.create(Organization.objects.create(name="Acme"), "Shop")
dataset = Dataset.objects.create(project=project, name="d")
versions.change(dataset, [RowContent(key=str(n), input=f"question {n}") for n in range(int(sys.argv[1]))], source="api")
endpoint = Endpoint.objects.create(project=project, name="e", base_url=sys.argv[2])
target = {"endpoint": endpoint.pk, "model": "m", "concurrency": 8}
experiments.start(project, experiments.Plan(dataset=dataset, name="r", kind="endpoint", target=target))
"""
# As the task has it, without the evaluators, and with a lease that a test can wait for.
WORKER = """
import datetime, time, django
django.setup()
from heliograph.datasets import recording, slices
from heliograph.datasets.models import Experiment, experiments
experiments.LEASE = datetime.timedelta(seconds=1)
slices.RENEW_S = 0.1
while True:
    experiment = Experiment.objects.get()
    if not experiment.claim():
        time.sleep(0.05)
    elif not slices.work(experiment, seconds=5):
        recording.record(experiment)
        break
    experiment.release()
"""


def counted(database: Path, sql: str) -> int:
    with sqlite3.connect(database) as connection:
        return int(connection.execute(sql).fetchone()[0])


def test_killed_workers_leave_each_row_answered_once(store: str, data_folder: Path) -> None:
    chance = random.Random(5)
    environment = os.environ | {"HELIOGRAPH_DATA_DIR": str(data_folder), "HELIOGRAPH_OUTGOING_NETWORKS": "127.0.0.0/8"}
    environment |= {"DJANGO_SETTINGS_MODULE": "heliograph.settings", "PYTHONPATH": os.pathsep.join(sys.path)}
    database = data_folder / "heliograph.sqlite3"

    def slow(handler: Handler) -> None:
        time.sleep(0.02)
        echo(handler)

    with serving(slow) as server:
        setup = [sys.executable, "-c", SETUP, str(ROWS), f"{server.url}/v1"]
        subprocess.run(setup, env=environment, check=True, timeout=360)
        for _ in range(KILLS):
            before = len(server.requests)
            worker = subprocess.Popen([sys.executable, "-c", WORKER], env=environment)
            deadline = time.monotonic() + 180
            # Dead after so many more questions, which is any moment between asking, storing and recording.
            while len(server.requests) < before + chance.randrange(5, 25):
                assert time.monotonic() < deadline
                assert worker.poll() is None
                time.sleep(0.005)
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        assert 0 < counted(database, "SELECT count(*) FROM datasets_result") < ROWS
        subprocess.run([sys.executable, "-c", WORKER], env=environment, check=True, timeout=360)
        times = Counter(asked(body) for _, _, body in server.requests)
    assert counted(database, "SELECT count(DISTINCT row_id) FROM datasets_result WHERE status = 'ok'") == ROWS
    assert counted(database, "SELECT count(*) FROM datasets_result") == ROWS
    assert counted(database, "SELECT done FROM datasets_experiment") == ROWS
    assert len(times) == ROWS
    # Their spans, too: those of results whose worker died before it told of them come with the next one.
    assert counted(database, "SELECT count(*) FROM datasets_result WHERE is_recorded") == ROWS
    # What was under way when a worker died is asked again, and nothing else.
    assert sum(times.values()) - ROWS <= KILLS * 8
