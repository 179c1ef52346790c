"""Two workers over the same rules at the same time, on PostgreSQL, where they hold locks and do not wait in a queue."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.query.rows import START, new_trace_id, span, store_spans

pytestmark = pytest.mark.services
ROOT = Path(__file__).resolve().parents[2]
SERVICES, MINUTES = 5, 12

SETUP = """
import django, sys; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from heliograph.accounts.models import Organization, Project
from heliograph.alerts.models import Channel, Rule
organization = Organization.objects.create(name="Acme")
project = Project.objects.create(id=int(sys.argv[1]), organization=organization, name="Shop", slug="shop")
channel = Channel.objects.create(project=project, name="hook", kind="webhook", settings={"url": "http://127.0.0.1:9/"})
for number in range(20):
    usual = {"measure": "errors", "kind": "threshold", "condition": {"side": "above", "bound": 5}}
    rule = Rule.objects.create(
        project=project, name=str(number), window=1, hold=0, recover=0, repeat=3, by=["service"], **usual
    )
    rule.channels.add(channel)
"""
WORK = """
import django, sys; django.setup()
from datetime import datetime, timedelta
from heliograph.accounts.models import Project
from heliograph.alerts.evaluate import evaluate
from heliograph.alerts.tell import tell
print("ready", flush=True)
sys.stdin.readline()
project, start = Project.objects.get(), datetime.fromisoformat(sys.argv[1])
for minute in range(2, int(sys.argv[2])):
    now = start + timedelta(minutes=minute, seconds=60)
    evaluate(project, now)
    tell(project, now)
"""
READ = """
import django; django.setup()
from heliograph.alerts.models import Alert, Delivery, Rule, Transition
print(Alert.objects.filter(is_open=True).count(), Alert.objects.count())
print(Transition.objects.filter(state="firing").count(), Transition.objects.filter(state="resolved").count())
print(Delivery.objects.filter(payload__data__is_repeat=False, payload__type="alert.firing").count())
print(Delivery.objects.filter(payload__type="alert.resolved").count())
print(len(set(Rule.objects.values_list("checked_until", flat=True))))
"""


def test_two_workers_at_once_neither_wait_for_each_other_nor_tell_twice(
    postgres_url: str, store: str, project_id: int, tmp_path: Path
) -> None:
    bad = range(3, 8)
    store_spans(
        project_id,
        *(
            span(new_trace_id(), 60 * minute + 1, service=f"s{service}", status="error" if minute in bad else "ok")
            for minute in range(MINUTES)
            for service in range(SERVICES)
            for _ in range(6)
        ),
    )
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}",
        "DJANGO_SETTINGS_MODULE": "heliograph.settings",
        "HELIOGRAPH_DATA_DIR": str(tmp_path),
        "DATABASE_URL": postgres_url,
    }

    def start(script: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    made = start(SETUP, str(project_id))
    _, said = made.communicate(timeout=180)
    assert made.returncode == 0, said
    workers = [start(WORK, START.isoformat(), str(MINUTES)) for _ in range(2)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        _, said = worker.communicate(timeout=180)
        assert worker.returncode == 0, said
    counted = start(READ).communicate(timeout=180)[0].split()
    rules = 20
    assert counted == [
        *("0", str(rules * SERVICES)),
        *(str(rules * SERVICES), str(rules * SERVICES)),
        *(str(rules), str(rules), "1"),
    ]
