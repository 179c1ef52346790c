"""What may be asked, and what may be answered."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.annotation.judgement import InvalidAnswerError, check_answer
from heliograph.annotation.rubric import (
    Dimension,
    InvalidRubricError,
    Kind,
    as_json,
    checked,
    read_json,
    read_text,
    text_of,
)
from tests.annotation.conftest import RUBRIC

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,20}", fullmatch=True)
OPTIONS = st.lists(
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12), min_size=2, max_size=9, unique=True
)
NUMBERS = st.tuples(st.integers(-900, 900), st.integers(1, 900)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@st.composite
def dimensions(draw: st.DrawFn) -> Dimension:
    name, is_optional = draw(NAMES), draw(st.booleans())
    kind = draw(st.sampled_from([Kind.NUMBER, Kind.BOOLEAN, Kind.CATEGORY]))
    if kind == Kind.NUMBER:
        low, high = draw(NUMBERS)
        return Dimension(name, kind, low / 4, high / 4, is_optional=is_optional)
    options = tuple(draw(OPTIONS)) if kind == Kind.CATEGORY else ()
    is_ordered = kind == Kind.CATEGORY and draw(st.booleans())
    return Dimension(name, kind, options=options, is_ordered=is_ordered, is_optional=is_optional)


@settings(max_examples=40, deadline=None)
@given(st.lists(dimensions(), min_size=1, max_size=6, unique_by=lambda each: each.name))
def test_a_rubric_is_read_back_as_it_was_written(rubric: list[Dimension]) -> None:
    assert read_text(text_of(checked(rubric))) == tuple(rubric)
    assert read_json(as_json(rubric)) == tuple(rubric)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Ask for one score"),
        ("correct", "says no kind"),
        ("correct: maybe", "is no kind"),
        ("a: 5 to 1", "the lower one first"),
        ("a: 0 to 1e99", "is no kind"),
        ("a: yes or no\na: 1 to 5", "stands there twice"),
        ("a: correction\nb: correction", "One correction"),
        ("a: x | x", "different categories"),
        ("a: x < y | z", "stand between"),
        ("-a: yes or no", "cannot name a score"),
        ("\n".join(f"s{n}: yes or no" for n in range(13)), "At most 12"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_to_do(text: str, said: str) -> None:
    with pytest.raises(InvalidRubricError, match=said):
        read_text(text)


@pytest.mark.parametrize(
    "rows", [[{"kind": "number"}], [{"name": "a", "kind": "x"}], [{"name": "a", "kind": "number", "low": True}]]
)
def test_a_rubric_of_a_program_is_refused_as_a_typed_one(rows: list[dict[str, object]]) -> None:
    with pytest.raises(InvalidRubricError):
        read_json(rows)


def test_answers_are_checked_score_by_score() -> None:
    rubric = read_text(RUBRIC)
    assert check_answer(rubric, {"correct": "no", "helpfulness": "4", "tone": "", "better answer": None}) == {
        "correct": False,
        "helpfulness": 4.0,
    }
    good = {"correct": True, "helpfulness": 5}
    for wrong, at in (
        ({"correct": "perhaps"}, "correct"),
        ({"helpfulness": 6}, "helpfulness"),
        ({"helpfulness": 2.5}, "helpfulness"),
        ({"helpfulness": float("nan")}, "helpfulness"),
        ({"helpfulness": []}, "helpfulness"),
        ({"tone": "shrill"}, "tone"),
        ({"tone": ["polite"]}, "tone"),
        ({"better answer": "  "}, "better answer"),
        ({"better answer": "a\0b"}, "better answer"),
        ({"better answer": "x" * 100_001}, "better answer"),
        ({"other": 1}, "other"),
        ({"correct": None}, "correct"),
    ):
        with pytest.raises(InvalidAnswerError) as refused:
            check_answer(rubric, good | wrong)
        assert refused.value.name == at
    with pytest.raises(InvalidAnswerError, match="Nothing was said"):
        check_answer(read_text("a?: yes or no"), {})


def test_one_digit_chooses_where_there_are_few_choices() -> None:
    by_name = {each.name: each.keyed for each in read_text(RUBRIC + "\nstars: 0 to 3\nshare: 0 to 100\nd: -1 to 1")}
    assert by_name["correct"] == [("yes", "1"), ("no", "2")]
    assert by_name["stars"] == [("0", "0"), ("1", "1"), ("2", "2"), ("3", "3")]
    assert by_name["d"] == [("-1", "1"), ("0", "2"), ("1", "3")]
    assert by_name["share"] == by_name["better answer"] == []
