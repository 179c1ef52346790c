"""Counters that must not fall, whatever the driver does."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gpu_agent import metrics as m
from gpu_agent.metrics import Interval
from gpu_agent.provider import Entity, Point, Sample
from gpu_agent.state import GpuState

GPU = Entity("GPU-0")


def exported(state: GpuState, raw: float, second: int = 0) -> float:
    points, _events = state.finish(GPU, Sample([Point(GPU, m.ENERGY, raw)]), Interval.FAST, second * 10**9)
    return next(point.value for point in points if point.metric is m.ENERGY)


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=50))
def test_energy_never_falls_and_grows_by_what_the_driver_counted(raws):
    state = GpuState()
    values = [exported(state, raw) for raw in raws]
    assert values == sorted(values)
    counted = sum(after - before if after >= before else after for before, after in itertools.pairwise(raws))
    assert values[-1] - values[0] == counted


def test_each_reset_is_told_with_its_metric():
    state = GpuState()
    exported(state, 100.0)
    _points, events = state.finish(GPU, Sample([Point(GPU, m.ENERGY, 3.0)]), Interval.FAST, 0)
    assert [event.kind for event in events] == [m.RESET]
    assert dict(events[0].attributes)["gpu.metric"] == "hw.energy"


def test_series_of_one_metric_are_kept_apart():
    state = GpuState()
    for power, thermal in ((10.0, 1.0), (11.0, 2.0)):
        sample = Sample(
            [
                Point(GPU, m.THROTTLE_TIME, power, (("gpu.throttle.reason", "sw_power_cap"),)),
                Point(GPU, m.THROTTLE_TIME, thermal, (("gpu.throttle.reason", "thermal"),)),
            ]
        )
        points, events = state.finish(GPU, sample, Interval.FAST, 0)
        assert not events
    assert [point.value for point in points] == [11.0, 2.0]


def test_without_a_counter_power_is_integrated_and_marked():
    state = GpuState()
    for second, watts in enumerate((100.0, 200.0, 200.0)):
        points, _events = state.finish(GPU, Sample([Point(GPU, m.POWER, watts)]), Interval.FAST, second * 10**9)
    energy = points[-1]
    assert energy.metric is m.ENERGY
    assert energy.value == 150.0 + 200.0
    assert energy.attributes == (("gpu.energy.estimated", "true"),)


def test_a_gpu_that_once_told_its_energy_is_never_estimated():
    state = GpuState()
    exported(state, 5.0)
    points, _events = state.finish(GPU, Sample([Point(GPU, m.POWER, 100.0)]), Interval.FAST, 10**9)
    assert [point.metric for point in points] == [m.POWER]


def status(state: GpuState) -> str:
    return next(
        dict(point.attributes)["hw.state"]
        for point in state.own_points(GPU)
        if point.metric is m.STATUS and point.value
    )


def test_a_fatal_xid_means_failed_until_the_gpu_comes_back_from_being_lost():
    state = GpuState()
    assert status(state) == "ok"
    state.xid(GPU, 31)
    assert status(state) == "ok"
    state.xid(GPU, 79)
    assert status(state) == "failed"
    assert state.set_lost(True)
    assert not state.set_lost(True)
    assert state.set_lost(False)
    assert status(state) == "ok"
