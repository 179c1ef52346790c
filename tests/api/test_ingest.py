"""The ledger, the dead letters and the limits over the API: for their own project, and for nobody else."""

import time

import pytest
from django.conf import settings
from django.test import Client

from heliograph.accounts.models import ApiKey, Membership, Project, User
from heliograph.ingest.dead_letters import DeadLetters
from heliograph.ingest.exports import Export
from tests.api.test_endpoints import Caller, caller, stranger  # noqa: F401  # fixtures
from tests.dashboards.test_ingest_page import note
from tests.ingest.senders import trace_request

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]


def keep(project: Project, body: bytes) -> str:
    letters = DeadLetters(settings.SPOOL_DIR)
    letters.keep(Export("traces", project.pk, 90, "protobuf", "", time.time_ns(), body), "malformed", "no")
    return letters.all_of(project.pk)[0].id


def test_the_ledger_is_answered_for_the_key_s_project_alone(caller: Caller, stranger: Caller) -> None:  # noqa: F811
    note(caller.project, 3, requests=2, accepted=10, stored=6, duplicates=1, spooled=3, rejected__bad=4)
    body = caller.get("ingest/ledger").json()
    [flow] = body["flows"]
    assert (flow["key_id"], flow["signal"]) == (3, "metrics")
    counts = flow["counts"]
    assert (counts["accepted"], counts["waiting"], counts["unaccounted"]) == (10, 3, 0)
    assert sum(point["counts"]["accepted"] for point in body["series"]) == 10
    assert body["reasons"] == [{"what": "rejected", "signal": "metrics", "reason": "bad", "count": 4}]
    assert body["spool"]["max_bytes"] == settings.SPOOL_MAX_BYTES
    assert stranger.get("ingest/ledger").json()["flows"] == []


def test_letters_are_listed_shown_fetched_replayed_once_and_deleted(caller: Caller) -> None:  # noqa: F811
    body = trace_request(2).SerializeToString()
    letter = keep(caller.project, body)
    assert [one["id"] for one in caller.get("ingest/dead-letters").json()["items"]] == [letter]
    shown = caller.get(f"ingest/dead-letters/{letter}").json()
    assert shown["letter"]["reason"] == "malformed"
    assert shown["view"]["kind"] == "items"
    assert caller.get(f"ingest/dead-letters/{letter}/body").content == body
    address = f"/api/v1/ingest/dead-letters/{letter}"
    assert caller.client.post(f"{address}/replay").json() == {"items": 2}
    (settings.SPOOL_DIR / f"{letter}.spool").unlink()
    assert caller.client.post(f"{address}/replay").status_code == 404
    broken = keep(caller.project, b"\xff")
    refused = caller.client.post(f"/api/v1/ingest/dead-letters/{broken}/replay")
    assert refused.status_code == 400
    assert "Malformed" in refused.json()["errors"][0]["detail"]
    assert caller.client.delete(f"/api/v1/ingest/dead-letters/{broken}").status_code == 204
    assert caller.get("ingest/dead-letters").json() == {"items": []}


def test_a_stranger_s_key_finds_no_letter(caller: Caller, stranger: Caller) -> None:  # noqa: F811
    letter = keep(caller.project, b"theirs")
    assert stranger.get("ingest/dead-letters").json() == {"items": []}
    for path in (f"ingest/dead-letters/{letter}", f"ingest/dead-letters/{letter}/body"):
        assert stranger.get(path).status_code == 404
    assert stranger.client.post(f"/api/v1/ingest/dead-letters/{letter}/replay").status_code == 404
    assert stranger.client.delete(f"/api/v1/ingest/dead-letters/{letter}").status_code == 404
    assert [one["id"] for one in caller.get("ingest/dead-letters").json()["items"]] == [letter]


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("editor", 403), ("viewer", 403)])
def test_limits_are_changed_by_logged_in_owners_alone(caller: Caller, role: str, status: int) -> None:  # noqa: F811
    user = User.objects.create(username=role)
    Membership.objects.create(organization=caller.project.organization, user=user, role=role)
    browser = Client()
    browser.force_login(user)
    key = ApiKey.objects.get(project=caller.project)
    who = f"?project={caller.project.slug}"
    one = browser.patch(
        f"/api/v1/ingest/limits/keys/{key.pk}{who}", {"max_spans_per_minute": 5}, content_type="application/json"
    )
    whole = browser.patch(f"/api/v1/ingest/limits{who}", {"max_bytes_per_day": 9}, content_type="application/json")
    assert (one.status_code, whole.status_code) == (status, status)
    limits = caller.get("ingest/limits").json()
    changed = (5, 9) if status == 200 else (None, None)
    assert (limits["keys"][0]["max_spans_per_minute"], limits["project"]["max_bytes_per_day"]) == changed


def test_a_key_does_not_change_its_own_limits(caller: Caller) -> None:  # noqa: F811
    answer = caller.client.patch("/api/v1/ingest/limits", {"max_bytes_per_day": 9}, content_type="application/json")
    assert answer.status_code == 403
    assert "scope admin" in answer.json()["detail"]


def test_an_owner_changes_no_other_organisation_s_key(caller: Caller, stranger: Caller) -> None:  # noqa: F811
    user = User.objects.create(username="globex")
    Membership.objects.create(organization=stranger.project.organization, user=user, role="owner")
    browser = Client()
    browser.force_login(user)
    key = ApiKey.objects.get(project=caller.project)
    address = f"/api/v1/ingest/limits/keys/{key.pk}?project={stranger.project.slug}"
    assert browser.patch(address, {"max_spans_per_minute": 5}, content_type="application/json").status_code == 404


def test_a_limit_that_is_none_or_too_large_is_refused(caller: Caller) -> None:  # noqa: F811
    user = User.objects.create(username="owner")
    Membership.objects.create(organization=caller.project.organization, user=user, role="owner")
    browser = Client()
    browser.force_login(user)
    for value in (0, -1, 10**16, "many"):
        answer = browser.patch(
            f"/api/v1/ingest/limits?project={caller.project.slug}",
            {"max_spans_per_minute": value},
            content_type="application/json",
        )
        assert answer.status_code == 400, value
