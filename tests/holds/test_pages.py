"""Who places, lifts and reads holds, on the page, over the API and at the machine; and nobody of another tenant."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from heliograph.accounts.models import ApiKey, Membership, Organization, Project, User
from heliograph.audit.models import Entry
from heliograph.holds import asking
from heliograph.holds.models import HeldTrace, Hold
from tests.holds.conftest import ALICE, signed_in

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]


def a_hold(project: Project, reason: str = "Case 12") -> Hold:
    return asking.place(project, "user", ALICE, reason, "olive")


def test_an_owner_places_and_lifts_a_hold_on_the_page_and_both_are_audited(project: Project) -> None:
    owner, page = signed_in(project, "owner"), f"/p/{project.slug}/settings/holds"
    assert "Place a legal hold" in owner.get(page).content.decode()
    wrong = owner.post(f"{page}/place", {"kind": "traces", "subject": "xyz", "reason": "Case 12"})
    assert wrong.status_code == 422
    assert "32 lower-case hexadecimal digits" in wrong.content.decode()
    assert owner.post(f"{page}/place", {"kind": "user", "subject": ALICE, "reason": "Case 12"}).status_code == 302
    hold = Hold.objects.get()
    assert (hold.project, hold.subject, hold.placed_by, hold.state) == (
        project,
        ALICE,
        f"owner-{project.pk}",
        "placing",
    )
    days = {"since": "2026-01-01", "until": "2026-01-31"}
    owner.post(f"{page}/place", {"kind": "filter", "subject": "status:error", "reason": "Audit of January", **days})
    assert (Hold.objects.latest("pk").end - Hold.objects.latest("pk").start).days == 31

    owner.post(f"{page}/{hold.pk}/lift", {"reason": ""})
    hold.refresh_from_db()
    assert hold.is_in_force
    owner.post(f"{page}/{hold.pk}/lift", {"reason": "It is closed"})
    hold.refresh_from_db()
    assert (hold.state, hold.lift_reason, hold.lifted_by) == ("lifting", "It is closed", f"owner-{project.pk}")
    shown = owner.get(page).content.decode()
    assert "being lifted" in shown
    assert "It is closed" in shown
    actions = list(Entry.objects.filter(project_id=project.pk).order_by("pk").values_list("action", "actor"))
    assert actions[0] == ("settings-holds-place", f"owner-{project.pk}")
    assert actions[-1] == ("settings-holds-lift", f"owner-{project.pk}")
    # Whose it is stands in the hold, and not in a log that forgets nothing.
    assert ALICE not in json.dumps([[each.target, each.changes, each.words] for each in Entry.objects.all()])


def test_holds_are_found_by_reason_person_and_trace(project: Project) -> None:
    first, second = a_hold(project, "Case 12"), a_hold(project, "Dispute of May")
    trace_id = "ab" * 16
    HeldTrace.objects.create(hold=second, project=project, trace_id=trace_id)
    found = {words: [hold.pk for hold in asking.found(project, words)] for words in ("case", "MAY", trace_id, "mayor")}
    assert found == {"case": [first.pk], "MAY": [second.pk], trace_id: [second.pk], "mayor": []}
    page = signed_in(project, "admin").get(f"/p/{project.slug}/settings/holds", {"words": "dispute"}).content.decode()
    assert "Dispute of May" in page
    assert "Case 12" not in page


def test_admins_read_holds_and_only_owners_place_and_lift_them(project: Project) -> None:
    hold = a_hold(project)
    for role, reads, holds in (("editor", 403, 403), ("admin", 200, 403), ("owner", 200, 202)):
        member = signed_in(project, role)
        assert member.get(f"/api/v1/holds?project={project.slug}").status_code == reads
        body = {"kind": "session", "subject": "s", "reason": role}
        made = member.post(f"/api/v1/holds?project={project.slug}", body, content_type="application/json")
        assert made.status_code == holds
        lifted = member.post(
            f"/api/v1/holds/{hold.pk}/lift?project={project.slug}", {"reason": "x"}, content_type="application/json"
        )
        assert lifted.status_code == holds
    key = Client(headers={"x-api-key": ApiKey.issue(project, "admin", scopes=["admin"])[1]})
    assert [each["id"] for each in key.get("/api/v1/holds?words=olive").json()["items"]] == [hold.pk]
    assert key.get(f"/api/v1/holds/{hold.pk}").json()["reason"] == "Case 12"
    assert key.get(f"/api/v1/holds/{hold.pk}/traces").json() == {"items": [], "next_cursor": None}
    refused = key.post("/api/v1/holds", {"kind": "user"}, content_type="application/json")
    assert (refused.status_code, "a person may" in refused.json()["detail"]) == (403, True)


def test_an_owner_of_another_tenant_neither_sees_nor_lifts_a_hold(project: Project) -> None:
    hold = a_hold(project)
    other = Project.create(Organization.objects.create(name="Globex"), "Search")
    gale = User.objects.create(username="gale")
    Membership.objects.create(organization=other.organization, user=gale, role="owner")
    stranger = Client()
    stranger.force_login(gale)
    assert stranger.get(f"/p/{project.slug}/settings/holds").status_code == 404
    for slug in (project.slug, other.slug):
        assert stranger.post(f"/p/{slug}/settings/holds/{hold.pk}/lift", {"reason": "x"}).status_code == 404
        for method, path in (("GET", ""), ("GET", "/traces"), ("POST", "/lift")):
            address = f"/api/v1/holds/{hold.pk}{path}?project={slug}"
            answer = stranger.generic(method, address, b'{"reason": "x"}', content_type="application/json")
            assert answer.status_code == 404, address
    assert stranger.get(f"/api/v1/holds?project={other.slug}").json()["items"] == []
    hold.refresh_from_db()
    assert hold.is_in_force


def test_at_the_machine_holds_are_placed_listed_and_lifted(project: Project) -> None:
    place = ("holds", "place", "user", ALICE, "--project", project.slug, "--reason", "Case 12", "--json")
    made = json.loads(run(*place))
    assert (made["state"], made["subject"]) == ("placing", ALICE)
    assert "Case 12" in run("holds", "list", "--project", project.slug)
    assert json.loads(run("holds", "lift", str(made["id"]), "--reason", "closed", "--json"))["state"] == "lifting"
    actions = Entry.objects.filter(project_id=project.pk).order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["holds place", "holds lift"]
    for wrong, says in (
        (("holds", "lift", "0", "--reason", "x"), "There is no hold 0"),
        (("holds", "lift", str(made["id"]), "--reason", "x"), "lifted already"),
        (("holds", "list", "--project", "nowhere"), "There is no project"),
    ):
        with pytest.raises(CommandError, match=says):
            run(*wrong)


def run(*arguments: str) -> str:
    out = StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        call_command(*arguments)
    return out.getvalue()
