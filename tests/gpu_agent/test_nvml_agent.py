"""The agent as a process, through the real binding, against the scripted driver."""

import subprocess
import sys

import pytest

from gpu_agent.metrics import BY_NAME
from tests.gpu_agent.support import H100_BYTES, environment, h100s, until, uuid


def test_every_group_of_an_h100_arrives_under_its_name(fake_nvml, scenario, start, otlp):
    agent = start(fake_nvml, scenario(h100s(2)))
    until(lambda: otlp.points("hw.gpu.io") and otlp.points("gpu.sm.activity"), why=lambda: agent.log)
    first = uuid(0)
    expected = {
        ("hw.gpu.utilization", "general"): 0.97,
        ("hw.gpu.utilization", "decoder"): 0.03,
    }
    for (name, task), value in expected.items():
        assert otlp.last(name, first, hw_gpu_task=task) == pytest.approx(value)
    plain = {
        "gpu.memory_controller.utilization": 0.41,
        "hw.gpu.memory.usage": 70_000_000_000,
        "hw.gpu.memory.limit": H100_BYTES,
        "hw.gpu.memory.utilization": 70_000_000_000 / H100_BYTES,
        "gpu.memory.reserved": 526_385_152,
        "gpu.memory.bar1.usage": 1_000_000,
        "hw.power": 625.7,
        "gpu.power.average": 631.9,
        "gpu.power.limit": 700.0,
        "gpu.sm.activity": 0.91,
        "gpu.sm.occupancy": 0.33,
        "gpu.dram.bandwidth_utilization": 0.63,
    }
    assert {name: otlp.last(name, first) for name in plain} == pytest.approx(plain)
    assert otlp.last("gpu.tensor.activity", first, gpu_pipe="any") == pytest.approx(0.42)
    assert otlp.last("gpu.pcie.throughput", first, network_io_direction="receive") == 200 * 2**20
    assert otlp.last("hw.temperature", first, hw_sensor_location="gpu") == 61
    assert otlp.last("hw.temperature", first, hw_sensor_location="memory") == 66
    assert otlp.last("hw.temperature.limit", first, hw_limit_type="throttled") == 87
    assert otlp.last("gpu.clock.frequency", first, gpu_clock_type="memory") == 2_619_000_000
    assert otlp.last("gpu.throttle.active", first, gpu_throttle_reason="sw_power_cap") == 1
    assert otlp.last("gpu.throttle.active", first, gpu_throttle_reason="hw_thermal_slowdown") == 0
    assert otlp.last("hw.errors", first, error_type="pcie_replay") == 1
    assert otlp.last("hw.errors", first, error_type="uncorrected") == 0
    assert otlp.last("hw.status", first, hw_state="ok") == 1
    assert otlp.last("hw.status", first, hw_state="failed") == 0
    assert otlp.last("gpu.nvlink.speed", first, gpu_nvlink_link=17) == 26_562 * 125_000
    assert agent.stop() == 0


def test_every_metric_that_arrives_is_in_the_table_with_its_unit_kind_and_attributes(fake_nvml, scenario, start, otlp):
    world = h100s(1) | {"process.0": "1:8000000", "process_sample.0": "1:50:20:0:0"}
    agent = start(fake_nvml, scenario(world))
    until(lambda: otlp.points("gpu.process.utilization") and otlp.points("gpu.sm.activity"), why=lambda: agent.log)
    seen = {(point.name, point.unit, point.kind) for point in otlp.points()}
    assert seen == {
        (row.name, row.unit, row.kind.value) for row in BY_NAME.values() if row.name in {name for name, *_ in seen}
    }
    for point in otlp.points():
        assert set(point.attributes) <= set(BY_NAME[point.name].attributes), point


def test_a_gpu_is_named_by_its_resource_and_not_by_its_points(fake_nvml, scenario, start, otlp):
    agent = start(fake_nvml, scenario(h100s(2)), OTEL_RESOURCE_ATTRIBUTES="host.name=node%207,k8s.node.name=n7")
    until(lambda: otlp.points("hw.power", uuid(1)), why=lambda: agent.log)
    resource = otlp.points("hw.power", uuid(1))[0].resource
    expected = {
        "host.name": "node 7",
        "k8s.node.name": "n7",
        "hw.id": uuid(1),
        "hw.type": "gpu",
        "hw.vendor": "NVIDIA",
        "hw.name": "NVIDIA H100 80GB HBM3",
        "hw.driver_version": "590.48.01",
        "gpu.index": 1,
        "gpu.pci.bdf": "00000000:19:00.0",
        "gpu.architecture": "hopper",
        "gpu.cuda_version": "13.1",
        "service.name": "gpu-agent",
    }
    assert {key: resource.get(key) for key in expected} == expected


