"""A passkey signs its owner in, answers one question once, and belongs to one site; the browser's part is a journey."""

import json
import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse
from fido2.utils import websafe_encode
from pytest_django import Settings

from heliograph.accounts import passkeys
from heliograph.accounts.models import Membership, Organization, Project, User
from heliograph.accounts.roles import Role
from heliograph.audit.models import Entry
from heliograph.dashboards import passkeys as pages
from tests.accounts.authenticator import Device

pytestmark = pytest.mark.django_db
PASSWORD = "a long password 1"


@pytest.fixture(autouse=True)
def plain_static_names(settings: Settings) -> None:
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}


@pytest.fixture
def acme() -> Project:
    return Project.create(Organization.objects.create(name="Acme"), "Chat bot")


@pytest.fixture
def alice(acme: Project) -> User:
    user = User.objects.create_user("alice", password=PASSWORD)
    Membership.objects.create(organization=acme.organization, user=user, role=Role.OWNER)
    return user


def signed_in(name: str = "alice") -> Client:
    client = Client()
    assert client.post(reverse("login"), {"username": name, "password": PASSWORD}).status_code == 302
    return client


def is_in(client: Client) -> bool:
    return client.get(reverse("security")).status_code == 200


def options_in(page: Any) -> dict[str, Any]:
    found = re.search(r'<script id="passkey-options"[^>]*>(.*?)</script>', page.content.decode())
    assert found is not None
    options: dict[str, Any] = json.loads(found[1])
    return options


def prove(client: Client, to: str) -> None:
    page = client.get(to)
    assert page["location"].startswith(reverse("account_reauthenticate"))
    assert client.post(page["location"], {"password": PASSWORD})["location"] == to


def added(client: Client, device: Device, name: str = "My laptop") -> Any:
    options = options_in(client.get(reverse("mfa_add_webauthn")))
    form = {"name": name, "credential": json.dumps(device.made(options))}
    return client.post(reverse("mfa_add_webauthn"), form)


@pytest.fixture
def device(alice: User) -> Device:
    """A device with a passkey of Alice."""
    client, device = signed_in(), Device()
    prove(client, reverse("mfa_add_webauthn"))
    assert added(client, device)["location"] == reverse("mfa_view_recovery_codes")
    return device


def question(client: Client) -> dict[str, Any]:
    answer = client.get(reverse("mfa_login_webauthn"), headers={"accept": "application/json"})
    options: dict[str, Any] = answer.json()["request_options"]
    return options


def sign_in(client: Client, credential: Any, **more: str) -> Any:
    return client.post(reverse("mfa_login_webauthn"), {"credential": json.dumps(credential), **more})


def test_it_signs_in_alone_to_the_page_that_was_asked_for(device: Device, acme: Project) -> None:
    client = Client()
    credential = device.found(question(client))
    before = client.session.session_key
    here = reverse("settings", args=[acme.slug])
    assert sign_in(client, credential, next=here)["location"] == here
    assert is_in(client)
    assert client.session.session_key != before
    assert client.session.get_expiry_age() > pages.QUESTION_SECONDS
    entry = Entry.objects.latest("pk")
    assert (entry.action, entry.actor) == ("mfa_login_webauthn", "alice")
    elsewhere = Client()
    credential = device.found(question(elsewhere))
    assert sign_in(elsewhere, credential, next="https://evil.example/")["location"] == reverse("home")


def test_after_the_password_it_is_the_second_factor(device: Device) -> None:
    client = Client()
    answer = client.post(reverse("login"), {"username": "alice", "password": PASSWORD})
    assert answer["location"] == reverse("mfa_authenticate")
    assert not is_in(client)
    options = options_in(client.get(reverse("mfa_authenticate")))
    assert (
        client.post(reverse("mfa_authenticate"), {"credential": json.dumps(device.found(options))}).status_code == 302
    )
    assert is_in(client)


def test_an_answer_is_good_for_one_question_of_one_browser(device: Device) -> None:
    client, other = Client(), Client()
    credential = device.found(question(client))
    question(other)
    for thief in (other, Client()):
        assert sign_in(thief, credential)["location"] == reverse("login")
        assert not is_in(thief)
    assert sign_in(client, credential)["location"] == reverse("home")
    client.post(reverse("logout"))
    assert sign_in(client, credential)["location"] == reverse("login")
    assert not is_in(client)


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://testserver"},
        {"verifies": False},
        {"credential_id": b"x" * 16},
    ],
)
def test_a_device_at_another_site_or_without_finger_face_or_pin_signs_nobody_in(
    device: Device, changed: dict[str, Any]
) -> None:
    for name, value in changed.items():
        setattr(device, name, value)
    client = Client()
    assert sign_in(client, device.found(question(client)))["location"] == reverse("login")
    assert b"does not match" in client.get(reverse("login")).content
    assert not is_in(client)


