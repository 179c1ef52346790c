"""Signing in, and the settings page with its keys."""

import re

import pytest
import sesame.utils
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import ApiKey, Membership, Organization, Project, User
from heliograph.accounts.tasks import remove_expired_sessions
from heliograph.rules.models import RetentionRule

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Project:
    return Project.create(Organization.objects.create(name="Acme"), "Chat bot")


@pytest.fixture
def alice(acme: Project) -> User:
    user = User.objects.create_user("alice", password="a long password 1")
    Membership.objects.create(organization=acme.organization, user=user, role=Membership.Role.OWNER)
    return user


@pytest.fixture
def browser(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


def test_a_stranger_is_led_to_the_sign_in_form(acme: Project) -> None:
    answer = Client().get(reverse("settings", args=[acme.slug]))
    assert answer.status_code == 302
    assert answer["location"].startswith(reverse("login"))


def test_the_password_form_lets_in(alice: User) -> None:
    answer = Client().post(reverse("login"), {"username": "alice", "password": "a long password 1"})
    assert answer.status_code == 302
    assert answer["location"] == reverse("home")


def test_a_wrong_password_is_explained_and_the_name_kept(alice: User) -> None:
    answer = Client().post(reverse("login"), {"username": "alice", "password": "wrong"})
    assert b"do not match" in answer.content
    assert b'value="alice"' in answer.content


def test_after_ten_wrong_passwords_even_the_right_one_waits_and_others_do_not(alice: User) -> None:
    User.objects.create_user("bob", password="a long password 2")
    form = {"username": "alice", "password": "wrong"}
    answers = [Client().post(reverse("login"), form) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [200] * 9 + [429]
    assert b"15 minutes" in answers[-1].content
    right = {"username": "alice", "password": "a long password 1"}
    assert Client().post(reverse("login"), right).status_code == 429
    assert Client().post(reverse("login"), right, REMOTE_ADDR="192.0.2.7").status_code == 302
    assert Client().post(reverse("login"), {"username": "bob", "password": "a long password 2"}).status_code == 302
    # The one-time link is no guess.
    alice.refresh_from_db()
    assert Client().get(reverse("login-link") + sesame.utils.get_query_string(alice))["location"] == reverse("home")


def test_a_right_password_forgives_the_wrong_ones_before_it(alice: User) -> None:
    for _ in range(2):
        for _ in range(8):
            Client().post(reverse("login"), {"username": "alice", "password": "wrong"})
        right = {"username": "alice", "password": "a long password 1"}
        assert Client().post(reverse("login"), right).status_code == 302


def test_expired_sessions_are_removed(alice: User) -> None:
    for age in (-60, 60):
        client = Client()
        client.force_login(alice)
        session = client.session
        session.set_expiry(age)
        session.save()
    remove_expired_sessions()
    assert Session.objects.count() == 1


def test_every_page_runs_and_loads_only_what_this_server_sends_as_files(browser: Client, acme: Project) -> None:
    for page in (browser.get(reverse("settings", args=[acme.slug])), Client().get(reverse("login"))):
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "unsafe-eval" not in policy
        assert "'unsafe-inline'" not in policy.replace("style-src-attr 'unsafe-inline'", "")


def test_the_login_link_works_once(alice: User) -> None:
    link = reverse("login-link") + sesame.utils.get_query_string(alice)
    assert Client().get(link)["location"] == reverse("home")
    assert Client().get(link)["location"] == reverse("login")


def test_somebody_without_a_project_is_told_so() -> None:
    client = Client()
    client.force_login(User.objects.create_user("bob"))
    answer = client.get(reverse("home"))
    assert answer.status_code == 403
    assert b"No project is open to you" in answer.content


def test_a_foreign_project_looks_as_if_it_did_not_exist(browser: Client) -> None:
    other = Project.create(Organization.objects.create(name="Globex"), "Search")
    assert browser.get(reverse("settings", args=[other.slug])).status_code == 404
    assert browser.post(reverse("settings-create-key", args=[other.slug]), {"name": "x"}).status_code == 404
    assert other.api_keys.count() == 0


def test_a_new_key_is_shown_once_and_works(browser: Client, acme: Project) -> None:
    answer = browser.post(reverse("settings-create-key", args=[acme.slug]), {"name": "checkout"})
    match = re.search(r'id="new-key">([^<]+)<', answer.content.decode())
    assert match is not None
    assert ApiKey.project_of(match.group(1)) == acme
    assert match.group(1).encode() not in browser.get(reverse("settings", args=[acme.slug])).content


def test_a_key_without_a_name_is_refused_at_the_field(browser: Client, acme: Project) -> None:
    answer = browser.post(reverse("settings-create-key", args=[acme.slug]), {"name": " "})
    assert answer.status_code == 422
    assert b"errorlist" in answer.content
    assert acme.api_keys.count() == 0


def test_a_key_can_be_revoked(browser: Client, acme: Project) -> None:
    row, key = ApiKey.issue(acme, "checkout")
    browser.post(reverse("settings-revoke-key", args=[acme.slug, row.pk]))
    assert ApiKey.project_of(key) is None


def test_the_key_of_another_project_cannot_be_revoked(browser: Client, acme: Project) -> None:
    other = Project.create(Organization.objects.create(name="Globex"), "Search")
    row, key = ApiKey.issue(other, "theirs")
    assert browser.post(reverse("settings-revoke-key", args=[acme.slug, row.pk])).status_code == 404
    assert ApiKey.project_of(key) == other


def test_a_viewer_may_not_create_keys(acme: Project) -> None:
    carol = User.objects.create_user("carol")
    Membership.objects.create(organization=acme.organization, user=carol, role=Membership.Role.VIEWER)
    client = Client()
    client.force_login(carol)
    assert client.post(reverse("settings-create-key", args=[acme.slug]), {"name": "x"}).status_code == 403
    assert acme.api_keys.count() == 0


def test_a_password_can_be_changed_without_signing_in_again(browser: Client, acme: Project, alice: User) -> None:
    form = {"new_password1": "another long one 2", "new_password2": "another long one 2"}
    form |= {"old_password": "a long password 1"}
    assert browser.post(reverse("settings-password", args=[acme.slug]), form).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("another long one 2")
    assert browser.get(reverse("settings", args=[acme.slug])).status_code == 200


def test_two_different_passwords_are_refused_at_the_field(browser: Client, acme: Project) -> None:
    form = {"new_password1": "another long one 2", "new_password2": "something else 33"}
    answer = browser.post(reverse("settings-password", args=[acme.slug]), form)
    assert answer.status_code == 422
    assert b"errorlist" in answer.content


def test_what_is_refused_on_the_settings_page_stays_in_its_form_and_is_said_there(
    acme: Project, browser: Client
) -> None:
    key, _ = ApiKey.issue(acme, "ci")
    key_limits = [key.pk]
    for name, arguments, section, form in (
        ("retention", [], "retention", {"signal": "logs", "environment": "staging-7", "days": "0"}),
        ("limits", [], "limits", {"max_spans_per_minute": "many"}),
        ("key-limits", key_limits, "limits", {"max_spans_per_minute": "several"}),
        (
            "create-gpu-price",
            [],
            "gpu-prices",
            {"gpu_name": "H100-x", "valid_from": "2026-01-02T03:04", "usd_per_gpu_hour": "2.51", "pue": "0.25"},
        ),
        ("weights", [], "weights", {"prefill": "0.125", "decode": "-3", "per": "second"}),
    ):
        answer = browser.post(reverse(f"settings-{name}", args=[acme.slug, *arguments]), form)
        page = answer.content.decode()
        assert (name, answer.status_code) == (name, 422)
        assert f'<a href="#{section}">' in page
        assert f'id="{section}"' in page
        assert page.count('class="errorlist"') == 1, name
        for value in form.values():
            assert f'value="{value}"' in page, (name, value)
    acme.refresh_from_db()
    assert (acme.max_spans_per_minute, acme.gpu_prices.count()) == (None, 0)


def test_an_owner_says_for_how_long_telemetry_is_kept_and_an_editor_does_not(acme: Project, browser: Client) -> None:
    page = reverse("settings", args=[acme.slug])
    adding = reverse("settings-retention", args=[acme.slug])
    rule = {"signal": "traces", "environment": "staging", "days": "7"}
    assert browser.post(adding, rule).status_code == 302
    assert "Remove the rule for traces of staging: 7 days" in browser.get(page).content.decode()
    again = browser.post(adding, rule)
    assert (again.status_code, "change that one" in again.content.decode()) == (422, True)
    none = browser.post(adding, rule | {"environment": "", "days": "0"})
    assert (none.status_code, bool(none.context["retention_form"]["days"].errors)) == (422, True)
    [kept] = RetentionRule.objects.filter(project=acme)
    removing = reverse("settings-retention-remove", args=[acme.slug, kept.pk])
    Membership.objects.update(role=Membership.Role.EDITOR)
    assert [browser.post(address, rule).status_code for address in (adding, removing)] == [403, 403]
    assert "Remove the rule" not in browser.get(page).content.decode()
    Membership.objects.update(role=Membership.Role.OWNER)
    assert browser.post(removing).status_code == 302
    assert not RetentionRule.objects.exists()
