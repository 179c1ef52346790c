"""A second factor: switched on and off by its owner alone, asked for by every way in, required where an owner says."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import sesame.utils
from allauth.account.internal.flows import reauthentication
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from allauth.usersessions.models import UserSession
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from pytest_django import Settings

from heliograph.accounts import people, secrets
from heliograph.accounts.doors import OPEN, needs_of
from heliograph.accounts.models import ApiKey, Membership, Organization, Project, ProjectMembership, User
from heliograph.accounts.roles import Role
from heliograph.audit.models import Entry

pytestmark = pytest.mark.django_db
PASSWORD = "a long password 1"
NOW = 1_900_000_015


class Clock:
    """The time that codes are made of: it goes on when a test says so."""

    def __init__(self) -> None:
        self.now = NOW

    def time(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def plain_static_names(settings: Settings) -> None:
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(totp, "time", clock)
    return clock


@pytest.fixture
def acme() -> Project:
    return Project.create(Organization.objects.create(name="Acme"), "Chat bot")


@pytest.fixture
def alice(acme: Project) -> User:
    user = User.objects.create_user("alice", password=PASSWORD)
    Membership.objects.create(organization=acme.organization, user=user, role=Role.OWNER)
    return user


def signed_in(name: str = "alice", **where: Any) -> Client:
    client = Client(**where)
    assert client.post(reverse("login"), {"username": name, "password": PASSWORD}).status_code == 302
    return client


def code_of(secret: str, at: float) -> str:
    return str(totp.format_hotp_value(totp.hotp_value(secret, int(at) // 30)))


def wrong_code(secret: str, now: float) -> str:
    right = {code_of(secret, now + step) for step in (-30, 0, 30)}
    return next(each for each in ("000000", "000001", "000002", "000003") if each not in right)


def secret_of(user: User) -> str:
    return secrets.decrypt(Authenticator.objects.get(user=user, type="totp").data["secret"])


def switch_on(client: Client, clock: Clock) -> list[str]:
    """Switch the second factor on as a person does; return the recovery codes."""
    page = client.get(reverse("mfa_activate_totp"))
    assert page["location"].startswith(reverse("account_reauthenticate"))
    page = client.post(page["location"], {"password": PASSWORD})
    assert page["location"] == reverse("mfa_activate_totp")
    secret = re.search(r'id="totp-secret"[^>]*>([A-Z2-7]+)<', client.get(page["location"]).content.decode())
    assert secret is not None
    answer = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret[1], clock.now)})
    assert answer["location"] == reverse("mfa_view_recovery_codes")
    return re.findall(r"<li><code>(\d{8})</code>", client.get(answer["location"]).content.decode())


def second_step(client: Client, code: str) -> int:
    return client.post(reverse("mfa_authenticate"), {"code": code}).status_code


def is_in(client: Client) -> bool:
    return client.get(reverse("security")).status_code == 200


def test_who_has_one_gets_in_with_a_code_and_not_with_the_password_alone(alice: User, clock: Clock) -> None:
    codes = switch_on(signed_in(), clock)
    assert len(codes) == 10
    client = Client()
    answer = client.post(reverse("login"), {"username": "alice", "password": PASSWORD})
    assert answer["location"] == reverse("mfa_authenticate")
    before = client.session.session_key
    for address in (reverse("home"), reverse("security"), "/api/v1/datasets?project=chat-bot"):
        assert client.get(address).status_code in (302, 401, 403)
    assert b"alice" in client.get(reverse("mfa_authenticate")).content
    assert second_step(client, wrong_code(secret_of(alice), clock.now)) == 200
    assert not is_in(client)
    assert second_step(client, code_of(secret_of(alice), clock.now)) == 302
    assert is_in(client)
    # Whoever fixed the session's name before has nothing by it.
    assert client.session.session_key != before


def test_a_code_works_once_and_a_recovery_code_too(alice: User, clock: Clock) -> None:
    codes = switch_on(signed_in(), clock)
    code = code_of(secret_of(alice), clock.now)
    assert [second_step(signed_in(), each) for each in (code, code, codes[0], codes[0], codes[1])] == [
        302,
        200,
        302,
        200,
        302,
    ]


def test_guesses_at_codes_are_counted_for_the_person_wherever_they_come_from(alice: User, clock: Clock) -> None:
    switch_on(signed_in(), clock)
    wrong = wrong_code(secret_of(alice), clock.now)
    for guess in range(5):
        assert second_step(signed_in(REMOTE_ADDR=f"192.0.2.{guess}"), wrong) == 200
    late = signed_in(REMOTE_ADDR="192.0.2.99")
    answer = late.post(reverse("mfa_authenticate"), {"code": code_of(secret_of(alice), clock.now)})
    assert b"Too many" in answer.content
    assert not is_in(late)


def test_the_second_step_alone_or_that_of_somebody_else_lets_nobody_in(alice: User, clock: Clock) -> None:
    codes = switch_on(signed_in(), clock)
    User.objects.create_user("mallory", password=PASSWORD)
    assert Client().get(reverse("mfa_authenticate"))["location"] == reverse("login")
    mallory = signed_in("mallory")
    others = switch_on(mallory, clock)
    client = signed_in()
    assert second_step(client, next(code for code in others if code not in codes)) == 200
    assert not is_in(client)


def test_the_one_time_link_asks_for_it_too(alice: User, clock: Clock) -> None:
    switch_on(signed_in(), clock)
    alice.refresh_from_db()
    client = Client()
    answer = client.get(reverse("login-link") + sesame.utils.get_query_string(alice))
    assert answer["location"] == reverse("mfa_authenticate")
    assert not is_in(client)
    assert second_step(client, code_of(secret_of(alice), clock.now)) == 302
    assert is_in(client)


def test_an_invitation_s_link_signs_nobody_in_who_has_an_account(alice: User, acme: Project, clock: Clock) -> None:
    switch_on(signed_in(), clock)
    link = people.link_of(people.invite(acme, Role.VIEWER, alice))
    half_way = signed_in()
    answer = half_way.post(link, {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 422
    assert not is_in(half_way)


def test_nothing_is_switched_on_or_off_without_saying_again_who_one_is(alice: User, clock: Clock) -> None:
    client = signed_in()
    changing = ("mfa_activate_totp", "mfa_deactivate_totp", "mfa_view_recovery_codes", "mfa_generate_recovery_codes")
    early = signed_in().post(reverse("mfa_activate_totp"), {"code": "000000"})
    assert early["location"].startswith(reverse("account_reauthenticate"))
    switch_on(client, clock)
    # Another session, which has shown a code to get in and nothing since.
    later = signed_in()
    second_step(later, code_of(secret_of(alice), clock.now))
    for name in changing[1:]:
        for answer in (later.get(reverse(name)), later.post(reverse(name))):
            if answer.status_code == 405:  # the codes are only looked at
                continue
            assert answer["location"].startswith(reverse("mfa_reauthenticate")), name
    # The password is not enough of a proof once there is a second factor.
    answer = later.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    assert answer["location"].startswith(reverse("mfa_reauthenticate"))
    assert Authenticator.objects.filter(user=alice).count() == 2
    clock.now += 60
    proof = f"{reverse('mfa_reauthenticate')}?next={reverse('mfa_deactivate_totp')}"
    assert later.post(proof, {"code": code_of(secret_of(alice), clock.now)})["location"] == reverse(
        "mfa_deactivate_totp"
    )
    assert later.post(reverse("mfa_deactivate_totp")).status_code == 302
    assert not Authenticator.objects.filter(user=alice).exists()
    assert is_in(signed_in())


def test_a_proof_holds_for_five_minutes(alice: User, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in()
    switch_on(client, clock)
    assert client.get(reverse("mfa_deactivate_totp")).status_code == 200
    real = reauthentication.time.time()
    monkeypatch.setattr(reauthentication, "time", SimpleNamespace(time=lambda: real + 400))
    assert client.get(reverse("mfa_deactivate_totp")).status_code == 302


def test_recovery_codes_are_shown_once_and_new_ones_void_the_old(alice: User, clock: Clock) -> None:
    client = signed_in()
    old = switch_on(client, clock)
    again = client.get(reverse("mfa_view_recovery_codes")).content.decode()
    assert "shown once" in again
    assert "<code>" not in again
    answer = client.post(reverse("mfa_generate_recovery_codes"))
    new = re.findall(r"<li><code>(\d{8})</code>", client.get(answer["location"]).content.decode())
    assert len(new) == 10
    assert second_step(signed_in(), next(code for code in old if code not in new)) == 200
    assert second_step(signed_in(), new[0]) == 302


def test_what_is_stored_of_it_is_encrypted_and_follows_a_new_key(alice: User, clock: Clock, settings: Settings) -> None:
    codes = switch_on(signed_in(), clock)
    secret = secret_of(alice)
    assert secret not in str(list(Authenticator.objects.values_list("data", flat=True)))
    settings.SECRET_KEYS = ("a new passphrase of more than thirty two characters",)
    call_command("rotate_secrets")
    settings.SECRET_KEY = "another one, so that the old key opens nothing any more"
    assert secret_of(alice) == secret
    assert second_step(signed_in(), codes[3]) == 302


def test_a_secret_that_no_key_opens_is_explained_and_lets_nobody_in(
    alice: User, clock: Clock, settings: Settings
) -> None:
    switch_on(signed_in(), clock)
    code = code_of(secret_of(alice), clock.now)
    settings.SECRET_KEY = "another one, so that the old key opens nothing any more"
    client = signed_in()
    assert b"second-factor-off" in client.post(reverse("mfa_authenticate"), {"code": code}).content
    assert not is_in(client)


def test_changes_of_it_and_the_sign_in_are_in_the_audit_log_without_the_secret(alice: User, clock: Clock) -> None:
    client = signed_in()
    codes = switch_on(client, clock)
    assert client.post(reverse("mfa_deactivate_totp")).status_code == 302
    made, removed = (Entry.objects.get(action=f"mfa_{what}_totp") for what in ("activate", "deactivate"))
    assert {(each["kind"], each["what"]) for each in made.changes} >= {("authenticator", "created")}
    assert {(each["kind"], each["what"]) for each in removed.changes} == {("authenticator", "removed")}
    assert made.actor_id == removed.actor_id == alice.pk
    everything = str(list(Entry.objects.values_list("words", "target", "changes")))
    assert not [code for code in codes if code in everything]


def test_signing_in_by_code_or_by_link_is_an_entry_and_the_password_half_is_none(alice: User, clock: Clock) -> None:
    assert Client().get(reverse("login-link") + sesame.utils.get_query_string(alice)).status_code == 302
    assert Entry.objects.latest("pk").action == "login-link"
    switch_on(signed_in(), clock)
    before = Entry.objects.count()
    client = signed_in()
    assert Entry.objects.count() == before
    second_step(client, code_of(secret_of(alice), clock.now))
    entry = Entry.objects.latest("pk")
    assert (entry.action, entry.actor_id) == ("mfa_authenticate", alice.pk)


def test_switching_it_on_ends_the_sessions_that_were_begun_without_it(alice: User, clock: Clock) -> None:
    thief, client = signed_in(), signed_in()
    assert is_in(thief)
    switch_on(client, clock)
    assert is_in(client)
    assert not is_in(thief)


def test_after_signing_in_one_goes_to_pages_of_this_server_only(alice: User, clock: Clock, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    form = {"username": "alice", "password": PASSWORD}
    here = reverse("settings", args=["chat-bot"])
    elsewhere = ("https://evil.example/", "//evil.example/", "javascript:alert(1)", "http:///evil.example")
    for to in (*elsewhere, here):
        expected = here if to == here else reverse("home")
        assert Client().post(reverse("login"), form | {"next": to})["location"] == expected
    codes = switch_on(signed_in(), clock)
    for to in (*elsewhere, here):
        client = Client()
        client.post(reverse("login"), form | {"next": to})
        answer = client.post(f"{reverse('mfa_authenticate')}?next={to}", {"code": codes.pop()})
        assert answer["location"] == (here if to == here else reverse("home"))
    client = Client()
    client.post(reverse("login"), form)
    second_step(client, codes.pop())
    answer = client.post(f"{reverse('mfa_reauthenticate')}?next=https://evil.example/", {"code": codes.pop()})
    assert "evil" not in answer["location"]


def patterns(resolver: URLResolver) -> Iterator[URLPattern]:
    for each in resolver.url_patterns:
        if isinstance(each, URLResolver):
            yield from patterns(each)
        else:
            yield each


@pytest.mark.parametrize("of_a_project", [True, False])
def test_where_it_is_required_who_has_none_gets_to_no_page_and_to_no_endpoint(
    alice: User, acme: Project, of_a_project: bool
) -> None:
    bob = User.objects.create_user("bob", password=PASSWORD)
    if of_a_project:
        ProjectMembership.objects.create(project=acme, user=bob, role=Role.ADMIN)
    else:
        Membership.objects.create(organization=acme.organization, user=bob, role=Role.OWNER)
    client = signed_in("bob")
    Organization.objects.update(requires_second_factor=True)
    shown = []
    for each in patterns(get_resolver()):
        named = each.pattern.converters or each.pattern.regex.groupindex
        if needs_of(each.callback) == OPEN or set(named) - {"slug"}:
            continue
        arguments = [acme.slug] if each.pattern.converters else []
        address = reverse(str(each.name), args=arguments)
        view = getattr(each.callback, "cls", None)
        if view:
            answer = client.get(f"{address}?project={acme.slug}")
            assert answer.status_code in (403, 405), address
        else:
            answer = client.get(address)
            if answer.status_code == 302 and answer["location"] == reverse("security"):
                assert client.post(address)["location"] == reverse("security")
                continue
            shown.append(str(each.name))
    assert set(shown) == {
        "security",
        "mfa_index",
        "account_reauthenticate",
        "mfa_reauthenticate",
        "mfa_activate_totp",
        "mfa_deactivate_totp",
        "mfa_view_recovery_codes",
        "mfa_generate_recovery_codes",
        "mfa_list_webauthn",
        "socialaccount_connections",
        "mfa_add_webauthn",
        "mfa_reauthenticate_webauthn",
        "security-sessions-end-others",
    }


def test_required_it_lets_on_once_it_is_on_and_is_not_switched_off(alice: User, acme: Project, clock: Clock) -> None:
    client = signed_in()
    assert client.post(reverse("settings-people-factor", args=[acme.slug]), {"required": "yes"}).status_code == 302
    assert client.get(reverse("home"))["location"] == reverse("security")
    assert b"Acme requires a second factor" in client.get(reverse("security")).content
    fragment = client.get(reverse("traces", args=[acme.slug]), headers={"hx-request": "true"})
    assert (fragment.status_code, fragment["hx-redirect"]) == (204, reverse("security"))
    assert client.get("/api/v1/datasets?project=chat-bot").status_code == 403
    # A program's key is not somebody who signs in.
    key = ApiKey.issue(acme, "deploys")[1]
    assert Client(headers={"x-api-key": key}).get("/api/v1/datasets").status_code == 200
    switch_on(client, clock)
    assert client.get(reverse("settings", args=[acme.slug])).status_code == 200
    assert client.get("/api/v1/datasets?project=chat-bot").status_code == 200
    assert b"requires a second factor" in client.post(reverse("mfa_deactivate_totp")).content
    assert Authenticator.objects.filter(user=alice, type="totp").exists()
    assert client.post(reverse("settings-people-factor", args=[acme.slug]), {"required": "no"}).status_code == 302
    assert client.post(reverse("mfa_deactivate_totp")).status_code == 302


def test_an_owner_of_the_organisation_requires_it_and_nobody_else(alice: User, acme: Project) -> None:
    for name, place in (("admin", acme.organization), ("guest", acme)):
        user = User.objects.create_user(name, password=PASSWORD)
        if isinstance(place, Project):
            ProjectMembership.objects.create(project=place, user=user, role=Role.OWNER)
        else:
            Membership.objects.create(organization=place, user=user, role=Role.ADMIN)
        answer = signed_in(name).post(reverse("settings-people-factor", args=[acme.slug]), {"required": "yes"})
        assert answer.status_code == 403
    assert not Organization.objects.filter(requires_second_factor=True).exists()


def test_a_lost_one_is_switched_off_at_the_machine_and_its_sessions_end(alice: User, clock: Clock) -> None:
    client = signed_in()
    switch_on(client, clock)
    call_command("users", "second-factor-off", "alice", "--json")
    assert not is_in(client)
    assert is_in(signed_in())
    entry = Entry.objects.filter(action="users second-factor-off").get()
    assert {change["kind"] for change in entry.changes} >= {"authenticator"}


def test_a_password_is_changed_by_who_knows_it_or_has_come_by_a_link(alice: User, acme: Project) -> None:
    address = reverse("settings-password", args=[acme.slug])
    new = {"new_password1": "another long one 2", "new_password2": "another long one 2"}
    client, other = signed_in(), signed_in()
    for wrong in ({}, {"old_password": "wrong"}):
        assert client.post(address, new | wrong).status_code == 422
    assert client.post(address, new | {"old_password": PASSWORD}).status_code == 302
    assert is_in(client)
    assert not is_in(other)
    assert UserSession.objects.filter(session_key=client.session.session_key).exists()
    alice.refresh_from_db()
    by_link = Client()
    by_link.get(reverse("login-link") + sesame.utils.get_query_string(alice))
    assert b"Password until now" not in by_link.get(reverse("settings", args=[acme.slug])).content
    third = {"new_password1": "and a third one 3", "new_password2": "and a third one 3"}
    assert by_link.post(address, third).status_code == 302


def test_guesses_at_the_password_by_an_open_browser_are_counted(alice: User, acme: Project) -> None:
    client = signed_in()
    cache.clear()
    address = reverse("settings-password", args=[acme.slug])
    form = {"new_password1": "another long one 2", "new_password2": "another long one 2"}
    for _ in range(5):
        client.post(address, form | {"old_password": "wrong"})
    assert client.post(address, form | {"old_password": PASSWORD}).status_code in (422, 429)
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
