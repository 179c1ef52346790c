"""Heliograph's traces and metrics of itself: they reach a project of their own, and do not feed on themselves."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from tests.ingest.senders import trace_request
from tests.ingest.stack import ROOT, Stack, eventually
from tests.ingest.test_http import PROTOBUF

OWN_PROJECT = """
import django
django.setup()
from heliograph.accounts.bootstrap import ensure_own_project
assert ensure_own_project() == ensure_own_project()
print(ensure_own_project().pk)
"""
SEND_TASK = """
import django
django.setup()
from celery import current_app
from heliograph.celery import app
app.set_current()
current_app.send_task("heliograph.exports.tasks.work_off")
"""
PATIENCE = 180


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that observes itself, in a hurry."""
    stack = Stack(tmp_path_factory.mktemp("own"))
    try:
        stack.start()
        stack.settings |= {
            "HELIOGRAPH_SELF_TELEMETRY": "true",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
        }
        # The collector that `start` began is another one: what is watched sends to it, and to the one begun here.
        stack.settings["HELIOGRAPH_SELF_TELEMETRY_ENDPOINT"] = stack.http
        stack.own = run(stack, OWN_PROJECT)  # type: ignore[attr-defined]
        yield stack
    finally:
        stack.stop()


def run(stack: Stack, script: str) -> int:
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=stack.environment, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout or 0)


def own_spans(stack: Stack) -> Counter[str]:
    rows = stack.query("SELECT name, count() FROM spans WHERE project_id = %(own)s GROUP BY name", own=stack.own)
    return Counter(dict(rows))


def own_points(stack: Stack) -> int:
    sql = "SELECT count() FROM metric_points WHERE project_id = %(own)s AND metric = 'heliograph.ingest.requests'"
    return int(stack.query(sql, own=stack.own)[0][0])


def test_a_collector_that_stores_its_own_telemetry_makes_no_more_of_it(watched: Stack) -> None:
    """It sends to itself: everything that it takes of its own is a commit, with questions to the store."""
    first = watched.http
    command = ["-m", "heliograph.ingest", "--http-port", first.rpartition(":")[2], "--grpc-port", "0"]
    watched.collector.stop()
    watched.collector = watched.run("own-collector", command)
    watched.wait_for_addresses()
    assert watched.http == first
    tenant = next(watched.tenants)
    sent = 5
    for _ in range(sent):
        body = trace_request(2).SerializeToString()
        headers = tenant.headers | PROTOBUF
        assert httpx.post(f"{watched.http}/v1/traces", content=body, headers=headers, timeout=180).status_code == 200
    found = eventually(lambda: (now := own_spans(watched))["ingest commit"] == sent and now, PATIENCE)
    assert any(name.startswith("clickhouse ") for name in found)
    # The collector goes on to store its own metrics, a commit each time; nothing of that is a span.
    before = own_points(watched)
    eventually(lambda: own_points(watched) > before + 40, PATIENCE)
    assert own_spans(watched) == found
    # And a commit of somebody else's telemetry is one span more.
    body = trace_request(2).SerializeToString()
    httpx.post(f"{watched.http}/v1/traces", content=body, headers=tenant.headers | PROTOBUF, timeout=180)
    eventually(lambda: own_spans(watched)["ingest commit"] == sent + 1, PATIENCE)


def test_requests_are_told_by_their_route_and_nothing_of_who_asked(watched: Stack) -> None:
    tenant = next(watched.tenants)
    process = watched.start_web()
    try:
        agent = {"user-agent": "an agent of mine"}
        # Its page fails where no static files are collected, which is no matter here: a failure is told as well.
        httpx.get(f"{watched.web_http}/invitations/secret-link?q=secret-words", headers=agent, timeout=180)
        answer = httpx.get(
            f"{watched.web_http}/api/v1/traces?filter=user:secret-words", headers=agent | tenant.headers, timeout=180
        )
        assert answer.status_code == 200
        eventually(lambda: any(name.startswith("GET invitations") for name in own_spans(watched)), PATIENCE)
        eventually(lambda: own_spans(watched)["GET api/v1/traces"] == 1, PATIENCE)
    finally:
        process.stop()
    sql = """
    SELECT name, trace_id, toString(attributes), toString(resource), toString(events.attributes)
    FROM spans
    WHERE project_id = %(own)s
    """
    rows = watched.query(sql, own=watched.own)
    for word in ("secret-link", "secret-words", "an agent of mine"):
        assert not any(word in str(row) for row in rows), word
    (asked,) = (row for row in rows if row[0] == "GET api/v1/traces")
    assert "'http.route':'api/v1/traces'" in asked[2]
    assert "127.0.0.1" not in asked[2]
    below = {row[0] for row in rows if row[1] == asked[1]} - {asked[0]}
    assert below
    assert all(name.startswith("clickhouse ") for name in below)


def test_tasks_of_a_worker_are_traces_with_their_questions_to_the_store(watched: Stack) -> None:
    worker = watched.run("worker", ["-m", "celery", "-A", "heliograph", "worker", "--pool", "solo"])
    try:
        run(watched, SEND_TASK)
        eventually(lambda: own_spans(watched)["run/heliograph.exports.tasks.work_off"] == 1, PATIENCE)
    finally:
        worker.stop()
