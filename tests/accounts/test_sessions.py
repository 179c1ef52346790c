"""Whoever is signed in sees from where they are, and ends what they do not know."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from heliograph.accounts import sessions
from heliograph.accounts.models import Membership, Organization, User
from heliograph.accounts.roles import Role
from heliograph.audit.models import Entry

pytestmark = pytest.mark.django_db
PASSWORD = "a long password 1"


@pytest.fixture(autouse=True)
def plain_static_names(settings: Settings) -> None:
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}


@pytest.fixture
def alice() -> User:
    user = User.objects.create_user("alice", password=PASSWORD)
    Membership.objects.create(organization=Organization.objects.create(name="Acme"), user=user, role=Role.OWNER)
    return user


def signed_in(name: str = "alice", **where: Any) -> Client:
    client = Client(**where)
    assert client.post(reverse("login"), {"username": name, "password": PASSWORD}).status_code == 302
    return client


def is_in(client: Client) -> bool:
    return client.get(reverse("security")).status_code == 200


def row_of(client: Client) -> UserSession:
    return UserSession.objects.get(session_key=client.session.session_key)


def test_each_says_from_where_and_with_which_browser_and_never_its_key(alice: User) -> None:
    laptop = signed_in(REMOTE_ADDR="192.0.2.1", HTTP_USER_AGENT="Firefox on a laptop")
    phone = signed_in(REMOTE_ADDR="2001:db8::7", HTTP_USER_AGENT="<b>Safari</b> on a telephone")
    page = laptop.get(reverse("security")).content.decode()
    for part in ("192.0.2.1", "Firefox on a laptop", "2001:db8::7", "&lt;b&gt;Safari&lt;/b&gt; on a telephone"):
        assert part in page
    assert page.count("this one") == 1
    for client in (laptop, phone):
        assert str(client.session.session_key) not in page


def test_one_is_ended_from_another_and_that_is_in_the_audit_log(alice: User) -> None:
    here, there = signed_in(REMOTE_ADDR="192.0.2.1"), signed_in(REMOTE_ADDR="192.0.2.2")
    answer = here.post(reverse("security-session-end", args=[row_of(there).pk]), REMOTE_ADDR="192.0.2.1")
    assert answer["location"] == reverse("security")
    assert is_in(here)
    assert not is_in(there)
    entry = Entry.objects.latest("pk")
    assert (entry.action, entry.actor, entry.ip) == ("security-session-end", "alice", "192.0.2.1")
    assert [(each["kind"], each["what"]) for each in entry.changes] == [("user session", "removed")]
    assert "192.0.2.2" in entry.words


def test_all_others_are_ended_at_once(alice: User) -> None:
    here, *others = (signed_in() for _ in range(4))
    assert here.post(reverse("security-sessions-end-others")).status_code == 302
    assert is_in(here)
    assert [is_in(each) for each in others] == [False] * 3
    assert len(Entry.objects.latest("pk").changes) == 3


def test_ending_one_s_own_is_signing_out(alice: User) -> None:
    client = signed_in()
    answer = client.post(reverse("security-session-end", args=[row_of(client).pk]))
    assert answer["location"] == reverse("login")
    assert not is_in(client)


def test_nobody_ends_or_sees_those_of_others(alice: User) -> None:
    User.objects.create_user("mallory", password=PASSWORD)
    client, mallory = signed_in(REMOTE_ADDR="192.0.2.1"), signed_in("mallory", REMOTE_ADDR="192.0.2.6")
    assert mallory.post(reverse("security-session-end", args=[row_of(client).pk])).status_code == 404
    mallory.post(reverse("security-sessions-end-others"))
    assert is_in(client)
    assert b"192.0.2.1<" not in mallory.get(reverse("security")).content


def test_it_is_noted_every_five_minutes_when_one_was_last_seen_and_where(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in()
    client.get(reverse("security"), REMOTE_ADDR="192.0.2.1")
    first = row_of(client)
    assert first.ip == "192.0.2.1"
    client.get(reverse("security"), REMOTE_ADDR="192.0.2.2")
    assert row_of(client).last_seen_at == first.last_seen_at
    later = time.time() + sessions.NOTED_EVERY_SECONDS + 1
    monkeypatch.setattr(sessions, "time", SimpleNamespace(time=lambda: later))
    client.get(reverse("security"), REMOTE_ADDR="192.0.2.2")
    assert row_of(client).last_seen_at > first.last_seen_at
    assert row_of(client).ip == "192.0.2.2"


def test_a_session_of_before_the_list_comes_into_it_when_it_is_used(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    assert not UserSession.objects.exists()
    assert is_in(client)
    assert row_of(client).user == alice


def test_the_list_holds_a_hundred_and_older_ones_end(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    oldest, _, newest = signed_in(), signed_in(), signed_in()
    assert is_in(newest)
    assert UserSession.objects.count() == 2
    assert not is_in(oldest)
