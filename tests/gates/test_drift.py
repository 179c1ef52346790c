"""Drift monitors through the public API and the pages: what moved, in which part, and how seldom they are wrong."""

import json
import random
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from heliograph.accounts.models import Membership, Project
from heliograph.events.models import Event
from heliograph.gates import tasks
from heliograph.gates.drift import look, schedule
from heliograph.gates.drift.segments import split
from heliograph.gates.models import Finding, Look, Monitor
from heliograph.query.filters import to_ns
from tests.api.test_endpoints import Caller, caller, stranger  # noqa: F401  # fixtures
from tests.api.test_redaction import Person
from tests.query.rows import llm, new_trace_id, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
DELIVERY = ["When does my parcel arrive?", "Is delivery free?", "Which carrier brings the box?", "Track my order"]
BATTERY = ["How long does the battery last?", "Can I charge in winter?", "Is the battery replaceable?", "Charger?"]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    for room in ("heliograph.api.drift", "heliograph.dashboards.monitors", "heliograph.gates.tasks"):
        monkeypatch.setattr(f"{room}.wake_worker", lambda: None)
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}


def asked(topic: list[str], number: int, hours_ago: float, **fields: Any) -> dict[str, Any]:
    text = f"{topic[number % 4]} ({number})"
    message = json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}])
    start = to_ns(timezone.now() - timedelta(hours=hours_ago)) + number
    usual = {"input": message, "input_preview": text, "output": "Yes.", "output_preview": "Yes.", "service": "bot"}
    return llm(new_trace_id(), 0, start_time=start, **(usual | fields))


def call(who: Caller, method: str, path: str, body: Any = None) -> Any:
    return getattr(who.client, method)(f"/api/v1/{path}", body, content_type="application/json")


def make(who: Caller, **fields: Any) -> int:
    body = {"name": "mine", "signals": ["input"], "current_hours": 24, "reference_hours": 24} | fields
    answer = call(who, "post", "drift-monitors", body)
    assert answer.status_code == 201, answer.json()
    return int(answer.json()["id"])


def looked(who: Caller, monitor: int) -> dict[str, Any]:
    asked_for = call(who, "post", f"drift-monitors/{monitor}/looks")
    assert asked_for.status_code == 202
    tasks.work_off()
    return dict(who.get(f"drift-monitors/{monitor}/looks/{asked_for.json()['id']}").json())


def test_a_change_of_topic_is_found_with_its_cluster_before_and_after(caller: Caller) -> None:  # noqa: F811
    before = [asked(DELIVERY, number, 36) for number in range(120)]
    after = [asked(DELIVERY if number % 3 else BATTERY, number, 12) for number in range(120)]
    store_spans(caller.project.pk, *before, *after)
    monitor = make(caller)
    look = looked(caller, monitor)
    assert look["status"] == "done", look["error"]
    assert look["result"]["verdict"] == "drift"
    [test] = look["result"]["tests"]
    # Far below what 10,000 relabellings can tell, as 30 looks of many segments need it.
    assert test["p_value"] < 1e-5
    [finding] = caller.get("drift-findings", monitor=monitor).json()["items"]
    [grown] = [cluster for cluster in finding["details"]["clusters"] if cluster["direction"] == "grew"][:1]
    assert grown["share_current"] > grown["share_reference"]
    assert any("battery" in row["text"].lower() or "charge" in row["text"].lower() for row in grown["after"])
    assert all(len(row["trace_id"]) == 32 for row in grown["after"] + grown["before"])
    [event] = Event.objects.filter(project=caller.project, kind="drift.found")
    assert event.body["findings"][0]["signal"] == "input"
    # The same change is told once.
    looked(caller, monitor)
    assert Event.objects.filter(project=caller.project).count() == 1
    assert not Finding.objects.filter(project=caller.project).first().details["is_new"]  # type: ignore[union-attr]  # two


def numbers(project: Project, hours_ago: float, n: int, seed: int, slow: float = 1.0, cut: float = 0.02) -> None:
    rng = random.Random(seed)
    rows = []
    for number in range(n):
        model = "large" if number % 2 else "small"
        finish = "length" if rng.random() < (cut if model == "large" else 0.02) else "stop"
        took = int(rng.lognormvariate(0, 0.4) * 10**9 * (slow if model == "large" else 1))
        fields = {"model": model, "finish_reason": finish, "duration_ns": took, "tags": ["beta"] if number < 60 else []}
        rows.append(asked(DELIVERY, number, hours_ago, **fields))
    store_spans(project.pk, *rows)


