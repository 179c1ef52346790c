"""Measures over sliding windows: each question's answer is what its rows say, however many questions share a query."""

import statistics
from typing import Any

import pytest

from heliograph.clickhouse import client
from heliograph.query.filters import InvalidFilterError
from heliograph.query.measures import MEASURES
from heliograph.query.scores import Score, write_scores
from heliograph.query.windows import Question, values
from tests.gpus.conftest import Played
from tests.gpus.conftest import played as played  # noqa: PLC0414  # the fixture
from tests.query.rows import SECOND, START, at, llm, new_trace_id, span, store_rows, store_spans

pytestmark = pytest.mark.usefixtures("store")
FIRST = int(START.timestamp()) // 60


def asked(project_id: int, question: Question, *ends: int) -> dict[tuple[str, ...], dict[int, float]]:
    """The answer with ends counted from START."""
    found = values(project_id, {question: [FIRST + end for end in ends]})[question]
    return {labels: {end - FIRST: value for end, value in points.items()} for labels, points in found.items()}


def test_a_window_holds_its_minutes_and_no_other(project_id: int) -> None:
    store_spans(project_id, *(span(new_trace_id(), 60 * minute) for minute in (0, 1, 1, 4)))
    found = asked(project_id, Question("requests", 2), 0, 1, 2, 3, 4, 5, 7)
    assert found == {(): {0: 0, 1: 1, 2: 3, 3: 2, 4: 0, 5: 1, 7: 0}}
    assert asked(project_id, Question("request_rate", 5), 5) == {(): {5: 4 / 300}}


