"""A forgotten password: a link by mail that works once, tells nobody who is here, and ends what was open."""

import re
import smtplib
from typing import Any

import pytest
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core import mail
from django.core.mail import EmailMessage
from django.test import Client
from django.urls import reverse
from kombu.exceptions import OperationalError
from pytest_django import Settings

from heliograph.accounts import forgotten, people
from heliograph.accounts.models import Organization, User
from heliograph.accounts.roles import Role
from heliograph.audit.models import Entry
from heliograph.dashboards import forgotten as pages
from heliograph.dashboards.tasks import send_reset_link

pytestmark = pytest.mark.django_db
PASSWORD, NEW = "a long password 1", "another long one 2"


@pytest.fixture(autouse=True)
def mail_server(settings: Settings) -> None:
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}
    settings.EMAIL_HOST = "mail.example.org"


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work off at once what a page asks a worker for."""

    def work_off(name: str, args: list[str], **_: Any) -> None:
        assert name == send_reset_link.name == pages.SEND
        send_reset_link(*args)

    monkeypatch.setattr(pages.current_app, "send_task", work_off)


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", "alice@example.com", PASSWORD)


def ask(who: str, client: Client | None = None) -> Any:
    return (client or Client()).post(reverse("login-forgotten"), {"who": who})


def link_in(message: EmailMessage) -> str:
    found = re.search(r"http://localhost:8000(/\S+)", str(message.body))
    assert found is not None
    return found[1]


def sign_in(password: str) -> Client:
    client = Client()
    client.post(reverse("login"), {"username": "alice", "password": password})
    return client


def is_in(client: Client) -> bool:
    return client.get(reverse("security")).status_code == 200


def test_a_link_sets_a_password_once_and_ends_every_session(alice: User) -> None:
    before = sign_in(PASSWORD)
    assert reverse("login-forgotten") in Client().get(reverse("login")).content.decode()
    assert "on its way" in ask("alice").content.decode()
    [message] = mail.outbox
    assert message.to == ["alice@example.com"]
    link, client = link_in(message), Client()
    assert "alice" in client.get(link).content.decode()
    assert client.post(link, {"password": "short"}).status_code == 422
    assert is_in(before)
    assert client.post(link, {"password": NEW})["location"] == reverse("login")
    assert "every session of yours ended" in client.get(reverse("login")).content.decode()
    assert not is_in(before)
    assert not is_in(client)
    assert not is_in(sign_in(PASSWORD))
    assert is_in(sign_in(NEW))
    assert client.get(link).status_code == 404
    assert client.post(link, {"password": PASSWORD}).status_code == 404
    assert is_in(sign_in(NEW))
    done = Entry.objects.filter(action__in=["login-forgotten", "login-reset"]).order_by("pk")
    assert [(each.action, each.actor) for each in done] == [("login-forgotten", "alice"), ("login-reset", "alice")]
    assert {"password"} <= {field for each in done[1].changes for field in each["fields"]}
    assert link.rsplit("/", 1)[1] not in f"{done[1].words}{done[1].target}{done[1].changes}"


def test_of_two_who_open_the_link_at_once_one_sets_a_password(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    ask("alice")
    token = link_in(mail.outbox[0]).rsplit("/", 1)[1]
    asked = forgotten.whose

    def the_other_comes_first(token: str) -> User | None:
        found = asked(token)
        monkeypatch.setattr(forgotten, "whose", asked)
        assert forgotten.set_password(token, NEW) == alice
        return found

    monkeypatch.setattr(forgotten, "whose", the_other_comes_first)
    assert forgotten.set_password(token, "of who came second") is None
    alice.refresh_from_db()
    assert alice.check_password(NEW)


def test_an_answer_tells_nobody_who_is_here(alice: User) -> None:
    User.objects.create_user("dana", "dana@example.com")  # comes by a provider alone
    User.objects.create_user("robot", "robot@example.com", PASSWORD, is_service_account=True)
    User.objects.create_user("gone", "gone@example.com", PASSWORD, is_active=False)
    User.objects.create_user("no-address", "", PASSWORD)

    def without_token(page: bytes) -> bytes:
        return re.sub(rb'name="csrfmiddlewaretoken" value="\w+"', b"", page)

    known = without_token(ask("ALICE@example.com").content)
    assert len(mail.outbox) == 1
    for who in ("nobody", "dana", "robot", "gone@example.com", "no-address", "alice@else.example"):
        assert without_token(ask(who).content) == known
    assert len(mail.outbox) == 1


@pytest.mark.parametrize(
    "taken",
    [
        {"email": "mallory@example.com", "password": PASSWORD},
        {"email": "mallory@example.com"},  # comes by a provider alone
        {"password": PASSWORD},
        {"email": "mallory@example.com", "password": PASSWORD, "is_active": False},
    ],
)
def test_a_name_that_is_somebody_s_address_keeps_no_mail_from_them(alice: User, taken: dict[str, Any]) -> None:
    User.objects.create_user("alice@example.com", **taken)
    ask("alice@example.com")
    assert ["alice@example.com"] in [each.to for each in mail.outbox]


def test_an_address_of_many_reaches_five_who_have_a_password() -> None:
    for number in range(12):
        User.objects.create_user(f"user-{number}", "all@example.com", PASSWORD if number > 5 else None)
    assert [each.username for each in forgotten.meant_by("ALL@example.com")] == [f"user-{n}" for n in range(6, 11)]


def test_nobody_s_mailbox_is_filled_and_nobody_asks_without_end(alice: User) -> None:
    client = Client()
    codes = [ask(who, client).status_code for who in ["alice", "alice@example.com"] * 5 + ["bob"]]
    assert codes == [200] * 10 + [429]
    assert len(mail.outbox) == 1


def test_a_link_ends_with_its_hour_a_sign_in_an_address_and_the_account(
    alice: User, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    ask("alice")
    link = link_in(mail.outbox[0])
    number, stamp = link.rsplit("/", 1)[1].split(".")
    other = User.objects.create_user("mallory", "m@example.com", PASSWORD)
    for forged in (
        f"{other.pk}.{stamp}",
        f"{number}.{stamp[:-1]}",
        "x",
        f"{number}.",
        f"{'9' * 30}.{stamp}",
        "²." + stamp,
    ):
        assert Client().post(reverse("login-reset", args=[forged]), {"password": NEW}).status_code == 404, forged
    # A token that something else of Django's makes is none of these.
    foreign = PasswordResetTokenGenerator().make_token(alice)
    assert forgotten.whose(f"{alice.pk}.{foreign}") is None
    assert forgotten.whose(f"{number}.{stamp}") == alice
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert Client().get(link).status_code == 404
    settings.PASSWORD_RESET_TIMEOUT = 3600
    for field, value in (("is_active", False), ("email", "new@example.com")):
        before = getattr(alice, field)
        User.objects.filter(pk=alice.pk).update(**{field: value})
        assert Client().get(link).status_code == 404, field
        User.objects.filter(pk=alice.pk).update(**{field: before})
    assert Client().get(link).status_code == 200
    sign_in(PASSWORD)
    assert Client().get(link).status_code == 404


def test_without_mail_the_page_says_whom_to_ask(settings: Settings, alice: User) -> None:
    settings.EMAIL_HOST = ""
    assert "heliograph login_link" in Client().get(reverse("login-forgotten")).content.decode()
    assert "heliograph login_link" in ask("alice").content.decode()
    assert not mail.outbox


def test_a_mail_server_or_a_broker_that_is_away_is_told_and_tried_again(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise smtplib.SMTPServerDisconnected

    with monkeypatch.context() as patched:
        patched.setattr(EmailMessage, "send", away)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            forgotten.send_link(alice)
    assert forgotten.send_link(alice)

    def no_broker(*_: Any, **__: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(pages.current_app, "send_task", no_broker)
    for who in ("alice", "nobody"):
        assert ask(who).status_code == 503


def test_one_s_own_address_is_set_by_who_reads_its_mail(alice: User) -> None:
    client = sign_in(PASSWORD)
    assert "alice@example.com" in client.get(reverse("security")).content.decode()
    proof = client.post(reverse("security-address"), {"address": "alice@new.example"})["location"]
    assert not mail.outbox
    client.post(proof, {"password": PASSWORD})
    alice.refresh_from_db()
    assert alice.email == "alice@example.com"
    [message] = mail.outbox
    assert message.to == ["alice@new.example"]
    link = link_in(message)
    User.objects.create_user("mallory", "m@example.com", PASSWORD)
    mallory = Client()
    mallory.post(reverse("login"), {"username": "mallory", "password": PASSWORD})
    assert mallory.post(link).status_code == 404
    assert Client().post(link)["location"].startswith(reverse("login"))
    assert client.get(link).status_code == 200
    assert client.post(link)["location"] == reverse("security")
    alice.refresh_from_db()
    assert alice.email == "alice@new.example"
    assert client.post(link).status_code == 404
    assert client.post(reverse("security-address"), {"address": "no address"})["location"] == reverse("security")
    assert len(mail.outbox) == 1
    entry = Entry.objects.get(action="security-address-confirm")
    assert entry.changes[0]["fields"] == ["email"]


def test_who_sets_an_address_takes_no_question_from_who_forgot_a_password(alice: User) -> None:
    User.objects.create_user("bob", "bob@example.com", PASSWORD)
    of_alice, of_bob = Client(), Client()
    for name, client in (("alice", of_alice), ("bob", of_bob)):
        client.post(reverse("login"), {"username": name, "password": PASSWORD})
        proof = client.post(reverse("security-address"), {"address": f"{name}-0@new.example"})["location"]
        client.post(proof, {"password": PASSWORD})
    form = {"address": "alice@new.example"}
    assert [of_alice.post(reverse("security-address"), form).status_code for _ in range(10)] == [302] * 9 + [429]
    of_bob.post(reverse("security-address"), {"address": "bob@new.example"})
    assert [each.to for each in mail.outbox[-2:]] == [["alice@new.example"], ["bob@new.example"]]
    assert ask("alice").status_code == 200


def test_who_has_not_just_said_who_they_are_changes_no_address(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    answer = client.post(reverse("security-address"), {"address": "thief@example.com"})
    assert answer["location"].startswith(reverse("account_reauthenticate"))
    assert not mail.outbox


def test_the_address_of_an_invitation_is_theirs_who_read_its_mail_and_of_nobody_before(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever invites writes any address there, and hands the link to somebody else."""
    acme = Organization.objects.create(name="Acme")
    people.set_role(acme, alice, Role.OWNER)
    link = people.link_of(people.invite(acme, Role.VIEWER, alice, "bob@example.com"))
    bob = Client()
    assert bob.post(link, {"username": "bob", "password": PASSWORD}).status_code == 302
    [confirmation] = mail.outbox
    assert confirmation.to == ["bob@example.com"]
    ask("bob@example.com")
    ask("bob")
    assert mail.outbox == [confirmation]
    assert bob.post(link_in(confirmation))["location"] == reverse("security")
    ask("bob@example.com")
    assert mail.outbox[1].to == ["bob@example.com"]

    def away(*_: Any, **__: Any) -> None:
        raise smtplib.SMTPServerDisconnected

    monkeypatch.setattr(EmailMessage, "send", away)
    link = people.link_of(people.invite(acme, Role.VIEWER, alice, "eve@example.com"))
    page = Client().post(link, {"username": "eve", "password": PASSWORD}, follow=True).content.decode()
    assert "Set an address under Security" in page
    assert User.objects.get(username="eve").email == ""
