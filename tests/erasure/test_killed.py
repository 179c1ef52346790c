"""Workers that are killed as the kernel kills, after each statement of an erasure; what was sent over OTLP is gone."""

import json
import subprocess
import sys
from typing import Any

import httpx

from tests.ingest.senders import trace_request
from tests.ingest.stack import ROOT, Stack, Tenant
from tests.ingest.test_http import PROTOBUF

# One after the other, each a process that kills itself right after its statement, and at last one that is left alone.
WORK = """
import django; django.setup()
import json, os, signal
from datetime import timedelta
from django.utils import timezone
from heliograph.accounts.models import Project
from heliograph.clickhouse import client
from heliograph.erasure import asking, tasks
from heliograph.erasure.models import Erasure
asking.wake_worker = tasks.wake_worker = lambda: None
erasure = asking.ask(Project.objects.get(pk={project}), "alice", None)

def kill_after(what):
    def killing(*arguments, given=client.query, **named):
        answer = given(*arguments, **named)
        if what in (named["tag"], " ".join(arguments[1].split()[:3])):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    client.query = killing

def work():
    past = timezone.now() - timedelta(seconds=1)
    for _ in range(10):
        # The lease of a worker that was killed before has run out, and a person looked why.
        Erasure.objects.filter(pk=erasure.pk, status="running").update(leased_until=past, attempts=0, turns=0)
        Erasure.objects.filter(pk=erasure.pk).exclude(not_before=None).update(not_before=past)
        tasks.work_off()
        erasure.refresh_from_db()
        if not erasure.is_open:
            return

for what in {killed_after}:
    django.db.connections.close_all()
    child = os.fork()
    if child == 0:
        client.close_connections()
        kill_after(what)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (what, status)
work()
print(json.dumps([erasure.status, erasure.error, erasure.result]))
"""
GONE = ("spans", "subject_hours", "log_records", "scores", "pending_scores", "attributions", "traces", "subject_traces")
KILLED_AFTER = (
    "erasure.next",
    "erasure.count",
    "rows_of_traces.blobs",
    "remap.derive",
    *(f"DELETE FROM {each}" for each in GONE),
)


def send(stack: Stack, tenant: Tenant, user: str) -> None:
    request = trace_request(3)
    attribute = request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="user.id")
    attribute.value.string_value = user
    body = request.SerializeToString()
    assert (
        httpx.post(f"{stack.http}/v1/traces", content=body, headers=tenant.headers | PROTOBUF, timeout=180).status_code
        == 200
    )


def test_an_erasure_whose_workers_are_killed_takes_all_and_counts_nothing_twice(stack: Stack) -> None:
    tenant = next(stack.tenants)
    for user in ("alice", "alice", "bob"):
        send(stack, tenant, user)
    done = subprocess.run(
        [sys.executable, "-c", WORK.format(project=tenant.id, killed_after=KILLED_AFTER)],
        check=False,
        env=stack.environment,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    answer: list[Any] = json.loads(done.stdout.splitlines()[-1])
    status, error, receipt = answer
    assert (status, error) == ("done", "")
    assert (receipt["counts"]["spans"], receipt["counts"]["traces"]) == (6, 2)
    # Traffic counts on; the list of traces and the spans are bob's alone.
    assert stack.counts(tenant) == (3, 3, 9)
    [(users,)] = stack.query("SELECT groupUniqArray(user_id) FROM spans WHERE project_id = %(p)s", p=tenant.id)
    assert sorted(users) == ["", "bob"]
