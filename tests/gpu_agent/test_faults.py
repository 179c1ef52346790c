"""What the agent does when GPUs, driver and library misbehave: the acceptance list, through the real binding."""

import itertools
import signal
import subprocess
import sys
import time

import pytest

from tests.gpu_agent.support import environment, h100s, until, uuid


def test_without_a_library_it_says_so_in_one_line_and_leaves_with_code_3(start):
    agent = start(None, None)
    assert agent.process.wait(20) == 3
    assert agent.log.count("\n") == 1
    assert "libnvidia-ml.so.1 was not found" in agent.log


def test_without_a_driver_it_leaves_with_code_3(fake_nvml, scenario, start):
    agent = start(fake_nvml, scenario(h100s(1) | {"!nvmlInit": 9}))
    assert agent.process.wait(20) == 3
    assert "kernel driver is not loaded" in agent.log


def test_a_library_that_does_not_fit_the_driver_asks_for_a_new_process_with_code_4(fake_nvml, scenario, start):
    agent = start(fake_nvml, scenario(h100s(1) | {"!nvmlInit": 18}), "--wait")
    assert agent.process.wait(20) == 4
    assert "differ in version" in agent.log


def test_with_wait_it_starts_reading_as_soon_as_the_driver_is_there(fake_nvml, scenario, start, otlp):
    world = scenario(h100s(1) | {"!nvmlInit": 9})
    agent = start(fake_nvml, world, "--wait")
    until(lambda: "trying again" in agent.log)
    world.change(without=("!nvmlInit",))
    until(lambda: otlp.points("hw.power"), why=lambda: agent.log)
    assert agent.log.count("trying again") == 1
    assert agent.stop() == 0


def test_a_lost_gpu_is_reported_and_does_not_disturb_the_others(fake_nvml, scenario, start, otlp):
    world = scenario(h100s(3))
    agent = start(fake_nvml, world)
    until(lambda: otlp.points("hw.power", uuid(1)), why=lambda: agent.log)
    world.change({"1.!*": 15})
    until(lambda: otlp.logs("gpu.lost"), why=lambda: agent.log)
    until(lambda: otlp.last("hw.status", uuid(1), hw_state="failed") == 1, why=lambda: agent.log)
    before = {gpu: len(otlp.points("hw.power", uuid(gpu))) for gpu in (0, 1, 2)}
    until(lambda: len(otlp.points("hw.power", uuid(0))) > before[0] + 5, why=lambda: agent.log)
    assert len(otlp.points("hw.power", uuid(2))) > before[2] + 3
    assert len(otlp.points("hw.power", uuid(1))) == before[1]
    world.change(without=("1.!*",))
    until(lambda: otlp.logs("gpu.found"), why=lambda: agent.log)
    until(lambda: otlp.last("hw.status", uuid(1), hw_state="ok") == 1, why=lambda: agent.log)
    assert [log.resource["hw.id"] for log in otlp.logs("gpu.lost")] == [uuid(1)]
    assert agent.stop() == 0


def test_a_gpu_keeps_its_identity_when_its_index_moves(fake_nvml, scenario, start, otlp):
    world = scenario(h100s(3))
    agent = start(fake_nvml, world)
    until(lambda: otlp.points("hw.power", uuid(2)), why=lambda: agent.log)
    world.change({"gpu_count": 2, "order.0": 0, "order.1": 2, "2.power_limit": 500_000})
    until(lambda: otlp.points("gpu.power.limit", uuid(2))[-1].resource["gpu.index"] == 1, why=lambda: agent.log)
    assert otlp.last("gpu.power.limit", uuid(2)) == 500.0
    assert {log.resource["hw.id"] for log in otlp.logs("gpu.lost")} == {uuid(1)}


