"""One table says who may do what; every address says what it needs, and what says nothing is open to nobody."""

import itertools
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from heliograph.accounts.doors import DefaultDeny, needs_of
from heliograph.accounts.models import ApiKey, Membership, Organization, Project, ProjectMembership, User
from heliograph.accounts.permissions import capabilities_of, capabilities_of_key, role_in
from heliograph.accounts.roles import MEANING, OF_ROLE, OF_SCOPE, Capability, Role, Scope, may_give, may_issue


def patterns(resolver: URLResolver) -> Iterator[URLPattern]:
    for each in resolver.url_patterns:
        if isinstance(each, URLResolver):
            yield from patterns(each)
        else:
            yield each


def test_every_address_says_what_it_needs() -> None:
    found = list(patterns(get_resolver()))
    assert len(found) > 200
    assert [str(each.pattern) for each in found if needs_of(each.callback) is None] == []


def test_a_view_that_says_nothing_is_open_to_nobody() -> None:
    def forgotten(_request: object) -> HttpResponse:
        raise AssertionError("opened")

    deny = DefaultDeny(forgotten)
    with pytest.raises(PermissionDenied):
        deny.process_view(RequestFactory().get("/"), forgotten, (), {})


def test_each_role_may_do_what_the_one_before_it_may_and_each_capability_has_a_holder() -> None:
    roles = list(OF_ROLE)
    assert roles == list(Role)
    assert all(OF_ROLE[one] <= OF_ROLE[next_one] for one, next_one in itertools.pairwise(roles))
    assert set(Capability) == set().union(*OF_ROLE.values()) == set(MEANING)
    assert list(OF_SCOPE) == list(Scope)


def test_nobody_gives_more_than_they_have() -> None:
    assert [[may_give(giver, role) for role in Role] for giver in Role] == [
        *[[False] * 5] * 3,
        [True, True, True, True, False],
        [True] * 5,
    ]
    assert [scope for scope in Scope if may_issue(Role.EDITOR, scope)] == [Scope.INGEST, Scope.READ, Scope.WRITE]
    assert all(may_issue(Role.ADMIN, scope) for scope in Scope)


@pytest.fixture
def acme(db: None) -> Project:
    return Project.create(Organization.objects.create(name="Acme"), "Chat bot")


def test_of_two_roles_the_higher_holds(acme: Project) -> None:
    alice = User.objects.create(username="alice")
    assert role_in(alice, acme) is None
    Membership.objects.create(organization=acme.organization, user=alice, role=Role.VIEWER)
    other = Project.create(acme.organization, "Search")
    ProjectMembership.objects.create(project=acme, user=alice, role=Role.EDITOR)
    ProjectMembership.objects.create(project=other, user=alice, role=Role.VIEWER)
    assert (role_in(alice, acme), role_in(alice, other)) == (Role.EDITOR, Role.VIEWER)
    Membership.objects.update(role=Role.ADMIN)
    assert role_in(alice, acme) == Role.ADMIN
    alice.is_active = False
    assert capabilities_of(alice, acme) == frozenset()


def test_a_guest_sees_the_one_project_only(acme: Project) -> None:
    Project.create(acme.organization, "Search")
    guest = User.objects.create(username="guest")
    ProjectMembership.objects.create(project=acme, user=guest, role=Role.ANNOTATOR)
    assert list(Project.objects.visible_to(guest)) == [acme]
    Membership.objects.create(organization=acme.organization, user=guest, role=Role.VIEWER)
    assert Project.objects.visible_to(guest).count() == 2


def test_a_key_is_for_what_its_scopes_say(acme: Project) -> None:
    # A view for reading, one that edits, one that configures and one that limits, each refused before it is run.
    tries = {
        "read": lambda client: client.get("/api/v1/datasets"),
        "edit": lambda client: client.post("/api/v1/datasets", {"name": "a"}, content_type="application/json"),
        "configure": lambda client: client.delete("/api/v1/sampling/rules/1"),
        "limit": lambda client: client.patch(
            "/api/v1/ingest/limits", {"max_spans_per_minute": 5}, content_type="application/json"
        ),
    }
    found = {}
    for scope in Scope:
        client = Client(headers={"x-api-key": ApiKey.issue(acme, scope, scopes=[scope])[1]})
        found[scope] = [attempt(client).status_code for attempt in tries.values()]
    assert found == {
        Scope.INGEST: [403, 403, 403, 403],
        Scope.READ: [200, 403, 403, 403],
        Scope.WRITE: [200, 201, 403, 403],
        Scope.ADMIN: [200, 400, 404, 200],
    }
    sender = Client(headers={"x-api-key": ApiKey.issue(acme, "sender", scopes=[Scope.INGEST])[1]})
    assert "scope read or write or admin" in sender.get("/api/v1/datasets").json()["detail"]


def test_an_expired_key_opens_nothing(acme: Project) -> None:
    _, late = ApiKey.issue(acme, "late", expires_at=timezone.now() - timedelta(seconds=1))
    _, early = ApiKey.issue(acme, "early", expires_at=timezone.now() + timedelta(hours=1))
    assert ApiKey.active(late) is None
    assert ApiKey.active(early) is not None
    assert Client(headers={"x-api-key": late}).get("/api/v1/datasets").status_code == 401


def test_the_use_of_a_key_is_noted_once_a_minute(acme: Project) -> None:
    row, key = ApiKey.issue(acme, "checkout")
    assert row.last_used_at is None
    begun = timezone.now()
    ApiKey.active(key)
    row.refresh_from_db()
    first = row.last_used_at
    assert first is not None
    assert first >= begun
    ApiKey.active(key)
    row.refresh_from_db()
    assert row.last_used_at == first
    ApiKey.objects.update(last_used_at=first - ApiKey.USE_NOTED_EVERY)
    ApiKey.active(key)
    row.refresh_from_db()
    assert row.last_used_at is not None
    assert row.last_used_at >= first


def test_a_service_account_s_key_does_no_more_than_the_account_and_ends_with_it(acme: Project) -> None:
    robot = User.objects.create(username="robot", is_service_account=True)
    row, key = ApiKey.issue(acme, "deploys", scopes=[Scope.WRITE], service_account=robot)
    assert capabilities_of_key(row) == frozenset()
    membership = Membership.objects.create(organization=acme.organization, user=robot, role=Role.VIEWER)
    assert capabilities_of_key(row) == {Capability.VIEW}
    membership.role = Role.OWNER
    membership.save()
    assert capabilities_of_key(row) == OF_SCOPE[Scope.WRITE]
    User.objects.update(is_active=False)
    assert ApiKey.active(key) is None
