"""Everything of one user is erased, and nothing of others; who may ask; what the receipt says."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from heliograph.accounts.models import Membership, Project, User
from heliograph.annotation.models import Item, Queue
from heliograph.audit.models import Entry
from heliograph.blobs import store as blobs
from heliograph.clickhouse import client
from heliograph.datasets.models import Content, Dataset, Row
from heliograph.erasure import asking, stored, tasks, turns
from heliograph.erasure.asking import CannotErase
from heliograph.erasure.models import Erasure, Piece
from heliograph.rules.models import PinnedTrace
from tests.conftest import new_project_id
from tests.datasets.conftest import a_run, put
from tests.datasets.conftest import row as data_row
from tests.query.rows import START, at, llm, new_trace_id, span, store_rows, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
ALICE, BOB = "alice@example.com", "bob@example.com"
TABLES = ("spans", "log_records", "scores", "attributions", "traces", "subject_traces", "subject_hours", "contents")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> None:
    for room in ("asking", "tasks"):
        monkeypatch.setattr(f"heliograph.erasure.{room}.wake_worker", lambda: None)
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    folder = {"BACKEND": "heliograph.blobs.folder.DurableFolder", "OPTIONS": {"location": tmp_path / "blobs"}}
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}, "blobs": folder}
    settings.SPOOL_DIR = tmp_path / "spool"


def log_of(trace_id: str, number: int) -> dict[str, Any]:
    return {"time": at(1), "record_id": number, "trace_id": trace_id, "body": "said", "retention_days": 90}


def score_of(trace_id: str, **fields: Any) -> dict[str, Any]:
    row = {"score_id": f"score of {trace_id}", "trace_id": trace_id, "span_id": "", "session_id": "", "name": "good"}
    return row | {"dataset_item_id": "", "time": at(1), "value": 1.0, "retention_days": 90} | fields


def share_of(trace_id: str, user: str) -> dict[str, Any]:
    row = {"minute": START, "gpu_uuid": "GPU-1", "version": 1, "trace_id": trace_id, "span_id": "", "user_id": user}
    return row | {"gpu_seconds": 1.0, "unmetered_seconds": 0.0, "retention_days": 90}


def blob_of(project: Project, data: bytes) -> tuple[str, str]:
    """Keep a file; return its digest and the text that refers to it."""
    digest = hashlib.sha256(data).hexdigest()
    blobs.keep(project.pk, "2099-01-05", {digest: data})
    return digest, f"blob:sha256-{digest};image/png;{len(data)};until=2099-01-05"


def talk(project: Project, user: str, number: int, *, texts: list[str] = [], output: str = "") -> str:  # noqa: B006  # only read
    """Store a trace whose root names the user and whose call does not, with what belongs to it."""
    trace_id = new_trace_id()
    used = [f"i{each}" for each in texts]
    root = span(trace_id, 1, user_id=user, session_id=f"session of {user}", output=output) | {"contents": used}
    store_spans(project.pk, root, llm(trace_id, 61) | {"contents": []})
    store_rows(project.pk, "log_records", [log_of(trace_id, number)])
    session = score_of("", score_id=f"session {user}", session_id=f"session of {user}")
    store_rows(project.pk, "scores", [score_of(trace_id), session])
    store_rows(project.pk, "attributions", [share_of(trace_id, user)])
    return trace_id


def text(project: Project, hash_: str) -> None:
    row = {"hash": hash_, "text": f"the long text {hash_}", "expires_on": (START + timedelta(days=90)).date()}
    store_rows(project.pk, "contents", [row])


def count(project_id: int) -> dict[str, int]:
    found = {}
    for table in TABLES:
        final = "" if table in {"spans", "attributions"} else "FINAL"
        sql = f"SELECT count() AS n FROM {table} {final} WHERE project_id = %(project_id)s"
        found[table] = client.query(project_id, sql, tag="test")[0]["n"]
    return found


def work(erasure: Erasure) -> Erasure:
    """Work until it is done; what waits for its time is let go on."""
    for _ in range(30):
        Erasure.objects.filter(pk=erasure.pk).exclude(not_before=None).update(not_before=timezone.now())
        tasks.work_off()
        erasure.refresh_from_db()
        if not erasure.is_open:
            return erasure
    raise AssertionError(f"still {erasure.status}: {erasure.note}")


def test_everything_of_a_user_goes_and_nothing_of_another_or_of_another_project(project: Project) -> None:
    other = Project.objects.create(
        id=new_project_id(), organization=project.organization, name="Other", slug=f"other-{project.pk}"
    )
    mine, shared = "a" * 32, "b" * 32
    for hash_ in (mine, shared):
        text(project, hash_)
    digest, picture = blob_of(project, b"a picture of alice")
    kept_digest, kept_picture = blob_of(project, b"a picture of both")
    theirs = [
        talk(project, ALICE, 1, texts=[mine, shared], output=f"{picture} {kept_picture}"),
        talk(project, ALICE, 2),
    ]
    bobs = talk(project, BOB, 3, texts=[shared], output=kept_picture)
    talk(other, ALICE, 4)
    before_other, traffic = count(other.pk), rollup(project)

    found = stored.preview(project.pk, ALICE)
    assert (found.traces, found.spans, found.logs, found.scores, found.shared) == (2, 4, 2, 2, 0)
    assert found.first_ns == found.last_ns == at(1)
    done = work(asking.ask(project, ALICE, None))

    assert done.status == Erasure.Status.DONE
    now = count(project.pk)
    assert now == {
        **dict.fromkeys(("log_records", "attributions", "traces", "contents"), 1),
        "spans": 2,
        "scores": 2,
        "subject_traces": 2,
        "subject_hours": 2,
    }
    assert {row["trace_id"] for row in rows(project, "spans")} == {bobs}
    assert [row["hash"] for row in rows(project, "contents")] == [shared]
    assert blobs.read(project.pk, "2099-01-05", digest) is None
    kept = blobs.read(project.pk, "2099-01-05", kept_digest)
    assert kept is not None
    kept.close()
    assert count(other.pk) == before_other
    # Sums that name nobody stay, also where a minute would be derived again.
    assert rollup(project) == traffic
    removed = client.query(
        project.pk, "SELECT sum(spans) AS n FROM span_rollups_removed WHERE project_id = %(project_id)s", tag="test"
    )
    assert removed[0]["n"] == 4
    assert done.result["counts"] == {
        "spans": 4,
        "log_records": 2,
        "scores": 3,
        "attributions": 2,
        "traces": 2,
        "subject_traces": 4,
        **dict.fromkeys(("texts", "blobs"), 1),
    }
    assert not set(theirs) & {row["trace_id"] for row in rows(project, "log_records")}
    assert stored.preview(project.pk, ALICE).spans == 0


def rows(project: Project, table: str) -> list[dict[str, Any]]:
    return client.query(project.pk, f"SELECT * FROM {table} WHERE project_id = %(project_id)s", tag="test")


def rollup(project: Project) -> int:
    sql = "SELECT sum(spans) AS n FROM span_rollups_1m WHERE project_id = %(project_id)s"
    return int(client.query(project.pk, sql, tag="test")[0]["n"])


def test_copies_in_data_sets_runs_and_queues_go_and_a_data_set_keeps_its_versions(project: Project) -> None:
    trace, bobs = talk(project, ALICE, 1), talk(project, BOB, 2)
    dataset = Dataset.objects.create(project=project, name="refunds")
    put(dataset, data_row("a", "alice's secret", trace_id=trace), data_row("b", "bob's", trace_id=bobs))
    dataset.refresh_from_db()
    run = a_run(dataset, [1.0, 0.0])
    item = f"{dataset.pk}/a"
    store_rows(project.pk, "scores", [score_of("", score_id="of the row", dataset_item_id=item)])
    queue = Queue.objects.create(project=project, name="queue")
    for each in (trace, bobs):
        Item.objects.create(queue=queue, trace_id=each, span_id="1" * 16, start_ns=at(1))
        PinnedTrace.objects.create(project=project, trace_id=each)

    done = work(asking.ask(project, ALICE, None))

    assert done.result["counts"]["dataset_rows"] == 1
    kept = {each.key: each for each in Row.objects.filter(dataset=dataset).select_related("content")}
    assert set(kept) == {"a", "b"}
    assert (kept["a"].content.input, kept["a"].trace_id) == ("erased at a person's request", "")
    assert (kept["b"].content.input, kept["b"].trace_id) == ("bob's", bobs)
    assert "secret" not in json.dumps(list(Content.objects.filter(dataset=dataset).values_list("input", flat=True)))
    outputs = dict(run.results.values_list("key", "output"))
    assert outputs == {"a": None, "b": "output b"}
    assert [each.trace_id for each in Item.objects.filter(queue=queue)] == [bobs]
    assert [each.trace_id for each in PinnedTrace.objects.filter(project=project)] == [bobs]
    assert item not in {row["dataset_item_id"] for row in rows(project, "scores")}


def test_the_receipt_names_who_when_and_how_much_but_not_whose(project: Project) -> None:
    talk(project, ALICE, 1)
    owner = User.objects.create(username="olive")
    done = work(asking.ask(project, ALICE, owner))
    receipt = done.result
    assert receipt["user_id_sha256"] == hashlib.sha256(ALICE.encode()).hexdigest()
    assert receipt["requested_by"] == "olive"
    assert receipt["finished_at"] >= receipt["requested_at"]
    said = " ".join(receipt["remains"])
    for what in ("Backups", "dead letters", "exports", "merge", "webhooks"):
        assert what in said
    # Neither the erasure nor the log of the installation says whose it was.
    assert done.subject == ""
    assert ALICE not in json.dumps(list(Erasure.objects.values()), default=str)
    entry = Entry.objects.filter(project_id=project.pk, action="erasure-done").get()
    assert entry.target["user_id_sha256"] == done.digest
    assert ALICE not in entry.words


def test_a_trace_of_two_users_is_told_of_before_and_goes_as_a_whole(project: Project) -> None:
    trace = new_trace_id()
    store_spans(project.pk, span(trace, 1, user_id=ALICE), llm(trace, 2, user_id=BOB))
    assert stored.preview(project.pk, ALICE).shared == 1
    work(asking.ask(project, ALICE, None))
    assert count(project.pk)["spans"] == 0


def test_a_worker_that_ends_anywhere_is_followed_by_one_that_counts_nothing_twice(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TRACES_A_TURN", 2)
    text(project, "a" * 32)
    for number in range(3):
        talk(project, ALICE, number, texts=["a" * 32])
    erasure = asking.ask(project, ALICE, None)
    whole, ended = client.query, []

    def ending(*arguments: Any, tag: str, **named: Any) -> Any:
        """End once after each kind of statement, and after each deletion."""
        answer = whole(*arguments, tag=tag, **named)
        name = arguments[1].split("WHERE")[0] if tag == "erasure.delete" else tag
        if tag.startswith(("erasure.", "remap.", "rows_of_traces.")) and name not in ended:
            ended.append(name)
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(client, "query", ending)
    for _ in range(60):
        # The lease of the one that ended has run out, and a person looked why.
        past = timezone.now() - timedelta(seconds=1)
        Erasure.objects.filter(pk=erasure.pk, status="running").update(leased_until=past, attempts=0, turns=0)
        Erasure.objects.filter(pk=erasure.pk).exclude(not_before=None).update(not_before=past)
        try:
            tasks.work_off()
        except KeyboardInterrupt:
            continue
        erasure.refresh_from_db()
        if not erasure.is_open:
            break
    assert erasure.status == Erasure.Status.DONE, erasure.error
    assert len(ended) >= 15
    counts = erasure.result["counts"]
    assert (counts["spans"], counts["log_records"], counts["traces"], counts["texts"]) == (6, 3, 3, 1)
    assert not any(count(project.pk).values())
    sql = "SELECT sum(spans) AS n FROM span_rollups_removed WHERE project_id = %(project_id)s"
    assert whole(project.pk, sql, tag="test")[0]["n"] == 6


def test_asked_for_again_after_a_failure_it_ends_what_was_begun(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    text(project, "a" * 32)
    trace_id = talk(project, ALICE, 1, texts=["a" * 32])
    dataset = Dataset.objects.create(project=project, name="d")
    put(dataset, data_row("k", "what alice said", trace_id=trace_id))
    with monkeypatch.context() as patched:
        patched.setattr(turns.copies, "remove", Mock(side_effect=RuntimeError("a fault of ours")))
        first = work(asking.ask(project, ALICE, None))
    assert (first.status, count(project.pk)["spans"]) == ("failed", 0)
    tasks.work_off()
    first.refresh_from_db()
    assert first.subject == ""
    with monkeypatch.context() as patched:
        # Of the last step, too, nothing is forgotten.
        patched.setattr(stored, "remove_texts", Mock(side_effect=RuntimeError("another fault")))
        second = work(asking.ask(project, ALICE, None))
    assert second.status == "failed"
    third = work(asking.ask(project, ALICE, None))
    assert third.status == "done"
    counts = third.result["counts"]
    assert (counts["spans"], counts["dataset_rows"], counts["texts"]) == (2, 1, 1)
    assert "what alice said" not in [each.input for each in Content.objects.filter(dataset=dataset)]
    assert count(project.pk)["contents"] == 0
    assert not Piece.objects.exists()


def test_a_text_waits_until_no_collector_takes_it_for_written(project: Project) -> None:
    text(project, "a" * 32)
    talk(project, ALICE, 1, texts=["a" * 32])
    erasure = asking.ask(project, ALICE, None)
    for _ in range(5):
        tasks.work_off()
    erasure.refresh_from_db()
    assert erasure.is_open
    assert erasure.not_before > timezone.now() + timedelta(minutes=10)
    assert "follow after" in erasure.note
    assert (count(project.pk)["spans"], count(project.pk)["contents"]) == (0, 1)
    assert Piece.objects.filter(erasure=erasure).count() == 1
    # Meanwhile somebody else has sent it, and it stays.
    talk(project, BOB, 2, texts=["a" * 32])
    assert "texts" not in work(erasure).result["counts"]
    assert count(project.pk)["contents"] == 1


def test_one_user_is_erased_once_at_a_time_and_nobody_without_a_name(project: Project) -> None:
    asking.ask(project, ALICE, None)
    with pytest.raises(CannotErase, match="already"):
        asking.ask(project, ALICE, None)
    for wrong in ("", "x" * 1_001, "a\0b"):
        with pytest.raises(CannotErase, match="Name the user"):
            asking.ask(project, wrong, None)


def signed(project: Project, role: str) -> Client:
    user = User.objects.create(username=f"{role}-{project.pk}")
    Membership.objects.create(organization=project.organization, user=user, role=role)
    browser = Client()
    browser.force_login(user)
    return browser


def test_on_the_page_an_owner_sees_how_much_there_is_and_writes_the_id_again(project: Project) -> None:
    talk(project, ALICE, 1)
    owner, page = signed(project, "owner"), f"/p/{project.slug}/settings/erasures"
    looked = owner.post(f"{page}/look", {"user_id": ALICE}).content.decode()
    assert f"Write “{ALICE}” to confirm" in looked
    assert owner.post(f"{page}/look", {"user_id": ""}).status_code == 422
    owner.post(f"{page}/start", {"user_id": ALICE, "confirmed": BOB})
    assert not Erasure.objects.filter(project=project).exists()
    owner.post(f"{page}/start", {"user_id": ALICE, "confirmed": ALICE})
    done = work(Erasure.objects.get(project=project))
    shown = owner.get(page).content.decode()
    assert done.digest in shown
    assert 'title="2">2</span> spans' in shown
    assert "Backups made before" in shown
    # What was asked for is in the audit log, by whom, without whose.
    entry = Entry.objects.filter(project_id=project.pk, action="settings-erasures-start").latest("pk")
    assert entry.actor == f"owner-{project.pk}"
    assert ALICE not in json.dumps([entry.target, entry.changes, entry.words])


def test_only_owners_and_admins_erase(project: Project) -> None:
    for role, allowed in (("viewer", False), ("editor", False), ("admin", True)):
        browser = signed(project, role)
        page = f"/p/{project.slug}/settings/erasures"
        body = {"user_id": f"{role}'s", "confirmed": f"{role}'s"}
        assert browser.get(page).status_code == (200 if allowed else 403)
        assert browser.post(f"{page}/start", body).status_code == (302 if allowed else 403)
        api = browser.post(
            f"/api/v1/erasures?project={project.slug}", {"user_id": "x"}, content_type="application/json"
        )
        assert api.status_code == (202 if allowed else 403)
    assert Erasure.objects.filter(project=project).count() == 2


def test_over_the_api_it_is_looked_at_asked_for_and_its_receipt_read(project: Project) -> None:
    talk(project, ALICE, 1)
    owner, query = signed(project, "owner"), f"?project={project.slug}"

    def post(path: str) -> Any:
        return owner.post(f"/api/v1/{path}{query}", {"user_id": ALICE}, content_type="application/json")

    assert post("erasures/preview").json()["spans"] == 2
    made = post("erasures")
    assert made.status_code == 202
    assert post("erasures").status_code == 409
    work(Erasure.objects.get(pk=made.json()["id"]))
    got = owner.get(f"/api/v1/erasures/{made.json()['id']}{query}").json()
    assert (got["status"], got["receipt"]["counts"]["spans"]) == ("done", 2)
    assert [each["id"] for each in owner.get(f"/api/v1/erasures{query}").json()["items"]] == [got["id"]]
    assert ALICE not in json.dumps(got)