def test_a_driver_reload_is_survived_and_counters_never_fall(fake_nvml, scenario, start, otlp):
    world = scenario(h100s(2))
    agent = start(fake_nvml, world)
    until(lambda: len(otlp.points("hw.energy", uuid(0))) > 5, why=lambda: agent.log)
    world.change({"!*": 1, "!nvmlInit": 9, "!nvmlDeviceGetCount_v2": 1})
    until(lambda: "trying again" in agent.log)
    reset = {"field.83": "+1000:650000", "field.74": "+0:1000000"}
    world.change(reset, without=("!*", "!nvmlInit", "!nvmlDeviceGetCount_v2"))
    before = len(otlp.points("hw.energy", uuid(0)))
    until(lambda: len(otlp.points("hw.energy", uuid(0))) > before + 5, why=lambda: agent.log)
    for gpu in (uuid(0), uuid(1)):
        energy = [point.value for point in otlp.points("hw.energy", gpu)]
        assert all(a <= b for a, b in itertools.pairwise(energy))
        assert energy[-1] - energy[0] < 650 * 60
    until(lambda: otlp.last("gpu.agent.counter.resets", uuid(0), gpu_metric="hw.energy") == 1, why=lambda: agent.log)
    until(lambda: otlp.last("gpu.agent.provider.restarts") == 1, why=lambda: agent.log)
    assert len(otlp.logs("gpu.driver.reloaded")) == 1
    assert {"hw.energy", "gpu.throttle.time"} <= {
        log.attributes["gpu.metric"] for log in otlp.logs("gpu.counter.reset")
    }
    assert agent.stop() == 0


def test_a_driver_that_cannot_count_its_gpus_is_opened_again_at_leisure(fake_nvml, scenario, start, otlp):
    world = scenario(h100s(1) | {"!nvmlDeviceGetCount_v2": 999})
    agent = start(fake_nvml, world)
    until(lambda: agent.log.count("the driver counts no GPUs") >= 2)
    assert agent.log.count("NVML is open") <= 3
    world.change(without=("!nvmlDeviceGetCount_v2",))
    until(lambda: otlp.points("hw.power"), why=lambda: agent.log)
    assert agent.stop() == 0


def test_energy_goes_on_from_the_same_value_after_the_agent_restarts(fake_nvml, scenario, start, otlp):
    world = scenario(h100s(1) | {"field.83": 500_000_000})
    first = start(fake_nvml, world)
    until(lambda: otlp.points("hw.energy"), why=lambda: first.log)
    assert first.stop() == 0
    before = len(otlp.points("hw.energy"))
    world.change({"field.83": 500_100_000})
    second = start(fake_nvml, world)
    until(lambda: len(otlp.points("hw.energy")) > before, why=lambda: second.log)
    assert otlp.last("hw.energy") == pytest.approx(500_100)
    assert not otlp.logs("gpu.counter.reset")


def lateness(points):
    """How much later than due each sample came, in seconds, the worst tenth aside: other processes run here."""
    times = [point.time_ns for point in points]
    late = sorted((after - before) / 1e9 - 0.1 for before, after in itertools.pairwise(times))
    return late[int(len(late) * 0.9)]


def test_one_stuck_gpu_does_not_delay_the_other_seven(fake_nvml, scenario, start, otlp):
    world = scenario(h100s(8))
    others = [uuid(gpu) for gpu in (0, 1, 2, 4, 5, 6, 7)]
    agent = start(fake_nvml, world)
    until(lambda: len(otlp.points("hw.power", uuid(3))) > 20, why=lambda: agent.log)
    before = max(lateness(otlp.points("hw.power", gpu)) for gpu in others)
    world.change({"3.latency_us.nvmlDeviceGetUtilizationRates": 8_000_000})
    until(lambda: otlp.last("gpu.agent.stuck", uuid(3)) == 1, why=lambda: agent.log)
    stuck_at = time.time_ns()

    def since(gpu):
        return [point for point in otlp.points("hw.power", gpu) if point.time_ns > stuck_at]

    until(lambda: all(len(since(gpu)) > 20 for gpu in others), why=lambda: agent.log)
    # What still came of it was asked for before it was stuck, or took as long as the driver did: on a machine under
    # load a read of the time before may be called stuck, and end.
    durations = otlp.points("gpu.agent.sample.duration", uuid(3), gpu_agent_interval="fast")
    took = {point.time_ns: point.value for point in durations}
    for point in since(uuid(3)):
        assert point.time_ns - took[point.time_ns] * 1e9 < stuck_at or took[point.time_ns] >= 8
    assert max(lateness(since(gpu)) for gpu in others) < before + 1  # of 8 s
    assert len(otlp.logs("gpu.stuck")) == 1
    began = time.monotonic()
    assert agent.stop() == 0
    assert time.monotonic() - began < 60