def test_questions_of_one_shape_are_answered_by_one_query(project_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        service = f"s{number}"
        store_spans(
            project_id,
            *(span(new_trace_id(), 1, service=service, duration_ns=(number + 1) * SECOND) for _ in range(3)),
            span(new_trace_id(), 1, service=service, status="error"),
        )
    queries: list[str] = []
    real = client.query

    def counting(project: int, sql: str, *given: Any, **named: Any) -> list[dict[str, Any]]:
        queries.append(sql)
        return real(project, sql, *given, **named)

    monkeypatch.setattr(client, "query", counting)
    questions = [
        Question(measure, 5, only=(("service", (f"s{number}",)),))
        for number in range(6)
        for measure in ("latency_p95", "error_rate")
    ]
    found = values(project_id, {question: [FIRST + 5] for question in questions})
    assert len(queries) == 1
    for number in range(6):
        p95, errors = (found[question][()][FIRST + 5] for question in questions[2 * number : 2 * number + 2])
        assert errors == 0.25
        assert p95 == pytest.approx(number + 1, rel=0.1)


def test_groups_and_alternatives_narrow_as_they_say(project_id: int) -> None:
    for service, model, cost in (("a", "x", 1), ("a", "y", 2), ("b", "x", 4), ("c", "x", 8)):
        store_spans(project_id, llm(new_trace_id(), 1, service=service, model=model, cost=cost, input_tokens=cost))
    by_model = Question("cost", 5, by=("model",), only=(("service", ("a", "b")),))
    assert asked(project_id, by_model, 5) == {("x",): {5: 5}, ("y",): {5: 2}}
    both = Question("input_tokens", 5, by=("service", "model"), only=(("model", ("x",)),))
    assert asked(project_id, both, 5) == {("a", "x"): {5: 1}, ("b", "x"): {5: 4}, ("c", "x"): {5: 8}}
    # A model is what roots lack, so calls are counted.
    assert asked(project_id, Question("requests", 5, only=(("model", ("x",)),)), 5) == {(): {5: 3}}


def test_nothing_counts_as_none_of_a_number_and_has_no_rate(project_id: int) -> None:
    store_spans(project_id, span(new_trace_id(), 1))
    assert asked(project_id, Question("errors", 1, by=("service",)), 1, 9) == {("shop",): {1: 0, 9: 0}}
    assert asked(project_id, Question("error_rate", 1, by=("service",)), 1, 9) == {("shop",): {1: 0}}
    assert asked(project_id, Question("latency_p50", 1), 9) == {}


def test_a_filter_picks_spans_and_its_numbers_are_those_of_the_rollup(project_id: int) -> None:
    for number in range(12):
        trace = new_trace_id()
        fields = {"usage_counted": True, "input_tokens": 10 + number, "output_tokens": 5 + number, "cost": number}
        fields |= {"status": "error" if number % 4 == 0 else "ok", "service": f"s{number % 2}"}
        times = {"duration_ns": (number + 1) * SECOND, "ttft_ns": (number + 1) * SECOND // 10}
        store_spans(project_id, span(trace, 60 * (number % 3), user_id=f"u{number % 3}", **fields, **times))
        store_spans(project_id, llm(trace, 60 * (number % 3), model="m", **times))
    keys = [key for key, measure in MEASURES.items() if measure.source == "spans"]
    for by in (("service",), ("model",)):
        all_spans = [Question(key, 2, by=by, filter="status:ok,error") for key in keys]
        found = values(project_id, {each: [FIRST + 2, FIRST + 3] for each in all_spans})
        rolled = values(project_id, {Question(key, 2, by=by): [FIRST + 2, FIRST + 3] for key in keys})
        for question in all_spans:
            expected = rolled[Question(question.measure, 2, by=by)]
            assert {labels: pytest.approx(points) for labels, points in expected.items()} == found[question]
    # What no rollup knows: one user's requests, of which the third minute has none but those of user 2.
    assert asked(project_id, Question("requests", 3, filter="user:u2"), 3) == {(): {3: 4}}
    assert asked(project_id, Question("requests", 1, filter="user:u2"), 2) == {(): {2: 0}}
    # Durations are 1 to 12 s; exactly at the bound is not slower.
    assert asked(project_id, Question("slow_rate", 3, bound=9.0), 3) == {(): {3: 0.25}}
    assert asked(project_id, Question("ttft_slow_rate", 3, bound=0.6), 3) == {(): {3: 0.5}}
    assert asked(project_id, Question("slow_rate", 3, bound=9.0, filter="user:u0"), 3) == {(): {3: 0.25}}


def test_silence_is_told_of_who_was_heard_of(project_id: int) -> None:
    store_spans(project_id, span(new_trace_id(), 0, service="a"), span(new_trace_id(), 60 * 3, service="b"))
    found = asked(project_id, Question("silence", 1, by=("service",)), 0, 1, 4, 10)
    assert found == {("a",): {1: 0, 4: 3, 10: 9}, ("b",): {4: 0, 10: 6}}


def test_scores_are_those_of_their_name_bound_and_time(project_id: int) -> None:
    given = [0.1, 0.2, 0.5, 0.9]
    rows = [("groundedness", value, "a") for value in given] + [("relevance", 0.0, "a"), ("groundedness", None, "b")]
    write_scores(
        project_id,
        [
            Score(score_id="j", trace_id=new_trace_id(), time_ns=at(1), name=n, value=v, source="api", service=s)
            for n, v, s in rows
        ],
        90,
    )
    by = ("service",)
    mean = Question("score_mean", 5, by=by, name="groundedness")
    below = [Question("score_below", 5, by=by, name="groundedness", bound=bound) for bound in (0.15, 0.6)]
    unscored = Question("score_unscored", 5, by=by, name="groundedness")
    found = values(project_id, {each: [FIRST + 5] for each in (mean, *below, unscored)})
    assert found[mean] == {("a",): {FIRST + 5: pytest.approx(statistics.fmean(given))}}
    assert [found[each][("a",)][FIRST + 5] for each in below] == [0.25, 0.75]
    assert found[unscored] == {("a",): {FIRST + 5: 0}, ("b",): {FIRST + 5: 1}}


def gpu_minute(minute: int, gpu: str = "GPU-1", **fields: Any) -> dict[str, Any]:
    usual = {"utilization_sum": 0.5, "utilization_count": 1, "temperature": 60.0, "counters": {}, "states": {}}
    row = {"minute": FIRST * 60 + minute * 60, "host": "h", "gpu_uuid": gpu, "retention_days": 90}
    return row | usual | {"memory_used": 30.0, "memory_limit": 40.0} | fields


def test_counters_of_gpus_count_by_their_rise_and_restarts_add_nothing_else(project_id: int) -> None:
    key = "throttle:hw_thermal_slowdown"
    held = [100.0, 130.0, 160.0, 0.0, 6.0]
    rows = [gpu_minute(minute, counters={key: seconds}) for minute, seconds in enumerate(held)]
    rows += [gpu_minute(minute, "GPU-2", temperature=90.0 + minute, states={"failed": 1.0}) for minute in range(2)]
    store_rows(project_id, "gpu_rollups_1m", rows)
    by = ("gpu",)
    assert asked(project_id, Question("gpu_throttled", 2, by=by), 1, 3, 5)["GPU-1",] == {
        1: 0,  # what was counted before anybody looked
        3: pytest.approx(60 / 120),
        5: pytest.approx(6 / 120),
    }
    assert asked(project_id, Question("gpu_throttled", 2), 3) == {(): {3: pytest.approx(0.5)}}
    assert asked(project_id, Question("gpu_temperature", 2, by=by), 2) == {("GPU-1",): {2: 60}, ("GPU-2",): {2: 91}}
    assert asked(project_id, Question("gpu_lost", 2, by=by), 2) == {("GPU-1",): {2: 0}, ("GPU-2",): {2: 1}}
    assert asked(project_id, Question("gpu_memory", 1, by=by, only=(("gpu", ("GPU-1",)),)), 1) == {
        ("GPU-1",): {1: 0.75}
    }


def test_a_scripted_day_s_errors_and_engines_are_found(played: Played) -> None:
    end = played.day.end_ns // 60 // 10**9
    window = 30
    xids = values(played.project_id, {Question("gpu_xid", window, by=("gpu", "xid")): [end]})
    [groups] = xids.values()
    assert [labels[1] for labels in groups] == ["79"]
    kv = Question("kv_usage", window, by=("service", "instance"))
    waiting = Question("waiting", window)
    found = values(played.project_id, {kv: [end], waiting: [end]})
    assert all(0 < points[end] <= 1 for points in found[kv].values())
    assert len(found[kv]) == 2
    assert found[waiting][()][end] > 0


def test_another_project_s_rows_are_in_no_answer(project_id: int) -> None:
    store_spans(project_id, span(new_trace_id(), 1), llm(new_trace_id(), 1))
    store_rows(project_id, "gpu_rollups_1m", [gpu_minute(0)])
    other = project_id + 1_000_000
    for measure in MEASURES.values():
        if measure.source == "drift":
            continue
        question = Question(measure.key, 5, by=measure.dimensions[:1], name="groundedness", bound=0.5)
        assert asked(other, question, 5) == {}


@pytest.mark.parametrize(
    "given",
    [
        {"measure": "nonsense"},
        {"window": 0},
        {"by": ("gpu",)},
        {"by": ("service", "service")},
        {"only": (("service", ()),)},
        {"measure": "score_mean"},
        {"measure": "score_below", "name": "x", "bound": float("nan")},
    ],
)
def test_what_cannot_be_asked_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidFilterError):
        Question(**{"measure": "requests", "window": 5, **given})