def test_a_passkey_of_one_person_does_not_sign_in_another(device: Device, alice: User) -> None:
    User.objects.create_user("mallory", password=PASSWORD)
    mallory, own = signed_in("mallory"), Device()
    prove(mallory, reverse("mfa_add_webauthn"))
    added(mallory, own)
    own.user = device.user
    client = Client()
    assert sign_in(client, own.found(question(client)))["location"] == reverse("login")
    half_way = signed_in()
    options = options_in(half_way.get(reverse("mfa_authenticate")))
    assert half_way.post(reverse("mfa_authenticate"), {"credential": json.dumps(own.found(options))}).status_code == 200
    assert not is_in(half_way)


def test_who_is_let_in_no_more_does_not_come_by_a_passkey(device: Device) -> None:
    User.objects.update(is_active=False)
    client = Client()
    assert sign_in(client, device.found(question(client)))["location"] == reverse("login")
    assert not is_in(client)


@pytest.mark.parametrize(
    "nonsense", ["", "no json", "[]", "null", '"text"', "{}", '{"id": "a", "rawId": "!", "response": {}}', '{"id": 5}']
)
def test_nonsense_is_refused_and_not_a_fault_of_the_server(alice: User, nonsense: str) -> None:
    client = Client()
    question(client)
    assert client.post(reverse("mfa_login_webauthn"), {"credential": nonsense})["location"] == reverse("login")
    browser = signed_in()
    prove(browser, reverse("mfa_add_webauthn"))
    answer = browser.post(reverse("mfa_add_webauthn"), {"credential": nonsense})
    assert answer.status_code == 200
    assert not Authenticator.objects.exists()


def test_a_number_of_nobody_in_an_answer_is_refused(device: Device) -> None:
    for handle in (websafe_encode(b"9" * 30), websafe_encode(b"0"), "!", websafe_encode(b"\xff")):
        device.user = handle
        client = Client()
        assert sign_in(client, device.found(question(client)))["location"] == reverse("login")


def test_adding_and_removing_asks_who_one_is_and_keeps_to_one_s_own(device: Device, alice: User) -> None:
    made = Authenticator.objects.get(user=alice, type="webauthn")
    client = Client()
    sign_in(client, device.found(question(client)))
    removing = reverse("mfa_remove_webauthn", args=[made.pk])
    for address in (removing, reverse("mfa_add_webauthn")):
        # Who has a passkey is asked for that and not for the password.
        assert client.post(address)["location"].startswith(reverse("mfa_reauthenticate_webauthn"))
    User.objects.create_user("mallory", password=PASSWORD)
    mallory = signed_in("mallory")
    prove(mallory, reverse("mfa_add_webauthn"))
    assert mallory.post(removing).status_code == 404
    fresh = Client()
    sign_in(fresh, device.found(question(fresh)))
    proof = fresh.get(removing)["location"]
    options = options_in(fresh.get(proof))
    assert fresh.post(proof, {"credential": json.dumps(device.found(options))})["location"] == removing
    assert fresh.post(removing)["location"] == reverse("security")
    assert not Authenticator.objects.filter(user=alice).exists()
    entry = Entry.objects.latest("pk")
    assert (entry.action, {each["what"] for each in entry.changes}) == ("mfa_remove_webauthn", {"removed"})


def test_it_counts_where_a_second_factor_is_required_and_the_last_one_stays(device: Device, alice: User) -> None:
    Organization.objects.update(requires_second_factor=True)
    client = Client()
    sign_in(client, device.found(question(client)))
    assert client.get(reverse("home"))["location"] != reverse("security")
    removing = reverse("mfa_remove_webauthn", args=[Authenticator.objects.get(user=alice, type="webauthn").pk])
    proof = client.get(removing)["location"]
    options = options_in(client.get(proof))
    client.post(proof, {"credential": json.dumps(device.found(options))})
    assert client.post(removing).status_code == 422
    assert Authenticator.objects.filter(user=alice, type="webauthn").exists()


def test_adding_one_ends_the_other_sessions(alice: User) -> None:
    thief, client = signed_in(), signed_in()
    prove(client, reverse("mfa_add_webauthn"))
    added(client, Device())
    assert is_in(client)
    assert not is_in(thief)


def test_somebody_has_a_bounded_number_of_bounded_ones(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passkeys, "MAX_PASSKEYS", 1)
    client = signed_in()
    prove(client, reverse("mfa_add_webauthn"))
    large = {"credential": json.dumps({"id": "a" * passkeys.MAX_CREDENTIAL_CHARACTERS})}
    assert b"larger than any passkey" in client.post(reverse("mfa_add_webauthn"), large).content
    added(client, Device())
    assert b"remove one first" in added(client, Device()).content


def test_questions_to_nobody_in_particular_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "QUESTIONS", "3/h/ip")
    asked = [
        Client().get(reverse("mfa_login_webauthn"), headers={"accept": "application/json"}).status_code
        for _ in range(4)
    ]
    assert asked == [200] * 3 + [429]
    assert Client().get(reverse("mfa_login_webauthn"), REMOTE_ADDR="192.0.2.7").status_code == 302
