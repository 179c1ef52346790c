from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.text import (
    MAX_SENTENCE_CHARS,
    IndexedContext,
    Span,
    claims,
    joined,
    select_evidence,
    sentences,
    stem,
    windows,
    words,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        (
            "Dr. Smith of the U.S. army paid $3.5 million. He left.",
            ["Dr. Smith of the U.S. army paid $3.5 million.", "He left."],
        ),
        ("J. R. R. Tolkien wrote it.", ["J. R. R. Tolkien wrote it."]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("Intro:\n- first item\n- second item", ["Intro:", "- first item", "- second item"]),
        ("1. First thing.\n2. Second. See no. 5 there.", ["1. First thing.", "2. Second.", "See no. 5 there."]),
        ("A title\n\nA paragraph", ["A title", "A paragraph"]),
        ("It costs approx. five euros, i.e. much.", ["It costs approx. five euros, i.e. much."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text, expected):
    assert [span.of(text) for span in sentences(text)] == expected


@given(st.text(alphabet=st.sampled_from('ab1 .!?\n\t-"é中'), max_size=3000))
def test_sentences_hold_every_visible_character_once_and_in_order(text):
    found = sentences(text)
    assert "".join("".join(span.of(text).split()) for span in found) == "".join(text.split())
    assert all(left.end <= right.start for left, right in pairwise(found))
    assert all(0 < span.end - span.start <= MAX_SENTENCE_CHARS for span in found)


def test_a_text_without_marks_is_cut_at_a_space():
    text = "word " * 400
    assert all(not span.of(text).startswith("ord") for span in sentences(text))
    assert len(sentences(text)) > 2


def test_a_bullet_without_words_is_no_claim():
    assert [span.of("Yes. --- ...") for span in claims("Yes. --- ...")] == ["Yes."]


@pytest.mark.parametrize(("left", "right"), [("cats", "cat"), ("moved", "moving"), ("1,000", "1000"), ("bob's", "bob")])
def test_stems_join_forms_of_a_word(left, right):
    assert stem(left) == stem(right)


def test_words_keep_decimals_together():
    assert words("It's 3.5 or 1,000.") == ["it's", "3.5", "or", "1,000"]


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(5, 60))
def test_windows_reach_every_sentence_within_the_limit(sizes, limit):
    spans = [Span(i, i + 1) for i in range(len(sizes))]
    runs = windows(spans, lambda span: sizes[span.start], limit)
    assert {i for first, last in runs for i in range(first, last)} == set(range(len(sizes)))
    assert all(sum(sizes[first:last]) <= limit or last - first == 1 for first, last in runs)


def test_windows_overlap_by_about_a_quarter():
    runs = windows([Span(i, i + 1) for i in range(20)], lambda _: 1, 8)
    assert runs == [(0, 8), (6, 14), (12, 20)]


def test_evidence_is_the_sentences_that_cover_the_claim():
    context = IndexedContext.of("The sky is blue. Rome lies on the Tiber. Paris lies on the Seine. Cats sleep all day.")
    chosen = select_evidence(context, "Paris lies on the Seine and cats sleep.", 12)
    assert joined(context, chosen) == "Paris lies on the Seine. Cats sleep all day."


def test_evidence_keeps_to_its_budget_but_is_never_empty():
    context = IndexedContext.of("Alpha beta gamma delta epsilon. Alpha. Zeta eta.")
    assert select_evidence(context, "alpha beta gamma", 2)
    assert select_evidence(context, "nothing of this", 2)
    assert sum(context.lengths[i] for i in select_evidence(context, "zeta", 3)) <= 3


@given(st.text(max_size=300), st.text(max_size=100), st.integers(1, 50))
def test_evidence_is_in_reading_order_for_any_text(context, claim, budget):
    chosen = select_evidence(IndexedContext.of(context), claim, budget)
    assert chosen == sorted(set(chosen))
