"""Answers judged once their trace is complete, or was given up: each once, whatever comes when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from heliograph.accounts.models import Project
from heliograph.evals import groundedness
from heliograph.evals.models import Watermark
from heliograph.rules.models import TraceWaiting
from tests.evals.test_groundedness_job import DOCUMENTS, LengthJudge, judge, stored  # noqa: F401  # a fixture
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
    return groundedness.score_new_spans(project).scored


def test_an_answer_waits_for_the_root_of_its_trace_and_is_judged_once(
    project: Project,
    judge: LengthJudge,  # noqa: F811
) -> None:
    trace_id, minute = new_trace_id(), timedelta(minutes=1)
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
    at_once = Watermark.objects.get(evaluator="groundedness").received_at_us
    TraceWaiting.objects.update(evaluators_wait=True)
    assert scored(project) == 0
    marks = Watermark.objects.exclude(evaluator="groundedness").values_list("received_at_us", flat=True)
    assert all(mark >= at_once for mark in marks)
    assert len(stored(project)) == 2
