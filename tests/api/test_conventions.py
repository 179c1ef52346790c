"""Mapping rules over the API: changed in revisions, tried on stored spans, re-applied; for their own project alone."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from heliograph.accounts.models import Membership, User
from heliograph.conventions.models import Reapplication, Ruleset
from heliograph.remap import queue
from tests.api.test_endpoints import RANGE, Caller, caller, stranger  # noqa: F401  # fixtures
from tests.query.rows import llm, new_trace_id, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
RULE = {"source": "acme.session", "field": "session_id"}
SAID = {"acme.session": "s-1", "acme.turns.0.role": "user", "acme.turns.1.role": "assistant", "user.id": "jane"}


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker listens here, and the broker of a test is a folder that nobody empties."""
    monkeypatch.setattr(queue, "wake_worker", lambda after_seconds=0.0: None)


def send(caller: Caller, method: str, path: str, body: Any = None) -> Any:  # noqa: F811
    return getattr(caller.client, method)(f"/api/v1/conventions/{path}", body, content_type="application/json")


def stored_call(caller: Caller) -> dict[str, Any]:  # noqa: F811
    row = llm(new_trace_id(), 1, attributes=SAID, user_id="jane")
    store_spans(caller.project.pk, row)
    return row


def test_a_rule_is_added_changed_switched_off_and_removed_each_in_a_revision(caller: Caller) -> None:  # noqa: F811
    added = send(caller, "post", "rules", RULE)
    assert added.status_code == 201
    rule = added.json()
    assert (rule["match"], rule["order"], rule["enabled"]) == ("exact", "before", True)
    changed = send(caller, "patch", f"rules/{rule['id']}", {"field": "user_id"}).json()
    assert (changed["id"], changed["field"], changed["source"]) == (rule["id"], "user_id", "acme.session")
    assert send(caller, "patch", f"rules/{rule['id']}", {"enabled": False}).json()["enabled"] is False
    assert caller.get(f"conventions/rules/{rule['id']}").json()["enabled"] is False
    assert caller.get("conventions/rules").json()["revision"] == 3
    assert send(caller, "delete", f"rules/{rule['id']}").status_code == 204
    assert caller.get("conventions/rules").json() == {"revision": 4, "rules": []}
    said = [each["change"] for each in caller.get("conventions/revisions").json()["items"]]
    assert [words.split()[0] for words in said] == ["removed", "disabled", "changed", "added"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "source"),
        ({"source": " ", "field": "session_id"}, "source"),
        ({"source": "k" * 257, "field": "session_id"}, "source"),
        ({"source": "a", "field": "gpu_uuids"}, "field"),
        ({"source": "a", "field": "input_tokens", "conversion": "ms"}, "conversion"),
        ({"source": "a", "field": "session_id", "match": "regex"}, "match"),
        ({"source": "session.id", "field": "session_id"}, "source"),
        ({"source": "session.id", "field": "user_id", "order": "after"}, "order"),
    ],
)
def test_what_no_rule_may_be_is_named(caller: Caller, body: Any, field: str) -> None:  # noqa: F811
    answer = send(caller, "post", "rules", body)
    assert answer.status_code == 400
    assert field in {each["field"] for each in answer.json()["errors"]}
    assert not Ruleset.objects.exists()


def test_a_second_rule_for_a_key_is_refused(caller: Caller) -> None:  # noqa: F811
    send(caller, "post", "rules", RULE)
    again = send(caller, "post", "rules", RULE | {"field": "user_id"})
    assert "There is a rule for acme.session already" in again.json()["errors"][0]["detail"]


def test_keys_that_nobody_maps_are_listed_with_their_numbers_folded(caller: Caller) -> None:  # noqa: F811
    stored_call(caller)
    found = caller.get("conventions/unmapped", **RANGE).json()
    assert {key["key"]: (key["spans"], key["example"]) for key in found["keys"]} == {
        "acme.session": (1, "s-1"),
        "acme.turns.N.role": (1, "user"),
    }
    assert (found["total"], found["mapped"], found["sampled_spans"]) == (2, 1, 1)
    send(caller, "post", "rules", RULE)
    assert [key["key"] for key in caller.get("conventions/unmapped", **RANGE).json()["keys"]] == ["acme.turns.N.role"]
    assert caller.get("conventions/unmapped", key="session", **RANGE).json()["keys"] == []


def test_a_preview_says_what_would_change_and_changes_nothing(caller: Caller) -> None:  # noqa: F811
    row = stored_call(caller)
    found = send(caller, "post", "preview", RULE | RANGE).json()
    assert (found["changed"], found["columns"]) == (1, {"session_id": 1})
    [span] = found["spans"]
    assert (span["span_id"], span["changes"]) == (
        row["span_id"],
        [{"column": "session_id", "before": "", "after": "s-1"}],
    )
    assert caller.get("conventions/rules").json()["rules"] == []
    assert caller.get(f"traces/{row['trace_id']}/spans/{row['span_id']}").json()["session_id"] == ""
    prefix = {"source": "acme.ses", "match": "prefix", "field": "user_id"}
    [change] = send(caller, "post", "preview", prefix | RANGE).json()["spans"][0]["changes"]
    assert (change["before"], change["after"]) == ("jane", "s-1")
    assert send(caller, "post", "preview", {"source": "nowhere", "field": "user_id"} | RANGE).json()["spans"] == []


