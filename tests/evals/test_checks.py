"""Drift and regression checks: asked for by a row in the database, answered once, failures told."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.clickhouse import errors
from heliograph.evals import tasks
from heliograph.evals.models import MAX_ATTEMPTS, Run
from heliograph.query import scores
from tests.query.rows import START, llm, new_trace_id, store_spans

pytestmark = pytest.mark.django_db

TOPICS = {
    "delivery": ["When does my parcel arrive?", "Is delivery free?", "Which carrier brings the box?", "Track my order"],
    "battery": [
        "How long does the battery last?",
        "Can I charge in winter?",
        "Is the battery replaceable?",
        "Charger?",
    ],
}


def asked(topic: str, number: int, seconds: float) -> dict[str, Any]:
    text = f"{TOPICS[topic][number % 4]} ({number})"
    message = json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}])
    return llm(new_trace_id(), seconds, input=message, input_preview=text, output="Yes.", service="bot")


def drift_run(project: Project, **arguments: Any) -> Run:
    given = {"service": "bot", "side": "input", "current_hours": 0.5, "reference_hours": 0.5}
    end = (START + timedelta(hours=1)).isoformat()
    return Run.objects.create(project=project, kind=Run.Kind.DRIFT, arguments=given | {"end": end} | arguments)


def worked_off(run: Run) -> Run:
    tasks.work_off_checks()
    run.refresh_from_db()
    return run


def test_a_change_of_topic_is_drift_and_the_new_topic_is_shown(store: str, project: Project) -> None:
    before = [asked("delivery", number, number) for number in range(80)]
    after = [asked("battery", number, 1900 + number) for number in range(80)]
    store_spans(project.pk, *before, *after)
    run = worked_off(drift_run(project))
    assert run.status == Run.Status.DONE, run.error
    assert run.result["verdict"] == "drift"
    assert run.result["p_value"] < 0.05
    assert any("battery" in example["text"].lower() for c in run.result["clusters"] for example in c["examples"])


def test_the_same_topic_is_no_drift(store: str, project: Project) -> None:
    rows = [asked("delivery", number, 5 + (number // 4 % 2) * 1900 + number / 10) for number in range(160)]
    store_spans(project.pk, *rows)
    assert worked_off(drift_run(project)).result["verdict"] == "no_drift"


def test_few_texts_are_not_enough_data_and_never_no_drift(store: str, project: Project) -> None:
    store_spans(project.pk, asked("delivery", 1, 1))
    result = worked_off(drift_run(project)).result
    assert result["verdict"] == "not_enough_data"
    assert "are needed" in result["reason"]


def judged(prompt: str, release: str, value: float, number: int) -> tuple[dict[str, Any], scores.Score]:
    row = llm(new_trace_id(), number % 3000, input=prompt, output="answer", service="bot", release=release)
    score = scores.Score(
        score_id=row["span_id"],
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        time_ns=row["start_time"],
        name="groundedness",
        value=value,
        source="evaluator",
    )
    return row, score


def compare_releases(project: Project, drop: float, prompts: int = 60) -> Run:
    pairs = [
        judged(f"prompt {number}", release, 0.5 + (number % 40) / 100 - (drop if release == "2" else 0), number)
        for number in range(prompts)
        for release in ("1", "2")
    ]
    store_spans(project.pk, *(row for row, _ in pairs))
    scores.write_scores(project.pk, [score for _, score in pairs], 90)
    arguments = {"service": "bot", "baseline": "1", "candidate": "2", "margin": 0.02}
    return worked_off(Run.objects.create(project=project, kind=Run.Kind.REGRESSION, arguments=arguments))


def test_a_release_that_lost_quality_fails(store: str, project: Project) -> None:
    run = compare_releases(project, drop=0.1)
    assert run.result["verdict"] == "fail", run.error
    assert run.result["effect"] == pytest.approx(-0.1)
    assert run.result["worst"][0]["baseline_trace_id"]


def test_the_same_quality_passes(store: str, project: Project) -> None:
    assert compare_releases(project, drop=0.0).result["verdict"] == "pass"


def test_releases_without_a_common_prompt_are_not_enough_data(store: str, project: Project) -> None:
    result = compare_releases(project, drop=0.0, prompts=1).result
    assert result["verdict"] == "not_enough_data"
    assert result["n"] == 1


def test_a_check_that_raises_tells_the_person_why_and_the_next_one_runs(store: str, project: Project) -> None:
    broken = drift_run(project, end="not a time")
    sound = drift_run(project)
    tasks.work_off_checks()
    broken.refresh_from_db()
    sound.refresh_from_db()
    assert broken.status == Run.Status.FAILED
    assert "ValueError" in broken.error
    assert sound.status == Run.Status.DONE


def test_a_check_whose_worker_was_killed_is_taken_up_again(store: str, project: Project) -> None:
    run = drift_run(project)
    assert run.claim()
    assert worked_off(run).status == Run.Status.RUNNING
    Run.objects.filter(pk=run.pk).update(leased_until=timezone.now() - timedelta(seconds=1))
    assert worked_off(run).status == Run.Status.DONE


def test_a_check_that_kills_every_worker_is_given_up_and_says_so(store: str, project: Project) -> None:
    run = drift_run(project)
    for _ in range(MAX_ATTEMPTS):
        assert Run.objects.get(pk=run.pk).claim()
        Run.objects.filter(pk=run.pk).update(leased_until=timezone.now() - timedelta(seconds=1))
    assert worked_off(run).status == Run.Status.FAILED
    assert "killed 3 times" in run.error


def test_of_two_workers_one_gets_the_check(store: str, project: Project) -> None:
    run = drift_run(project)
    assert Run.objects.get(pk=run.pk).claim()
    assert not Run.objects.get(pk=run.pk).claim()


def test_the_daily_check_looks_at_every_service_of_the_last_day(store: str, project: Project) -> None:
    store_spans(project.pk, asked("delivery", 1, 1))
    tasks.check_drift_daily()
    runs = Run.objects.filter(project=project, kind=Run.Kind.DRIFT)
    assert {(run.arguments["service"], run.arguments["side"]) for run in runs} == {("bot", "input"), ("bot", "output")}


def test_the_daily_check_is_queued_once_a_day_however_often_its_message_comes(store: str, project: Project) -> None:
    store_spans(project.pk, asked("delivery", 1, 1))
    runs = Run.objects.filter(project=project, kind=Run.Kind.DRIFT)
    for _ in range(2):
        tasks.check_drift_daily()
    assert runs.count() == 2
    runs.update(created_at=timezone.now() - timedelta(days=1))
    tasks.check_drift_daily()
    assert runs.count() == 4


def test_a_daily_check_that_failed_is_tried_again_the_next_hour(
    store: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_spans(project.pk, asked("delivery", 1, 1))

    def away(_: Run) -> dict[str, Any]:
        raise errors.UnavailableError("away")

    with monkeypatch.context() as broken:
        broken.setitem(tasks.CHECKS, Run.Kind.DRIFT, away)
        tasks.check_drift_daily()
    tasks.check_drift_daily()
    statuses = Run.objects.filter(project=project).order_by("pk").values_list("status", flat=True)
    assert list(statuses) == [*[Run.Status.FAILED] * 2, *[Run.Status.DONE] * 2]


def test_runs_are_kept_as_long_as_the_telemetry(store: str, project: Project) -> None:
    old, young = (Run.objects.create(project=project, kind=Run.Kind.GROUNDEDNESS) for _ in range(2))
    Run.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=91))
    tasks.check_drift_daily()
    assert list(Run.objects.filter(project=project)) == [young]


def test_checks_that_take_long_let_other_work_have_its_turn(
    store: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[str] = []
    monkeypatch.setattr(tasks, "wake_worker", lambda: woken.append("again"))
    monkeypatch.setattr(tasks, "CHECKS_SECONDS", 0.0)
    runs = [drift_run(project) for _ in range(2)]
    monkeypatch.setitem(tasks.CHECKS, Run.Kind.DRIFT, lambda _: {"verdict": "no_drift"})
    clock = iter([0.0, 0.0, 1.0])
    monkeypatch.setattr(tasks.time, "monotonic", lambda: next(clock))
    tasks.work_off_checks()
    assert [Run.objects.get(pk=run.pk).status for run in runs] == [Run.Status.DONE, Run.Status.QUEUED]
    assert woken == ["again"]
