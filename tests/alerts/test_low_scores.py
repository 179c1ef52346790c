"""Single low verdicts that become events, also where they come long after what they judge, or after they were given."""

from datetime import UTC, datetime, timedelta

import pytest

from heliograph.accounts.models import Project
from heliograph.alerts import low_scores
from heliograph.alerts.models import Rule
from heliograph.events.models import Event
from heliograph.query.filters import to_ns
from heliograph.query.scores import Score, write_scores
from tests.query.rows import new_trace_id

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
# Past the time in which inserts end.
SOON = timedelta(seconds=11)


@pytest.fixture(autouse=True)
def watching(project: Project) -> None:
    Rule.objects.create(
        project=project, name="Bad answers", measure="score_below", kind="threshold", score_name="helpfulness",
        condition={"side": "above", "bound": 0.5}, window=5, score_bound=3, each_score=True,
    )  # fmt: skip


def verdict(value: float, days_ago: float, source: str = "human", **fields: str) -> Score:
    time_ns = to_ns(datetime.now(UTC) - timedelta(days=days_ago))
    usual = {"score_id": "one", "trace_id": new_trace_id(), "name": "helpfulness"}
    return Score(value=value, time_ns=time_ns, source=source, **(usual | fields))  # type: ignore[arg-type]  # texts


def told(project: Project, later: timedelta = SOON) -> list[str]:
    Event.objects.filter(project=project).delete()
    low_scores.record_new(project, datetime.now(UTC) + later)
    return [event.body["trace_id"] for event in Event.objects.filter(project=project)]


def test_a_verdict_that_waited_for_the_store_is_told_of_when_it_is_stored(project: Project) -> None:
    assert told(project, timedelta()) == []  # everything up to now is told of
    late, fine = verdict(1, 0.1), verdict(5, 0.1)
    given = datetime.now(UTC) - timedelta(hours=2)
    write_scores(project.pk, [late, fine], 90, as_of=given)
    assert told(project) == [late.trace_id]
    assert told(project, 2 * SOON) == []


def test_a_person_s_word_on_an_old_answer_is_news_and_an_evaluator_s_is_not(project: Project) -> None:
    old = verdict(1, 60)
    write_scores(project.pk, [old, verdict(1, 60, source="evaluator")], 90)
    assert told(project) == [old.trace_id]


def test_what_was_judged_anew_counts_by_its_last_word(project: Project) -> None:
    first = verdict(1, 1)
    now = datetime.now(UTC)
    write_scores(project.pk, [first], 90, as_of=now - timedelta(minutes=2))
    write_scores(project.pk, [verdict(5, 1, trace_id=first.trace_id)], 90, as_of=now - timedelta(minutes=1))
    # A writer that was killed comes with the first version again.
    write_scores(project.pk, [first], 90, as_of=now - timedelta(minutes=2))
    assert told(project) == []
