"""The outbox against receivers that fail, hang, redirect and go away: no message is lost, and each keeps its id."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks import Webhook

from heliograph.accounts.models import Project
from heliograph.accounts.secrets import encrypt
from heliograph.alerts import deliver, messages, tell
from heliograph.alerts.deliver import MAX_ATTEMPTS, deliver_due, resend, wait
from heliograph.alerts.editing import new_signing_secret, save_channel
from heliograph.alerts.models import Channel, Delivery
from heliograph.alerts.transports import post
from heliograph.alerts.transports.opsgenie import deliver as opsgenie
from heliograph.alerts.transports.pagerduty import deliver as pagerduty
from heliograph.events.kinds import Kind
from heliograph.events.outbox import record
from tests.alerts.conftest import Receiver, webhook
from tests.net.servers import Handler, serving

ROOT = Path(__file__).resolve().parents[2]
# Long enough that what encrypts them cannot hold them by chance: two letters stood in one ciphertext of thirty.
ROUTING_KEY = "routing-key-of-the-tests"
API_KEY = "api-key-of-the-tests"


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = timezone.now()

    def __call__(self) -> datetime:
        return self.now

    def pass_until_due(self) -> None:
        """Move to the next moment at which a message becomes due."""
        waiting = Delivery.objects.filter(status="waiting", next_at__gt=self.now).order_by("next_at").first()
        if waiting is not None:
            self.now = waiting.next_at


@pytest.fixture
def clock(settings: Settings) -> Clock:
    settings.OUTGOING_NETWORKS = ["127.0.0.0/8"]
    return Clock()


@pytest.fixture
def hook(project: Project, receiver: Receiver) -> Channel:
    return webhook(project, receiver)


def write(channel: Channel, clock: Clock, topic: str = "") -> Delivery:
    return Delivery.to(channel, messages.of_test(channel.project, clock.now), clock.now, topic=topic)


def test_a_receiver_that_answers_500_for_an_hour_gets_everything_in_order(
    hook: Channel, receiver: Receiver, answers: list[Callable[[Handler], None]], clock: Clock
) -> None:
    answers.append(lambda handler: handler.say(500, b"down for repair"))
    begun = clock.now
    sent = [write(hook, clock, "rule:1") for _ in range(3)]
    while clock.now - begun < timedelta(hours=1):
        deliver_due(clock)
        clock.pass_until_due()
    [first, *others] = Delivery.objects.order_by("created_at", "pk")
    assert first.attempts >= 8
    # The later ones wait for the first: an end must not come before its beginning.
    assert [each.attempts for each in others] == [0, 0]
    failed = first.tries.last()
    assert failed is not None
    assert (failed.status, failed.answer) == (500, "down for repair")
    answers.append(lambda handler: handler.say(200))
    clock.now += timedelta(hours=1)
    deliver_due(clock)
    assert list(Delivery.objects.values_list("status", flat=True)) == ["delivered"] * 3
    assert set(receiver.messages) == {each.message_id for each in sent}
    ids = [headers["webhook-id"] for _, headers, _ in receiver.server.requests]
    assert ids == sorted(ids, key=[each.message_id for each in Delivery.objects.order_by("created_at", "pk")].index)


def test_what_nobody_takes_for_over_six_hours_is_dead_until_a_person_sends_it_again(
    hook: Channel, receiver: Receiver, answers: list[Callable[[Handler], None]], clock: Clock
) -> None:
    answers.append(lambda handler: handler.say(302, location="http://127.0.0.1:1/elsewhere"))
    begun, sent = clock.now, write(hook, clock)
    for _ in range(MAX_ATTEMPTS + 3):
        deliver_due(clock)
        clock.pass_until_due()
    sent.refresh_from_db()
    assert (sent.status, sent.attempts, sent.tries.count()) == ("dead", MAX_ATTEMPTS, MAX_ATTEMPTS)
    assert clock.now - begun > timedelta(hours=6)
    last = sent.tries.last()
    assert last is not None
    assert "not followed" in last.error
    answers.append(lambda handler: handler.say(204))
    resend(sent)
    clock.now = timezone.now() + timedelta(seconds=1)
    deliver_due(clock)
    sent.refresh_from_db()
    assert sent.status == "delivered"
    assert {headers["webhook-id"] for _, headers, _ in receiver.server.requests} == {sent.message_id}


def test_a_receiver_that_hangs_holds_up_its_own_messages_only(
    project: Project,
    hook: Channel,
    receiver: Receiver,
    answers: list[Callable[[Handler], None]],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(post, "SECONDS", 0.5)
    let_go = threading.Event()
    answers.append(lambda handler: let_go.wait(30) and handler.say(200))
    with serving(lambda handler: handler.say(200)) as other:
        quick = Channel.objects.create(
            project=project, name="quick", kind="webhook", settings={"url": other.url}, secret=hook.secret
        )
        stuck, prompt = write(hook, clock), write(quick, clock)
        deliver_due(clock)
    let_go.set()
    stuck.refresh_from_db()
    prompt.refresh_from_db()
    assert (stuck.status, prompt.status) == ("waiting", "delivered")
    [tried] = stuck.tries.all()
    assert tried.error == "No whole answer came within 0.5 s."
    assert stuck.next_at > clock.now


def test_a_receiver_that_is_gone_is_asked_no_more(
    hook: Channel, answers: list[Callable[[Handler], None]], clock: Clock
) -> None:
    answers.append(lambda handler: handler.say(410))
    sent, later = write(hook, clock), write(hook, clock)
    deliver_due(clock)
    hook.refresh_from_db()
    assert hook.is_paused
    assert "410" in hook.paused_because
    states = {each.pk: each.status for each in Delivery.objects.all()}
    assert sorted(states.values()) == ["dead", "waiting"]
    assert set(states) == {sent.pk, later.pk}


def test_waits_grow_to_an_hour_differ_and_heed_what_the_receiver_asks() -> None:
    assert 7.5 <= wait(1) <= 12.5
    assert 2_700 <= wait(16) <= 4_500
    assert len({wait(5) for _ in range(20)}) > 10
    assert wait(1, asked_s=120.0) == 120
    assert wait(1, asked_s=10.0**9) == 3_600
    assert sum(0.75 * min(10 * 2**number, 3_600) for number in range(MAX_ATTEMPTS - 1)) > 6 * 3_600


def test_a_target_inside_the_network_is_never_asked(
    hook: Channel, receiver: Receiver, clock: Clock, settings: Settings
) -> None:
    settings.OUTGOING_NETWORKS = []
    sent = write(hook, clock)
    deliver_due(clock)
    [tried] = sent.tries.all()
    assert "HELIOGRAPH_OUTGOING_NETWORKS" in tried.error
    assert receiver.server.requests == []


def test_an_answer_is_kept_up_to_a_bound_and_the_secret_nowhere(
    hook: Channel, receiver: Receiver, answers: list[Callable[[Handler], None]], clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    answers.append(lambda handler: handler.say(500, b"x\x00" * 50_000))
    sent = write(hook, clock)
    deliver_due(clock)
    [tried] = sent.tries.all()
    assert 0 < len(tried.answer) <= 2_000
    stored = json.dumps([hook.settings, hook.secret, sent.payload, tried.answer, tried.error])
    assert receiver.secret not in stored + caplog.text


def test_both_secrets_sign_after_a_rotation(hook: Channel, receiver: Receiver, clock: Clock) -> None:
    fresh = new_signing_secret(hook)
    write(hook, clock)
    deliver_due(clock)
    [(_, headers, body)] = receiver.server.requests
    for secret in (receiver.secret, fresh):
        assert Webhook(secret).verify(body, headers)["type"] == "test"


def firing(project: Project, clock: Clock, kind: str = messages.FIRING) -> dict[str, Any]:
    alert = {"id": 7, "key": "3-abc", "labels": {"service": "<!here>"}, "state": "firing", "value": 0.25}
    alert |= {"against": 0.05, "reason": "", "started_at": None, "url": "https://h.example/a/7"}
    rule = {"id": 3, "name": "Errors", "description": "Look at the gateway.", "severity": "critical", "unit": "1"}
    rule |= {"measure": "error_rate", "title": "Error rate", "window_minutes": 5, "kind": "threshold", "condition": {}}
    data = {"project": {"slug": "shop", "name": "Shop"}, "rule": rule | {"url": "https://h.example/r/3"}}
    return {
        "type": kind,
        "timestamp": clock.now.isoformat(),
        "data": {**data, "alerts": [alert], "total": 1, "is_repeat": False},
    }


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server in the place of those of PagerDuty and Opsgenie, and of chat services."""
    with serving(lambda handler: handler.say(202, b"{}")) as server:
        monkeypatch.setitem(pagerduty.ENDPOINTS, "us", f"{server.url}/v2/enqueue")
        monkeypatch.setitem(opsgenie.ENDPOINTS, "us", f"{server.url}/v2/alerts")
        yield server