def test_numbers_and_categories_are_found_in_the_segment_where_they_moved(caller: Caller) -> None:  # noqa: F811
    numbers(caller.project, 36, 600, 1)
    numbers(caller.project, 12, 600, 2, slow=2.0, cut=0.3)
    monitor = make(caller, signals=["latency", "finish_reason", "model"], segments=["model", "tag"])
    look = looked(caller, monitor)
    found = {(row["signal"], row["segment_field"], row["segment_value"]) for row in look["result"]["tests"]}
    assert ("latency", "tag", "beta") in found
    moved = caller.get("drift-findings").json()["items"]
    places = {(row["signal"], row["segment_value"]) for row in moved}
    assert {("latency", "large"), ("finish_reason", "large")} <= places
    assert not {("latency", "small"), ("finish_reason", "small"), ("model", "")} & places
    [latency] = [row for row in moved if (row["signal"], row["segment_value"]) == ("latency", "large")]
    assert latency["details"]["details"]["median_current"] > 1.5 * latency["details"]["details"]["median_reference"]
    assert len(latency["details"]["examples"]["before"]) == len(latency["details"]["examples"]["after"]) == 3
    [finish] = [row for row in moved if (row["signal"], row["segment_value"]) == ("finish_reason", "large")]
    assert finish["details"]["examples"]["after"][0]["value"] == "length"


def test_prompts_users_groups_languages_and_topics_are_looked_at_apart(caller: Caller) -> None:  # noqa: F811
    german = [
        "Wann kommt mein Paket an?",
        "Ist die Lieferung kostenlos?",
        "Wer bringt die Kiste?",
        "Wo ist mein Paket?",
    ]
    for hours_ago, seed in ((36, 1), (12, 2)):
        rng, rows = random.Random(seed), []
        # Whatever the eight topics are, one of them has the forty of each side that a part needs.
        for number in range(400):
            is_pro = bool(number % 2)
            slow = 3.0 if is_pro and hours_ago == 12 else 1.0
            rows.append(
                asked(
                    german if is_pro else BATTERY,
                    number,
                    hours_ago,
                    duration_ns=int(slow * rng.lognormvariate(0, 0.3) * 10**9),
                    prompt_name="long" if is_pro else "short",
                    user_id="ann" if is_pro else "bob",
                    attributes={"plan": "pro" if is_pro else "free"},
                )
            )
        store_spans(caller.project.pk, *rows)
    monitor = make(caller, signals=["latency"], segments=["prompt", "user", "attribute.plan", "language", "topic"])
    look = looked(caller, monitor)
    assert look["status"] == "done", look["error"]
    tests = {(row["segment_field"], row["segment_value"]) for row in look["result"]["tests"]}
    assert {field for field, _ in tests} == {"", "prompt", "user", "attribute.plan", "language", "topic"}
    moved = {(row["segment_field"], row["segment_value"]) for row in caller.get("drift-findings").json()["items"]}
    assert {("prompt", "long"), ("user", "ann"), ("attribute.plan", "pro")} <= moved
    assert not {("prompt", "short"), ("user", "bob"), ("attribute.plan", "free")} & moved


def test_quiet_traffic_is_no_drift_and_few_spans_are_not_enough(caller: Caller) -> None:  # noqa: F811
    monitor = make(caller, signals=["latency", "finish_reason"], segments=["model"])
    assert looked(caller, monitor)["result"]["verdict"] == "not_enough_data"
    numbers(caller.project, 36, 400, 3)
    numbers(caller.project, 12, 400, 4)
    look = looked(caller, monitor)
    assert look["result"]["verdict"] == "no_drift"
    assert len(look["result"]["tests"]) == 6
    assert not Finding.objects.filter(project=caller.project).exists()


def test_a_pinned_reference_stays_where_it_was_put(caller: Caller) -> None:  # noqa: F811
    numbers(caller.project, 24 * 20, 200, 5)
    numbers(caller.project, 36, 200, 6, slow=3.0)
    numbers(caller.project, 12, 200, 7, slow=3.0)
    pinned = {"reference": "pinned", "pinned_from": str(timezone.now() - timedelta(days=21))}
    pinned["pinned_to"] = str(timezone.now() - timedelta(days=19))
    sliding = looked(caller, make(caller, name="sliding", signals=["latency"]))
    held = looked(caller, make(caller, name="pinned", signals=["latency"], **pinned))
    assert (sliding["result"]["verdict"], held["result"]["verdict"]) == ("no_drift", "drift")


def test_every_project_has_a_daily_monitor_that_looks_once_a_day(caller: Caller) -> None:  # noqa: F811
    tasks.look_for_drift()
    [monitor] = Monitor.objects.filter(project=caller.project)
    assert (monitor.is_default, monitor.segments, monitor.signals) == (True, ["service"], ["input", "output"])
    tasks.look_for_drift()
    looks = Look.objects.filter(monitor=monitor)
    assert looks.count() == 1
    Monitor.objects.filter(pk=monitor.pk).update(next_look_at=timezone.now() - timedelta(seconds=1))
    stale = Monitor.objects.get(pk=monitor.pk)
    tasks.look_for_drift()
    assert looks.count() == 2
    # Another process that had read the monitor before finds it taken.
    assert schedule.queue_look(stale, timezone.now(), is_due=True) is None
    assert call(caller, "delete", f"drift-monitors/{monitor.pk}").status_code == 400
    call(caller, "patch", f"drift-monitors/{monitor.pk}", {"is_on": False})
    Monitor.objects.filter(pk=monitor.pk).update(next_look_at=None)
    tasks.look_for_drift()
    assert looks.count() == 2


