"""Scheduled jobs are due at their times, run once each whoever looks, and tell somebody when they fail."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from heliograph.accounts.models import Project
from heliograph.celery import app
from heliograph.evals import jobs, regression, schedules, tasks
from heliograph.evals.models import EvaluationRule, Run, Schedule
from heliograph.events.models import Event
from tests.evals.test_online_rules import answered, stored
from tests.query.rows import store_spans

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
COMPARED = {"service": "shop", "baseline": "1", "candidate": "2"}


def schedule(project: Project, **fields: Any) -> Schedule:
    given = {"name": "nightly", "kind": "regression", "arguments": COMPARED} | fields
    if "cron" not in given:
        given.setdefault("every_seconds", 3600)
    new = Schedule(project=project, **given)
    new.full_clean(exclude=["next_at"])
    assert schedules.faults(new) == {}
    new.store()
    return new


def due(new: Schedule) -> datetime:
    new.refresh_from_db()
    assert new.next_at is not None
    return new.next_at


def test_a_run_is_written_down_once_for_each_time_however_many_look(project: Project) -> None:
    new = schedule(project)
    first = due(new)
    assert schedules.plan(first - timedelta(seconds=1)) == 0
    assert schedules.plan(first) == 1
    # A second worker that read the schedule before the first one moved it:
    stale = Schedule.objects.get(pk=new.pk)
    stale.next_at = first
    assert schedules._plan_one(stale, first) == 0
    assert due(new) == first + HOUR
    (run,) = Run.objects.filter(schedule=new)
    assert (run.due_at, run.kind, run.arguments) == (first, "regression", COMPARED)


@pytest.mark.parametrize(("missed", "expected"), [("skip", [5]), ("once", [5]), ("each", [0, 1, 2, 3, 4, 5])])
def test_missed_times_are_caught_up_or_skipped_as_the_schedule_says(
    project: Project, missed: str, expected: list[int]
) -> None:
    new = schedule(project, missed=missed)
    first = due(new)
    schedules.plan(first + 5 * HOUR + timedelta(minutes=1))
    assert list(Run.objects.filter(schedule=new).order_by("due_at").values_list("due_at", flat=True)) == [
        first + hours * HOUR for hours in expected
    ]
    assert due(new) == first + 6 * HOUR


def test_times_that_are_all_missed_leave_no_run_where_they_are_skipped(project: Project) -> None:
    new = schedule(project, missed="skip")
    assert schedules.plan(due(new) + timedelta(minutes=30)) == 0
    assert due(new) > timezone.now()


def test_a_cron_expression_is_read_in_its_time_zone(project: Project) -> None:
    new = schedule(project, cron="30 6 * * mon-fri", timezone="America/New_York")
    # A Friday in winter, a quarter to seven in New York: next is Monday.
    assert new.after(datetime(2026, 1, 9, 11, 45, tzinfo=UTC)) == datetime(2026, 1, 12, 11, 30, tzinfo=UTC)
    assert new.after(datetime(2026, 7, 6, 10, 0, tzinfo=UTC)) == datetime(2026, 7, 6, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cron": "61 * * * *"},
        {"cron": "* * *"},
        {"cron": "* * * * *", "every_seconds": 60},
        {"every_seconds": 5},
        {"every_seconds": None},
        {"cron": "* * * * *", "timezone": "Mars/Olympus"},
    ],
)
def test_times_that_cannot_be_read_are_refused(project: Project, wrong: dict[str, Any]) -> None:
    given = {"every_seconds": None if "cron" in wrong else 3600} | wrong
    with pytest.raises(ValidationError):
        Schedule(project=project, name="x", kind="regression", **given).full_clean(exclude=["next_at"])


def test_a_job_with_wrong_arguments_is_refused(project: Project) -> None:
    def faults(kind: str, arguments: dict[str, Any]) -> dict[str, list[str]]:
        return schedules.faults(Schedule(project=project, kind=kind, arguments=arguments))

    assert faults("regression", {"service": "shop"})["arguments"]
    assert faults("evaluate", {"rule": "none"}) == {"arguments": ["rule: the project has no rule of this name."]}
    assert faults("evaluate", {"rule": "groundedness"}) == {}
    assert "evaluate" in faults("unknown", {})["kind"][0]


def test_beat_looks_at_the_times_of_a_schedule_until_it_is_paused_or_gone(project: Project) -> None:
    new = schedule(project, cron="0 * * * *")
    beat = DatabaseScheduler(app=app)
    assert beat.schedule[f"heliograph schedule {new.pk}"].task == "heliograph.evals.tasks.plan_schedules"
    assert "groundedness" in beat.schedule
    new.enabled = False
    new.store()
    assert not PeriodicTask.objects.get(name=f"heliograph schedule {new.pk}").enabled
    assert schedules.plan(due(new) + HOUR) == 0
    new.delete()
    assert not PeriodicTask.objects.filter(name__startswith="heliograph schedule").exists()


def test_a_paused_schedule_begins_anew_and_catches_nothing_up(project: Project) -> None:
    new = schedule(project, missed="each")
    Schedule.objects.filter(pk=new.pk).update(enabled=False, next_at=timezone.now() - 5 * HOUR)
    new.refresh_from_db()
    new.enabled = True
    new.store()
    assert due(new) > timezone.now()


def test_a_failed_run_is_tried_again_and_at_last_somebody_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regression, "check", lambda _: 1 / 0)
    new = schedule(project, retries=2)
    schedules.plan(due(new))
    for number in range(3):
        tasks.work_off_checks()
        run = Run.objects.filter(schedule=new, retry=number).get()
        assert (run.status, run.error) == (Run.Status.FAILED, "ZeroDivisionError: division by zero")
        assert Event.objects.exists() == (number == 2)
        waits = Run.objects.filter(schedule=new, status=Run.Status.QUEUED)
        assert [row.not_before > timezone.now() for row in waits if row.not_before] == [True] * (number < 2)
        waits.update(not_before=timezone.now())
    event = Event.objects.get(kind="schedule.failed")
    assert (event.body["name"], event.body["run"]) == ("nightly", run.pk)


def test_a_run_may_be_asked_for_now_and_done_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regression, "check", lambda run: {"run": run.pk})
    new = schedule(project, enabled=False)
    run = schedules.run_now(new, None)
    tasks.work_off_checks()
    run.refresh_from_db()
    assert (run.status, run.result) == (Run.Status.DONE, {"run": run.pk})
    more = schedules.again(run, None)
    tasks.work_off_checks()
    more.refresh_from_db()
    assert more.status == Run.Status.DONE


def test_the_period_of_a_rule_is_evaluated_and_a_killed_run_goes_on_where_it_stopped(
    store: str, project: Project
) -> None:
    now = datetime.now(UTC)
    store_spans(project.pk, *(answered("{}", received_at=now - timedelta(minutes=n + 1)) for n in range(5)))
    rule = EvaluationRule(project=project, name="valid", evaluator="json_schema", enabled=False)
    rule.begin()
    run = Run.objects.create(project=project, kind="evaluate", arguments={"rule": "valid", "hours": 24})
    # As a worker leaves it that was killed behind the newest two.
    place = {
        "us": int((now - timedelta(minutes=2, seconds=30)).timestamp() * 1e6),
        "trace": "",
        "span": "",
        "judged": 2,
    }
    Run.objects.filter(pk=run.pk).update(place=place, scored=2)
    tasks.work_off_checks()
    run.refresh_from_db()
    assert (run.status, run.scored, run.result["spans"]) == (Run.Status.DONE, 5, 5), run.error
    assert len(stored(project)) == 3
    assert "goes on behind 2 spans" in run.log
    # Once more: only what has no verdict yet.
    again = Run.objects.create(project=project, kind="evaluate", arguments={"rule": "valid"})
    tasks.work_off_checks()
    again.refresh_from_db()
    assert again.scored == 2
    assert len(stored(project)) == 5


def test_a_kind_of_job_has_one_meaning() -> None:
    with pytest.raises(ValueError, match="is registered for"):
        jobs.register("regression", label="Comparison", work="heliograph.other:run", schema={"type": "object"})
