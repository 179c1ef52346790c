"""Rules re-applied to stored spans: each span exactly once and every sum right, under ingest and after kill -9."""

import itertools
import json
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from collectors.otlp.remap import MAPPED_COLUMNS
from heliograph.remap.rollups import DERIVED, UNAFFECTED
from tests.ingest.stack import ROOT, Stack, Tenant, eventually

MINUTE_NS = 60 * 10**9
_numbers = itertools.count(1)

PREPARE = """
import django; django.setup()
from datetime import timedelta
from django.utils import timezone
from collectors.semconv.rules import Rule
from heliograph.accounts.models import Project
from heliograph.conventions import rulesets
from heliograph.conventions.models import Ruleset
project = Project.objects.get(pk={project})
for rule in {rules}:
    rulesets.add_rule(project, None, Rule(**rule))
# As if it had been made a while ago: ingest is asked by the test whether it has taken it up.
Ruleset.objects.filter(project=project).update(created_at=timezone.now() - timedelta(hours=1))
"""
START = """
import django; django.setup()
from datetime import datetime
from heliograph.accounts.models import Project
from heliograph.remap import queue
queue.wake_worker = lambda after_seconds=0.0: None  # no worker runs beside the one that this test kills
job = queue.start(
    Project.objects.get(pk={project}), None, datetime.fromisoformat({start!r}), datetime.fromisoformat({end!r})
)
print(job.pk)
"""
# Workers one after the other, each a process that kills itself, as the kernel would, right after a statement of its
# tag, and at last one that is left alone.
WORK = """
import django; django.setup()
import os, signal, sys, time
from datetime import timedelta
from django.utils import timezone
from heliograph.clickhouse import client
from heliograph.conventions.models import Reapplication
from heliograph.remap import job as jobs
jobs.SLICE_SPANS, jobs.BATCH_SPANS = 60, 40

def kill_after(tag):
    for name in ("query", "execute_unscoped"):
        def killing(*arguments, given=getattr(client, name), **named):
            answer = given(*arguments, **named)
            if named.get("tag") == tag:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer
        setattr(client, name, killing)

def work():
    # The lease of a worker that was killed before has run out, and a person looked why.
    Reapplication.objects.filter(pk={job}, status="running").update(
        leased_until=timezone.now() - timedelta(seconds=1), attempts=0
    )
    job = Reapplication.objects.get(pk={job})
    assert job.claim()
    jobs.work_on(job, time.monotonic() + 300)
    job.refresh_from_db()
    return "|".join(map(str, (job.status, job.note, job.error, job.spans_done, job.spans_changed)))

for tag in {kill_after}:
    child = os.fork()
    if child == 0:
        kill_after(tag)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (tag, status)
print(work())
"""
KILLED_AFTER = (
    "remap.attach",
    "remap.delete",
    "remap.note_minutes",
    "remap.delete_minutes",
    "remap.delete_traces",
    "remap.derive",
    "remap.truncate",
    "remap.delete_hours",
)


def run(stack: Stack, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], check=False, env=stack.environment, capture_output=True, text=True, cwd=ROOT
    )


def answer(stack: Stack, script: str) -> str:
    done = run(stack, script)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def send(
    stack: Stack,
    tenant: Tenant,
    trace: int,
    minute: datetime,
    spans: int = 1,
    *,
    attributes: dict[str, Any] | None = None,
) -> None:
    """Send spans of one trace in one minute; the first span of a trace that is sent is its root."""
    start = int(minute.timestamp()) * 10**9
    sent = []
    for _ in range(spans):
        number = next(_numbers)
        said = {
            "gen_ai.operation.name": "chat",
            "acme.session": f"session-{trace}",
            "acme.model": "gpt-4o",
            "acme.in": 7,
            "acme.prompt": "long " * 400 + str(trace),
            **(attributes or {}),
        }
        sent.append(
            {
                "traceId": f"{trace:032x}",
                "spanId": f"{number:016x}",
                "name": f"call {number}",
                "startTimeUnixNano": str(start + number),
                "endTimeUnixNano": str(start + number + 10**6),
                "attributes": [
                    {
                        "key": key,
                        "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value},
                    }
                    for key, value in said.items()
                ],
            }
        )
    body = {"resourceSpans": [{"scopeSpans": [{"spans": sent}]}]}
    response = httpx.post(f"{stack.http}/v1/traces", json=body, headers=tenant.headers, timeout=180)
    assert response.status_code == 200, response.text
    assert "partialSuccess" not in response.json()


