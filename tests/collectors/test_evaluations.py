"""Scores in attributes and events mean what their senders' conventions say, about what they name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.semconv.evaluations import RESULT, SentScore, SpanOfScores, score_of_record, scores_of_span

SPAN = SpanOfScores("t" * 32, "s" * 16, "p" * 16, "llm", "session-7", 1_000)
OWN = (SPAN.trace_id, SPAN.span_id)
GENAI = {
    "gen_ai.evaluation.name": "relevance",
    "gen_ai.evaluation.score.value": "0.75",
    "gen_ai.evaluation.score.label": "relevant",
    "gen_ai.evaluation.explanation": "it answers",
}


def of(attributes: dict[str, str], events: Any = (), **fields: Any) -> list[SentScore]:
    given_fields = {name: getattr(SPAN, name) for name in SpanOfScores.__slots__} | fields
    return scores_of_span(SpanOfScores(**given_fields), attributes, events)


def verdict(score: SentScore) -> tuple[Any, ...]:
    return score.name, score.value, score.label, score.explanation


def about(score: SentScore) -> tuple[str, ...]:
    return score.trace_id, score.span_id, score.session_id, score.response_id


def test_an_event_of_a_span_judges_that_span() -> None:
    (score,) = of({}, [(5, "other", {}), (7, RESULT, GENAI | {"gen_ai.response.id": "r"})])
    assert verdict(score) == ("relevance", 0.75, "relevant", "it answers")
    assert (*about(score)[:2], score.time_ns) == (*OWN, 7)


def test_the_same_keys_on_a_model_call_judge_it_and_on_another_span_its_parent_or_response() -> None:
    assert about(of(GENAI)[0]) == (*OWN, "", "")
    assert about(of(GENAI, kind="evaluator")[0]) == (SPAN.trace_id, SPAN.parent_span_id, "", "")
    assert about(of(GENAI | {"gen_ai.response.id": "r"}, kind="other")[0]) == ("", "", "", "r")
    assert about(of(GENAI, kind="evaluator", parent_span_id="")[0]) == (*OWN, "", "")


@pytest.mark.parametrize("word", ["annotation", "evaluation"])
def test_openinference_s_feedback_numbered_or_not(word: str) -> None:
    attributes = {
        f"{word}s.0.{word}.name": "hallucination",
        f"{word}s.0.{word}.score": "0",
        f"{word}s.0.{word}.label": "factual",
        f"{word}s.0.{word}.explanation": "all supported",
        f"{word}s.0.{word}.annotator_kind": "HUMAN",
        f"{word}s.0.{word}.identifier": "judge-v2",
        f"{word}s.0.{word}.metadata": '{"rubric": 2}',
        f"{word}s.1.{word}.name": "tone",
        f"{word}s.1.{word}.score": "0.5",
        f"trace.{word}s.0.{word}.name": "goal",
        f"trace.{word}s.0.{word}.score": "1",
        f"session.{word}s.0.{word}.name": "mood",
        f"session.{word}s.0.{word}.score": "0.25",
        f"{word}.name": "plain",
        f"{word}.score": "0.1",
        f"{word}s.7.{word}.score": "9",
    }
    found = {score.name: score for score in of(attributes)}
    assert verdict(found["hallucination"]) == ("hallucination", 0.0, "factual", "all supported")
    first = found["hallucination"]
    assert (first.is_human, first.evaluator, first.details) == (True, "judge-v2", '{"rubric": 2}')
    assert {name: score.value for name, score in found.items()} == {
        "hallucination": 0.0,
        "tone": 0.5,
        "goal": 1.0,
        "mood": 0.25,
        "plain": 0.1,
    }
    assert about(found["tone"]) == (*OWN, "", "")
    assert about(found["goal"]) == (SPAN.trace_id, "", "", "")
    assert about(found["mood"]) == ("", "", "session-7", "")
    assert len({score.score_id for score in found.values()}) == 5


def test_feedback_that_comes_later_is_about_what_its_carrier_links_to() -> None:
    attributes = {"annotations.0.annotation.name": "tone", "annotations.0.annotation.score": "1"}
    link = ("a" * 32, "b" * 16)
    assert about(of(attributes, kind="evaluator", links=[link])[0]) == (*link, "", "")
    whole = {f"trace.{key}": value for key, value in attributes.items()}
    assert about(of(whole, kind="evaluator", links=[link])[0]) == (link[0], "", "", "")
    # Two links name no target, and a model call's links are something else.
    assert about(of(attributes, kind="evaluator", links=[link, link])[0]) == (*OWN, "", "")
    assert about(of(attributes, links=[link])[0]) == (*OWN, "", "")


def test_openlit_s_trulens_and_litellm_s_scores() -> None:
    openlit = of({"gen_ai.eval.groundedness": "0.9", "gen_ai.eval.answer_relevancy": "0.8", "gen_ai.eval.other": "1"})
    assert {score.name: score.value for score in openlit} == {"groundedness": 0.9, "answer_relevancy": 0.8}
    (trulens,) = of(
        {
            "ai.observability.eval_root.metric_name": "Context Relevance",
            "ai.observability.eval_root.score": "0.3",
            "ai.observability.eval_root.explanation": "off topic",
        }
    )
    assert verdict(trulens) == ("Context Relevance", 0.3, "", "off topic")
    assert about(trulens) == (SPAN.trace_id, "", "", "")
    (masked,) = of({"guardrail_name": "presidio", "masked_entity_count": "{'EMAIL': 2, 'PHONE': 1}"})
    assert (masked.name, masked.value, json.loads(masked.details)) == (
        "presidio.masked_entities",
        3.0,
        {"EMAIL": 2, "PHONE": 1},
    )


@pytest.mark.parametrize(
    ("value", "said", "number"),
    [
        ("0.5", "", 0.5),
        ("true", "", 1.0),
        ("", "pass", 1.0),
        ("", "Failed", 0.0),
        ("", "good", None),
        ("nan", "", None),
    ],
)
def test_a_verdict_in_words_is_a_number_where_the_words_are_one(value: str, said: str, number: float | None) -> None:
    name = {"gen_ai.evaluation.name": "n"}
    (score,) = of(name | {"gen_ai.evaluation.score.value": value, "gen_ai.evaluation.score.label": said})
    assert (score.value, score.label) == (number, said)


def test_an_evaluation_that_failed_says_so_and_has_no_value() -> None:
    (score,) = of({"gen_ai.evaluation.name": "n", "error.type": "TimeoutError"})
    assert (score.value, score.explanation) == (None, "the evaluation failed: TimeoutError")


def test_a_log_record_judges_its_span_else_the_response_that_it_names() -> None:
    named = GENAI | {"gen_ai.response.id": "r"}
    assert about(score_of_record(9, 1, *OWN, "", named)) == (*OWN, "", "")
    assert about(score_of_record(9, 1, "", "", "", named)) == ("", "", "", "r")
    assert about(score_of_record(9, 1, SPAN.trace_id, "", "", named)) == ("", "", "", "r")
    assert about(score_of_record(9, 1, SPAN.trace_id, "", "", GENAI)) == (SPAN.trace_id, "", "", "")
    assert score_of_record(9, 1, "", "", "", GENAI) is None
    assert score_of_record(9, 1, *OWN, "", {"other": "x"}) is None
    # The keys may stand in the body.
    assert verdict(score_of_record(9, 1, *OWN, json.dumps(GENAI), {}))[:2] == ("relevance", 0.75)


def test_the_same_score_sent_again_has_the_same_id_and_another_has_another() -> None:
    events = [(7, RESULT, GENAI), (7, RESULT, GENAI)]
    first, second = of({}, events)
    assert [first, second] == of({}, events)
    assert first.score_id != second.score_id
    assert of(GENAI)[0].score_id != of(GENAI, span_id="9" * 16)[0].score_id


def test_one_span_has_a_bounded_number_of_scores() -> None:
    attributes = {}
    for number in range(500):
        attributes |= {f"annotations.{number}.annotation.name": f"n{number}"}
    assert len(of(attributes)) == 100


KEYS = [*GENAI, "annotations.0.annotation.name", "annotations.0.annotation.score", "masked_entity_count", "error.type"]
KEYS += ["gen_ai.eval.groundedness", "ai.observability.eval.metric_name", "ai.observability.eval.score"]


@given(
    st.dictionaries(st.sampled_from(KEYS), st.text() | st.sampled_from(['{"a": 1}', "[1]", "1e999", "{'a': []}"])),
    st.sampled_from(["llm", "evaluator", "other"]),
)
def test_any_text_of_any_key_makes_scores_that_the_store_takes(attributes: dict[str, str], kind: str) -> None:
    for score in of(attributes, [(1, RESULT, attributes)], kind=kind):
        assert score.name
        assert score.value is None or abs(score.value) < float("inf")
        assert score.trace_id or score.session_id or score.response_id
