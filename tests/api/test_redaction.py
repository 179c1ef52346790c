"""Redaction rules over the API: people change them, keys do not; a trial stores nothing."""

from typing import Any

import pytest
from django.test import Client

from heliograph.accounts.models import Membership, User
from heliograph.rules.models import RedactionRule
from tests.api.test_endpoints import Caller, caller, stranger  # noqa: F401  # fixtures
from tests.query.rows import llm, new_trace_id, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
MAILS = {"name": "mails", "kind": "built_in", "kinds": ["email"], "action": "mask"}
TICKETS = {"name": "tickets", "kind": "regex", "pattern": "ACME-[0-9]{6}", "action": "hash"}
TEXT = "jane@example.org has ACME-123456"


class Person:
    """A browser that is signed in, and the project that it asks for."""

    def __init__(self, caller: Caller, role: str) -> None:  # noqa: F811
        user = User.objects.create(username=f"{role}-{caller.project.slug}")
        Membership.objects.create(organization=caller.project.organization, user=user, role=role)
        self.client = Client()
        self.client.force_login(user)
        self.query = f"?project={caller.project.slug}"

    def send(self, method: str, path: str, body: Any = None) -> Any:
        address = f"/api/v1/redaction/{path}{self.query}"
        return getattr(self.client, method)(address, body, content_type="application/json")


@pytest.fixture
def editor(caller: Caller) -> Person:  # noqa: F811
    return Person(caller, Membership.Role.EDITOR)


def by_key(caller: Caller, method: str, path: str, body: Any = None) -> Any:  # noqa: F811
    return getattr(caller.client, method)(f"/api/v1/redaction/{path}", body, content_type="application/json")


def test_a_person_adds_changes_moves_and_removes_rules(caller: Caller, editor: Person) -> None:  # noqa: F811
    first = editor.send("post", "rules", MAILS)
    assert first.status_code == 201
    second = editor.send("post", "rules", TICKETS).json()
    moved = editor.send("post", f"rules/{second['id']}/move", {"step": "up"}).json()
    assert [rule["name"] for rule in moved["items"]] == ["tickets", "mails"]
    off = editor.send("patch", f"rules/{second['id']}", {"enabled": False}).json()
    assert (off["enabled"], off["pattern"]) == (False, TICKETS["pattern"])
    assert [rule["name"] for rule in caller.get("redaction/rules").json()["items"]] == ["tickets", "mails"]
    assert editor.send("delete", f"rules/{second['id']}").status_code == 204
    assert caller.get(f"redaction/rules/{second['id']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (MAILS | {"kinds": []}, "kinds"),
        (MAILS | {"kinds": ["nosuch"]}, "kinds.0"),
        (TICKETS | {"pattern": "(a"}, "pattern"),
        (TICKETS | {"pattern": "a*"}, "pattern"),
        (TICKETS | {"pattern": "(a)\\1"}, "pattern"),
        (TICKETS | {"kind": "key", "pattern": " "}, "pattern"),
        (TICKETS | {"action": "burn"}, "action"),
        ({"kind": "key", "pattern": "a"}, "name"),
    ],
)
def test_a_rule_that_cannot_be_applied_is_refused_at_its_field(editor: Person, body: Any, field: str) -> None:
    answer = editor.send("post", "rules", body)
    assert answer.status_code == 400
    assert field in {each["field"] for each in answer.json()["errors"]}
    assert not RedactionRule.objects.exists()


def test_a_key_lists_rules_and_changes_none(caller: Caller, editor: Person) -> None:  # noqa: F811
    rule = editor.send("post", "rules", MAILS).json()
    assert len(caller.get("redaction/rules").json()["items"]) == 1
    for method, path, body in (
        ("post", "rules", TICKETS),
        ("patch", f"rules/{rule['id']}", {"enabled": False}),
        ("delete", f"rules/{rule['id']}", None),
        ("post", f"rules/{rule['id']}/move", {"step": "up"}),
    ):
        answer = by_key(caller, method, path, body)
        assert (answer.status_code, "scope admin" in answer.json()["detail"]) == (403, True), path
    assert RedactionRule.objects.get().enabled


def test_a_viewer_changes_nothing(caller: Caller, editor: Person) -> None:  # noqa: F811
    viewer = Person(caller, Membership.Role.VIEWER)
    assert viewer.send("post", "rules", MAILS).status_code == 403
    assert viewer.send("get", "rules").status_code == 200


def test_a_trial_says_what_each_rule_blanks_with_one_that_is_not_saved(caller: Caller, editor: Person) -> None:  # noqa: F811
    editor.send("post", "rules", MAILS)
    tried = editor.send("post", "trial", {"text": TEXT, "rule": TICKETS}).json()
    assert tried["span"] is None
    assert tried["text"]["rules"] == ["mails", "tickets"]
    assert tried["text"]["text"].startswith("[redacted:email] has [hashed:tickets:")
    assert tried["text"]["finds"][0] == {
        "rule": "mails",
        "text": "jane@example.org",
        "replacement": "[redacted:email]",
    }
    assert RedactionRule.objects.count() == 1
    without = editor.send("post", "trial", {"text": TEXT}).json()
    assert without["text"]["text"] == "[redacted:email] has ACME-123456"


def test_a_trial_on_a_stored_span_names_every_place(caller: Caller, stranger: Caller, editor: Person) -> None:  # noqa: F811
    row = llm(
        new_trace_id(), 1, attributes={"note": TEXT, "user.email": "jane@example.org"}, output="to jane@example.org",
        tags=["jane@example.org"],
    )  # fmt: skip
    store_spans(caller.project.pk, row)
    editor.send("post", "rules", MAILS)
    which = {"trace_id": row["trace_id"], "span_id": row["span_id"]}
    tried = editor.send("post", "trial", which).json()["span"]
    assert {place["place"]: place["after"] for place in tried["places"]} == {
        "attributes: note": "[redacted:email] has ACME-123456",
        "attributes: user.email": "[redacted:email]",
        "output": "to [redacted:email]",
        "tags": "[redacted:email]",
    }
    assert set(tried["redacted"]) == {"mails: attributes", "mails: output", "mails: tags"}
    assert caller.get(f"traces/{row['trace_id']}/spans/{row['span_id']}").json()["tags"] == ["jane@example.org"]
    assert by_key(stranger, "post", "trial", which).status_code == 404
    assert editor.send("post", "trial", {}).status_code == 400


def test_another_project_finds_and_changes_no_rule(caller: Caller, stranger: Caller, editor: Person) -> None:  # noqa: F811
    rule = editor.send("post", "rules", MAILS).json()
    other = Person(stranger, Membership.Role.OWNER)
    assert stranger.get("redaction/rules").json() == {"items": []}
    assert stranger.get(f"redaction/rules/{rule['id']}").status_code == 404
    for method, path, body in (
        ("patch", f"rules/{rule['id']}", {"enabled": False}),
        ("delete", f"rules/{rule['id']}", None),
        ("post", f"rules/{rule['id']}/move", {"step": "up"}),
    ):
        assert other.send(method, path, body).status_code == 404
    assert other.send("post", "trial", {"text": TEXT}).json()["text"]["text"] == TEXT
    assert RedactionRule.objects.get().enabled
