"""What monitors found, as a number over time that a rule watches."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heliograph.accounts.models import Project
from heliograph.alerts import drift
from heliograph.gates.models import Look, Monitor
from heliograph.query.windows import Question

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
MINUTE = int(NOON.timestamp()) // 60


def look(monitor: Monitor, hours: float, *found: tuple[str, str, str], verdict: str = "no_drift") -> None:
    tests: list[dict[str, Any]] = []
    for place in (("input", "", ""), ("input", "service", "shop"), ("latency", "model", "large")):
        named = dict(zip(("signal", "segment_field", "segment_value"), place, strict=True))
        tests.append(named | {"is_found": place in found})
    at = NOON + timedelta(hours=hours)
    result = {"verdict": verdict, "tests": [] if verdict == "not_enough_data" else tests}
    Look.objects.create(monitor=monitor, until=at, status="done", finished_at=at, result=result)


def test_the_newest_look_says_whether_there_is_drift_until_two_looks_are_missed(project: Project) -> None:
    monitor = Monitor.objects.create(project=project, name="Daily", every_hours=24)
    look(monitor, 0)
    look(monitor, 24, ("input", "service", "shop"), ("latency", "model", "large"), verdict="drift")
    look(monitor, 48, verdict="not_enough_data")
    other = Project.objects.create(
        id=project.pk + 2**31, organization=project.organization, name="Other", slug=f"other-{project.pk}"
    )
    look(Monitor.objects.create(project=other, name="Theirs"), 1, ("input", "", ""), verdict="drift")

    before, first, second, stale = (MINUTE + 60 * hours for hours in (0, 1, 25, 24 + 51))
    each = Question("drift", 60, by=("service", "signal"))
    shop = Question("drift", 60, by=("monitor",), only=(("service", ("shop",)),))
    ends = {before, first, second, stale}
    answers = drift.values(project.pk, {each: ends, shop: {first, second}})
    assert answers[shop] == {("Daily",): {first: 0.0, second: 1.0}}
    assert answers[each] == {
        ("", "input"): {first: 0.0, second: 0.0},
        ("shop", "input"): {first: 0.0, second: 1.0},
        # A segment by something else than its service is of all services.
        ("", "latency"): {first: 0.0, second: 1.0},
    }
    assert drift.values(project.pk, {each: set()}) == {each: {}}


def test_the_looks_of_all_monitors_are_one_question_and_each_stands_for_its_own_time(
    project: Project, django_assert_num_queries: Any
) -> None:
    daily = Monitor.objects.create(project=project, name="Daily", every_hours=24)
    hourly = Monitor.objects.create(project=project, name="Hourly", every_hours=1)
    look(daily, 0, ("input", "", ""), verdict="drift")
    look(hourly, 0)
    look(hourly, 1, ("input", "", ""), verdict="drift")
    first, later = (MINUTE + 60 * hours for hours in (2, 20))
    question = Question("drift", 60, by=("monitor",), only=(("service", ("",)), ("signal", ("input",))))
    with django_assert_num_queries(2):
        answers = drift.values(project.pk, {question: {first, later}})
    # Two looks of the hourly one are missed by then, none of the daily one.
    assert answers[question] == {("Daily",): {first: 1.0, later: 1.0}, ("Hourly",): {first: 1.0}}
