"""Signing in by an OpenID provider over real HTTP: by its number of somebody alone, with the roles of their groups."""

import re
from collections.abc import Iterator
from html import unescape
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from allauth.socialaccount.models import SocialAccount
from django.apps import apps
from django.core.checks import run_checks
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from heliograph.accounts import adapters, secrets
from heliograph.accounts.models import Membership, Organization, Project, ProjectMembership, User
from heliograph.accounts.permissions import role_of
from heliograph.accounts.roles import Role
from heliograph.audit.models import Entry
from heliograph.dashboards import single_sign_on
from tests.stubs.identity import CLIENT_ID, CLIENT_SECRET, Provider, new_key, running

pytestmark = pytest.mark.django_db
PASSWORD = "a long password 1"


@pytest.fixture
def acme() -> Project:
    return Project.create(Organization.objects.create(name="Acme"), "Chat bot")


@pytest.fixture(autouse=True)
def provider(acme: Project, settings: Settings) -> Iterator[Provider]:
    """A provider at which Dana is signed in, of a group of editors."""
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}
    settings.OIDC_NAME = "the company's door"
    settings.OIDC_GROUP_ROLES = {
        "ml": {"Acme": "editor"},
        "ml-leads": {"Acme": "admin"},
        "everybody": {"Acme": "viewer"},
        "else": {"Nowhere": "owner"},
    }
    with running(settings.BASE_URL + reverse("single-sign-on-callback")) as provider:
        provider.claims = {"sub": "number-1", "preferred_username": "dana", "groups": ["ml", "everybody"]}
        settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID = provider.issuer, CLIENT_ID
        app: dict[str, Any] = {"provider_id": "oidc", "name": "door", "client_id": CLIENT_ID, "secret": CLIENT_SECRET}
        app |= {"settings": {"server_url": provider.issuer, "uid_field": settings.OIDC_NUMBER}}
        settings.SOCIALACCOUNT_PROVIDERS = {
            "openid_connect": {"OAUTH_PKCE_ENABLED": True, "SCOPE": ["openid", "email"], "APPS": [app]}
        }
        yield provider


def there(page: Any) -> str:
    """Follow the page that leads to the provider; return the address, of ours, that it sends somebody to."""
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', page.content.decode())
    assert found is not None, page.content
    answer = httpx.get(unescape(found[1]), timeout=180)
    back = urlsplit(answer.headers["location"])
    return f"{back.path}?{back.query}"


def come(client: Client, **form: str) -> Any:
    return client.get(there(client.post(reverse("single-sign-on"), form)))


def is_in(client: Client) -> bool:
    return client.get(reverse("security")).status_code == 200


def failed(client: Client, answer: Any) -> bool:
    assert answer["location"] == reverse("login")
    return "did not work" in client.get(reverse("login")).content.decode() and not is_in(client)


def test_somebody_new_comes_with_the_highest_role_of_their_groups(acme: Project) -> None:
    client = Client()
    assert "Use the company&#x27;s door" in client.get(reverse("login")).content.decode()
    before = client.session.session_key
    assert come(client, next=reverse("settings", args=[acme.slug]))["location"] == reverse("settings", args=[acme.slug])
    dana = User.objects.get(username="dana")
    assert role_of(dana, acme.organization) == Role.EDITOR
    assert not dana.has_usable_password()
    assert is_in(client)
    assert client.session.session_key != before
    assert [each.action for each in Entry.objects.filter(actor="dana")] == ["single-sign-on-callback", "groups"]
    given = Entry.objects.get(action="groups")
    assert (given.organization_id, [each["what"] for each in given.changes]) == (acme.organization_id, ["created"])


def test_each_sign_in_gives_what_the_groups_give_then_and_takes_the_rest(acme: Project, provider: Provider) -> None:
    found = []
    for groups in (["ml"], ["ml-leads", "ml"], "everybody", [], ["unknown", 5, None], None):
        provider.claims["groups"] = groups
        come(Client())
        found.append(role_of(User.objects.get(username="dana"), acme.organization))
    assert found == [Role.EDITOR, Role.ADMIN, Role.VIEWER, None, None, None]
    assert User.objects.count() == SocialAccount.objects.count() == 1
    taken = Entry.objects.filter(action="groups").first()
    assert taken is not None
    assert [each["what"] for each in taken.changes] == ["removed"]


def test_groups_decide_where_the_mapping_says_so_and_nowhere_else(acme: Project, provider: Provider) -> None:
    come(Client())
    dana = User.objects.get(username="dana")
    other = Organization.objects.create(name="Globex")
    Membership.objects.create(organization=other, user=dana, role=Role.OWNER)
    ProjectMembership.objects.create(project=acme, user=dana, role=Role.ANNOTATOR)
    Membership.objects.filter(organization=acme.organization).update(role=Role.OWNER)
    Membership.objects.create(organization=acme.organization, user=User.objects.create(username="x"), role=Role.OWNER)
    provider.claims["groups"] = []
    come(Client())
    assert role_of(dana, acme.organization) is None
    assert role_of(dana, other) == Role.OWNER
    assert dana.projectmembership_set.count() == 1


