"""The walk: every address, page and endpoint, by every method, with every role and scope, a stranger and nobody at all.

Who may not is refused before anything is looked up, so the addresses need no objects that exist. What happens to
existing ids of another tenant, tests/dashboards/test_who_may_open_what.py and tests/api/test_endpoints.py try;
questions to the store, tests/clickhouse/test_client.py; OTLP, tests/ingest/test_auth.py.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from heliograph.accounts.doors import SAFE_METHODS, Door, needs_of
from heliograph.accounts.models import ApiKey, Membership, Organization, Project, ProjectMembership, User
from heliograph.accounts.roles import OF_ROLE, OF_SCOPE, Capability, Role, Scope

pytestmark = pytest.mark.django_db
# One value of each kind that addresses hold.
VALUES = {
    **dict.fromkeys(("until",), "2099-01-05"),
    "digest": "0" * 64,
    "delivery_id": "00000000-0000-4000-8000-000000000000",
    "kind": "csv",
}


@pytest.fixture(autouse=True)
def plain_static_names(settings: Any) -> None:
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}


@pytest.fixture
def acme() -> Project:
    return Project.create(Organization.objects.create(name="Acme"), "Chat bot")


def patterns(resolver: URLResolver, prefix: str = "/") -> Iterator[tuple[str, URLPattern]]:
    for each in resolver.url_patterns:
        if isinstance(each, URLResolver):
            yield from patterns(each, prefix + str(each.pattern))
        elif each.name:
            yield prefix, each


def addresses(project: Project) -> Iterator[tuple[str, str, Capability]]:
    """Yield (method, address, what it needs) of every view of a project."""
    for prefix, each in patterns(get_resolver()):
        needs = needs_of(each.callback)
        assert needs is not None, each
        if isinstance(needs.read, Door):
            continue
        kinds = each.pattern.converters
        names = kinds or each.pattern.regex.groupindex  # of a path, or of a regular expression
        values = {
            name: VALUES.get(name, 1 if type(kinds.get(name)).__name__ == "IntConverter" else "a") for name in names
        }
        values |= {"slug": project.slug} if "slug" in values else {}
        [(template, _)] = get_resolver().reverse_dict.getlist(each.name)[0][0]
        view = getattr(each.callback, "cls", None)
        if view:
            methods = [
                name for name in view.http_method_names if name not in ("options", "head") and hasattr(view, name)
            ]
        else:  # a page needs the same by every method, and takes one of them
            methods = ["get" if needs.read in (Capability.VIEW, Capability.AUDIT) else "post"]
        for method in methods:
            yield method.upper(), prefix[:1] + template % values, needs.of(method.upper())


def status(client: Client, method: str, address: str, project: Project, *, by_key: bool = False) -> int:
    query = "" if by_key or not address.startswith("/api/") else f"?project={project.slug}"
    return client.generic(method, address + query, b"{}", content_type="application/json").status_code


def test_whoever_may_not_is_refused_everywhere(acme: Project) -> None:
    walked = list(addresses(acme))
    assert len(walked) > 350
    assert {needed for _, _, needed in walked} >= set(Capability) - {Capability.SEND}
    for number, role in enumerate(Role):
        user = User.objects.create(username=f"user-{number}")
        # By turns of the organisation and of the project alone.
        if number % 2:
            Membership.objects.create(organization=acme.organization, user=user, role=role)
        else:
            ProjectMembership.objects.create(project=acme, user=user, role=role)
        client = Client()
        client.force_login(user)
        refused = [(method, address) for method, address, needed in walked if needed not in OF_ROLE[role]]
        found = {each: status(client, *each, acme) for each in refused}
        # A page that is only shown, or only posted to, says so before it looks at who asks.
        assert set(found.values()) <= {403, 405}, {each: code for each, code in found.items() if code not in (403, 405)}
        assert len(refused) == 0 or 403 in found.values()


def test_a_key_does_nothing_beyond_its_scopes(acme: Project) -> None:
    walked = [each for each in addresses(acme) if each[1].startswith("/api/")]
    for scope in Scope:
        client = Client(headers={"x-api-key": ApiKey.issue(acme, scope, scopes=[scope])[1]})
        refused = [(method, address) for method, address, needed in walked if needed not in OF_SCOPE[scope]]
        assert refused
        found = {each: status(client, *each, acme, by_key=True) for each in refused}
        assert set(found.values()) == {403}, {each: code for each, code in found.items() if code != 403}


def test_strangers_learn_nothing_anywhere_and_who_is_not_signed_in_neither(acme: Project) -> None:
    globex = Project.create(Organization.objects.create(name="Globex"), "Search")
    gale = User.objects.create(username="gale")
    Membership.objects.create(organization=globex.organization, user=gale, role=Role.OWNER)
    stranger, nobody = Client(), Client()
    stranger.force_login(gale)
    for method, address, _ in addresses(acme):
        assert status(stranger, method, address, acme) in (404, 405), (method, address)
        expected = {401} if address.startswith("/api/") else {302, 405}
        assert status(nobody, method, address, acme) in expected, (method, address)


def test_a_person_s_pages_need_a_person(acme: Project) -> None:
    mine = [
        (prefix, each) for prefix, each in patterns(get_resolver()) if needs_of(each.callback).read == Door.SIGNED_IN
    ]
    assert mine
    assert {"GET"} <= SAFE_METHODS
    for prefix, each in mine:
        if not each.pattern.converters:
            assert Client().get(prefix + str(each.pattern)).status_code == 302, each
