"""The pages and the API of alerts: a rule from its form to a message, secrets never shown, and other projects' ids."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from heliograph.accounts.models import ApiKey, Membership, Organization, Project, User
from heliograph.accounts.secrets import decrypt
from heliograph.alerts.models import Alert, Channel, Delivery, Rule, Silence
from heliograph.query.measures import MEASURES
from tests.dashboards.conftest import plain_static_names as plain_static_names  # noqa: PLC0414  # the fixture
from tests.query.rows import SECOND, START, new_trace_id, span, store_spans

pytestmark = pytest.mark.usefixtures("store", "plain_static_names")
FORM = {
    "name": "Slow",
    "severity": "warning",
    "measure": "latency_p95",
    "window": "5",
    "by": "service",
    "only": "",
    "kind": "threshold",
    "side": "above",
    "bound": "2",
    "hold": "0",
    "recover": "0",
    "patience": "15",
    "no_data": "keep",
    "notify": "together",
    "repeat": "240",
    "description": "See https://wiki.example/slow",
}
RULE = {
    "name": "Errors",
    "measure": "error_rate",
    "kind": "threshold",
    "condition": {"side": "above", "bound": 0.05},
    "by": ["service"],
}


def sign_in(project: Project, role: str = Membership.Role.EDITOR) -> Client:
    user = User.objects.create_user(f"user-{project.pk}-{role}", password="x")
    Membership.objects.create(organization=project.organization, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def editor(project: Project) -> Client:
    return sign_in(project)


def page(name: str, project: Project, *arguments: Any) -> str:
    return reverse(name, args=[project.slug, *arguments])


def api(client: Client, method: str, path: str, project: Project, body: Any = None) -> Any:
    query = "" if "project=" in path else f"{'&' if '?' in path else '?'}project={project.slug}"
    return getattr(client, method)(f"/api/v1/{path}{query}", body, content_type="application/json")


def test_a_rule_is_tried_on_the_last_week_before_it_is_saved(project: Project, editor: Client) -> None:
    day = 86_400
    store_spans(
        project.pk,
        *(span(new_trace_id(), 60 * n - day, duration_ns=SECOND // 10) for n in range(60)),
        *(span(new_trace_id(), 60 * n - day, duration_ns=9 * SECOND) for n in range(60, 90)),
        *(span(new_trace_id(), 60 * n - day, duration_ns=SECOND // 10) for n in range(90, 120)),
    )
    answer = editor.post(page("alerts-rule-preview", project), FORM)
    assert "it would have fired 1 time<" in answer.content.decode()
    assert "service shop" in answer.content.decode()
    assert not Rule.objects.exists()
    wrong = editor.post(page("alerts-rule-preview", project), FORM | {"by": "gpu", "bound": ""})
    assert "cannot be tried yet" in wrong.content.decode()
    saved = editor.post(page("alerts-rule-add", project), FORM)
    rule = Rule.objects.get()
    assert saved.headers["location"] == page("alerts-rule", project, rule.pk)
    assert (rule.condition, rule.by) == ({"side": "above", "bound": 2.0}, ["service"])
    shown = editor.get(saved.headers["location"]).content.decode()
    assert 'value="2"' in shown
    assert "<b>" not in rule.description


def test_every_kind_comes_back_from_its_form_as_it_was_entered(project: Project, editor: Client) -> None:
    kinds = {
        "change": {"change_side": "below", "change_by": "30", "versus": "yesterday", "least": "10"},
        "burn_rate": {"measure": "error_rate", "objective": "99.5", "factor": "6", "short": "30", "long": "360"},
        "anomaly": {"odd_side": "above", "deviations": "5", "weeks": "3", "odd_least": "0"},
    }
    for kind, given in kinds.items():
        entered = FORM | {"name": kind, "kind": kind, "only": "service: a, b; model: m"} | given
        assert editor.post(page("alerts-rule-add", project), entered).status_code == 302, kind
        rule = Rule.objects.get(name=kind)
        shown = editor.get(page("alerts-rule", project, rule.pk)).context["form"].initial
        again = {name: value for name, value in shown.items() if value is not None and value is not False}
        assert editor.post(page("alerts-rule-save", project, rule.pk), FORM | again).status_code == 302
        before, rule = rule, Rule.objects.get(pk=rule.pk)
        assert (rule.condition, rule.only) == (before.condition, {"service": ["a", "b"], "model": ["m"]})
    assert Rule.objects.get(name="burn_rate").condition["objective"] == pytest.approx(0.995)
    burn = FORM | {"name": "x", "kind": "burn_rate"} | kinds["burn_rate"] | {"measure": "latency_p95"}
    refused = editor.post(page("alerts-rule-add", project), burn)
    assert refused.status_code == 422
    assert "share of bad events" in refused.content.decode()


def test_every_number_is_offered_once_and_says_its_unit(project: Project, editor: Client) -> None:
    shown = editor.get(page("alerts-rule-new", project)).content.decode()
    assert [shown.count(f'<option value="{key}"') for key in MEASURES] == [1] * len(MEASURES)
    assert "Latency, median (s)" in shown
    assert "GPU temperature, highest (°C)" in shown


def test_a_channel_shows_its_secret_once_and_no_more(project: Project, editor: Client) -> None:
    entered = {"kind": "webhook", "name": "hook", "url": "https://example.org/hook", "events": ["gate.failed"]}
    shown = editor.post(page("alerts-channel-add", project), entered).content.decode()
    channel = Channel.objects.get()
    secret = decrypt(channel.secret).split('"')[3]
    assert secret.startswith("whsec_")
    assert secret in shown
    for name, arguments in (("alerts-channel", [channel.pk]), ("alerts-channels", [])):
        assert secret not in editor.get(page(name, project, *arguments)).content.decode()
    assert secret not in api(editor, "get", "alert-channels", project).content.decode()
    slack = {"kind": "slack", "name": "chat", "url": "https://hooks.slack.com/services/T0/B0/what-the-hook-is-called"}
    editor.post(page("alerts-channel-add", project), slack)
    chat = Channel.objects.get(name="chat")
    assert "what-the-hook-is-called" not in editor.get(page("alerts-channel", project, chat.pk)).content.decode()
    # Left empty, what is stored stays.
    editor.post(page("alerts-channel-save", project, chat.pk), {"kind": "slack", "name": "chat", "url": ""})
    chat.refresh_from_db()
    assert "what-the-hook-is-called" in decrypt(chat.secret)
    bad = entered | {"name": "b", "url": "ftp://x", "text_template": "$nonsense"}
    assert editor.post(page("alerts-channel-add", project), bad).status_code == 422


def test_the_list_shows_what_fires_first_and_says_what_to_do_where_there_is_nothing(
    project: Project, editor: Client
) -> None:
    assert "Nobody is told of anything yet" in editor.get(page("alerts", project)).content.decode()
    rule = Rule.objects.create(project=project, **RULE)
    minute = int(timezone.now().timestamp()) // 60
    usual = {"rule": rule, "since": minute, "value": 0.5, "against": 0.05}
    Alert.objects.create(key="a", labels={"service": "calm"}, state="resolved", **usual)
    firing = Alert.objects.create(key="b", labels={"service": "loud"}, state="firing", is_open=True, **usual)
    text = editor.get(page("alerts", project)).content.decode()
    assert text.index("service loud") < text.index("service calm")
    assert "50 %" in text
    assert editor.get(page("alerts-one", project, firing.pk)).status_code == 200
    editor.post(page("alerts-acknowledge", project, firing.pk))
    firing.refresh_from_db()
    assert firing.acknowledged_by is not None
    for name in ("alerts-silences", "alerts-deliveries", "alerts-channels", "alerts-rule-new"):
        assert editor.get(page(name, project)).status_code == 200
    # Whoever was told hears of the end when the rule goes.
    channel = Channel.objects.create(
        project=project, name="hook", kind="webhook", settings={"url": "https://x.example"}
    )
    rule.channels.add(channel)
    Alert.objects.filter(pk=firing.pk).update(is_told=True)
    editor.post(page("alerts-rule-remove", project, rule.pk))
    assert [delivery.type for delivery in Delivery.objects.all()] == ["alert.resolved"]


def test_an_alert_leads_to_the_traces_of_its_labels_while_it_fired(project: Project, editor: Client) -> None:
    rule = Rule.objects.create(project=project, **RULE | {"window": 5})
    minute = int(START.timestamp()) // 60
    usual = {"rule": rule, "since": minute + 30, "labels": {"service": "loud", "tenant": "t-1"}}
    alert = Alert.objects.create(key="a", state="resolved", **usual)
    for at, state in (
        (minute + 1, "firing"),
        (minute + 2, "resolved"),
        (minute + 20, "firing"),
        (minute + 30, "resolved"),
    ):
        alert.transitions.create(at=at, state=state)
    inside, before, other = (new_trace_id() for _ in range(3))
    store_spans(
        project.pk,
        span(inside, 16 * 60, service="loud"),
        span(before, 10 * 60, service="loud"),
        span(other, 16 * 60, service="calm"),
    )
    text = editor.get(page("alerts-one", project, alert.pk)).content.decode()
    [address] = re.findall(r'href="([^"]+)">Traces of then', text)
    listed = editor.get(html.unescape(address)).context["listed"]
    assert [row.trace.trace_id for row in listed] == [inside]
    [address] = re.findall(r'href="([^"]+)">Latency of then', text)
    chart = next(one for one in editor.get(html.unescape(address)).context["charts"] if one.id == "latency")
    assert [sum(series.values) for series in chart.series] == [1]


def test_the_api_does_what_the_pages_do(project: Project, editor: Client) -> None:
    made = api(editor, "post", "alert-rules", project, RULE)
    assert made.status_code == 201, made.content
    rule_id = made.json()["id"]
    for wrong, field in (
        (RULE | {"name": "x", "measure": "nonsense"}, "measure"),
        (RULE | {"name": "x", "condition": {"side": "above"}}, "condition"),
        (RULE | {"name": "x", "by": ["gpu"]}, "by"),
        (RULE, "name"),
        (RULE | {"name": "x", "channels": [10**9]}, "channels"),
    ):
        answer = api(editor, "post", "alert-rules", project, wrong)
        assert answer.status_code == 400, wrong
        assert field in answer.content.decode()
    preview = api(editor, "post", "alert-rules/preview", project, RULE).json()
    assert preview["step"] >= 1
    changed = api(editor, "patch", f"alert-rules/{rule_id}", project, {"is_paused": True})
    assert changed.json()["is_paused"]
    channel = api(
        editor, "post", "alert-channels", project,
        {"name": "hook", "kind": "webhook", "config": {"url": "https://example.org/"}, "events": ["gate.failed"]},
    ).json()  # fmt: skip
    assert channel["signing_secret"].startswith("whsec_")
    rotated = api(editor, "post", f"alert-channels/{channel['id']}/secret", project).json()
    assert rotated["signing_secret"] != channel["signing_secret"]
    sent = api(editor, "post", f"alert-channels/{channel['id']}/test", project)
    assert (sent.status_code, sent.json()["status"]) == (202, "waiting")
    for _ in range(2):
        api(editor, "post", f"alert-channels/{channel['id']}/test", project)
    first = api(editor, "get", "deliveries?limit=2", project).json()
    rest = api(editor, "get", f"deliveries?limit=2&cursor={first['next_cursor']}", project).json()
    assert len({each["id"] for each in first["items"] + rest["items"]}) == 3
    assert rest["next_cursor"] is None
    now = timezone.now()
    span_of = {"starts_at": now.isoformat(), "ends_at": (now + timedelta(hours=1)).isoformat()}
    silence = api(editor, "post", "silences", project, {"comment": "move", "labels": {"service": "a"}} | span_of)
    assert silence.status_code == 201, silence.content
    backwards = {"comment": "x", "starts_at": span_of["ends_at"], "ends_at": span_of["starts_at"]}
    assert api(editor, "post", "silences", project, backwards).status_code == 400
    assert api(editor, "delete", f"silences/{silence.json()['id']}", project).status_code == 204
    assert api(editor, "delete", f"alert-rules/{rule_id}", project).status_code == 204


def test_who_may_only_look_changes_nothing_and_neither_does_a_key(project: Project) -> None:
    viewer = sign_in(project, Membership.Role.VIEWER)
    for name in ("alerts-rule-add", "alerts-channel-add", "alerts-silence-add", "alerts-rule-preview"):
        assert viewer.post(page(name, project), FORM).status_code == 403
    assert api(viewer, "post", "alert-rules", project, RULE).status_code == 403
    _, key = ApiKey.issue(project, "sender")
    answer = Client().post(
        "/api/v1/alert-rules", RULE, content_type="application/json", headers={"authorization": f"Bearer {key}"}
    )
    assert answer.status_code == 403
    assert Client().get("/api/v1/alert-rules", headers={"authorization": f"Bearer {key}"}).json() == {"items": []}


def test_the_ids_of_another_project_open_and_change_nothing(project: Project, editor: Client) -> None:
    other = Project.create(Organization.objects.create(name="Other"), "Other")
    rule = Rule.objects.create(project=other, **RULE)
    alert = Alert.objects.create(rule=rule, key="a", state="firing", is_open=True, since=1)
    channel = Channel.objects.create(project=other, name="hook", kind="webhook", settings={"url": "https://x.example"})
    sent = Delivery.to(channel, {"type": "test"}, timezone.now())
    silence = Silence.objects.create(project=other, comment="x", starts_at=START, ends_at=START + timedelta(days=9))
    for name, pk in (("alerts-one", alert.pk), ("alerts-rule", rule.pk), ("alerts-channel", channel.pk)):
        assert editor.get(page(name, project, pk)).status_code == 404
        assert editor.get(page(name, other, pk)).status_code == 404
    posts = [("alerts-acknowledge", alert.pk), ("alerts-rule-save", rule.pk), ("alerts-rule-switch", rule.pk)]
    posts += [("alerts-rule-remove", rule.pk), ("alerts-channel-save", channel.pk), ("alerts-channel-test", channel.pk)]
    posts += [("alerts-channel-pause", channel.pk), ("alerts-channel-rotate", channel.pk)]
    posts += [("alerts-channel-remove", channel.pk), ("alerts-silence-remove", silence.pk)]
    for name, pk in posts:
        assert editor.post(page(name, project, pk), FORM).status_code == 404, name
    assert editor.post(page("alerts-delivery-again", project, sent.pk)).status_code == 404
    for path in (
        f"alert-rules/{rule.pk}",
        f"alerts/{alert.pk}",
        f"alert-channels/{channel.pk}",
        f"deliveries/{sent.pk}",
    ):
        assert api(editor, "get", path, project).status_code == 404, path
    for path in ("alert-rules", "alerts", "alert-channels", "deliveries", "silences"):
        assert api(editor, "get", path, project).json()["items"] == []
    stolen = FORM | {"channels": [str(channel.pk)]}
    assert editor.post(page("alerts-rule-add", project), stolen).status_code == 422
    assert api(editor, "post", "alert-rules", project, RULE | {"channels": [channel.pk]}).status_code == 400
    hidden = {"comment": "x", "rule": rule.pk, "starts_at": START.isoformat(), "ends_at": "2100-01-01T00:00:00Z"}
    assert api(editor, "post", "silences", project, hidden).status_code == 400