def test_cumulative_counters_become_joules_seconds_and_bytes(fake_nvml, scenario, start, otlp):
    agent = start(fake_nvml, scenario(h100s(1) | {"field.74": 5_000_000_000, "field.139.3": 2000}))
    until(lambda: len(otlp.points("hw.energy")) > 10 and otlp.points("gpu.nvlink.io"), why=lambda: agent.log)
    energy = otlp.points("hw.energy")
    assert energy[0].value == pytest.approx(400_000, rel=0.02)
    watts = (energy[-1].value - energy[0].value) / ((energy[-1].time_ns - energy[0].time_ns) / 1e9)
    assert watts == pytest.approx(650, rel=0.1)
    assert not energy[0].attributes
    assert energy[0].kind == "counter"
    assert 0 < energy[0].start_ns <= energy[0].time_ns
    assert otlp.last("gpu.throttle.time", gpu_throttle_reason="sw_power_cap") == pytest.approx(5.0)
    assert otlp.last("gpu.nvlink.io", gpu_nvlink_link=3, network_io_direction="receive") == 2000 * 1024


@pytest.mark.parametrize(("driver", "field"), [("580.65.06", 252), ("590.48.01", 270)])
def test_the_thermal_counter_is_read_by_the_id_that_the_driver_knows(fake_nvml, scenario, start, otlp, driver, field):
    elsewhere = {f"field.{number}": 77_000_000_000 for number in (251, 252, 253, 269, 270, 271)}
    agent = start(fake_nvml, scenario(h100s(1, driver) | elsewhere | {f"field.{field}": 41_000_000_000}))
    found = until(
        lambda: otlp.last("gpu.throttle.time", gpu_throttle_reason="hw_thermal_slowdown"), why=lambda: agent.log
    )
    assert found == pytest.approx(41.0)


def test_a_driver_without_slowdown_counters_sends_none(fake_nvml, scenario, start, otlp):
    agent = start(fake_nvml, scenario(h100s(1, "570.10") | {"field.270": 77, "field.252": 77}))
    until(lambda: len(otlp.points("gpu.throttle.time")) > 3, why=lambda: agent.log)
    reasons = {point.attributes["gpu.throttle.reason"] for point in otlp.points("gpu.throttle.time")}
    assert reasons == {"sw_power_cap", "thermal", "sync_boost"}


def test_what_a_gpu_does_not_support_is_absent_and_never_zero(fake_nvml, scenario, start, otlp):
    world = h100s(1)
    gone = [
        "field.186",
        "field.185",
        "power",
        "field.82",
        "encoder_utilization",
        "gpm",
        "ecc.0.1",
        "pcie_replay",
        "field.197",
    ]
    for key in gone:
        del world[key]
    agent = start(fake_nvml, scenario(world))
    until(lambda: otlp.points("hw.errors"), why=lambda: agent.log)
    names = {point.name for point in otlp.points()}
    assert not names & {"hw.power", "gpu.power.average", "gpu.sm.activity"}
    assert not otlp.points("hw.temperature", hw_sensor_location="memory")
    assert not otlp.points("hw.gpu.utilization", hw_gpu_task="encoder")
    assert not otlp.points("hw.errors", error_type="corrected")
    assert not otlp.points("hw.gpu.io", network_io_direction="transmit")
    assert otlp.points("hw.gpu.io", network_io_direction="receive")
    assert not otlp.points("gpu.agent.read.errors")


def test_a_sentinel_is_no_value(fake_nvml, scenario, start, otlp):
    sentinels = {"field.82": "9223372036854775794", "temperature.0": 2147483632, "clock.1": 4294967295}
    agent = start(fake_nvml, scenario(h100s(1) | sentinels | {"field.197": "9223372036854775807"}))
    until(lambda: otlp.points("hw.gpu.io", network_io_direction="receive"), why=lambda: agent.log)
    assert not otlp.points("hw.temperature")
    assert not otlp.points("hw.gpu.io", network_io_direction="transmit")
    assert {point.attributes["gpu.clock.type"] for point in otlp.points("gpu.clock.frequency")} == {
        "graphics",
        "memory",
        "video",
    }