def two_instances() -> dict[str, object]:
    """GPU 0 cut into a 2g and a 3g instance, each with memory, activity and a process."""
    instances: dict[str, object] = {"0.mig_mode": 1}
    for index, (gi, memory) in enumerate(((1, 19_968), (2, 40_192))):
        at = f"0.mig.{index}."
        instances |= {f"{at}uuid": f"MIG-{index}", f"{at}gi": gi, f"{at}ci": 0, f"{at}gpu_slices": 2 + index}
        instances |= {f"{at}compute_slices": 2 + index, f"{at}memory_mb": memory, f"{at}memory_total": memory << 20}
        instances |= {f"{at}memory_used": 1 << 30, f"{at}gpm.2": 50 + index, f"{at}process.0": "1:4096"}
    return instances


def test_mig_instances_come_and_go(fake_nvml, scenario, start, otlp):
    world = scenario(h100s(2))
    agent = start(fake_nvml, world)
    until(lambda: otlp.points("hw.power", uuid(0)), why=lambda: agent.log)
    instances = two_instances()
    world.change(instances)
    until(
        lambda: otlp.points("gpu.sm.activity", "MIG-1") and otlp.points("gpu.process.memory", "MIG-1"),
        why=lambda: agent.log,
    )
    assert otlp.last("gpu.sm.activity", "MIG-1") == pytest.approx(0.51)
    assert otlp.last("hw.gpu.memory.usage", "MIG-0") == 1 << 30
    assert not otlp.points("hw.gpu.utilization", "MIG-0")
    resource = otlp.points("hw.gpu.memory.usage", "MIG-1")[-1].resource
    assert resource["hw.parent"] == uuid(0)
    assert (resource["gpu.mig.gi"], resource["gpu.mig.ci"], resource["gpu.mig.profile"]) == (2, 0, "3g.39gb")
    world.change({"0.mig_mode": 0}, without=tuple(key for key in instances if key != "0.mig_mode"))
    time.sleep(1.5)  # one medium interval, after which nothing more may come
    count = len(otlp.points("hw.gpu.memory.usage", "MIG-1"))
    until(lambda: otlp.points("hw.power", uuid(0))[-1].time_ns > time.time_ns() - 300_000_000)
    time.sleep(0.5)
    assert len(otlp.points("hw.gpu.memory.usage", "MIG-1")) == count
    assert agent.stop() == 0


TWO_ROUNDS = """
import time
from gpu_agent.metrics import SM_ACTIVITY, Interval
from gpu_agent.nvml import NvmlProvider
from gpu_agent.processes import ProcessTable
provider = NvmlProvider(ProcessTable())
provider.open()
(device,) = provider.devices()
device.read(Interval.SLOW)
for _ in range(2):
    device.read(Interval.MEDIUM)
    sample = device.read(Interval.FAST)
    time.sleep(0.12)
print(*sorted(point.entity.uuid for point in sample.points if point.metric is SM_ACTIVITY))
provider.close()
"""


def test_an_instance_that_stays_keeps_its_activity_samples(fake_nvml, scenario):
    env = environment(fake_nvml, scenario(h100s(1) | two_instances()))
    found = subprocess.run(
        [sys.executable, "-c", TWO_ROUNDS], env=env, capture_output=True, text=True, check=True, timeout=180
    )
    assert found.stdout.split() == [uuid(0), "MIG-0", "MIG-1"]


LISTED_NO_MORE = """
import sys
from gpu_agent.nvml import NvmlProvider
from gpu_agent.processes import ProcessTable

provider = NvmlProvider(ProcessTable())
provider.open()
provider.devices()
provider.events(0.01)
print("listens", flush=True)
sys.stdin.readline()
print(len(provider.devices()), flush=True)
found = []
for _ in range(100):
    found += provider.events(0.1)
    if found:
        break
print(*[(event.entity.uuid, dict(event.attributes)["gpu.xid"]) for event in found])
"""


