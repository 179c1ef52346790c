"""What the evaluators read: every new answer once, its context, texts, and the pairs of two releases."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.query import evaluation
from heliograph.query.evaluation import EvaluationSpan, Watermark, paired_scores, spans_to_evaluate
from heliograph.query.filters import InvalidFilterError
from heliograph.query.messages import parse_documents, parse_messages, text_of
from heliograph.query.scores import Score, write_scores
from tests.query.rows import HOUR, at, llm, new_trace_id, plain, span, store_spans

START = Watermark(0)


def later() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


def said(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def documents(*contents: str) -> str:
    return json.dumps([{"content": content} for content in contents])


@pytest.mark.usefixtures("store")
def test_every_answer_is_returned_once_in_the_order_of_arrival(project_id: int) -> None:
    for _ in range(3):
        # One insert: all of it shares its time of arrival.
        store_spans(project_id, *(llm(new_trace_id(), 1, output="yes") for _ in range(7)))
    found: list[EvaluationSpan] = []
    watermark = START
    while batch := spans_to_evaluate(project_id, watermark, later(), limit=4):
        found += batch
        watermark = batch[-1].watermark
    raw = plain(project_id, "SELECT span_id FROM spans WHERE {mine} ORDER BY received_at, trace_id, span_id")
    assert [each.span_id for each in found] == [row["span_id"] for row in raw]


@pytest.mark.usefixtures("store")
def test_only_model_calls_with_an_answer_from_before_the_limit_are_returned(project_id: int) -> None:
    store_spans(project_id, span(new_trace_id(), 1, output="no model"), llm(new_trace_id(), 1))
    assert spans_to_evaluate(project_id, START, later()) == []
    store_spans(project_id, llm(new_trace_id(), 1, output="yes"))
    assert spans_to_evaluate(project_id, START, datetime.now(UTC) - timedelta(minutes=1)) == []


@pytest.mark.usefixtures("store")
def test_the_context_is_what_the_trace_had_retrieved_before_the_call(project_id: int) -> None:
    trace_id = new_trace_id()
    store_spans(
        project_id,
        span(trace_id, 1, kind="retriever", documents=documents("first", "second")),
        span(trace_id, 90, kind="reranker", documents=documents("third")),
        llm(trace_id, 100, input=said("user", "Who?"), output=said("assistant", "Ada.")),
        span(trace_id, 200, kind="retriever", documents=documents("too late")),
        span(new_trace_id(), 2, kind="retriever", documents=documents("of another trace")),
    )
    [found] = spans_to_evaluate(project_id, START, later())
    assert [each.content for each in found.documents] == ["first", "second", "third"]
    assert (found.question, found.answer) == ("Who?", "Ada.")


@pytest.mark.usefixtures("store")
def test_a_call_s_own_documents_go_first(project_id: int) -> None:
    trace_id = new_trace_id()
    store_spans(
        project_id,
        span(trace_id, 1, kind="retriever", documents=documents("the trace's")),
        llm(trace_id, 2, output="yes", documents=documents("its own")),
    )
    [found] = spans_to_evaluate(project_id, START, later())
    assert [each.content for each in found.documents] == ["its own"]


@pytest.mark.usefixtures("store")
def test_two_releases_are_paired_over_equal_prompts(project_id: int) -> None:
    prompts = {"1": ["a", "a", "b", "only old"], "2": ["b", "a", "only new"]}
    rows = [llm(new_trace_id(), 5, release=release, input=text) for release in prompts for text in prompts[release]]
    store_spans(project_id, *rows, llm(new_trace_id(), 5, release="3", input="a"))
    values = [0.2, 0.4, 0.6, 0.1, 0.9, 0.8, 0.5]
    write_scores(
        project_id,
        [
            Score(
                score_id="j",
                trace_id=row["trace_id"],
                span_id=row["span_id"],
                time_ns=0,
                name="g",
                value=value,
                source="api",
            )
            for row, value in zip(rows, values, strict=True)
        ],
        90,
    )
    found = paired_scores(project_id, HOUR, "g", "shop", "1", "2")
    assert sorted((pair.baseline, pair.candidate) for pair in found.pairs) == [
        (pytest.approx(0.3), 0.8),
        (0.6, 0.9),
    ]
    assert sorted(found.baseline) == [0.1, pytest.approx(0.3), 0.6]
    assert sorted(found.candidate) == [0.5, 0.8, 0.9]


@pytest.mark.usefixtures("store")
def test_scores_whose_prompt_is_unknown_are_not_taken_for_one_prompt(project_id: int) -> None:
    rows = [
        Score(
            score_id="j",
            trace_id=new_trace_id(),
            time_ns=at(5),
            name="g",
            value=0.5,
            source="api",
            service="shop",
            release=release,
        )
        for release in ("1", "1", "2")
    ]
    write_scores(project_id, rows, 90)
    found = paired_scores(project_id, HOUR, "g", "shop", "1", "2")
    assert (found.pairs, found.baseline, found.candidate) == ((), (0.5, 0.5), (0.5,))


def test_a_release_is_not_compared_with_itself() -> None:
    with pytest.raises(InvalidFilterError, match="candidate"):
        evaluation.paired_scores(1, HOUR, "g", "shop", "1", "1")


def test_a_conversation_is_read_by_role() -> None:
    stored = json.dumps(
        [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Who"}, {"type": "text", "content": "is it?"}]},
            {"role": "assistant", "parts": [{"type": "tool_call", "name": "look"}], "finish_reason": "tool_calls"},
        ]
    )
    messages = parse_messages(stored)
    assert [message.role for message in messages] == ["system", "user", "assistant"]
    assert (messages[2].finish_reason, messages[2].parts[0]["name"]) == ("tool_calls", "look")
    assert text_of(stored, "user") == "Who\nis it?"
    assert text_of("plain words", "user") == "plain words"
    assert text_of("", "user") == ""


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["role", "parts", "content", "score", "type", "text"]), inner)
        ),
    ).map(json.dumps)
)
def test_whatever_is_stored_is_read_without_failing(stored: str) -> None:
    messages = parse_messages(stored)
    assert bool(messages) is (bool(stored) and stored != "[]")
    assert all(isinstance(message.text, str) for message in messages)
    assert all(isinstance(document.content, str) for document in parse_documents(stored))


def test_json_that_is_nested_beyond_reading_is_text() -> None:
    bomb = "[" * 200_000
    assert text_of(bomb) == bomb
