"""The tree of spans: every span once, children under their parents, whatever the senders did."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from heliograph.dashboards.waterfall import MIN_WIDTH_PERCENT, rows
from heliograph.query.spans import SpanRow

TEMPLATE = SpanRow(
    trace_id="t",
    span_id="",
    parent_span_id="",
    start_ns=0,
    duration_ns=10,
    service="",
    environment="",
    release="",
    host="",
    name="",
    kind="other",
    status="unset",
    status_message="",
    error_type="",
    operation="",
    provider="",
    model_requested="",
    model="",
    input_tokens=None,
    output_tokens=None,
    usage_counted=False,
    cost=Decimal(0),
    reported_cost=None,
    cost_note="",
    ttft_ns=None,
    tool_name="",
    session_id="",
    user_id="",
    gpu_uuids=(),
    input_preview="",
    output_preview="",
)


def span(span_id: str, parent: str = "", start: int = 0, duration: int | None = 10, ttft: int | None = None) -> SpanRow:
    return replace(TEMPLATE, span_id=span_id, parent_span_id=parent, start_ns=start, duration_ns=duration, ttft_ns=ttft)


def order(*spans: SpanRow) -> list[tuple[str, int]]:
    return [(row.span.span_id, row.depth) for row in rows(spans, 0, 100)]


def test_children_stand_under_their_parent_in_the_order_of_their_start() -> None:
    assert order(span("late", "root", 50), span("root"), span("early", "root", 5), span("leaf", "early", 6)) == [
        ("root", 0),
        ("early", 1),
        ("leaf", 2),
        ("late", 1),
    ]


def test_a_span_whose_parent_has_not_come_is_a_root_and_marked() -> None:
    (row,) = rows([span("child", "absent")], 0, 100)
    assert (row.depth, row.is_orphan) == (0, True)


def test_parents_in_a_circle_are_still_shown_once_each() -> None:
    shown = order(span("a", "b"), span("b", "a"))
    assert sorted(name for name, _ in shown) == ["a", "b"]


def test_a_span_that_is_its_own_parent_is_shown_once() -> None:
    assert [name for name, _ in order(span("a", "a"))] == ["a"]


def test_bars_stand_where_their_time_is() -> None:
    (row,) = rows([span("a", start=25, duration=50, ttft=25)], 0, 100)
    assert (row.left, row.width, row.ttft_left) == (25.0, 50.0, 50.0)


def test_a_span_without_an_end_gets_the_thinnest_bar() -> None:
    (row,) = rows([span("a", start=10, duration=None)], 0, 100)
    assert row.width == MIN_WIDTH_PERCENT


def test_a_trace_without_length_divides_by_nothing() -> None:
    (row,) = rows([span("a", duration=0)], 5, 5)
    assert row.left == 0


ids = st.sampled_from("abcdefgh")


@given(st.lists(st.tuples(ids, st.one_of(st.just(""), ids, st.just("absent")), st.integers(0, 200)), max_size=12))
def test_every_span_is_shown_exactly_once_within_the_axis(entries: list[tuple[str, str, int]]) -> None:
    spans = list({span_id: span(span_id, parent, start) for span_id, parent, start in entries}.values())
    result = rows(spans, 0, 100)
    assert sorted(row.span.span_id for row in result) == sorted(one.span_id for one in spans)
    assert all(0 <= row.left <= 100 and row.left + row.width <= 100.001 for row in result)