def test_the_xid_of_a_gpu_that_is_listed_no_more_names_it(fake_nvml, scenario):
    world = scenario(h100s(2))
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", LISTED_NO_MORE]
    with subprocess.Popen(command, env=environment(fake_nvml, world), stdin=pipe, stdout=pipe, text=True) as program:
        assert program.stdout.readline() == "listens\n"
        world.change({"event.0": "0:1:8:79", "1.!*": 15})
        said, _ = program.communicate("go\n", timeout=180)
    assert said.splitlines() == ["1", str((uuid(1), 79))]


def test_an_xid_is_a_log_record_and_a_counter_and_79_means_failed(fake_nvml, scenario, start, otlp):
    world = scenario(h100s(6))
    agent = start(fake_nvml, world)
    until(lambda: otlp.points("hw.status", uuid(5)), why=lambda: agent.log)
    world.change({"event.0": "0:5:8:79", "event.1": "0:2:8:31", "event.2": "0:2:8:31:1:0"})
    until(lambda: len(otlp.logs("gpu.xid")) == 3, why=lambda: agent.log)
    found = {
        (log.resource["hw.id"], log.attributes["gpu.xid"], log.attributes.get("gpu.mig.gi"))
        for log in otlp.logs("gpu.xid")
    }
    assert found == {(uuid(5), 79, None), (uuid(2), 31, None), (uuid(2), 31, 1)}
    until(lambda: otlp.last("gpu.xid.errors", uuid(2), gpu_xid=31) == 2, why=lambda: agent.log)
    assert otlp.last("gpu.xid.errors", uuid(5), gpu_xid=79) == 1
    until(lambda: otlp.last("hw.status", uuid(5), hw_state="failed") == 1, why=lambda: agent.log)
    assert otlp.last("hw.status", uuid(2), hw_state="failed") == 0
    assert not otlp.points("gpu.xid.errors", uuid(0))


def test_a_double_bit_error_is_an_event(fake_nvml, scenario, start, otlp):
    agent = start(fake_nvml, scenario(h100s(1) | {"event.0": "0:0:2:0"}))
    until(lambda: otlp.logs("gpu.event"), why=lambda: agent.log)
    assert otlp.logs("gpu.event")[0].attributes["gpu.event.type"] == "double_bit_ecc"


@pytest.mark.parametrize(
    ("key", "state"), [("rows.pending", "predicted_failure"), ("rows.failed", "failed"), ("field.230", "degraded")]
)
def test_a_sign_of_a_bad_memory_changes_the_status(fake_nvml, scenario, start, otlp, key, state):
    agent = start(fake_nvml, scenario(h100s(1) | {key: 1}))
    until(lambda: otlp.points("hw.status"), why=lambda: agent.log)
    assert otlp.last("hw.status", hw_state=state) == 1
    assert otlp.last("hw.status", hw_state="ok") == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_everything_sent(fake_nvml, scenario, start, otlp, number):
    agent = start(fake_nvml, scenario(h100s(1)), "--export-interval", "60")
    until(lambda: "1 GPUs" in agent.log)
    time.sleep(0.5)
    assert not otlp.points()
    assert agent.stop(number) == 0
    assert len(otlp.points("hw.power")) >= 3


def test_topology_is_told_once_at_start(fake_nvml, scenario, start, otlp):
    agent = start(fake_nvml, scenario(h100s(4)))
    until(lambda: otlp.logs("gpu.topology"), why=lambda: agent.log)
    assert otlp.logs("gpu.topology")[0].body == "4 GPUs, 6 of 6 pairs joined by NVLink"


def test_once_reads_everything_and_leaves(fake_nvml, scenario, start, otlp):
    agent = start(fake_nvml, scenario(h100s(2)), "--once")
    assert agent.process.wait(20) == 0
    assert {"hw.power", "hw.errors", "gpu.clock.max_frequency", "gpu.sm.activity"} <= {
        point.name for point in otlp.points()
    }
    assert otlp.logs("gpu.topology")


def test_once_leaves_with_code_1_when_nobody_takes_the_data(fake_nvml, scenario, start, otlp):
    otlp.answers[:] = [(400, {})] * 4
    agent = start(fake_nvml, scenario(h100s(1)), "--once")
    assert agent.process.wait(20) == 1