def assert_sums_are_those_of_the_spans(stack: Stack, tenant: Tenant) -> None:
    def rows(sql: str) -> list[tuple[Any, ...]]:
        return sorted(stack.query(sql, project=tenant.id))

    assert rows(
        """SELECT minute, kind, model, sum(spans), sum(errors), sum(input_tokens), sum(cost), sum(unpriced_count),
            quantilesTDigestMerge(0.5, 0.95, 0.99)(duration) != []
        FROM span_rollups_1m WHERE project_id = %(project)s GROUP BY minute, kind, model"""
    ) == rows(
        """SELECT toStartOfMinute(start_time) AS minute, kind, model, count(), countIf(status = 'error'),
            sumIf(ifNull(input_tokens, 0), usage_counted), sumIf(ifNull(cost, 0)::Decimal(38, 12), usage_counted),
            countIf(usage_counted AND cost IS NULL AND input_tokens > 0), 1
        FROM spans WHERE project_id = %(project)s GROUP BY minute, kind, model"""
    )
    assert rows(
        """SELECT trace_id, sum(span_count), max(session_id), arraySort(groupUniqArrayArray(models)), sum(input_tokens),
            min(start_time), arraySort(groupUniqArrayArray(minutes)), argMinMerge(name)
        FROM traces WHERE project_id = %(project)s GROUP BY trace_id"""
    ) == rows(
        """SELECT trace_id, count(), max(session_id), arraySort(groupUniqArrayIf(model::String, model != '')),
            sumIf(ifNull(input_tokens, 0), usage_counted), min(start_time) AS first,
            arraySort(groupUniqArray(toStartOfMinute(start_time))), argMin(name, start_time)
        FROM spans WHERE project_id = %(project)s GROUP BY trace_id"""
    )


RULES = [
    {"source": "acme.session", "field": "session_id"},
    {"source": "acme.model", "field": "model_answered"},
    {"source": "acme.in", "field": "input_tokens"},
    {"source": "acme.prompt", "field": "input"},
]


def test_killed_at_every_step_under_ingest_each_span_is_there_once_and_every_sum_is_right(
    stack: Stack, tenant: Tenant
) -> None:
    first = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)
    minutes = [first + timedelta(minutes=number) for number in range(10)]
    for number, minute in enumerate(minutes):
        # Traces that lie in two minutes, so in two slices.
        send(stack, tenant, tenant.id * 1_000 + number, minute, 40)
        send(stack, tenant, tenant.id * 1_000 + number + 1, minute, 10)
    before = dict(stack.query("SELECT span_id, received_at FROM spans WHERE project_id = %(p)s", p=tenant.id))
    assert len(before) == 500
    answer(stack, PREPARE.format(project=tenant.id, rules=json.dumps(RULES)))
    revision = len(RULES)

    def is_taken_up() -> bool:
        send(stack, tenant, tenant.id * 1_000 + 999, minutes[0])
        [row] = stack.query("SELECT max(mapping_revision) FROM spans WHERE project_id = %(p)s", p=tenant.id)
        return row == (revision,)

    eventually(is_taken_up)
    end = (minutes[-1] + timedelta(seconds=30)).isoformat()
    job = answer(stack, START.format(project=tenant.id, start=minutes[0].isoformat(), end=end))

    stop = threading.Event()
    sent: list[int] = []

    def keep_sending() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            # Into traces and minutes that are being rewritten.
            send(stack, tenant, tenant.id * 1_000 + number % 10, minutes[number % 10])
            sent.append(1)

    sender = threading.Thread(target=keep_sending)
    sender.start()
    try:
        script = WORK.format(job=job, kill_after=KILLED_AFTER)
        status, note, error, _, changed = answer(stack, script).split("|")
    finally:
        stop.set()
        sender.join(60)
    assert (status, note, error) == ("done", "", "")
    assert int(changed) > 0
    assert len(sent) > len(KILLED_AFTER), "spans came in the meantime"
    [(count, distinct)] = stack.query(
        "SELECT count(), uniqExact(span_id) FROM spans WHERE project_id = %(p)s", p=tenant.id
    )
    assert count == distinct
    [(older, unfilled)] = stack.query(
        """SELECT countIf(mapping_revision < %(r)s), countIf(session_id != concat('session-', toString(
            toUInt64(reinterpretAsUInt64(reverse(unhex(trace_id)))))) OR model != 'gpt-4o' OR input_tokens != 7
            OR input = '' OR NOT startsWith(input_preview, 'long long'))
        FROM spans WHERE project_id = %(p)s""",
        p=tenant.id,
        r=revision,
    )
    assert (older, unfilled) == (0, 0)
    after = dict(stack.query("SELECT span_id, received_at FROM spans WHERE project_id = %(p)s", p=tenant.id))
    assert {span: after.get(span) for span in before} == before
    assert len(after) > len(before)
    assert_sums_are_those_of_the_spans(stack, tenant)
    left = stack.query("SELECT name FROM system.tables WHERE name LIKE %(name)s", name=f"remap_%_{tenant.id}")
    assert left == []


