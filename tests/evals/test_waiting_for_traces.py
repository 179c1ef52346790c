"""Answers judged once their trace is complete, or was given up: each once, whatever comes when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from heliograph.accounts.models import Project
from heliograph.evals.models import RuleState
from heliograph.query import completeness
from heliograph.rules.models import TraceWaiting
from tests.evals.test_online_rules import DOCUMENTS, LengthJudge, judge, stored, turn  # noqa: F401  # a fixture
from tests.query.rows import llm, new_trace_id, span, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
ROOT = "a" * 16


@pytest.fixture(autouse=True)
def waits(project: Project) -> None:
    TraceWaiting.objects.create(project=project, evaluators_wait=True)


def call(trace_id: str, text: str, ago: timedelta, **fields: Any) -> dict[str, Any]:
    at = datetime.now(UTC) - ago
    return llm(trace_id, 10, output=text, documents=DOCUMENTS, parent_span_id=ROOT, received_at=at, **fields)


def root(trace_id: str, ago: timedelta, **fields: Any) -> dict[str, Any]:
    return span(trace_id, 1, span_id=ROOT, received_at=datetime.now(UTC) - ago, **fields)


def scored(project: Project) -> int:
    return turn(project).scored


def test_an_answer_waits_for_the_root_of_its_trace_and_is_judged_once(
    project: Project,
    judge: LengthJudge,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace_id, minute = new_trace_id(), timedelta(minutes=1)
    # The clock of waiting, half a minute behind each arrival: what comes is never stored behind what was noticed.
    begun = datetime.now(UTC)
    clock = iter([2.5, 1.5, 1.4, 0.5])
    monkeypatch.setattr(completeness, "quiet_since", lambda: begun - next(clock) * minute)
    store_spans(project.pk, call(trace_id, "Five days.", 3 * minute, is_entry=True))
    assert scored(project) == 0
    store_spans(project.pk, root(trace_id, 2 * minute))
    assert scored(project) == 1
    assert scored(project) == 0
    # A late span: the trace is met again, and only what is new is judged.
    store_spans(project.pk, call(trace_id, "Six days.", minute))
    assert scored(project) == 1
    assert [sample.answer for sample in judge.seen] == ["Five days.", "Six days."]
    assert len(stored(project)) == 2


def test_a_trace_that_is_not_quiet_yet_waits(project: Project, judge: LengthJudge) -> None:  # noqa: F811
    trace_id = new_trace_id()
    store_spans(project.pk, call(trace_id, "Five days.", timedelta(0)))
    store_spans(project.pk, root(trace_id, timedelta(0)))
    assert scored(project) == 0


def test_a_trace_that_never_gets_its_root_is_judged_when_it_is_given_up(
    project: Project,
    judge: LengthJudge,  # noqa: F811
    settings: Settings,
) -> None:
    store_spans(project.pk, call(new_trace_id(), "Five days.", timedelta(minutes=5), is_entry=True))
    assert scored(project) == 0
    settings.TRACE_GIVE_UP_SECONDS = 120
    assert scored(project) == 1
    assert scored(project) == 0


def test_waiting_that_is_switched_off_misses_nothing_and_on_again_walks_through_nothing_twice(
    project: Project,
    judge: LengthJudge,  # noqa: F811
    settings: Settings,
) -> None:
    whole, lacking = new_trace_id(), new_trace_id()
    store_spans(project.pk, call(whole, "Five days.", timedelta(minutes=5)))
    store_spans(project.pk, root(whole, timedelta(minutes=5)))
    store_spans(project.pk, call(lacking, "Not yet.", timedelta(minutes=4), is_entry=True))
    assert scored(project) == 1
    TraceWaiting.objects.update(evaluators_wait=False)
    scored(project)
    assert {sample.answer for sample in judge.seen} == {"Five days.", "Not yet."}
    at_once = RuleState.objects.get(rule__project=project).spans_us
    TraceWaiting.objects.update(evaluators_wait=True)
    assert scored(project) == 0
    state = RuleState.objects.get(rule__project=project)
    assert min(state.complete_us, state.given_up_us) >= at_once
    assert len(judge.seen) == len(stored(project)) == 2