@pytest.mark.parametrize("kind", ["slack", "teams", "discord", "pagerduty", "opsgenie"])
def test_each_service_gets_what_it_understands(project: Project, service: Any, clock: Clock, kind: str) -> None:
    channel = Channel(project=project, name=kind, kind=kind)
    given = {"pagerduty": {"routing_key": ROUTING_KEY}, "opsgenie": {"api_key": API_KEY}}
    save_channel(channel, given.get(kind, {"url": f"{service.url}/hook"}))
    assert not any(key in str(channel.settings) + channel.secret for key in (ROUTING_KEY, API_KEY))
    for what in (messages.FIRING, messages.RESOLVED):
        Delivery.to(channel, firing(project, clock, what), clock.now, topic="a")
        deliver_due(clock)
        clock.now += timedelta(seconds=1)
    (_, headers, first), (path, _, second) = service.requests
    begun, ended = json.loads(first), json.loads(second)
    text = json.dumps(begun, ensure_ascii=False)
    assert "Errors firing" in text
    assert "25 % against 5 %" in text
    if kind == "slack":
        assert "&lt;!here&gt;" in text  # a label mentions nobody
        assert "<!here>" not in json.dumps(begun["blocks"][1:])
    if kind == "discord":
        assert begun["allowed_mentions"] == {"parse": []}
    if kind == "teams":
        card = begun["attachments"][0]["content"]
        assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    if kind == "pagerduty":
        assert (begun["event_action"], ended["event_action"]) == ("trigger", "resolve")
        assert begun["dedup_key"] == ended["dedup_key"] == "heliograph-3-abc"
        assert begun["payload"]["severity"] == "critical"
    if kind == "opsgenie":
        assert headers["authorization"] == f"GenieKey {API_KEY}"
        assert (begun["alias"], begun["priority"]) == ("heliograph-3-abc", "P1")
        assert path == "/v2/alerts/heliograph-3-abc/close?identifierType=alias"