def test_a_temperature_beyond_belief_is_absent(fake_nvml, scenario, start, otlp):
    agent = start(fake_nvml, scenario(h100s(1) | {"temperature.0": 1000}))
    until(lambda: len(otlp.points("hw.power")) > 3, why=lambda: agent.log)
    assert not otlp.points("hw.temperature", hw_sensor_location="gpu")


def test_an_old_driver_without_the_new_functions_is_read_the_old_way(old_nvml, scenario, start, otlp):
    world = h100s(1, "470.82.01") | {"violation.0": 3_000_000_000}
    agent = start(old_nvml, scenario(world))
    until(lambda: len(otlp.points("hw.energy")) > 10 and otlp.points("hw.errors"), why=lambda: agent.log)
    assert otlp.last("hw.power") == pytest.approx(625.7)
    assert otlp.last("hw.temperature", hw_sensor_location="gpu") == 61
    assert otlp.last("gpu.throttle.active", gpu_throttle_reason="sw_power_cap") == 1
    assert otlp.last("gpu.throttle.time", gpu_throttle_reason="sw_power_cap") == pytest.approx(3.0)
    # Version 1 of the call counts the reserve as used, so nothing can be said of the reserve.
    assert otlp.last("hw.gpu.memory.usage") == 70_000_000_000 + 526_385_152
    assert not otlp.points("gpu.memory.reserved")
    energy = otlp.points("hw.energy")
    assert {point.attributes.get("gpu.energy.estimated") for point in energy} == {"true"}
    watts = (energy[-1].value - energy[0].value) / ((energy[-1].time_ns - energy[0].time_ns) / 1e9)
    assert watts == pytest.approx(625.7, rel=0.02)
    assert agent.stop() == 0


def test_a_reading_that_fails_is_absent_and_counted_by_name(fake_nvml, scenario, start, otlp):
    agent = start(fake_nvml, scenario(h100s(2) | {"0.!nvmlDeviceGetEnforcedPowerLimit": 999}))
    until(lambda: otlp.points("gpu.agent.read.errors"), why=lambda: agent.log)
    assert not otlp.points("gpu.power.limit", uuid(0))
    assert otlp.points("gpu.power.limit", uuid(1))
    assert {point.gpu for point in otlp.points("gpu.agent.read.errors", error_type="unknown")} == {uuid(0)}


def test_the_call_that_blocks_is_never_made(fake_nvml, scenario, start, otlp):
    agent = start(fake_nvml, scenario(h100s(8) | {"latency_us.nvmlDeviceGetPcieThroughput": 5_000_000}))
    until(lambda: otlp.points("hw.gpu.io", uuid(7)), why=lambda: agent.log)
    durations = [point.value for point in otlp.points("gpu.agent.sample.duration", gpu_agent_interval="fast")]
    # It would take five seconds here.
    assert sorted(durations)[len(durations) // 2] < 2


SAMPLE = """
import time
from gpu_agent.metrics import Interval
from gpu_agent.nvml import NvmlProvider
from gpu_agent.processes import ProcessTable
provider = NvmlProvider(ProcessTable())
provider.open()
devices = provider.devices()
costs = []
for _ in range(20):
    before = time.process_time()
    for device in devices:
        for interval in (Interval.SLOW, Interval.MEDIUM, Interval.FAST):
            device.read(interval)
    costs.append(time.process_time() - before)
    time.sleep(0.11)
print(len(devices), sorted(costs)[len(costs) // 2])
provider.close()
"""


def test_one_sample_reads_every_one_of_eight_gpus(fake_nvml, scenario):
    env = environment(fake_nvml, scenario(h100s(8)))
    found = subprocess.run(
        [sys.executable, "-c", SAMPLE], env=env, capture_output=True, text=True, check=True, timeout=180
    )
    count, _ = found.stdout.split()  # what it costs is printed by benchmarks/gpu_agent.py
    assert int(count) == 8


def test_the_performance_monitor_may_be_left_to_another_program(fake_nvml, scenario, start, otlp):
    agent = start(fake_nvml, scenario(h100s(1) | {"latency_us.nvmlGpmSampleGet": 5_000_000}), "--no-gpm")
    until(lambda: len(otlp.points("hw.power")) > 5 and otlp.points("hw.errors"), why=lambda: agent.log)
    assert not [point for point in otlp.points() if point.name in ("gpu.sm.activity", "gpu.dram.bandwidth_utilization")]
    assert agent.stop() == 0
