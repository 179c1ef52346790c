"""Energy and time are shared out so that nothing is lost, nothing counts twice, and what is not known stays unknown."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.query.sharing import MAX_GAP_NS, SECOND, Counter, Request, Shared, Weights, share

MINUTE = (0, 60 * SECOND)


def counter(*watts: float, step_s: float = 1.0, start_s: float = 0.0) -> Counter:
    """A counter that rose by these watts, one after another."""
    times = (start_s + step_s * np.arange(len(watts) + 1)) * SECOND
    return Counter(times.astype(np.int64), np.concatenate([[1000.0], 1000.0 + np.cumsum(watts) * step_s]))


def request(start_s: float, end_s: float, prefill_s: float = 0.0, **tokens: int) -> Request:
    return Request(round(start_s * SECOND), round((start_s + prefill_s) * SECOND), round(end_s * SECOND), **tokens)


def one(readings: Counter, *requests: Request, weights: Weights | None = None) -> Shared:
    return share(readings, requests, [MINUTE], weights)[0]


def test_a_request_alone_gets_what_was_drawn_while_it_ran_and_idle_the_rest():
    found = one(counter(*[100.0] * 20, *[500.0] * 10, *[100.0] * 30), request(20, 30))
    assert found.joules == pytest.approx([5_000])
    assert found.idle_joules == pytest.approx(5_000)
    assert found.counter_joules == pytest.approx(10_000)
    assert (found.gpu_seconds[0], found.idle_seconds, found.covered_seconds) == pytest.approx((10, 50, 60))


def test_two_at_once_share_by_their_weights():
    found = one(counter(*[500.0] * 60), request(0, 10, prefill_s=10), request(0, 10))
    assert found.joules == pytest.approx([4_000, 1_000])
    assert found.gpu_seconds == pytest.approx([8, 2])


def test_a_request_that_waits_in_the_queue_uses_nothing():
    found = one(counter(*[500.0] * 60), request(30, 40), request(50, 60))
    assert found.joules == pytest.approx([5_000, 5_000])
    assert found.idle_joules == pytest.approx(20_000)


def test_energy_of_a_reading_in_which_some_request_ran_is_not_idle():
    found = one(counter(*[100.0] * 10, 400.0, *[100.0] * 49), request(10.2, 10.6))
    assert found.joules == pytest.approx([400])
    assert found.gpu_seconds == pytest.approx([0.4])  # time is known better than energy


def test_weights_by_token_follow_the_tokens():
    both = (request(0, 10, prefill_tokens=0, decode_tokens=300), request(0, 10, decode_tokens=100))
    found = one(counter(*[500.0] * 60), *both, weights=Weights(1, 1, "token"))
    assert found.joules == pytest.approx([3_750, 1_250])


def test_without_a_counter_joules_are_unknown_and_time_is_not():
    found = one(Counter(np.array([], dtype=np.int64), np.array([])), request(10, 20))
    assert (found.covered_seconds, found.counter_joules, found.joules[0]) == (0, 0, 0)
    assert found.unmetered_seconds == pytest.approx([10])
    assert found.gpu_seconds == pytest.approx([10])


def test_a_counter_that_falls_or_stops_leaves_that_time_unmetered():
    fallen = Counter(np.arange(61) * SECOND, np.concatenate([np.arange(30) * 500.0, np.arange(31) * 500.0]))
    found = one(fallen, request(28, 32))
    assert found.unmetered_seconds == pytest.approx([1])
    assert found.joules == pytest.approx([1_500])
    gap = Counter(np.array([0, MAX_GAP_NS + 1]), np.array([0.0, 50_000.0]))
    assert one(gap, request(0, 10)).unmetered_seconds == pytest.approx([10])


def test_the_bounds_hold_what_other_weights_would_give():
    found = one(counter(*[500.0] * 60), request(0, 10, prefill_s=10), request(0, 10))
    equal, twice = 2_500, 5_000 * 8 / 9
    assert found.joules_low[0] <= equal < found.joules[0] < twice <= found.joules_high[0] * (1 + 1e-9)
    assert found.joules_low[1] <= 5_000 - twice + 1e-6
    assert found.joules_high[1] >= equal - 1e-6
    assert found.gpu_seconds == pytest.approx([8, 2])
    assert found.gpu_seconds_low == pytest.approx([5, 10 / 9])
    assert found.gpu_seconds_high == pytest.approx([80 / 9, 5])


def test_a_request_inside_one_reading_may_have_used_all_or_nothing_of_its_share():
    found = one(counter(500.0, step_s=60), request(10, 12), request(20, 22))
    assert found.joules == pytest.approx([15_000, 15_000])
    assert found.joules_low == pytest.approx([0, 0])
    assert found.joules_high[0] >= 30_000


_moments = st.integers(-70_000, 190_000)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    start = draw(_moments)
    end = start + draw(st.integers(0, 90_000))
    middle = draw(st.integers(start, end))
    tokens = st.integers(0, 100_000)
    return Request(start * 10**6, middle * 10**6, end * 10**6, draw(tokens), draw(tokens))


@st.composite
def counters(draw: st.DrawFn) -> Counter:
    times = sorted(draw(st.sets(_moments, max_size=40)))
    joules = np.cumsum([draw(st.floats(-5.0, 5_000.0)) for _ in times])
    return Counter(np.array(times, dtype=np.int64) * 10**6, np.array(joules, dtype=np.float64))


@given(
    counters(),
    st.lists(requests(), max_size=8),
    st.sampled_from([Weights(), Weights(1, 1), Weights(3, 70, "token"), Weights(0, 1)]),
)
def test_requests_and_idle_add_up_to_the_counter_and_to_the_time(readings, served, weights):
    windows = [(-60 * SECOND, 0), (0, 60 * SECOND), (60 * SECOND, 120 * SECOND)]
    found = share(readings, served, windows, weights)
    for each in found:
        assert each.joules.sum() + each.idle_joules == pytest.approx(each.counter_joules, rel=1e-9, abs=1e-6)
        assert each.gpu_seconds.sum() + each.idle_seconds == pytest.approx(60, rel=1e-9)
        unmetered = each.unmetered_seconds.sum() + each.idle_unmetered_seconds
        assert unmetered + each.covered_seconds == pytest.approx(60, rel=1e-9)
        assert (each.joules_low <= each.joules + 1e-6).all()
        assert (each.gpu_seconds_low <= each.gpu_seconds + 1e-9).all()
        assert (each.gpu_seconds <= each.gpu_seconds_high + 1e-9).all()
        assert (each.joules <= each.joules_high + 1e-6).all()
        assert (each.joules >= -1e-9).all()


@settings(max_examples=60)
@given(counters(), st.lists(requests(), max_size=8))
def test_all_windows_together_hold_what_the_counter_rose_by(readings, served):
    windows = [(at * 60 * SECOND, (at + 1) * 60 * SECOND) for at in range(-2, 5)]
    found = share(readings, served, windows)
    rise, gaps = np.diff(readings.joules), np.diff(readings.times_ns)
    expected = rise[(rise >= 0) & (gaps <= MAX_GAP_NS)].sum() if len(rise) else 0.0
    assert sum(each.counter_joules for each in found) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@settings(max_examples=60)
@given(counters(), st.lists(requests(), max_size=8))
def test_minutes_shared_out_one_by_one_are_those_shared_out_together(readings, served):
    windows = [(0, 60 * SECOND), (60 * SECOND, 120 * SECOND)]
    together = share(readings, served, windows)
    for window, expected in zip(windows, together, strict=True):
        alone = share(readings, served, [window])[0]
        assert alone.joules == pytest.approx(expected.joules, rel=1e-9, abs=1e-6)
        assert alone.idle_joules == pytest.approx(expected.idle_joules, rel=1e-9, abs=1e-6)