def test_another_projects_spans_are_not_touched_and_a_range_keeps_the_rest(stack: Stack, tenant: Tenant) -> None:
    other = next(stack.tenants)
    first = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    for each in (tenant, other):
        for number in range(3):
            send(stack, each, each.id * 1_000 + number, first + timedelta(minutes=number), 3)
    answer(stack, PREPARE.format(project=tenant.id, rules=json.dumps(RULES)))
    middle = first + timedelta(minutes=1)
    job = answer(
        stack,
        START.format(project=tenant.id, start=middle.isoformat(), end=(middle + timedelta(seconds=59)).isoformat()),
    )
    assert answer(stack, WORK.format(job=job, kill_after=())) == "done|||3|3"
    found = stack.query(
        "SELECT project_id, session_id != '', count() FROM spans WHERE project_id IN %(p)s GROUP BY 1, 2 ORDER BY 1, 2",
        p=(tenant.id, other.id),
    )
    assert sorted(found) == sorted([(tenant.id, 0, 6), (tenant.id, 1, 3), (other.id, 0, 9)])
    for each in (tenant, other):
        assert_sums_are_those_of_the_spans(stack, each)


def test_rules_taken_back_give_spans_their_old_fields(stack: Stack, tenant: Tenant) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    send(stack, tenant, tenant.id * 1_000, minute, 5)
    whole = "SELECT * EXCEPT (mapping_revision, contents) FROM spans WHERE project_id = %(p)s ORDER BY span_id"
    before = stack.query(whole, p=tenant.id)
    span = {"project": tenant.id, "start": minute.isoformat(), "end": (minute + timedelta(minutes=1)).isoformat()}
    answer(stack, PREPARE.format(project=tenant.id, rules=json.dumps(RULES)))
    assert answer(stack, WORK.format(job=answer(stack, START.format(**span)), kill_after=())).startswith("done")
    assert stack.query(whole, p=tenant.id) != before
    remove = """
for rule in rulesets.rules_in_force(project):
    rulesets.remove_rule(project, None, rule["id"])
Ruleset.objects.filter(project=project).update(created_at=timezone.now() - timedelta(hours=1))
"""
    answer(stack, PREPARE.format(project=tenant.id, rules="[]") + remove)
    assert answer(stack, WORK.format(job=answer(stack, START.format(**span)), kill_after=())).startswith("done")
    assert stack.query(whole, p=tenant.id) == before
    assert_sums_are_those_of_the_spans(stack, tenant)


def test_every_view_over_spans_is_derived_again_or_reads_nothing_that_a_rule_fills(stack: Stack) -> None:
    views = dict(
        stack.query(
            "SELECT name, as_select FROM system.tables "
            "WHERE engine = 'MaterializedView' AND position(as_select, '.spans AS ') > 0"
        )
    )
    assert sorted(views) == sorted([*(derived.view for derived in DERIVED), *UNAFFECTED])
    for name in UNAFFECTED:
        assert not set(re.findall(r"\bs\.(\w+)", views[name])) & set(MAPPED_COLUMNS), name
