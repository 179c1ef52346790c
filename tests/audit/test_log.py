"""Who did what: written in one place for pages, API and commands, and never changed afterwards."""

import json
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import ApiKey, Membership, Organization, Project, User
from heliograph.accounts.roles import Role, Scope
from heliograph.api import audit as api_audit
from heliograph.audit import changes
from heliograph.audit.models import Entry
from heliograph.dashboards import audit as dashboards_audit
from heliograph.saved.models import Dashboard

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def plain_static_names(settings: Any) -> None:
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}


@pytest.fixture
def acme() -> Project:
    return Project.create(Organization.objects.create(name="Acme"), "Chat bot")


def browser_of(place: Project | Organization, role: Role, name: str) -> Client:
    organization = place if isinstance(place, Organization) else place.organization
    user = User.objects.create(username=name)
    Membership.objects.create(organization=organization, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


def streamed(answer: Any) -> bytes:
    async def joined() -> bytes:
        return b"".join([part async for part in answer.streaming_content])

    return async_to_sync(joined)()


def newest() -> Entry:
    return Entry.objects.latest("pk")


def test_a_page_s_change_names_who_what_where_and_which_fields_but_no_value(acme: Project) -> None:
    alice = browser_of(acme, Role.OWNER, "alice")
    address = reverse("settings-limits", args=[acme.slug])
    assert alice.post(address, {"max_spans_per_minute": 4711}, REMOTE_ADDR="192.0.2.9").status_code == 302
    entry = newest()
    assert (entry.actor, entry.action, entry.via, entry.ip) == ("alice", "settings-limits", "page", "192.0.2.9")
    assert (entry.project_id, entry.organization_id, entry.status) == (acme.pk, acme.organization_id, 302)
    [change] = entry.changes
    assert (change["what"], change["kind"], change["name"]) == ("changed", "project", "Chat bot")
    assert set(change["fields"]) == {"max_spans_per_minute", "keep_dead_letters"}
    assert "4711" not in json.dumps([entry.changes, entry.target, entry.words])


def test_what_is_looked_at_refused_or_wrong_is_no_entry(acme: Project) -> None:
    before = Entry.objects.count()
    viewer = browser_of(acme, Role.VIEWER, "carol")
    viewer.get(reverse("settings", args=[acme.slug]))
    assert viewer.post(reverse("settings-limits", args=[acme.slug])).status_code == 403
    owner = browser_of(acme, Role.OWNER, "alice")
    assert owner.post(reverse("settings-create-key", args=[acme.slug]), {"name": " "}).status_code == 422
    assert Client().post(reverse("login"), {"username": "alice", "password": "wrong"}).status_code == 200
    assert Entry.objects.count() == before


def test_a_key_s_change_names_the_key_and_a_service_that_sends_scores_fills_no_log(acme: Project) -> None:
    row, key = ApiKey.issue(acme, "deploys", scopes=list(Scope))
    client = Client(headers={"x-api-key": key})
    body = {"name": "Board", "panels": []}
    assert client.post("/api/v1/dashboards", body, content_type="application/json").status_code == 200
    entry = newest()
    assert (entry.actor, entry.key_id, entry.via) == (f"key {row}", row.pk, "api")
    assert [change["name"] for change in entry.changes] == [str(Dashboard.objects.get())]
    assert key not in entry.words
    before = Entry.objects.count()
    client.post("/api/v1/scores", {"scores": []}, content_type="application/json")
    assert Entry.objects.count() == before


def test_signing_in_and_out_are_entries(acme: Project) -> None:
    user = User.objects.create_user("dave", password="a long password 1")
    client = Client()
    client.post(reverse("login"), {"username": "dave", "password": "a long password 1"})
    signed_in = newest()
    client.post(reverse("logout"))
    assert [(each.actor_id, each.project_id) for each in (signed_in, newest())] == [(user.pk, None)] * 2
    assert "login" in signed_in.action
    assert "logout" in newest().action


def test_a_command_is_an_entry_by_the_machine_s_user(acme: Project) -> None:
    call_command("keys", "create", "nightly", "--project", acme.slug, "--json")
    entry = newest()
    assert (entry.via, entry.action, entry.project_id) == ("command", "keys create", acme.pk)
    assert entry.actor.endswith(" at the machine")
    assert [change["what"] for change in entry.changes] == ["created"]
    call_command("users", "create", "erin", "--organization", "Acme", "--json")
    assert {change["kind"] for change in newest().changes} == {"user", "membership"}


def test_the_database_changes_and_removes_no_entry(acme: Project) -> None:
    browser_of(acme, Role.OWNER, "alice").post(reverse("settings-limits", args=[acme.slug]), {})
    entry = newest()
    for statement in ("UPDATE audit_entry SET actor = 'nobody'", "DELETE FROM audit_entry"):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        entry.delete()
    acme.organization.delete()
    assert Entry.objects.filter(pk=entry.pk, actor="alice").exists()


def test_of_many_rows_at_once_some_are_named_and_the_rest_counted(acme: Project) -> None:
    with changes.collected() as found:
        for number in range(changes.MAX_CHANGES + 5):
            Dashboard.objects.create(project=acme, name=f"board {number}")
    assert len(found) == changes.MAX_CHANGES
    assert found[-1] == {"what": "more", "count": 6}


def test_an_admin_searches_the_log_and_takes_it_along(acme: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = browser_of(acme, Role.OWNER, "alice")
    for name in ("checkout", "search"):
        assert owner.post(reverse("settings-create-key", args=[acme.slug]), {"name": name}).status_code == 200
    page = owner.get(reverse("settings-audit", args=[acme.slug]), {"words": "CHECKOUT alice"}).content.decode()
    assert "<b>checkout" in page
    assert "<b>search" not in page
    assert owner.get(reverse("settings-audit", args=[acme.slug]), {"since": "yesterday"}).status_code == 422
    monkeypatch.setattr(dashboards_audit, "EXPORTED_AT_ONCE", 1)
    export = owner.get(reverse("settings-audit-export", args=[acme.slug]), {"words": "settings-create-key"})
    rows = [json.loads(line) for line in streamed(export).splitlines()]
    assert [row["changes"][0]["name"].split(" ")[0] for row in rows] == ["search", "checkout"]


def test_others_and_lesser_roles_read_nothing_of_it(acme: Project) -> None:
    browser_of(acme, Role.OWNER, "alice").post(reverse("settings-limits", args=[acme.slug]), {})
    for role, status in ((Role.VIEWER, 403), (Role.EDITOR, 403), (Role.ADMIN, 200)):
        client = browser_of(acme, role, f"a {role}")
        assert client.get(reverse("settings-audit", args=[acme.slug])).status_code == status
        assert client.get("/api/v1/audit", {"project": acme.slug}).status_code == status
    globex = Project.create(Organization.objects.create(name="Globex"), "Search")
    stranger = browser_of(globex, Role.OWNER, "gale")
    assert stranger.get(reverse("settings-audit", args=[acme.slug])).status_code == 404
    assert b"alice" not in stranger.get(reverse("settings-audit", args=[globex.slug])).content


def test_a_collector_reads_on_where_it_stopped_and_sees_its_project_only(
    acme: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = browser_of(acme, Role.OWNER, "alice")
    other = Project.create(acme.organization, "Search")
    for project in (acme, other, acme):
        owner.post(reverse("settings-limits", args=[project.slug]), {})
    collector = Client(headers={"x-api-key": ApiKey.issue(acme, "collector", scopes=[Scope.ADMIN])[1]})
    # What was written in this moment: an entry with a lower number may still be on its way.
    monkeypatch.setattr(api_audit, "SETTLED", timedelta(hours=1))
    assert collector.get("/api/v1/audit").json() == {"items": [], "next_after": 0}
    monkeypatch.setattr(api_audit, "SETTLED", timedelta(0))
    first = collector.get("/api/v1/audit", {"limit": 1}).json()
    rest = collector.get("/api/v1/audit", {"after": first["next_after"]}).json()
    assert [row["project_id"] for row in first["items"] + rest["items"]] == [acme.pk] * 2
    assert collector.get("/api/v1/audit", {"after": rest["next_after"]}).json()["items"] == []
    reader = Client(headers={"x-api-key": ApiKey.issue(acme, "reader", scopes=[Scope.WRITE])[1]})
    assert reader.get("/api/v1/audit").status_code == 403