def test_an_e_mail_carries_the_message_s_id(project: Project, clock: Clock, settings: Settings) -> None:
    channel = Channel(project=project, name="mail", kind="email", title_template="[$severity] $rule\n$state")
    save_channel(channel, {"to": "a@example.org, b@example.org"})
    sent = Delivery.to(channel, firing(project, clock), clock.now)
    settings.EMAIL_HOST = ""
    deliver_due(clock)
    assert "HELIOGRAPH_SMTP_HOST" in sent.tries.get().error
    settings.EMAIL_HOST = "localhost"
    clock.pass_until_due()
    deliver_due(clock)
    [letter] = mail.outbox
    assert letter.to == ["a@example.org", "b@example.org"]
    assert letter.subject == "[critical] Errors firing"
    assert letter.extra_headers["Message-ID"].startswith(f"<{sent.message_id}@")
    assert "Look at the gateway." in letter.body


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_of_event_reaches_who_asks_for_it_and_nobody_else(
    project: Project, hook: Channel, receiver: Receiver, clock: Clock, kind: Kind
) -> None:
    hook.events = [kind]
    hook.save()
    others = webhook(project, receiver, "others")
    others.events = [each for each in Kind if each is not kind]
    others.save()
    record(project, kind, {"what": 7})
    tell.take_events(project, clock.now)
    deliver_due(clock)
    [message] = receiver.messages.values()
    assert (message["type"], message["data"]["event"]) == (kind, {"what": 7})
    assert Delivery.objects.get().channel == hook


