"""Comparisons of releases: asked for by a row in the database, answered once, failures told."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.evals import regression, tasks
from heliograph.evals.models import MAX_ATTEMPTS, Run
from heliograph.query import scores
from tests.query.rows import llm, new_trace_id, store_spans

pytestmark = pytest.mark.django_db


def a_check(project: Project, **arguments: Any) -> Run:
    given = {"service": "bot", "baseline": "1", "candidate": "2"} | arguments
    return Run.objects.create(project=project, kind=Run.Kind.REGRESSION, arguments=given)


def worked_off(run: Run) -> Run:
    tasks.work_off_checks()
    run.refresh_from_db()
    return run


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
    broken = a_check(project, margin="not a number")
    sound = a_check(project)
    tasks.work_off_checks()
    broken.refresh_from_db()
    sound.refresh_from_db()
    assert broken.status == Run.Status.FAILED
    assert "ValueError" in broken.error
    assert sound.status == Run.Status.DONE


def test_a_check_whose_worker_was_killed_is_taken_up_again(store: str, project: Project) -> None:
    run = a_check(project)
    assert run.start()
    assert worked_off(run).status == Run.Status.RUNNING
    Run.objects.filter(pk=run.pk).update(leased_until=timezone.now() - timedelta(seconds=1))
    assert worked_off(run).status == Run.Status.DONE


def test_a_check_that_kills_every_worker_is_given_up_and_says_so(store: str, project: Project) -> None:
    run = a_check(project)
    for _ in range(MAX_ATTEMPTS):
        assert Run.objects.get(pk=run.pk).start()
        Run.objects.filter(pk=run.pk).update(leased_until=timezone.now() - timedelta(seconds=1))
    assert worked_off(run).status == Run.Status.FAILED
    assert "killed 3 times" in run.error


def test_of_two_workers_one_gets_the_check(store: str, project: Project) -> None:
    run = a_check(project)
    assert Run.objects.get(pk=run.pk).start()
    assert not Run.objects.get(pk=run.pk).start()


def test_checks_that_take_long_let_other_work_have_its_turn(
    store: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[str] = []
    monkeypatch.setattr(tasks, "wake_worker", lambda: woken.append("again"))
    monkeypatch.setattr(tasks, "CHECKS_SECONDS", 0.0)
    runs = [a_check(project) for _ in range(2)]
    monkeypatch.setattr(regression, "check", lambda _: {"verdict": "pass"})
    clock = iter([0.0, 0.0, 1.0])
    monkeypatch.setattr(tasks.time, "monotonic", lambda: next(clock))
    tasks.work_off_checks()
    assert [Run.objects.get(pk=run.pk).status for run in runs] == [Run.Status.DONE, Run.Status.QUEUED]
    assert woken == ["again"]
