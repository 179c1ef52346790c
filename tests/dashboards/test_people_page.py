"""People come by invitation, have a role that nobody gave above their own, and leave; programs have accounts too."""

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from heliograph.accounts import people
from heliograph.accounts.models import ApiKey, Invitation, Membership, Organization, Project, ProjectMembership, User
from heliograph.accounts.permissions import role_in
from heliograph.accounts.roles import Role
from heliograph.audit.models import Entry

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Project:
    return Project.create(Organization.objects.create(name="Acme"), "Chat bot")


def member(project: Project, name: str, role: Role) -> tuple[User, Client]:
    user = User.objects.create(username=name)
    Membership.objects.create(organization=project.organization, user=user, role=role)
    client = Client()
    client.force_login(user)
    return user, client


def post(client: Client, project: Project, what: str, *arguments: object, **form: str) -> tuple[int, str]:
    answer = client.post(reverse(f"settings-people-{what}", args=[project.slug, *arguments]), form)
    return answer.status_code, answer.content.decode()


def test_a_link_lets_one_stranger_in_with_the_role_that_was_said(acme: Project) -> None:
    _, owner = member(acme, "alice", Role.OWNER)
    status, page = post(owner, acme, "invite", where="project", role="annotator")
    assert status == 200
    link = re.search(r'id="invitation-link"[^>]*>[^<]*(/invitations/[^<]+)<', page)
    assert link is not None
    newcomer = Client()
    assert b"annotator" in newcomer.get(link[1]).content
    assert newcomer.post(link[1]).status_code == 422
    assert newcomer.post(link[1], {"username": "bob", "password": "short"}).status_code == 422
    assert newcomer.post(link[1], {"username": "ALICE", "password": "a long password 1"}).status_code == 422
    assert newcomer.post(link[1], {"username": "bob", "password": "a long password 1"}).status_code == 302
    bob = User.objects.get(username="bob")
    assert role_in(bob, acme) == Role.ANNOTATOR
    # The log says that it was used, and not the link.
    entry = Entry.objects.get(action="invitation")
    assert link[1].rpartition("/")[2] not in f"{entry.target} {entry.words}"
    assert newcomer.get(reverse("settings-people", args=[acme.slug])).status_code == 200
    assert Client().get(link[1]).status_code == 404
    assert list(Project.objects.visible_to(bob)) == [acme]


def test_a_password_chosen_on_joining_is_as_it_was_typed_and_not_like_the_name(acme: Project) -> None:
    alice, _ = member(acme, "alice", Role.OWNER)
    link = people.link_of(people.invite(acme, Role.VIEWER, alice))
    like_the_name = Client().post(link, {"username": "bartholomew", "password": "bartholomew1"})
    assert (like_the_name.status_code, "too similar to the username" in like_the_name.content.decode()) == (422, True)
    typed = {"username": "bob", "password": " a long password 1 "}
    assert Client().post(link, typed).status_code == 302
    client = Client()
    client.post(reverse("login"), typed)
    assert client.get(reverse("security")).status_code == 200


def test_who_has_an_account_joins_with_it_and_keeps_a_higher_role(acme: Project) -> None:
    alice, _ = member(acme, "alice", Role.OWNER)
    carol, browser = member(acme, "carol", Role.EDITOR)
    for role, expected in ((Role.VIEWER, Role.EDITOR), (Role.ADMIN, Role.ADMIN)):
        invitation = people.invite(acme.organization, role, alice)
        assert browser.post(people.link_of(invitation)).status_code == 302
        assert role_in(carol, acme) == expected


def test_a_link_that_is_forged_old_or_taken_back_opens_nothing(acme: Project) -> None:
    alice, owner = member(acme, "alice", Role.OWNER)
    old, back = (people.invite(acme, Role.VIEWER, alice) for _ in range(2))
    Invitation.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert post(owner, acme, "take-back", back.pk)[0] == 302
    for link in (people.link_of(old), people.link_of(back), people.link_of(back)[:-1] + "A"):
        assert Client().get(link).status_code == 404
    good = people.invite(acme, Role.VIEWER, alice)
    people.accept(good, User.objects.create(username="first"))
    with pytest.raises(people.PeopleError, match="not open any more"):
        people.accept(good, User.objects.create(username="second"))


def test_a_link_ends_with_the_role_of_whoever_made_it(acme: Project) -> None:
    """Else somebody who is to be removed makes a link first, and comes back by it."""
    member(acme, "alice", Role.OWNER)
    bob, _ = member(acme, "bob", Role.OWNER)
    for place in (acme, acme.organization):
        link = people.link_of(people.invite(place, Role.OWNER, bob))
        people.set_role(acme.organization, bob, Role.OWNER)
        assert Client().get(link).status_code == 200
        for role in (Role.ADMIN, Role.EDITOR, None):
            people.set_role(acme.organization, bob, role)
            assert Client().get(link).status_code == 404
    link = people.link_of(people.invite(acme, Role.VIEWER, User.objects.get(username="alice")))
    User.objects.filter(username="alice").update(is_active=False)
    assert Client().get(link).status_code == 404


def test_an_invitation_goes_out_by_mail_where_there_is_a_mail_server(acme: Project, settings: Settings) -> None:
    _, owner = member(acme, "alice", Role.OWNER)
    form = {"where": "organization", "role": "viewer", "email": "bob@example.org"}
    status, page = post(owner, acme, "invite", **form)
    assert (status, "no mail server" in page, "invitation-link" in page) == (200, True, True)
    settings.EMAIL_HOST = "mail.example.org"
    assert post(owner, acme, "invite", **form)[0] == 302
    [sent] = mail.outbox
    assert sent.to == ["bob@example.org"]
    assert "/invitations/" in sent.body