def test_two_workers_send_a_message_once(hook: Channel, receiver: Receiver, clock: Clock) -> None:
    write(hook, clock)
    first, second = deliver._claim(clock.now), deliver._claim(clock.now)
    assert (len(first), len(second)) == (1, 0)


WORLD = """
import django; django.setup()
from django.utils import timezone
from heliograph.accounts.models import Organization, Project
from heliograph.accounts.secrets import encrypt
from heliograph.alerts import messages
from heliograph.alerts.models import Channel, Delivery
project = Project.create(Organization.objects.create(name="Acme"), "Shop")
secret = encrypt('{{"signing_secret": "{signing_secret}"}}')
given = {{"settings": {{"url": "{url}"}}, "secret": secret}}
channel = Channel.objects.create(project=project, name="hook", kind="webhook", **given)
now = timezone.now()
print(Delivery.to(channel, messages.of_test(project, now), now).message_id)
"""
WORK = """
import django; django.setup()
from datetime import timedelta
from django.utils import timezone
from heliograph.alerts.deliver import deliver_due
for ahead in (0, 61, 200):
    print(deliver_due(lambda: timezone.now() + timedelta(seconds=ahead)))
"""


def test_a_worker_that_is_killed_in_the_middle_sends_again_with_the_same_id(data_folder: Path) -> None:
    arrived, is_killed = threading.Event(), threading.Event()

    def answer(handler: Handler) -> None:
        arrived.set()
        if not is_killed.is_set():
            is_killed.wait(60)  # the message arrived, and its sender never hears of it
        handler.say(200)

    environment = {name: value for name, value in os.environ.items() if not name.startswith("HELIOGRAPH_")}
    environment |= {
        "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}",
        "DJANGO_SETTINGS_MODULE": "heliograph.settings",
        "HELIOGRAPH_DATA_DIR": str(data_folder),
        "HELIOGRAPH_OUTGOING_NETWORKS": "127.0.0.0/8",
        "HELIOGRAPH_SECRET_KEY": "of this test, and of forty characters...",
    }
    secret = "whsec_" + "c2VjcmV0" * 4

    def run(script: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)

    with serving(answer) as server:
        made = run(WORLD.format(url=server.url, signing_secret=secret))
        message_id = made.communicate(timeout=360)[0].strip()
        worker = run(WORK)
        assert arrived.wait(120)
        worker.send_signal(signal.SIGKILL)
        worker.communicate(timeout=180)
        is_killed.set()
        # Before its lease ends nobody else sends it; then the next worker does, once.
        assert run(WORK).communicate(timeout=360)[0].split() == ["0", "1", "0"]
        assert [headers["webhook-id"] for _, headers, _ in server.requests] == [message_id] * 2
        for _, headers, body in server.requests:
            Webhook(secret).verify(body, headers)


def test_encrypted_secrets_that_no_key_opens_are_told_and_not_lost(
    hook: Channel, receiver: Receiver, clock: Clock, settings: Settings
) -> None:
    sent = write(hook, clock)
    settings.SECRET_KEY = "another installation's"
    deliver_due(clock)
    assert "enter it again" in sent.tries.get().error
    hook.secret = encrypt(json.dumps({"signing_secret": receiver.secret}))
    hook.save()
    clock.pass_until_due()
    deliver_due(clock)
    assert set(receiver.messages) == {sent.message_id}