def test_of_two_organisations_of_a_name_nobody_gets_into_either(acme: Project) -> None:
    twin = Organization.objects.create(name="Acme")
    come(Client())
    dana = User.objects.get(username="dana")
    assert (role_of(dana, acme.organization), role_of(dana, twin)) == (None, None)


def test_an_organisation_s_last_owner_stays_one(acme: Project, provider: Provider) -> None:
    come(Client())
    Membership.objects.update(role=Role.OWNER)
    provider.claims["groups"] = []
    client = Client()
    come(client)
    assert is_in(client)
    assert role_of(User.objects.get(username="dana"), acme.organization) == Role.OWNER


def test_who_has_no_group_of_the_mapping_gets_no_account(provider: Provider) -> None:
    provider.claims["groups"] = ["strangers"]
    client = Client()
    assert come(client)["location"] == reverse("login")
    assert "Nothing here is open to your groups" in client.get(reverse("login")).content.decode()
    assert not is_in(client)
    assert not User.objects.exists()


@pytest.mark.parametrize("verified", [True, False, "true", None])
def test_nobody_gets_another_s_account_by_a_name_or_an_address_verified_or_not(
    acme: Project, provider: Provider, verified: Any
) -> None:
    alice = User.objects.create_user("alice", "alice@example.com", PASSWORD)
    Membership.objects.create(organization=acme.organization, user=alice, role=Role.OWNER)
    provider.claims |= {"email": "alice@example.com", "email_verified": verified, "preferred_username": "ALICE"}
    client = Client()
    come(client)
    new = SocialAccount.objects.get().user
    assert new != alice
    assert new.username.lower() != "alice"
    assert int(client.session["_auth_user_id"]) == new.pk
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
    assert role_of(alice, acme.organization) == Role.OWNER


def test_who_has_an_account_links_it_after_saying_who_they_are_and_comes_by_it(
    acme: Project, provider: Provider
) -> None:
    alice = User.objects.create_user("alice", password=PASSWORD)
    Membership.objects.create(organization=acme.organization, user=alice, role=Role.OWNER)
    provider.claims["groups"] = []
    client = Client()
    client.post(reverse("login"), {"username": "alice", "password": PASSWORD})
    proof = client.post(reverse("security-link"))
    assert proof["location"].startswith(reverse("account_reauthenticate"))
    assert client.get(there(client.post(proof["location"], {"password": PASSWORD})))["location"] == reverse("security")
    assert SocialAccount.objects.get().user == alice
    entry = Entry.objects.filter(action="security-link").latest("pk")
    assert {(each["kind"], each["what"]) for each in entry.changes} >= {("social account", "created")}
    other = Client()
    assert come(other)["location"] == reverse("home")
    assert int(other.session["_auth_user_id"]) == alice.pk
    # Another person cannot link what is linked.
    User.objects.create_user("mallory", password=PASSWORD)
    mallory = Client()
    mallory.post(reverse("login"), {"username": "mallory", "password": PASSWORD})
    proof = mallory.post(reverse("security-link"))
    mallory.get(there(mallory.post(proof["location"], {"password": PASSWORD})))
    assert SocialAccount.objects.get().user == alice
    # And it is undone by its owner.
    assert client.post(reverse("security-unlink"))["location"] == reverse("security")
    assert not SocialAccount.objects.exists()
    assert come(Client())["location"] == reverse("login")


