"""Judges that compare texts, one input and one expected value at a time, and against second implementations."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from evaluators import registry
from evaluators.judges.json_schema import parse_answer
from evaluators.judges.ocr import character_error_rate, word_error_rate
from evaluators.judges.retrieval import ranking_metrics
from evaluators.judges.rouge import rouge_scores
from evaluators.judges.teds import parse_table, teds_score
from evaluators.score import Sample, Score


def sample(answer: str = "", *, question: str = "", context: str = "", **extra: Any) -> Sample:
    return Sample("1", context, question, answer, extra)


def judged(name: str, one: Sample, **settings: Any) -> Score:
    return registry.create(name, **settings).score([one])[0]


CITY = {"expected": ["Paris", "the city of Paris"]}
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": SCHEMA}}]


@pytest.mark.parametrize(
    ("name", "settings", "one", "value"),
    [
        ("exact_match", {}, sample(" PARIS. ", **CITY), 1.0),
        ("exact_match", {"strict": True}, sample(" PARIS. ", **CITY), 0.0),
        ("exact_match", {}, sample("cafe\u0301", expected="café"), 1.0),
        ("fuzzy_match", {}, sample("Pariss", **CITY), 2 * 5 / 11),
        ("fuzzy_match", {"method": "token_set"}, sample("city: Paris, France", **CITY), 1.0),
        ("regex", {"pattern": r"\d{3}"}, sample("call 123"), 1.0),
        ("regex", {"pattern": r"\d{3}", "full": True}, sample("call 123"), 0.0),
        ("regex", {"pattern": "sorry", "ignore_case": True, "negate": True}, sample("Sorry!"), 0.0),
        ("regex", {}, sample("abc", pattern="^a"), 1.0),
        ("json_schema", {}, sample('{"age": 3}'), 1.0),
        ("json_schema", {"schema": SCHEMA}, sample('```json\n{"age": 3}\n```'), 1.0),
        ("json_schema", {"schema": SCHEMA}, sample('{"age": "3"}'), 0.0),
        ("json_schema", {}, sample('{"age": NaN}'), 0.0),
        ("json_schema", {}, sample("[" * 100_000), 0.0),
        ("json_schema", {}, sample("[]", schema=SCHEMA), 0.0),
        (
            "tool_calls",
            {},
            sample(tools=TOOLS, tool_calls=[{"function": {"name": "find", "arguments": '{"age": 3}'}}]),
            1.0,
        ),
        ("tool_calls", {}, sample(tools=TOOLS, tool_calls=[{"name": "find", "input": {"age": 3}}]), 1.0),
        ("tool_calls", {}, sample(tools=TOOLS, tool_calls=[{"name": "find", "arguments": "{age: 3}"}]), 0.0),
        ("tool_calls", {}, sample(tools=TOOLS, tool_calls=[{"name": "delete", "arguments": {}}]), 0.0),
        ("tool_calls", {}, sample(tools=TOOLS), 1.0),
        ("tool_calls", {"require_call": True}, sample(tools=TOOLS), 0.0),
        (
            "tool_calls",
            {},
            sample(
                tools=TOOLS,
                tool_calls=[{"name": "find", "arguments": {"age": 3}}],
                expected_tool_calls=[{"name": "find", "arguments": {"age": 4}}],
            ),
            0.0,
        ),
        (
            "rouge",
            {"kind": "rouge1"},
            sample("the cat sat", expected="the cat ran away"),
            2 * (2 / 3) * 0.5 / (2 / 3 + 0.5),
        ),
        ("rouge", {"kind": "rouge2"}, sample("the cat", expected="a dog"), 0.0),
        ("bleu", {}, sample("the cat is on the mat", expected="the cat is on the mat"), 1.0),
        ("chrf", {}, sample("", expected="the cat"), 0.0),
        ("ocr", {}, sample("abd", expected="abc"), 1 / 3),
        ("ocr", {"metric": "wer"}, sample("a b d", expected="a b c d"), 1 / 4),
        ("ocr", {"metric": "anls"}, sample("Pariss", **CITY), 5 / 6),
        ("ocr", {"metric": "anls"}, sample("Rome", **CITY), 0.0),
        (
            "field_f1",
            {},
            sample('{"total": 12.5, "date": null}', expected_fields={"total": "12.5", "iban": "X"}),
            2 / 3,
        ),
        ("field_f1", {}, sample("nonsense", expected_fields={"total": "12.5"}), 0.0),
        ("retrieval", {"metric": "recall", "k": 2}, sample(retrieved=["a", "b", "c"], relevant=["b", "c"]), 0.5),
        ("retrieval", {"metric": "precision", "k": 2}, sample(retrieved=["a", "a", "b"], relevant=["b"]), 0.5),
        ("retrieval", {"metric": "mrr"}, sample(retrieved=["a", "b"], relevant={"b": 2}), 0.5),
        ("repetition", {}, sample("again and again and " * 20), None),
        ("refusal", {}, sample("I'm sorry, but I can't help with that."), 1.0),
        ("refusal", {}, sample("As an AI language model, I do not have opinions."), 1.0),
        ("refusal", {}, sample("The judge was sorry that he could not help the man."), 0.0),
        ("refusal", {}, sample("You cannot divide by zero, so the answer is undefined."), 0.0),
    ],
)
def test_a_judge_gives_the_expected_value(name: str, settings: dict, one: Sample, value: float | None) -> None:
    found = judged(name, one, **settings)
    if value is None:
        assert found.value is not None
        assert found.value > 0.8
    else:
        assert found.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "settings", "one", "reason"),
    [
        ("exact_match", {}, sample("x"), "no reference"),
        ("fuzzy_match", {}, sample("x", expected=3), "no reference"),
        ("rouge", {}, sample("x"), "no reference"),
        ("bleu", {}, sample("x"), "no reference"),
        ("ocr", {}, sample("x", expected=""), "reference is empty"),
        ("ocr", {"metric": "wer"}, sample("x", expected="  "), "no words"),
        ("teds", {}, sample("<table></table>", expected="no table"), "reference"),
        ("field_f1", {}, sample("{}"), "expected_fields"),
        ("regex", {}, sample("x"), "pattern"),
        ("regex", {}, sample("x", pattern="("), "does not compile"),
        ("json_schema", {}, sample("{}", schema={"type": "nope"}), "not a JSON schema"),
        ("json_schema", {}, sample("{}", schema={"$ref": "http://127.0.0.1:9/x"}), "outside it"),
        ("tool_calls", {}, sample(tool_calls=[]), "tools is not"),
        ("tool_calls", {}, sample(tools=TOOLS, tool_calls=[{}]), "no name"),
        ("retrieval", {}, sample(retrieved=["a"], relevant=[]), "no document"),
        ("retrieval", {}, sample(retrieved="a", relevant=["a"]), "not a list"),
        ("retrieval", {}, sample(retrieved=["a"], relevant={"a": -1}), "gain"),
        ("repetition", {}, sample("short"), "fewer"),
        ("refusal", {}, sample("  "), "empty"),
        ("language", {}, sample("ok"), "letters"),
        ("prompt_injection", {}, sample("x"), "neither"),
        ("toxicity", {"method": "words"}, sample(" "), "empty"),
    ],
)
def test_what_cannot_be_judged_is_unscored_with_the_reason(name: str, settings: dict, one: Sample, reason: str) -> None:
    found = judged(name, one, **settings)
    assert (found.value, found.label) == (None, "unscored")
    assert reason in found.explanation


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("fuzzy_match", {"method": "soundex"}),
        ("fuzzy_match", {"threshold": 2}),
        ("regex", {"pattern": "("}),
        ("json_schema", {"schema": {"type": "nope"}}),
        ("rouge", {"kind": "rouge9"}),
        ("ocr", {"metric": "ser"}),
        ("retrieval", {"k": 0}),
        ("pii", {"types": ["SHOE_SIZE"]}),
        ("toxicity", {"method": "guess"}),
        ("llm_judge", {"base_url": "file:///etc", "model": "m"}),
        ("llm_judge", {"base_url": "http://127.0.0.1", "model": "m", "scale": [5, 1]}),
    ],
)
def test_a_bad_setting_is_refused_at_once(name: str, settings: dict) -> None:
    with pytest.raises(ValueError, match=r"."):
        registry.create(name, **settings)


def test_ndcg_is_worked_out_by_hand() -> None:
    found = ranking_metrics(["a", "b", "c"], {"c": 3.0, "a": 1.0, "z": 2.0}, 3)
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    assert found["ndcg"] == pytest.approx((1 + 3 / 2) / ideal)
    assert found["recall"] == pytest.approx(2 / 3)


def test_rouge_l_counts_the_longest_common_subsequence() -> None:
    found = rouge_scores("police kill the gunman", "police killed the gunman", "rougeL")
    assert found == pytest.approx({"precision": 0.75, "recall": 0.75, "f1": 0.75})


@given(st.text(max_size=40), st.text(min_size=1, max_size=40))
def test_error_rates_are_distances_over_the_reference(hypothesis: str, reference: str) -> None:
    rate = character_error_rate(hypothesis, reference)
    assert rate >= 0
    assert character_error_rate(reference, reference) == 0
    if reference.split():
        words = Levenshtein.distance(hypothesis.split(), reference.split())
        assert word_error_rate(hypothesis, reference) == pytest.approx(words / len(reference.split()), abs=0.5)


@given(st.text(max_size=200))
def test_any_text_parses_as_json_or_is_refused_with_a_value_error(text: str) -> None:
    try:
        value = parse_answer(text)
    except ValueError:
        return
    assert json.dumps(value)


TABLE = "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>"


@pytest.mark.parametrize(
    ("found", "structure_only", "expected"),
    [
        (TABLE, False, 1.0),
        (TABLE.replace("<td>d</td>", "<td>x</td>"), False, 1 - 1 / 7),
        (TABLE.replace("<td>d</td>", "<td>x</td>"), True, 1.0),
        (TABLE.replace("<td>d</td>", ""), False, 1 - 1 / 7),
        (TABLE.replace("<td>c</td>", '<td colspan="2">c</td>'), False, 1 - 1 / 7),
        ("<table><tr><th>a<th>b<tr><td>c<td><b>d</b></table>", False, 1.0),
        ("<table></table>", False, 1 - 6 / 7),
        (f"before {TABLE} after <table><tr><td>x</td></tr></table>", False, 1.0),
    ],
)
def test_table_trees_are_compared_by_their_edits(found: str, structure_only: bool, expected: float) -> None:
    assert teds_score(parse_table(found), parse_table(TABLE), structure_only=structure_only) == pytest.approx(expected)


def test_a_table_is_bounded_and_hostile_nesting_is_flat() -> None:
    with pytest.raises(ValueError, match="elements"):
        parse_table("<table>" + "<tr><td>x" * 2000)
    assert parse_table("<table>" * 5000 + "<tr><td>x").children[0].tag == "tr"


@given(st.text(alphabet="<>/tabledrh ='\"1x&;", max_size=80))
def test_any_markup_parses_or_is_refused_with_a_value_error(html: str) -> None:
    try:
        tree = parse_table(html)
    except ValueError:
        return
    assert teds_score(tree, tree) == 1.0


def test_an_exponential_pattern_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluators.judges.regex.TIMEOUT_SECONDS", 0.05)
    found = judged("regex", sample("a" * 5000 + "b"), pattern=r"(a|aa)+$")
    assert "longer than" in found.explanation


def test_languages_are_found_and_compared() -> None:
    german = sample("Die Bestellung wurde heute morgen an den Kunden verschickt.")
    assert judged("language", german).label == "de"
    assert judged("language", german, expected="de-AT").label == "match"
    assert judged("language", sample(german.answer, language="en")).label == "mismatch"
    assert judged("language", sample("これは日本語の文章です。よろしくお願いします。")).label == "ja"
