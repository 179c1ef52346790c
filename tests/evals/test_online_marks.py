"""What a rule looks at: which spans, in which order, within which budget, and what a dead worker leaves behind."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from evaluators.score import Score
from heliograph.accounts.models import Project
from heliograph.evals.models import EvaluationRule, Gap, RuleDay, RuleState, SetAside
from heliograph.evals.online import marks, passes
from heliograph.evals.online.worker import take_turn
from heliograph.query import online, scores
from heliograph.query.evaluation import Watermark
from tests.evals.test_online_rules import LengthJudge, answered, judge, rule_of, stored, turn  # noqa: F401  # a fixture
from tests.query.rows import llm, new_trace_id, span, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]


def ago(**length: float) -> datetime:
    return datetime.now(UTC) - timedelta(**length)


def rule(project: Project, since: datetime, **fields: object) -> EvaluationRule:
    new = EvaluationRule(project=project, name="valid", evaluator="json_schema", **fields)
    new.full_clean()
    new.begin(since)
    return new


def test_a_backlog_is_worked_off_newest_first_and_what_comes_meanwhile_goes_before_it(
    project: Project,
    judge: LengthJudge,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    RuleState.objects.update(batch=16)
    for minute in range(40):
        store_spans(project.pk, answered(f"old {minute:02}", received_at=ago(minutes=90 - minute)))

    def arrive(*_: object) -> list[Score]:
        if not judge.seen:
            store_spans(project.pk, answered("new", received_at=datetime.now(UTC)))
        # As if it took the evaluator longer than a rule goes on without looking for what came, this once.
        monkeypatch.setattr(passes, "NOTICE_SECONDS", 1e9 if judge.seen else -1.0)
        return LengthJudge.score(judge, *_)

    monkeypatch.setattr(judge, "score", arrive)
    assert take_turn(rule_of(project), 600.0)[0].scored == 41
    texts = [sample.answer for sample in judge.seen]
    assert texts == [f"old {minute:02}" for minute in range(39, 23, -1)] + ["new"] + [
        f"old {minute:02}" for minute in range(23, -1, -1)
    ]


def test_a_rule_judges_what_its_filter_names_and_begins_where_it_is_told_to(project: Project) -> None:
    store_spans(
        project.pk,
        answered("[1]", service="shop", received_at=ago(hours=2)),
        answered("[2]", service="shop", received_at=ago(minutes=5)),
        answered("no", service="bank", received_at=ago(minutes=5)),
        span(new_trace_id(), 1, service="shop", output="{", kind="agent", received_at=ago(minutes=5)),
    )
    assert take_turn(rule(project, ago(hours=1), filter="service:shop"))[0].scored == 2
    assert sorted(score.value or 0.0 for score in stored(project)) == [0.0, 1.0]


def test_the_sample_is_drawn_by_trace_and_the_same_whenever_it_is_drawn(project: Project) -> None:
    traces = [new_trace_id() for _ in range(400)]
    store_spans(project.pk, *(llm(trace, 1, output="{}", received_at=ago(minutes=5)) for trace in traces * 2))
    sampled = rule(project, ago(hours=1), rate=0.25)
    take_turn(sampled)
    first = {score.trace_id for score in stored(project)}
    assert 60 <= len(first) <= 140
    assert len(stored(project)) == 2 * len(first)
    sampled.delete()
    take_turn(rule(project, ago(hours=1), rate=0.5))
    assert first < {score.trace_id for score in stored(project)}


def test_the_budget_of_a_day_ends_it_and_the_rest_waits_for_the_next(
    project: Project,
    judge: LengthJudge,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dear(samples: list[object]) -> list[Score]:
        return [Score(1.0, "5", "", {"usage": {"usd": "0.01", "is_remote": True}}) for _ in samples]

    monkeypatch.setattr(judge, "score", dear)
    RuleState.objects.update(batch=16)
    store_spans(project.pk, *(answered(f"{n}", received_at=ago(minutes=5)) for n in range(60)))
    limited = rule_of(project)
    limited.usd_a_day = Decimal("0.30")
    limited.save()
    # One alone says what one costs; then as many as the rest pays for, and not a batch of 16 more.
    assert turn(project).scored == 30
    assert turn(project).scored == 0
    day = RuleDay.objects.get(rule=limited)
    assert (day.usd, day.device_seconds) == (Decimal("0.30"), 0)
    # What a dead worker left in its hands waits for the next day as well.
    gap = Gap.objects.earliest("place_us")
    before = Watermark(gap.place_us, gap.place_trace, gap.place_span)
    (left,) = online.newest(project.pk, passes.ever(""), 1.0, 0, before, limit=1)
    held = {"spans": [[left.trace_id, left.span_id, 0]], "gap": gap.pk}
    place = [left.watermark.received_us, left.trace_id, left.span_id]
    RuleState.objects.update(in_flight=held | {"place": place})
    assert turn(project).scored == 0
    RuleDay.objects.update(day=ago(days=1).date())
    assert turn(project).scored == 30
    assert len(stored(project)) == 60


def test_a_span_that_became_visible_long_after_its_time_stamp_is_found_and_no_other_judged_again(
    project: Project,
    judge: LengthJudge,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store_spans(project.pk, *(answered(f"{n}", received_at=ago(minutes=2)) for n in range(3)))
    RuleState.objects.update(spans_us=marks.microseconds(ago(hours=1)), swept_us=marks.microseconds(ago(hours=1)))
    assert turn(project).scored == 3
    # Its insert was held up for minutes: what was read then did not have it.
    store_spans(project.pk, answered("late", received_at=ago(minutes=2)))
    assert turn(project).scored == 0
    monkeypatch.setattr(marks, "LATE", timedelta(minutes=1))
    assert turn(project).scored == 1
    assert [sample.answer for sample in judge.seen][3:] == ["late"]
    assert not Gap.objects.exists()
    assert turn(project).scored == 0


def test_nothing_is_looked_for_a_second_time_where_it_waits_for_the_first(
    project: Project,
    judge: LengthJudge,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store_spans(project.pk, *(answered(f"{n}", received_at=ago(minutes=2)) for n in range(3)))
    RuleState.objects.update(spans_us=marks.microseconds(ago(hours=1)), swept_us=marks.microseconds(ago(hours=1)))
    limited = rule_of(project)
    limited.device_seconds_a_day = 0.0
    limited.save()
    assert turn(project).scored == 0
    monkeypatch.setattr(marks, "LATE", timedelta(minutes=1))
    assert turn(project).scored == 0
    assert Gap.objects.count() == 1
    limited.device_seconds_a_day = None
    limited.save()
    assert turn(project).scored == 3
    assert len(judge.seen) == 3


def test_a_rule_that_stands_still_has_one_gap_and_says_how_much_waits(project: Project) -> None:
    spent = rule(project, ago(hours=1), device_seconds_a_day=0.0)
    store_spans(project.pk, *(answered("{}", received_at=ago(minutes=minute)) for minute in (3, 2, 1)))
    for _ in range(3):
        assert take_turn(spent)[0].scored == 0
    gap = Gap.objects.get(rule=spent)
    found = online.waiting(project.pk, passes.ever(""), 1.0, [(gap.start_us, gap.place_us)])
    assert found.spans == 3
    assert found.oldest is not None
    assert abs(found.oldest - ago(minutes=3)) < timedelta(seconds=30)


def test_what_a_dead_worker_held_is_judged_alone_and_what_kills_three_is_set_aside(
    project: Project,
    judge: LengthJudge,  # noqa: F811
) -> None:
    rows = [answered(f"answer {n}", received_at=ago(minutes=5)) for n in range(3)]
    store_spans(project.pk, *rows)
    (deadly, done, open_) = [(row["trace_id"], row["span_id"]) for row in rows]
    state = rule_of(project).progress
    marks.notice(rule_of(project), state)
    state.let_go()
    gap = Gap.objects.get(rule=state.rule)
    place = [marks.microseconds(ago(minutes=6)), "", ""]
    # The worker died with three in its hands, one of which had its verdict, and three times with the deadly one alone.
    score = scores.Score(score_id="s", trace_id=done[0], span_id=done[1], time_ns=0, name="groundedness",
                         value=1.0, source="evaluator")  # fmt: skip
    scores.write_scores(project.pk, [score], 90)
    held = [[*deadly, passes.MAX_DEATHS], [*done, 0], [*open_, 0]]
    RuleState.objects.update(in_flight={"spans": held, "gap": gap.pk, "place": place})
    tally = turn(project)
    assert (tally.scored, tally.aside) == (1, 1)
    assert [sample.id for sample in judge.seen] == [open_[1]]
    aside = SetAside.objects.get(rule=state.rule)
    assert (aside.trace_id, aside.span_id) == deadly
    assert "ended 3 times" in aside.reason
    assert {row.span_id: row.label for row in stored(project)} == {
        deadly[1]: "unscored", done[1]: "", open_[1]: "grounded"
    }  # fmt: skip
    assert rule_of(project).progress.in_flight == {}


def test_a_suspect_that_the_store_fails_on_is_not_blamed(
    project: Project,
    judge: LengthJudge,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = answered("answer", received_at=ago(minutes=5))
    store_spans(project.pk, row)
    held = {"spans": [[row["trace_id"], row["span_id"], 2]]}
    RuleState.objects.update(in_flight=held)
    with monkeypatch.context() as broken:
        broken.setattr(scores, "write_scores", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            turn(project)
    assert rule_of(project).progress.in_flight["spans"] == held["spans"]
    turn(project)
    assert rule_of(project).progress.in_flight == {}
    assert [score.value for score in stored(project)] == [0.06]