def test_a_preview_of_a_changed_rule_leaves_the_one_it_replaces_out(caller: Caller) -> None:  # noqa: F811
    stored_call(caller)
    rule = send(caller, "post", "rules", RULE).json()
    found = send(caller, "post", "preview", RULE | RANGE | {"id": rule["id"], "field": "user_id"}).json()
    assert found["columns"] == {"user_id": 1}
    assert send(caller, "post", "preview", RULE | {"id": "nosuchrule"}).status_code == 404


def test_a_span_says_what_filled_its_fields_and_which_keys_nobody_maps(caller: Caller) -> None:  # noqa: F811
    send(caller, "post", "rules", RULE)
    rule_id = caller.get("conventions/rules").json()["rules"][0]["id"]
    row = llm(
        new_trace_id(), 1, attributes=SAID | {"enduser.id": "joe"}, user_id="jane", session_id="s-1",
        release="1.2", resource={"service.version": "1.2"}, mapping_revision=1,
    )  # fmt: skip
    store_spans(caller.project.pk, row)
    found = caller.get(f"traces/{row['trace_id']}/spans/{row['span_id']}/mapping").json()
    assert (found["revision"], found["latest"]) == (1, 1)
    by_field = {each["field"]: each for each in found["mapped_by"]}
    [source] = by_field["session_id"]["sources"]
    assert (source["key"], source["dialect"], source["rule_id"]) == ("acme.session", "project", rule_id)
    assert by_field["user_id"]["sources"][0]["key"] == "user.id"
    assert by_field["release"]["how"] == "from the resource"
    use = {each["key"]: each["use"] for each in found["keys"]}
    assert use == {
        "acme.session": "source",
        "user.id": "source",
        "enduser.id": "unused",
        "acme.turns.0.role": "unmapped",
        "acme.turns.1.role": "unmapped",
    }


def test_a_re_application_is_queued_once_listed_and_cancelled(caller: Caller) -> None:  # noqa: F811
    asked = {"start": (timezone.now() - timedelta(days=1)).isoformat()}
    refused = send(caller, "post", "reapplications", asked)
    assert (refused.status_code, "nothing to re-apply" in refused.json()["detail"]) == (409, True)
    stored_call(caller)
    send(caller, "post", "rules", RULE)
    job = send(caller, "post", "reapplications", asked)
    assert (job.status_code, job.json()["status"], job.json()["spans_total"]) == (201, "queued", 1)
    assert send(caller, "post", "reapplications", asked).status_code == 409
    number = job.json()["id"]
    assert caller.get(f"conventions/reapplications/{number}").json()["percent"] == 0
    assert send(caller, "post", f"reapplications/{number}/cancel").json()["cancel_requested"] is True
    assert [each["id"] for each in caller.get("conventions/reapplications").json()["items"]] == [number]


def test_another_projects_key_finds_and_changes_nothing(caller: Caller, stranger: Caller) -> None:  # noqa: F811
    row = stored_call(caller)
    rule = send(caller, "post", "rules", RULE).json()
    job = send(caller, "post", "reapplications", {"start": timezone.now().isoformat()}).json()
    for path in (f"conventions/rules/{rule['id']}", f"conventions/reapplications/{job['id']}"):
        assert stranger.get(path).status_code == 404
    assert stranger.get(f"traces/{row['trace_id']}/spans/{row['span_id']}/mapping").status_code == 404
    assert send(stranger, "patch", f"rules/{rule['id']}", {"enabled": False}).status_code == 404
    assert send(stranger, "delete", f"rules/{rule['id']}").status_code == 404
    assert send(stranger, "post", f"reapplications/{job['id']}/cancel").status_code == 404
    assert send(stranger, "post", "preview", RULE | {"id": rule["id"]}).status_code == 404
    assert send(stranger, "post", "preview", RULE | RANGE).json()["spans"] == []
    assert stranger.get("conventions/unmapped", **RANGE).json()["keys"] == []
    for path in ("rules", "revisions", "reapplications"):
        assert not any(stranger.get(f"conventions/{path}").json().get(name) for name in ("rules", "items"))
    assert Ruleset.objects.count() == 1
    assert not Reapplication.objects.get().cancel_requested


@pytest.mark.parametrize(("role", "status"), [("owner", 201), ("editor", 201), ("viewer", 403)])
def test_a_person_changes_rules_by_role(caller: Caller, role: str, status: int) -> None:  # noqa: F811
    user = User.objects.create(username=role)
    Membership.objects.create(organization=caller.project.organization, user=user, role=role)
    browser = Client()
    browser.force_login(user)
    who = f"?project={caller.project.slug}"
    answer = browser.post(f"/api/v1/conventions/rules{who}", RULE, content_type="application/json")
    assert answer.status_code == status
    assert browser.get(f"/api/v1/conventions/fields{who}").status_code == 200
    if status == 201:
        assert Ruleset.objects.get().created_by == user
