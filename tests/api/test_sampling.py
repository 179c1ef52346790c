"""Sampling rules over the API: people change them, keys do not; a preview removes nothing."""

from typing import Any

import pytest

from heliograph.accounts.models import Membership
from heliograph.rules.models import SamplingRule
from tests.api.test_endpoints import RANGE, Caller, caller, stranger  # noqa: F401  # fixtures
from tests.api.test_redaction import Person
from tests.query.rows import new_trace_id, span, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
FAILED = {"name": "failed", "stage": "tail", "condition": "error"}


def send(who: Person, method: str, path: str, body: Any = None) -> Any:
    return getattr(who.client, method)(f"/api/v1/{path}{who.query}", body, content_type="application/json")


@pytest.fixture
def editor(caller: Caller) -> Person:  # noqa: F811
    return Person(caller, Membership.Role.EDITOR)


def test_a_person_changes_rules_and_a_key_does_not(caller: Caller, stranger: Caller, editor: Person) -> None:  # noqa: F811
    rule = send(editor, "post", "sampling/rules", FAILED).json()
    assert (rule["rate"], rule["threshold"]) == (1.0, None)
    assert send(editor, "patch", f"sampling/rules/{rule['id']}", {"rate": 0.5}).json()["rate"] == 0.5
    refused = send(editor, "patch", f"sampling/rules/{rule['id']}", {"condition": "cost"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "threshold")
    for method, path, body in (
        ("post", "sampling/rules", FAILED),
        ("patch", f"sampling/rules/{rule['id']}", {"enabled": False}),
        ("delete", f"sampling/rules/{rule['id']}", None),
        ("post", f"sampling/rules/{rule['id']}/move", {"step": "up"}),
    ):
        by_key = getattr(caller.client, method)(f"/api/v1/{path}", body, content_type="application/json")
        assert by_key.status_code == 403, path
    other = Person(stranger, Membership.Role.OWNER)
    assert send(other, "patch", f"sampling/rules/{rule['id']}", {"enabled": False}).status_code == 404
    assert stranger.get("sampling/rules").json() == {"items": []}
    assert SamplingRule.objects.get().enabled
    assert send(editor, "delete", f"sampling/rules/{rule['id']}").status_code == 204


def test_a_preview_says_what_would_have_been_kept_of_a_range(caller: Caller, stranger: Caller, editor: Person) -> None:  # noqa: F811
    for status in ("ok", "ok", "error"):
        store_spans(caller.project.pk, span(new_trace_id(), 1, status=status))
    found = send(editor, "post", "sampling/preview", RANGE | {"rule": FAILED}).json()
    assert found == {"traces": 3, "let_in": 3, "kept": 1, "by_rule": {"failed": 1}, "spans": 0, "let_in_spans": 0}
    assert send(editor, "post", "sampling/preview", RANGE).json()["kept"] == 3
    body = RANGE | {"rule": FAILED}
    theirs = stranger.client.post("/api/v1/sampling/preview", body, content_type="application/json").json()
    assert theirs["traces"] == 0
    head = {"name": "no shop", "stage": "head", "service": "search", "rate": 0}
    root = span(new_trace_id(), 1, service="shop")
    store_spans(
        caller.project.pk, root, *(span(root["trace_id"], 2, service="search", parent_span_id="b" * 16) for _ in "12")
    )
    found = send(editor, "post", "sampling/preview", RANGE | {"rule": head}).json()
    assert (found["traces"], found["let_in"], found["spans"], found["let_in_spans"]) == (4, 4, 6, 4)
    decided = caller.get("sampling", **RANGE).json()
    assert decided == {"kept": 0, "traces": 0, "by_rule": {}, "removed_spans": 0}