def test_nobody_gives_or_takes_a_role_above_their_own(acme: Project) -> None:
    alice, owner = member(acme, "alice", Role.OWNER)
    _, admin = member(acme, "adam", Role.ADMIN)
    carol, editor = member(acme, "carol", Role.EDITOR)
    assert post(editor, acme, "role", carol.pk, where="organization", role="owner")[0] == 403
    assert post(admin, acme, "role", carol.pk, where="organization", role="owner")[0] == 403
    assert post(admin, acme, "role", alice.pk, where="organization", role="viewer")[0] == 403
    assert post(admin, acme, "invite", where="organization", role="owner")[0] == 403
    assert post(admin, acme, "role", carol.pk, where="organization", role="admin")[0] == 302
    assert role_in(carol, acme) == Role.ADMIN
    status, page = post(owner, acme, "role", alice.pk, where="organization", role="")
    assert (status, "needs an owner" in page) == (422, True)
    assert post(owner, acme, "role", carol.pk, where="organization", role="")[0] == 302
    assert role_in(carol, acme) is None


def test_an_admin_of_one_project_is_none_of_the_organisation(acme: Project) -> None:
    guest = User.objects.create(username="guest")
    ProjectMembership.objects.create(project=acme, user=guest, role=Role.ADMIN)
    browser = Client()
    browser.force_login(guest)
    assert post(browser, acme, "invite", where="organization", role="viewer")[0] == 403
    assert post(browser, acme, "project", name="Another")[0] == 403
    assert post(browser, acme, "invite", where="project", role="editor")[0] == 200
    assert post(browser, acme, "invite", where="project", role="owner")[0] == 403
    other = Project.create(acme.organization, "Search")
    assert browser.get(reverse("settings-people", args=[other.slug])).status_code == 404


def test_a_guest_of_one_project_sees_who_and_what_concerns_that_project(acme: Project) -> None:
    alice, owner = member(acme, "alice-of-acme", Role.OWNER)
    guest = User.objects.create(username="guest")
    beside = User.objects.create(username="beside")
    for user, role in ((guest, Role.ADMIN), (beside, Role.VIEWER)):
        ProjectMembership.objects.create(project=acme, user=user, role=role)
    to_all = people.invite(acme.organization, Role.VIEWER, alice, "all@example.org")
    to_one = people.invite(acme, Role.VIEWER, alice, "one@example.org")
    people.invite(Project.create(acme.organization, "Search"), Role.VIEWER, alice, "other@example.org")
    browser = Client()
    browser.force_login(guest)
    address = reverse("settings-people", args=[acme.slug])
    page = browser.get(address)
    html = page.content.decode()
    assert [place["where"] for place in page.context["places"]] == ["project"]
    assert {row.user for row in page.context["places"][0]["rows"]} == {guest, beside}
    assert list(page.context["invitations"]) == [to_one]
    assert [
        name for name in ("all@example", "other@example", "Another project", "whole organisation") if name in html
    ] == []
    assert post(browser, acme, "take-back", to_all.pk)[0] == 404
    assert post(browser, acme, "take-back", to_one.pk)[0] == 302
    seen = owner.get(address)
    assert [place["where"] for place in seen.context["places"]] == ["project", "organization"]
    assert list(seen.context["invitations"]) == [to_all]


def test_another_tenant_s_people_and_invitations_are_unknown(acme: Project) -> None:
    alice, _ = member(acme, "alice", Role.OWNER)
    globex = Project.create(Organization.objects.create(name="Globex"), "Search")
    _, browser = member(globex, "gale", Role.OWNER)
    theirs = people.invite(acme, Role.VIEWER, alice)
    for where in ("project", "organization"):
        assert post(browser, globex, "role", alice.pk, where=where, role="viewer")[0] == 404
        assert post(browser, acme, "role", alice.pk, where=where, role="viewer")[0] == 404
    assert post(browser, globex, "take-back", theirs.pk)[0] == 404
    assert b"alice" not in browser.get(reverse("settings-people", args=[globex.slug])).content


def test_a_service_account_has_a_role_and_keys_and_never_signs_in(acme: Project) -> None:
    _, owner = member(acme, "alice", Role.OWNER)
    assert post(owner, acme, "service", name="deploy-bot", role="viewer", where="project")[0] == 302
    assert post(owner, acme, "service", name="Deploy-Bot", role="viewer", where="project")[0] == 422
    robot = User.objects.get(username="deploy-bot")
    assert not robot.has_usable_password()
    form = {"name": "ci", "scopes": ["read", "write"], "days": "30", "service_account": str(robot.pk)}
    answer = owner.post(reverse("settings-create-key", args=[acme.slug]), form)
    found = re.search(r'id="new-key">([^<]+)<', answer.content.decode())
    assert found is not None
    row = ApiKey.objects.get()
    assert (row.service_account, row.scopes) == (robot, ["read", "write"])
    assert row.expires_at is not None
    client = Client(headers={"x-api-key": found[1]})
    assert client.get("/api/v1/datasets").status_code == 200
    # The key is for writing, the account's role is not.
    assert client.post("/api/v1/datasets", {"name": "a"}, content_type="application/json").status_code == 403


def test_an_editor_makes_no_key_that_may_do_more_than_they(acme: Project) -> None:
    _, editor = member(acme, "carol", Role.EDITOR)
    address = reverse("settings-create-key", args=[acme.slug])
    answer = editor.post(address, {"name": "master", "scopes": ["admin"]})
    assert (answer.status_code, b"ask an admin" in answer.content) == (422, True)
    assert editor.post(address, {"name": "plain", "scopes": ["ingest"]}).status_code == 200
    assert [key.scopes for key in ApiKey.objects.all()] == [["ingest"]]