def test_a_second_factor_is_asked_for_after_the_provider_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totp, "time", SimpleNamespace(time=lambda: 1_900_000_015))
    client = Client()
    come(client)
    dana = User.objects.get(username="dana")
    # Without a password, it is switched on right after signing in.
    page = client.get(reverse("mfa_activate_totp")).content.decode()
    secret = re.search(r'id="totp-secret"[^>]*>([A-Z2-7]+)<', page)
    assert secret is not None
    code = totp.format_hotp_value(totp.hotp_value(secret[1], 1_900_000_015 // 30))
    assert client.post(reverse("mfa_activate_totp"), {"code": code}).status_code == 302
    assert secrets.decrypt(Authenticator.objects.get(user=dana, type="totp").data["secret"]) == secret[1]
    again = Client()
    assert come(again)["location"] == reverse("mfa_authenticate")
    assert not is_in(again)
    assert again.post(reverse("mfa_authenticate"), {"code": code}).status_code == 302
    assert is_in(again)


def test_without_a_password_who_came_long_ago_signs_in_anew_before_changing_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Client()
    come(client)
    monkeypatch.setattr(adapters, "just_came", lambda _request: False)
    monkeypatch.setattr("heliograph.dashboards.security.just_came", lambda _request: False)
    assert client.get(reverse("mfa_activate_totp"))["location"] == reverse("security")
    assert client.post(reverse("security-link")).status_code == 403


def test_a_session_by_the_provider_ends_after_a_working_day_used_or_not() -> None:
    client = Client()
    come(client)
    is_in(client)
    hours = client.session.get_expiry_age() / 3600
    assert 0 < hours <= 12


def test_what_is_forged_of_somebody_else_or_for_others_signs_nobody_in(provider: Provider) -> None:
    for fault in (
        {"token": {"aud": "another application"}},
        {"token": {"iss": "https://evil.example"}},
        {"token": {"exp": 1_000_000_000}},
        {"signs_with": new_key()},
        {"told": {"sub": "number-2"}},
        {"document": {"issuer": "https://evil.example"}},
    ):
        sound = {name: getattr(provider, name) for name in fault}
        client = Client()
        to = there(client.post(reverse("single-sign-on"))) if "document" not in fault else ""
        for name, value in fault.items():
            setattr(provider, name, value)
        answer = client.get(to) if to else client.post(reverse("single-sign-on"))
        assert failed(client, answer), fault
        for name, value in sound.items():
            setattr(provider, name, value)
    assert not User.objects.exists()


def test_an_answer_to_another_browser_s_question_or_a_second_time_signs_nobody_in() -> None:
    client, victim = Client(), Client()
    back = there(client.post(reverse("single-sign-on")))
    victim.post(reverse("single-sign-on"))
    for thief in (victim, Client()):
        assert failed(thief, thief.get(back))
    assert client.get(back).status_code == 302
    assert is_in(client)
    client.post(reverse("logout"))
    assert failed(client, client.get(back))
    refused = Client()
    refused.post(reverse("single-sign-on"))
    callback = reverse("single-sign-on-callback")
    assert failed(refused, refused.get(callback, {"error": "access_denied"}))


def test_a_provider_that_is_away_or_answers_without_end_is_explained(provider: Provider, settings: Settings) -> None:
    provider.filler = single_sign_on.MAX_ANSWER_BYTES
    client = Client()
    assert failed(client, client.post(reverse("single-sign-on")))
    provider.filler = 0
    provider.document = {"token_endpoint": f"{provider.issuer}/nowhere"}
    assert failed(client, come(client))
    provider.document = {"authorization_endpoint": "javascript:alert(1)"}
    assert "javascript" not in client.post(reverse("single-sign-on")).headers.get("location", "")


def test_one_goes_back_to_pages_of_this_server_only_and_starts_by_a_form_of_ours() -> None:
    assert come(Client(), next="https://evil.example/")["location"] == reverse("home")
    assert Client().get(reverse("single-sign-on")).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(reverse("single-sign-on")).status_code == 403


def test_without_a_provider_there_is_no_button_and_no_way(settings: Settings) -> None:
    settings.OIDC_ISSUER = ""
    assert reverse("single-sign-on") not in Client().get(reverse("login")).content.decode()
    assert Client().post(reverse("single-sign-on")).status_code == 404
    assert Client().get(reverse("single-sign-on-callback")).status_code == 404


def test_a_mapping_to_a_role_that_there_is_not_is_explained_at_start(settings: Settings) -> None:
    assert not [each for each in run_checks() if "OIDC" in each.msg]
    settings.OIDC_GROUP_ROLES = {"ml": {"Acme": "king"}}
    settings.OIDC_CLIENT_ID = ""
    found = [each.msg for each in run_checks() if "OIDC" in each.msg]
    assert len(found) == 2
    assert "king" in found[1]


def test_of_another_issuer_the_same_number_is_somebody_else(provider: Provider, settings: Settings) -> None:
    come(Client())
    dana = User.objects.get(username="dana")
    with running(provider.callback) as other:
        other.claims = provider.claims | {"preferred_username": "mallory"}
        settings.OIDC_ISSUER = other.issuer
        [app] = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
        app["settings"]["server_url"] = other.issuer
        client = Client()
        come(client)
    assert int(client.session["_auth_user_id"]) != dana.pk
    assert [each.user.username for each in SocialAccount.objects.order_by("pk")] == ["dana", "mallory"]


def test_an_account_that_was_linked_by_the_number_alone_is_found_after_an_upgrade(provider: Provider) -> None:
    come(Client())
    [linked] = SocialAccount.objects.all()
    bound, linked.uid = linked.uid, "number-1"
    linked.save()
    unknown = SocialAccount.objects.create(user=User.objects.create(username="old"), provider="oidc", uid="number-2")
    migration = import_module("heliograph.accounts.migrations.0009_numbers_of_issuers")
    migration.bind(apps, None)
    linked.refresh_from_db()
    assert linked.uid == bound
    come(Client())
    assert SocialAccount.objects.count() == 2
    unknown.refresh_from_db()
    assert unknown.uid == "number-2"