def test_a_look_that_failed_is_tried_again_within_the_hour(
    caller: Caller,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: Look) -> None:
        raise RuntimeError("no model")

    monkeypatch.setattr(look, "run", broken)
    tasks.look_for_drift()
    monitor = Monitor.objects.get(project=caller.project)
    assert "no model" in monitor.looks.get().error
    assert monitor.next_look_at is not None
    assert monitor.next_look_at < timezone.now() + timedelta(hours=1, minutes=1)


def test_looks_share_alpha_over_a_month(caller: Caller) -> None:  # noqa: F811
    monitor = Monitor(project=caller.project, alpha=0.06, every_hours=24)
    assert schedule.alpha_of_a_look(monitor) == pytest.approx(0.002)
    monitor.every_hours = 24 * 60
    assert schedule.alpha_of_a_look(monitor) == pytest.approx(0.06)


def test_segments_need_enough_rows_on_both_sides() -> None:
    before = [["a"]] * 50 + [["b"]] * 39 + [["", "c"]] * 45
    after = [["a"]] * 60 + [["b"]] * 200 + [["c"]] * 45
    found = split("tag", before, after)
    assert [(segment.value, len(segment.reference), len(segment.current)) for segment in found] == [
        ("a", 50, 60),
        ("c", 45, 45),
    ]


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("signals", {"signals": ["mood"]}),
        ("segments", {"segments": ["planet"]}),
        ("scope", {"scope": "modle:x"}),
        ("every_hours", {"every_hours": 0.01}),
        ("pinned_from", {"reference": "pinned"}),
    ],
)
def test_a_monitor_that_cannot_work_is_refused_at_its_field(caller: Caller, field: str, changed: Any) -> None:  # noqa: F811
    answer = call(caller, "post", "drift-monitors", {"name": "m", "signals": ["input"]} | changed)
    assert answer.status_code == 400
    assert field in {error["field"].partition(".")[0] for error in answer.json()["errors"]}


def test_nobody_crosses_to_the_monitors_of_another_project(caller: Caller, stranger: Caller) -> None:  # noqa: F811
    numbers(caller.project, 36, 200, 8)
    numbers(caller.project, 12, 200, 9, slow=3.0)
    monitor = make(caller, signals=["latency"])
    look = looked(caller, monitor)
    for path in (f"drift-monitors/{monitor}", f"drift-monitors/{monitor}/looks/{look['id']}"):
        assert stranger.get(path).status_code == 404, path
    assert stranger.get("drift-findings", monitor=monitor).json()["items"] == []
    assert len(caller.get("drift-findings", monitor=monitor).json()["items"]) == 1
    for method, path in (("patch", ""), ("delete", ""), ("post", "/looks")):
        assert call(stranger, method, f"drift-monitors/{monitor}{path}", {}).status_code == 404
    person = Person(stranger, Membership.Role.OWNER).client
    for address in (caller.project.slug, stranger.project.slug):
        assert person.get(reverse("evaluations-monitor", args=[address, monitor])).status_code == 404


def test_a_monitor_is_made_looked_at_and_read_in_the_browser(caller: Caller) -> None:  # noqa: F811
    numbers(caller.project, 36, 300, 10)
    numbers(caller.project, 12, 300, 11, slow=3.0, cut=0.4)
    editor = Person(caller, Membership.Role.EDITOR).client
    slug = caller.project.slug
    page = editor.get(reverse("evaluations-monitors", args=[slug])).content
    assert b"No monitor has found a change" in page
    assert b"Daily" in page
    form = {"name": "Calls", "signals": "latency, finish_reason", "segments": "model", "reference": "sliding"}
    form |= {"reference_hours": "24", "current_hours": "24", "every_hours": "24", "alpha": "0.05", "min_effect": "0.1"}
    bad = editor.post(reverse("evaluations-monitors-save", args=[slug]), form | {"signals": "mood"})
    assert bad.status_code == 422
    assert b"is no signal" in bad.content
    made = editor.post(reverse("evaluations-monitors-save", args=[slug]), form)
    monitor = Monitor.objects.get(project=caller.project, name="Calls")
    assert made["location"] == reverse("evaluations-monitor", args=[slug, monitor.pk])
    editor.post(reverse("evaluations-monitor-look", args=[slug, monitor.pk]))
    tasks.work_off()
    page = editor.get(made["location"]).content.decode()
    assert "latency in model large" in page
    assert ">drift</span>" in page
    assert "length" in page
    assert b"latency" in editor.get(reverse("evaluations-monitors", args=[slug])).content
    viewer = Person(caller, Membership.Role.VIEWER).client
    assert viewer.post(reverse("evaluations-monitor-look", args=[slug, monitor.pk])).status_code == 403
