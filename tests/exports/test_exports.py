"""Files made in the background: whole through killed workers, told of, kept for a week, and the project's alone."""

import csv
import gzip
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone
from pytest_django import Settings

from heliograph.accounts.models import Membership, Project
from heliograph.blobs import store
from heliograph.events.models import Event
from heliograph.exports import making, tasks
from heliograph.exports.models import MOST_OPEN, Export
from heliograph.query.filters import to_ns
from tests.api.test_endpoints import Caller, caller, stranger  # noqa: F401  # fixtures
from tests.api.test_redaction import Person
from tests.query.rows import llm, new_trace_id, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> None:
    for room in ("asking", "tasks"):
        monkeypatch.setattr(f"heliograph.exports.{room}.wake_worker", lambda: None)
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    folder = {"BACKEND": "heliograph.blobs.folder.DurableFolder", "OPTIONS": {"location": tmp_path / "blobs"}}
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}, "blobs": folder}


def stored(project: Project, count: int, **fields: Any) -> list[str]:
    """Store roots a second apart; return their trace ids, newest first."""
    begun = to_ns(timezone.now() - timedelta(hours=1))
    usual = {"parent_span_id": "", "is_entry": True, "model": "gpt-4o"} | fields
    rows = [llm(new_trace_id(), 0, start_time=begun + number * 10**9, **usual) for number in range(count)]
    store_spans(project.pk, *rows)
    return [row["trace_id"] for row in reversed(rows)]


def asked(who: Caller, **body: Any) -> int:
    answer = who.client.post("/api/v1/exports", body, content_type="application/json")
    assert answer.status_code == 202, answer.json()
    return int(answer.json()["id"])


def whole(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    assert answer["content-type"] == "application/gzip"

    async def joined() -> bytes:
        return b"".join([part async for part in answer.streaming_content])

    content = async_to_sync(joined)()
    assert len(content) == int(answer["content-length"])
    return gzip.decompress(content).decode()


def test_a_file_is_made_in_turns_through_a_killed_worker_and_told_of_once(
    caller: Caller,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(making, "ROWS_OF_A_PART", 4)
    traces = stored(caller.project, 10)
    number = asked(caller, what="traces", format="csv")
    assert caller.get(f"exports/{number}/file").status_code == 404
    tasks.work_off()
    # A worker is killed behind what it wrote and before it said so; its lease runs out.
    killed = Export.objects.get(pk=number)
    assert killed.claim()
    store.keep(caller.project.pk, killed.until, {"ab" * 32: b"half"})
    Export.objects.filter(pk=number).update(leased_until=timezone.now() - timedelta(seconds=1))
    for _ in range(4):
        tasks.work_off()
    said = caller.get(f"exports/{number}").json()
    assert (said["status"], said["rows"], said["is_ready"], said["is_cut"]) == ("done", 10, True, False)
    rows = list(csv.DictReader(io.StringIO(whole(caller.get(f"exports/{number}/file")))))
    assert [row["trace_id"] for row in rows] == traces
    [event] = Event.objects.filter(project=caller.project, kind="export.ready")
    assert (event.body["export"], event.body["rows"], event.body["bytes"]) == (number, 10, said["bytes"])
    assert event.body["file"].endswith(f"/api/v1/exports/{number}/file")


def test_a_filter_chooses_spans_and_a_bound_cuts_them(
    caller: Caller,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(making, "MAX_ROWS", 3)
    slow = stored(caller.project, 5, service="slow")
    stored(caller.project, 5, service="quick")
    number = asked(caller, what="spans", filter="service:slow")
    tasks.work_off()
    lines = whole(caller.get(f"exports/{number}/file")).splitlines()
    assert [json.loads(line)["trace_id"] for line in lines] == slow[:3]
    assert caller.get(f"exports/{number}").json()["is_cut"]


def test_a_file_expires_and_is_removed(caller: Caller) -> None:  # noqa: F811
    stored(caller.project, 2)
    number = asked(caller)
    tasks.work_off()
    export = Export.objects.get(pk=number)
    blob = export.project_id, export.until, export.parts[0]
    file = store.read(*blob)
    assert file is not None
    file.close()
    Export.objects.filter(pk=number).update(expires_at=timezone.now())
    assert caller.get(f"exports/{number}/file").status_code == 404
    Export.objects.filter(pk=number).update(created_at=timezone.now() - timedelta(days=9))
    tasks.work_off()
    assert not Export.objects.filter(pk=number).exists()
    assert store.read(*blob) is None


def test_nobody_else_sees_it_and_a_project_waits_for_a_few_at_a_time(
    caller: Caller,  # noqa: F811
    stranger: Caller,  # noqa: F811
) -> None:
    stored(caller.project, 1)
    number = asked(caller)
    tasks.work_off()
    for path in (f"exports/{number}", f"exports/{number}/file"):
        assert stranger.get(path).status_code == 404
    assert stranger.get("exports").json()["items"] == []
    assert stranger.client.delete(f"/api/v1/exports/{number}").status_code == 404
    wrong = caller.client.post("/api/v1/exports", {"filter": "latency>soon"}, content_type="application/json")
    assert wrong.status_code == 400
    for _ in range(MOST_OPEN):
        asked(caller)
    refused = caller.client.post("/api/v1/exports", {}, content_type="application/json")
    assert refused.status_code == 409


def test_what_the_store_refuses_is_told(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    number = asked(caller)

    def fails(_: Export) -> None:
        raise ValueError("no such luck")

    monkeypatch.setattr(making, "turn", fails)
    tasks.work_off()
    said = caller.get(f"exports/{number}").json()
    assert (said["status"], said["error"]) == ("failed", "ValueError: no such luck")


def test_the_page_asks_shows_and_deletes_and_a_viewer_may_only_fetch(caller: Caller) -> None:  # noqa: F811
    [trace] = stored(caller.project, 1)
    editor, viewer = (Person(caller, role).client for role in (Membership.Role.EDITOR, Membership.Role.VIEWER))
    page = f"/p/{caller.project.slug}/traces/exports"
    form = {"what": "traces", "format": "jsonl", "q": "model:gpt-4*"}
    assert viewer.post(f"{page}/new?range=24h", form).status_code == 403
    assert "No file is made" in editor.post(f"{page}/new", form | {"what": "secrets"}, follow=True).content.decode()
    assert "being made" in editor.post(f"{page}/new?range=24h", form, follow=True).content.decode()
    tasks.work_off()
    export = Export.objects.get(project=caller.project)
    ready = viewer.get(page).content.decode()
    assert export.file_name in ready
    # A page that waits puts this in the place of its own list.
    assert 'id="exports"' in ready
    assert "hx-get" not in ready.partition('id="exports"')[2].partition(">")[0]
    assert trace in whole(viewer.get(f"{page}/{export.pk}/file"))
    assert viewer.post(f"{page}/{export.pk}/delete").status_code == 403
    assert "is deleted" in editor.post(f"{page}/{export.pk}/delete", follow=True).content.decode()
    assert viewer.get(f"{page}/{export.pk}/file").status_code == 404
