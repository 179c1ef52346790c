"""New answers are judged once each, newest first, whatever dies in between."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
import torch
from django.core.exceptions import ValidationError
from django.utils import timezone
from pytest_django import Settings

from evaluators.score import Sample, Score
from heliograph.accounts.models import Project
from heliograph.clickhouse import errors
from heliograph.datasets import scoring
from heliograph.datasets.models import Experiment
from heliograph.evals import tasks
from heliograph.evals.models import EvaluationRule, Gap, LostClaimError, RuleDay, RuleState, Run, SetAside
from heliograph.evals.online import marks, passes, scorers
from heliograph.evals.online.passes import RulePass, Tally
from heliograph.evals.online.worker import take_turn
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
    monkeypatch.setattr(passes, "scorer_of", lambda rule: one)
    monkeypatch.setattr(marks, "SETTLE", timedelta(0))
    return one


def rule_of(project: Project) -> EvaluationRule:
    """The rule that every project begins with."""
    return EvaluationRule.objects.get(project=project, name="groundedness")


def turn(project: Project) -> Tally:
    # On a busy machine, too, one turn does all that there is.
    return take_turn(rule_of(project), 600.0)[0]


def answered(text: str, **fields: Any) -> dict[str, Any]:
    return llm(new_trace_id(), 10, output=text, documents=DOCUMENTS, **fields)


def stored(project: Project) -> list[scores.Score]:
    return list(scores.list_scores(project.pk, scores.ScoreFilter(range=HOUR), limit=1000).items)


def test_a_new_answer_gets_its_verdict(store: str, project: Project, judge: LengthJudge) -> None:
    row = answered("Five days.", service="shop", release="1.4.0", session_id="s")
    store_spans(project.pk, row)
    assert turn(project).scored == 1
    (score,) = stored(project)
    assert (score.trace_id, score.span_id, score.value) == (row["trace_id"], row["span_id"], 0.1)
    assert (score.evaluator, score.evaluator_revision, score.release) == ("groundedness", "length-1", "1.4.0")
    assert judge.seen[0].context == "The refund takes five days."


def test_a_second_pass_judges_nothing_again(store: str, project: Project, judge: LengthJudge) -> None:
    store_spans(project.pk, *(answered(f"answer {number}") for number in range(150)))
    assert turn(project).scored == 150
    assert turn(project).scored == 0
    assert len(judge.seen) == len(stored(project)) == 150


def test_a_span_that_comes_later_is_found(store: str, project: Project, judge: LengthJudge) -> None:
    store_spans(project.pk, answered("first"))
    turn(project)
    store_spans(project.pk, answered("second, though it started earlier", start_time=HOUR.start_ns))
    assert turn(project).scored == 1


def test_a_crash_between_storing_and_moving_on_scores_nothing_twice(
    store: str, project: Project, judge: LengthJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_spans(project.pk, *(answered(f"answer {number}") for number in range(100)))
    with monkeypatch.context() as broken:
        broken.setattr(RulePass, "_count", _die)
        # As a kill: nothing of the turn is undone, and nothing is let go.
        broken.setattr(RulePass, "_forget", lambda *_: None)
        with pytest.raises(RuntimeError):
            turn(project)
    assert len(stored(project)) == len(judge.seen) == 64
    turn(project)
    assert len(judge.seen) == len({score.span_id for score in stored(project)}) == len(stored(project)) == 100


def _die(*_: object) -> None:
    raise RuntimeError("killed")


def test_a_store_that_fails_leaves_the_watermark_where_it_was(
    store: str, project: Project, judge: LengthJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_spans(project.pk, answered("first"))
    with monkeypatch.context() as broken:
        broken.setattr(scores, "write_scores", _unavailable)
        tasks.score_new_spans()
    assert RuleState.objects.get(rule__project=project).error == errors.UnavailableError("away").user_text
    assert Gap.objects.filter(rule__project=project).exists()
    tasks.score_new_spans()
    assert RuleState.objects.get(rule__project=project).error == ""
    assert len(stored(project)) == 1


def _unavailable(*_: object) -> None:
    raise errors.UnavailableError("away")


def test_an_answer_without_documents_gets_no_verdict(store: str, project: Project, judge: LengthJudge) -> None:
    store_spans(project.pk, llm(new_trace_id(), 10, output="Hello."))
    tally = turn(project)
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
    assert turn(project).scored == 1


def test_an_abstention_is_stored_with_its_reason_and_no_number(
    store: str, project: Project, judge: LengthJudge
) -> None:
    store_spans(project.pk, answered("Ünübersetzt"))
    assert turn(project).unscored == 1
    (score,) = stored(project)
    assert (score.value, score.label) == (None, "unscored")
    assert "English" in score.explanation


def test_two_workers_do_not_judge_at_once(store: str, project: Project, judge: LengthJudge) -> None:
    store_spans(project.pk, answered("first"))
    held = rule_of(project).progress
    assert held.take()
    assert turn(project).scored == 0
    held.let_go()
    assert turn(project).scored == 1


@pytest.mark.parametrize("sign", ["its lease ran out", "its process is gone"])
def test_what_a_killed_worker_held_is_taken_over(store: str, project: Project, judge: LengthJudge, sign: str) -> None:
    store_spans(project.pk, answered("first"))
    held = rule_of(project).progress
    assert held.take()
    if sign == "its process is gone":
        host, pid, started, token = held.claim.split("/")
        RuleState.objects.update(claim=f"{host}/{pid}/{int(started) - 1}/{token}")
    else:
        RuleState.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    assert turn(project).scored == 1
    with pytest.raises(LostClaimError):
        held.change(batch=1)


def test_each_project_is_judged_apart(store: str, project: Project, judge: LengthJudge) -> None:
    other = Project.objects.create(
        id=project.pk + 10**6, organization=project.organization, name="Other", slug=f"other-{project.pk}"
    )
    store_spans(project.pk, answered("mine"))
    store_spans(other.pk, answered("theirs"))
    turn(project)
    assert len(stored(project)) == 1
    assert stored(other) == []


def test_a_day_counts_what_was_judged_and_what_it_took(store: str, project: Project, judge: LengthJudge) -> None:
    store_spans(project.pk, answered("first"), answered("Ünübersetzt"))
    turn(project)
    store_spans(project.pk, answered("second"))
    turn(project)
    day = RuleDay.objects.get(rule__project=project)
    assert (day.scored, day.unscored) == (2, 1)
    assert day.device_seconds > 0


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
        monkeypatch.setattr(passes, "scorer_of", lambda rule: one)
        return one

    return use


def test_an_answer_that_the_scorer_fails_on_is_set_aside_and_the_others_are_judged(
    store: str, project: Project, choke: Callable[[Exception], ChokingJudge]
) -> None:
    choke(ValueError("what is this"))
    store_spans(project.pk, answered("first"), answered("poison"), answered("third"))
    tally = turn(project)
    assert (tally.scored, tally.unscored) == (2, 1)
    (aside,) = [score for score in stored(project) if score.value is None]
    assert aside.label == "unscored"
    assert "ValueError: what is this" in aside.explanation
    store_spans(project.pk, answered("fourth"))
    assert turn(project).scored == 1


def test_a_person_has_a_set_aside_answer_tried_again(
    store: str, project: Project, choke: Callable[[Exception], ChokingJudge]
) -> None:
    one = choke(ValueError("what is this"))
    store_spans(project.pk, answered("poison"))
    turn(project)
    for tries in (1, 1):  # it fails once more, and is back
        aside = SetAside.objects.get(rule=rule_of(project))
        assert (aside.tries, aside.reason) == (tries, "ValueError: what is this")
        SetAside.objects.update(retry_wanted=True)
        assert turn(project).scored == 0
    one.poison = "nothing"
    SetAside.objects.update(retry_wanted=True)
    assert turn(project).scored == 1
    assert not SetAside.objects.exists()
    assert [score.value for score in stored(project)] == [0.06]


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_short_memory_sets_nothing_aside(
    store: str, project: Project, choke: Callable[[Exception], ChokingJudge], error: Exception
) -> None:
    choke(error)
    store_spans(project.pk, answered("first"), answered("poison"))
    with pytest.raises(type(error)):
        turn(project)
    assert stored(project) == []
    assert Gap.objects.filter(rule=rule_of(project)).exists()
    assert not SetAside.objects.exists()
    assert rule_of(project).progress.in_flight == {}


def test_a_scorer_that_fails_on_everything_sets_nothing_aside_and_the_rule_says_why(
    store: str, project: Project, choke: Callable[[Exception], ChokingJudge]
) -> None:
    choke(RuntimeError("the device is lost")).poison = ""
    store_spans(project.pk, answered("first"))
    for _ in range(2):
        tasks.score_new_spans()
    assert stored(project) == []
    assert rule_of(project).progress.error == "RuntimeError: the device is lost"


def test_a_scorer_that_fails_holds_up_neither_other_projects_nor_checks(
    store: str, project: Project, choke: Callable[[Exception], ChokingJudge]
) -> None:
    choke(MemoryError())
    other = Project.objects.create(
        id=project.pk + 10**6, organization=project.organization, name="Aardvark", slug=f"aardvark-{project.pk}"
    )
    store_spans(other.pk, answered("poison"))
    store_spans(project.pk, answered("first"))
    run = Run.objects.create(
        project=project, kind="regression", arguments={"service": "none", "baseline": "1", "candidate": "2"}
    )
    tasks.score_new_spans()
    assert len(stored(project)) == 1
    run.refresh_from_db()
    assert run.status == Run.Status.DONE


def test_a_rule_names_no_model_that_the_operator_has_not_listed(project: Project, settings: Settings) -> None:
    rule = rule_of(project)
    settings.EVALUATOR_MODELS = ["KRLabsOrg/lettucedect-base-modernbert-en-v1"]
    for unlisted in ("/etc", "somebody/else", ""):
        rule.arguments = {"model": unlisted}
        with pytest.raises(ValidationError, match="no model that projects may choose"):
            rule.full_clean()
    rule.arguments = {"model": "KRLabsOrg/lettucedect-base-modernbert-en-v1"}
    rule.full_clean()
    rule.save()
    # The list has become shorter since: the worker loads nothing, and says so.
    settings.EVALUATOR_MODELS = []
    with pytest.raises(ValueError, match="HELIOGRAPH_EVALUATOR_MODELS"):
        scorers.scorer_of(rule)
    stored = {"evaluator": "groundedness", "arguments": rule.arguments}
    with pytest.raises(ValueError, match="HELIOGRAPH_EVALUATOR_MODELS"):
        scoring._scorer_of(Experiment(project=project), stored)
    rule.evaluator, rule.arguments = "pii", {"presidio": "patterns"}
    rule.full_clean()
