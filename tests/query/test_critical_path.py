"""The critical path: whom the trace waited for, worked out by hand and over any tree."""

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliograph.query.critical_path import critical_path
from heliograph.query.span_tree import depth_first
from heliograph.query.spans import SpanRow
from tests.dashboards.test_waterfall import span


def path(*spans: SpanRow) -> list[tuple[str, int, int]]:
    nodes = depth_first(spans)
    return [(nodes[part.at].span.span_id, part.start_ns, part.end_ns) for part in critical_path(nodes)]


def test_a_span_alone_is_its_own_path() -> None:
    assert path(span("a", start=5, duration=10)) == [("a", 5, 15)]


def test_of_two_that_ran_beside_each_other_the_later_to_end_was_waited_for() -> None:
    assert path(
        span("root", duration=100),
        span("quick", "root", 10, 30),
        span("slow", "root", 10, 80),
        span("in", "slow", 20, 50),
    ) == [("root", 0, 10), ("slow", 10, 20), ("in", 20, 70), ("slow", 70, 90), ("root", 90, 100)]


def test_what_ended_before_the_one_on_the_path_began_was_waited_for_too() -> None:
    assert path(
        span("root", duration=100),
        span("first", "root", 0, 40),
        span("beside", "root", 5, 55),
        span("last", "root", 50, 50),
    ) == [("first", 0, 40), ("root", 40, 50), ("last", 50, 100)]


def test_a_child_that_outlives_its_parent_is_cut_at_its_end() -> None:
    # The trace ends with the child, but its parent did not wait: nobody is known to have.
    spans = (span("root", duration=100), span("late", "root", 60, 500))
    assert path(*spans) == [("root", 0, 60), ("late", 60, 100)]


def test_several_roots_share_the_trace_and_its_gaps_are_nobodys() -> None:
    assert path(span("a", duration=10), span("b", start=30, duration=10)) == [("a", 0, 10), ("b", 30, 40)]


entries = st.tuples(st.integers(0, 9), st.integers(0, 100), st.one_of(st.none(), st.integers(0, 100)))


# A busy machine is slow at making the first trees.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(entries, min_size=1, max_size=8))
def test_segments_lie_inside_their_spans_never_overlap_and_fill_a_single_root(
    given_spans: list[tuple[int, int, int | None]],
) -> None:
    spans = [span("0", "", 0, 200)]
    spans += [
        span(str(n + 1), str(min(parent, n)), start, length) for n, (parent, start, length) in enumerate(given_spans)
    ]
    times = {one.span_id: (one.start_ns, one.start_ns + (one.duration_ns or 0)) for one in spans}
    found = path(*spans)
    assert all(times[name][0] <= start < end <= times[name][1] for name, start, end in found)
    assert found[0][1] == 0
    assert all(before[2] == after[1] for before, after in pairwise(found))
    assert found[-1][2] == max(end for _, end in times.values()) == 200
