"""Traces with everything that belongs to them, whose time is over but for a hold."""

import hashlib
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from heliograph.accounts.models import Membership, Project, User
from heliograph.blobs import store as blobs
from heliograph.clickhouse import client
from heliograph.holds import asking, tasks
from heliograph.holds.models import Hold
from heliograph.query.filters import to_ns
from tests.projections import make_projections
from tests.query.rows import llm, new_trace_id, span, store_rows, store_spans

ALICE, BOB = "alice@example.com", "bob@example.com"
TABLES = ("spans", "log_records", "scores", "traces", "subject_traces", "contents")
# Long over by a retention of a day; a week of its own, so that no other test's rows are merged.
AT = to_ns((datetime.now(UTC) - timedelta(days=40)).replace(hour=12, minute=0, second=0, microsecond=0))
BLOB_DAY = "2026-01-05"
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> None:
    monkeypatch.setattr(asking, "wake_worker", lambda: None)
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    folder = {"BACKEND": "heliograph.blobs.folder.DurableFolder", "OPTIONS": {"location": tmp_path / "blobs"}}
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}, "blobs": folder}
    settings.SPOOL_DIR = tmp_path / "spool"


@pytest.fixture
def over(store: str) -> Iterator[None]:
    """Rows whose time is over stay until `expire` is called: no merge of the engine's own takes them before."""
    for table in TABLES:
        client.execute_unscoped(f"SYSTEM STOP TTL MERGES {table}")
    yield
    for table in TABLES:
        make_projections(table)
        client.execute_unscoped(f"SYSTEM START TTL MERGES {table}")


def expire(project: Project) -> None:
    """Have the store's TTL take what is over of the weeks of these tests."""
    for table in TABLES:
        make_projections(table)
        client.execute_unscoped(f"SYSTEM START TTL MERGES {table}")
        parts = client.query(
            project.pk,
            f"SELECT DISTINCT _partition_id AS id FROM {table} WHERE project_id = %(project_id)s",
            tag="test",
        )
        for part in parts:
            client.execute_unscoped(f"OPTIMIZE TABLE {table} PARTITION ID '{part['id']}' FINAL")
        client.execute_unscoped(f"SYSTEM STOP TTL MERGES {table}")


def talk(project: Project, user: str, *, texts: tuple[str, ...] = (), output: str = "", days: int = 1) -> str:
    """Store a trace of 40 days ago whose root names the user, with a log record, scores and texts; return its id."""
    trace_id, more = new_trace_id(), {"start_time": AT, "retention_days": days}
    used = [f"i{each}" for each in texts]
    root = span(trace_id, 0, user_id=user, session_id=f"session of {user}", output=output, **more)
    store_spans(project.pk, root | {"contents": used}, llm(trace_id, 0, **more) | {"contents": []})
    log = {"time": AT, "record_id": next(_numbers), "trace_id": trace_id, "body": "said", "retention_days": days}
    store_rows(project.pk, "log_records", [log])
    store_rows(project.pk, "scores", [score_of(trace_id, days)])
    for each in texts:
        row = {"hash": each, "text": f"the long text {each}", "expires_on": datetime(2026, 1, 5, tzinfo=UTC).date()}
        store_rows(project.pk, "contents", [row])
    return trace_id


def score_of(trace_id: str, days: int = 1, **fields: Any) -> dict[str, Any]:
    row = {"score_id": f"score of {trace_id}", "trace_id": trace_id, "span_id": "", "session_id": "", "name": "good"}
    return row | {"dataset_item_id": "", "time": AT, "value": 1.0, "retention_days": days} | fields


def blob_of(project: Project, data: bytes) -> tuple[str, str]:
    """Keep a file whose day is over; return its digest and the text that refers to it."""
    digest = hashlib.sha256(data).hexdigest()
    blobs.keep(project.pk, BLOB_DAY, {digest: data})
    return digest, f"blob:sha256-{digest};image/png;{len(data)};until={BLOB_DAY}"


def count(project: Project) -> dict[str, int]:
    found = {}
    for table in TABLES:
        final = "" if table == "spans" else "FINAL"
        sql = f"SELECT count() AS n FROM {table} {final} WHERE project_id = %(project_id)s"
        found[table] = client.query(project.pk, sql, tag="test")[0]["n"]
    return found


def traces_in(project: Project, table: str) -> set[str]:
    sql = f"SELECT DISTINCT trace_id FROM {table} WHERE project_id = %(project_id)s"
    return {row["trace_id"] for row in client.query(project.pk, sql, tag="test")}


def work(hold: Hold, *, sweep: bool = False) -> Hold:
    """Work until nothing is left to do."""
    if sweep:
        Hold.objects.filter(pk=hold.pk).update(swept_at=timezone.now() - timedelta(hours=2))
    for _ in range(30):
        tasks.work_off()
        hold.refresh_from_db()
        assert hold.error == ""
        if not Hold.waiting().filter(pk=hold.pk).exists():
            return hold
    raise AssertionError(f"still {hold.state}")


def signed_in(project: Project, role: str) -> Client:
    user = User.objects.create(username=f"{role}-{project.pk}")
    Membership.objects.create(organization=project.organization, user=user, role=role)
    browser = Client()
    browser.force_login(user)
    return browser
