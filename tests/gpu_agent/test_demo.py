"""The scripted host: a story that can be told at any speed, and the same agent around it."""

from gpu_agent import demo
from gpu_agent.demo import DemoProvider
from gpu_agent.metrics import BY_NAME, Interval
from gpu_agent.provider import DeviceLost
from tests.gpu_agent.support import until


class Story:
    """The demo host under a clock that the test moves."""

    def __init__(self):
        self.now = 0.0
        self.provider = DemoProvider(lambda: self.now)

    def at(self, second, gpu, interval=Interval.FAST):
        self.now = second
        sample = self.provider._gpus[gpu].read(interval)
        return {(point.metric.name, *point.attributes): point.value for point in sample.points}


def test_energy_is_the_integral_of_power():
    story = Story()
    joules = watts = 0.0
    before = story.at(0, 0)[("hw.energy",)]
    for second in range(1, 101):
        values = story.at(second, 0)
        watts += values[("hw.power",)]
        joules = values[("hw.energy",)] - before
    assert abs(joules - watts) < 0.001 * joules


def test_one_gpu_overheats_and_its_clock_falls_while_the_thermal_counter_runs():
    story = Story()
    thermal, clock = (
        ("gpu.throttle.time", ("gpu.throttle.reason", "hw_thermal_slowdown")),
        ("gpu.clock.frequency", ("gpu.clock.type", "sm")),
    )
    cool = story.at(demo.HOT_FROM - 1, demo.HOT_GPU)
    story.at(demo.HOT_FROM, demo.HOT_GPU)
    hot = story.at(demo.HOT_TO - 1, demo.HOT_GPU)
    assert hot[thermal] - cool[thermal] > 0.05 * (demo.HOT_TO - demo.HOT_FROM)
    assert hot[clock] < 0.95 * cool[clock]
    assert hot[("hw.temperature", ("hw.sensor_location", "gpu"))] > 87
    assert story.at(demo.HOT_TO - 1, 0)[("hw.temperature", ("hw.sensor_location", "gpu"))] < 80


def test_one_gpu_falls_off_the_bus_with_xid_79_and_comes_back():
    story = Story()
    assert len(story.provider.devices()) == 8
    story.now = demo.LOST_FROM + 1
    assert len(story.provider.devices()) == 7
    events = story.provider.events(0)
    assert [dict(event.attributes)["gpu.xid"] for event in events] == [79]
    assert story.provider.events(0) == []
    try:
        story.at(demo.LOST_FROM + 1, demo.LOST_GPU)
        raise AssertionError("a lost GPU was read")
    except DeviceLost:
        pass
    story.now = demo.LOST_TO
    assert len(story.provider.devices()) == 8


def test_load_rises_and_falls():
    loads = [demo.load(0, second) for second in range(600)]
    assert max(loads) - min(loads) > 0.4
    assert all(0 <= load <= 1 for load in loads)
    assert all(demo.load(7, second) == 0 for second in range(600))


def test_the_demo_sends_only_what_the_table_names(start, otlp):
    agent = start(None, None, "--demo")
    until(lambda: len({point.gpu for point in otlp.points("gpu.nvlink.io")}) == 8, why=lambda: agent.log)
    for point in otlp.points():
        row = BY_NAME[point.name]
        assert (row.unit, row.kind.value) == (point.unit, point.kind)
        assert set(point.attributes) <= set(row.attributes)
    assert otlp.points("gpu.process.info", process_pid=41_001)[0].attributes["gpu.process.listen"] == "0.0.0.0:8000"
    assert agent.stop() == 0
