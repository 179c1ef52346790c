"""Two traces side by side: what answers to what, over traces made by hand and any two trees."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliograph.query.spans import SpanRow
from heliograph.query.trace_diff import compare
from tests.dashboards.test_waterfall import span


def named(name: str, parent: str = "", start: int = 0, prefix: str = "a", **fields: object) -> SpanRow:
    row = span(f"{prefix}-{name}-{start}", f"{prefix}-{parent}" if parent else "", start)
    return replace(row, name=name, **fields)  # type: ignore[arg-type]  # the callers pass fields of a row


def told(before: Sequence[SpanRow], after: Sequence[SpanRow]) -> list[tuple[int, str, str]]:
    return [
        (pair.depth, pair.before.name if pair.before else "", pair.after.name if pair.after else "")
        for pair in compare(before, after)
    ]


def test_a_step_that_was_added_in_the_middle_is_one_added_step() -> None:
    before = [named("root"), *(named("search", "root-0", n) for n in (1, 2))]
    after = [named("root", prefix="b"), named("search", "root-0", 1, "b"), named("rank", "root-0", 2, "b")]
    after.append(named("search", "root-0", 3, "b"))
    assert told(before, after) == [
        (0, "root", "root"),
        (1, "search", "search"),
        (1, "", "rank"),
        (1, "search", "search"),
    ]


def test_what_lies_under_a_step_that_only_one_has_is_only_there_too() -> None:
    before = [named("root"), named("plan", "root-0", 1), named("call", "plan-1", 2)]
    assert told(before, [named("root", prefix="b")]) == [(0, "root", "root"), (1, "plan", ""), (2, "call", "")]


def test_two_requests_are_compared_whatever_their_roots_are_called() -> None:
    assert told([named("answer v1")], [named("answer v2", prefix="b")]) == [(0, "answer v1", "answer v2")]


def test_another_model_or_answer_is_a_change_and_another_time_is_none() -> None:
    one = named("call", model="gpt-4o")
    assert not compare([one], [replace(one, start_ns=7, duration_ns=99)])[0].is_changed
    assert compare([one], [replace(one, model="gpt-5")])[0].is_changed
    assert compare([one], [replace(one, output_preview="No.")])[0].is_changed


trees = st.lists(st.tuples(st.integers(0, 9), st.sampled_from("xyz")), min_size=1, max_size=9)


def tree(made: list[tuple[int, str]]) -> list[SpanRow]:
    return [
        replace(span(str(n), str(min(parent, n - 1)) if n else "", n), name=name)
        for n, (parent, name) in enumerate(made)
    ]


# A busy machine is slow at making the first trees.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(trees, trees)
def test_every_span_of_both_stands_in_exactly_one_pair(
    one: list[tuple[int, str]], other: list[tuple[int, str]]
) -> None:
    before, after = tree(one), tree(other)
    pairs = compare(before, after)
    assert sorted(p.before.span_id for p in pairs if p.before) == sorted(row.span_id for row in before)
    assert sorted(p.after.span_id for p in pairs if p.after) == sorted(row.span_id for row in after)
    assert all(p.before.name == p.after.name for p in pairs if p.before and p.after and p.depth)
    assert all(pair.is_both for pair in compare(before, before))
