"""New answers are judged once each, by watermark, whatever dies in between."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
import torch
from django.utils import timezone

from evaluators.score import Sample, Score
from heliograph.accounts.models import Project
from heliograph.clickhouse import errors
from heliograph.evals import groundedness, tasks
from heliograph.evals.models import Run, Watermark
from heliograph.query import scores
from tests.query.rows import HOUR, llm, new_trace_id, span, store_spans

pytestmark = pytest.mark.django_db

DOCUMENTS = json.dumps([{"content": "The refund takes five days."}])


class LengthJudge:
    """Judges by length, so that verdicts can be told apart, and keeps what it was given."""

    name = "groundedness"
    arguments: Mapping[str, Any] = {"threshold": 0.5}
    revision = "length-1"

    def __init__(self) -> None:
        self.seen: list[Sample] = []

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        self.seen += samples
        return [self._judge(sample) for sample in samples]

    __call__ = score

    def _judge(self, sample: Sample) -> Score:
        if "Ünübersetzt" in sample.answer:
            return Score.unscored("the answer is not in English")
        return Score(min(1.0, len(sample.answer) / 100), "grounded", "by its length")


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> LengthJudge:
    one = LengthJudge()
    monkeypatch.setattr(groundedness, "scorer", lambda: one)
    monkeypatch.setattr(groundedness, "SETTLE", timedelta(0))
    return one


def answered(text: str, **fields: Any) -> dict[str, Any]:
    return llm(new_trace_id(), 10, output=text, documents=DOCUMENTS, **fields)


def stored(project: Project) -> list[scores.Score]:
    return list(scores.list_scores(project.pk, scores.ScoreFilter(range=HOUR), limit=1000).items)


def test_a_new_answer_gets_its_verdict(store: str, project: Project, judge: LengthJudge) -> None:
    row = answered("Five days.", service="shop", release="1.4.0", session_id="s")
    store_spans(project.pk, row)
    assert groundedness.score_new_spans(project).scored == 1
    (score,) = stored(project)
    assert (score.trace_id, score.span_id, score.value) == (row["trace_id"], row["span_id"], 0.1)
    assert (score.evaluator, score.evaluator_revision, score.release) == ("groundedness", "length-1", "1.4.0")
    assert judge.seen[0].context == "The refund takes five days."


def test_a_second_pass_judges_nothing_again(store: str, project: Project, judge: LengthJudge) -> None:
    store_spans(project.pk, *(answered(f"answer {number}") for number in range(150)))
    assert groundedness.score_new_spans(project).scored == 150
    assert groundedness.score_new_spans(project).scored == 0
    assert len(judge.seen) == len(stored(project)) == 150


def test_a_span_that_comes_later_is_found(store: str, project: Project, judge: LengthJudge) -> None:
    store_spans(project.pk, answered("first"))
    groundedness.score_new_spans(project)
    store_spans(project.pk, answered("second, though it started earlier", start_time=HOUR.start_ns))
    assert groundedness.score_new_spans(project).scored == 1


def test_a_crash_between_storing_and_moving_on_scores_nothing_twice(
    store: str, project: Project, judge: LengthJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_spans(project.pk, *(answered(f"answer {number}") for number in range(100)))
    with monkeypatch.context() as broken:
        broken.setattr(Watermark, "advance", _die)
        with pytest.raises(RuntimeError):
            groundedness.score_new_spans(project)
    assert len(stored(project)) == groundedness.BATCH
    groundedness.score_new_spans(project)
    assert len(judge.seen) == 100 + groundedness.BATCH
    assert len({score.span_id for score in stored(project)}) == len(stored(project)) == 100


def _die(*_: object) -> None:
    raise RuntimeError("killed")


def test_a_store_that_fails_leaves_the_watermark_where_it_was(
    store: str, project: Project, judge: LengthJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_spans(project.pk, answered("first"))
    with monkeypatch.context() as broken:
        broken.setattr(scores, "write_scores", _unavailable)
        tasks.score_new_spans()
    assert Watermark.objects.get(project=project).received_at_us == 0
    tasks.score_new_spans()
    assert len(stored(project)) == 1


def _unavailable(*_: object) -> None:
    raise errors.UnavailableError("away")


def test_an_answer_without_documents_gets_no_verdict(store: str, project: Project, judge: LengthJudge) -> None:
    store_spans(project.pk, llm(new_trace_id(), 10, output="Hello."))
    tally = groundedness.score_new_spans(project)
    assert (tally.scored, tally.unscored, judge.seen) == (0, 0, [])


def test_the_documents_of_the_retriever_before_it_are_its_context(
    store: str, project: Project, judge: LengthJudge
) -> None:
    trace_id = new_trace_id()
    store_spans(
        project.pk,
        span(trace_id, 1, kind="retriever", documents=DOCUMENTS, parent_span_id="f" * 16),
        llm(trace_id, 2, output="Five days."),
    )
    assert groundedness.score_new_spans(project).scored == 1


def test_an_abstention_is_stored_with_its_reason_and_no_number(
    store: str, project: Project, judge: LengthJudge
) -> None:
    store_spans(project.pk, answered("Ünübersetzt"))
    assert groundedness.score_new_spans(project).unscored == 1
    (score,) = stored(project)
    assert (score.value, score.label) == (None, "unscored")
    assert "English" in score.explanation


def test_two_workers_do_not_judge_at_once(store: str, project: Project, judge: LengthJudge) -> None:
    store_spans(project.pk, answered("first"))
    held = Watermark.claim(project, groundedness.NAME)
    assert held is not None
    assert groundedness.score_new_spans(project).scored == 0
    held.release()
    assert groundedness.score_new_spans(project).scored == 1


def test_the_claim_of_a_killed_worker_runs_out(store: str, project: Project, judge: LengthJudge) -> None:
    store_spans(project.pk, answered("first"))
    held = Watermark.claim(project, groundedness.NAME)
    assert held is not None
    Watermark.objects.filter(pk=held.pk).update(leased_until=timezone.now() - timedelta(seconds=1))
    assert groundedness.score_new_spans(project).scored == 1


def test_each_project_is_judged_apart(store: str, project: Project, judge: LengthJudge) -> None:
    other = Project.objects.create(
        id=project.pk + 10**6, organization=project.organization, name="Other", slug=f"other-{project.pk}"
    )
    store_spans(project.pk, answered("mine"))
    store_spans(other.pk, answered("theirs"))
    groundedness.score_new_spans(project)
    assert len(stored(project)) == 1
    assert stored(other) == []


def test_a_pass_leaves_a_line_of_history(store: str, project: Project, judge: LengthJudge) -> None:
    store_spans(project.pk, answered("first"), answered("Ünübersetzt"))
    groundedness.score_new_spans(project)
    run = Run.objects.get(project=project)
    assert (run.scored, run.unscored, run.status) == (1, 1, Run.Status.DONE)


class ChokingJudge(LengthJudge):
    """Raises `error` when an answer holds `poison`."""

    poison = "poison"

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def _judge(self, sample: Sample) -> Score:
        if self.poison in sample.answer:
            raise self.error
        return super()._judge(sample)


@pytest.fixture
def choke(judge: LengthJudge, monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], ChokingJudge]:
    def use(error: Exception) -> ChokingJudge:
        one = ChokingJudge(error)
        monkeypatch.setattr(groundedness, "scorer", lambda: one)
        return one

    return use


def test_an_answer_that_the_scorer_fails_on_is_set_aside_and_the_others_are_judged(
    store: str, project: Project, choke: Callable[[Exception], ChokingJudge]
) -> None:
    choke(ValueError("what is this"))
    store_spans(project.pk, answered("first"), answered("poison"), answered("third"))
    tally = groundedness.score_new_spans(project)
    assert (tally.scored, tally.unscored) == (2, 1)
    (aside,) = [score for score in stored(project) if score.value is None]
    assert aside.label == "unscored"
    assert "ValueError: what is this" in aside.explanation
    store_spans(project.pk, answered("fourth"))
    assert groundedness.score_new_spans(project).scored == 1


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_short_memory_sets_nothing_aside(
    store: str, project: Project, choke: Callable[[Exception], ChokingJudge], error: Exception
) -> None:
    choke(error)
    store_spans(project.pk, answered("first"), answered("poison"))
    with pytest.raises(type(error)):
        groundedness.score_new_spans(project)
    assert stored(project) == []
    assert Watermark.objects.get(project=project).received_at_us == 0


def test_a_scorer_that_fails_on_everything_sets_nothing_aside_and_the_page_tells_once(
    store: str, project: Project, choke: Callable[[Exception], ChokingJudge]
) -> None:
    choke(RuntimeError("the device is lost")).poison = ""
    store_spans(project.pk, answered("first"))
    for _ in range(2):
        tasks.score_new_spans()
    assert stored(project) == []
    run = Run.objects.get(project=project)
    assert (run.status, run.error) == (Run.Status.FAILED, "RuntimeError: the device is lost")


def test_a_scorer_that_fails_holds_up_neither_other_projects_nor_checks(
    store: str, project: Project, choke: Callable[[Exception], ChokingJudge]
) -> None:
    choke(MemoryError())
    other = Project.objects.create(
        id=project.pk + 10**6, organization=project.organization, name="Aardvark", slug=f"aardvark-{project.pk}"
    )
    store_spans(other.pk, answered("poison"))
    store_spans(project.pk, answered("first"))
    run = Run.objects.create(project=project, kind=Run.Kind.DRIFT, arguments={"service": "none"})
    tasks.score_new_spans()
    assert len(stored(project)) == 1
    run.refresh_from_db()
    assert run.status == Run.Status.DONE
