"""AMD and Apple, against scripted readers: the seam holds, units are right. Neither was tried on hardware."""

import json
import stat
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_agent import apple
from tests.gpu_agent.support import ROOT, until

# A module in the shape of AMD's binding: dictionaries, "N/A" for no value, an exception with a code.
AMDSMI = """
import json, os, time
from enum import IntEnum

class AmdSmiLibraryException(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.err_code = code
    def get_error_code(self):
        return self.err_code

AmdSmiTemperatureType = IntEnum("AmdSmiTemperatureType", "EDGE HOTSPOT VRAM")
AmdSmiTemperatureMetric = IntEnum("AmdSmiTemperatureMetric", "CURRENT MAX")
AmdSmiClkType = IntEnum("AmdSmiClkType", "SYS GFX MEM")

def world():
    with open(os.environ["FAKE_AMDSMI"]) as file:
        return json.load(file)

def check(gpu, name):
    code = world().get("errors", {}).get(f"{gpu}.{name}") or world().get("errors", {}).get(name)
    if code:
        raise AmdSmiLibraryException(code)

def amdsmi_init(): check(0, "init")
def amdsmi_shut_down(): pass
def amdsmi_get_processor_handles(): check(0, "handles"); return list(range(world()["gpus"]))
def amdsmi_get_gpu_device_uuid(gpu): check(gpu, "uuid"); return f"aaff74a0-0000-1000-80f2-00000000000{gpu}"
def amdsmi_get_gpu_device_bdf(gpu): return f"0000:0{gpu}:00.0"
def amdsmi_get_gpu_asic_info(gpu):
    return {"market_name": "AMD Instinct MI300X", "asic_serial": "N/A", "target_graphics_version": "gfx942"}
def amdsmi_get_gpu_driver_info(gpu): return {"driver_version": "6.12.12"}
def amdsmi_get_gpu_activity(gpu): check(gpu, "activity"); return {"gfx_activity": 88, "umc_activity": "N/A"}
def amdsmi_get_gpu_vram_usage(gpu): check(gpu, "vram"); return {"vram_total": 196592, "vram_used": 98296}
def amdsmi_get_power_info(gpu): return {"current_socket_power": 612, "average_socket_power": "N/A"}
def amdsmi_get_power_cap_info(gpu): return {"power_cap": 750000000}
def amdsmi_get_energy_count(gpu):
    return {"energy_accumulator": world()["ticks"], "counter_resolution": 15.3, "timestamp": 1}
def amdsmi_get_temp_metric(gpu, sensor, metric): return {2: 61, 3: 55}[int(sensor)]
def amdsmi_get_clock_info(gpu, kind): return {"clk": 1920 if kind == AmdSmiClkType.GFX else 1300, "max_clk": 2100}
def amdsmi_get_gpu_total_ecc_count(gpu): return {"correctable_count": 4, "uncorrectable_count": 0, "deferred_count": 0}
def amdsmi_get_gpu_process_list(gpu): return [{"pid": os.getpid(), "mem": 1, "memory_usage": {"vram_mem": 123456}}]
"""

# A program in the shape of macmon: one JSON object a line.
MACMON = """#!{python}
import json, sys, time
assert sys.argv[1] == "pipe"
for _ in range({count}):
    print(json.dumps({sample}), flush=True)
    time.sleep(int(sys.argv[sys.argv.index("-i") + 1]) / 1000)
"""
SAMPLE = {
    "temp": {"cpu_temp_avg": 43.7, "gpu_temp_avg": 36.95},
    "memory": {"ram_total": 25_769_803_776, "ram_usage": 12_884_901_888},
    "gpu_freq_mhz": 461,
    "gpu_active_ratio": 0.09,
    "gpu_power": 5.5,
    "soc": {"chip_name": "Apple M3 Pro"},
}


@pytest.fixture
def amd(tmp_path, start):
    """Start the agent with the scripted binding; the returned function changes its world."""
    (tmp_path / "amdsmi.py").write_text(AMDSMI)
    world = tmp_path / "world.json"

    def change(**values):
        world.write_text(json.dumps({"gpus": 2, "ticks": 1_000_000, "errors": {}} | values))

    def launch(*arguments, **values):
        change(**values)
        path = f"{tmp_path}:{ROOT}"
        return start(None, None, "--provider", "amd", *arguments, PYTHONPATH=path, FAKE_AMDSMI=str(world)), change

    return launch


def test_amd_gpus_arrive_in_our_units(amd, otlp):
    agent, _change = amd()
    until(lambda: otlp.points("hw.errors") and otlp.points("hw.energy"), why=lambda: agent.log)
    gpu = "aaff74a0-0000-1000-80f2-000000000001"
    assert otlp.last("hw.gpu.utilization", gpu, hw_gpu_task="general") == pytest.approx(0.88)
    assert otlp.last("hw.gpu.memory.usage", gpu) == 98_296 << 20
    assert otlp.last("hw.gpu.memory.utilization", gpu) == pytest.approx(0.5)
    assert otlp.last("hw.power", gpu) == 612
    assert otlp.last("gpu.power.limit", gpu) == pytest.approx(750)
    assert otlp.last("hw.energy", gpu) == pytest.approx(15.3)
    assert otlp.last("hw.temperature", gpu, hw_sensor_location="memory") == 55
    assert otlp.last("gpu.clock.frequency", gpu, gpu_clock_type="graphics") == 1_920_000_000
    assert otlp.last("hw.errors", gpu, error_type="corrected") == 4
    assert otlp.points("gpu.process.memory", gpu)[0].value == 123_456
    assert not otlp.points("gpu.memory_controller.utilization")  # "N/A"
    assert not otlp.points("gpu.power.average")
    resource = otlp.points("hw.power", gpu)[0].resource
    assert (resource["hw.vendor"], resource["hw.name"], resource["gpu.architecture"]) == (
        "AMD",
        "AMD Instinct MI300X",
        "gfx942",
    )
    assert "hw.serial_number" not in resource
    assert agent.stop() == 0


def test_an_amd_reading_that_is_not_supported_is_absent_and_one_that_fails_is_counted(amd, otlp):
    agent, _change = amd(errors={"activity": 2, "1.vram": 7})
    until(lambda: otlp.points("gpu.agent.read.errors"), why=lambda: agent.log)
    assert not otlp.points("hw.gpu.utilization")
    assert {point.gpu[-1] for point in otlp.points("hw.gpu.memory.usage")} == {"0"}
    assert {point.gpu[-1] for point in otlp.points("gpu.agent.read.errors", error_type="code_7")} == {"1"}


def test_the_amd_driver_may_go_away_and_come_back(amd, otlp):
    agent, change = amd()
    until(lambda: otlp.points("hw.power"), why=lambda: agent.log)
    change(errors={"vram": 34, "handles": 34})
    until(lambda: "the driver went away" in agent.log)
    change(ticks=10)
    until(lambda: otlp.logs("gpu.driver.reloaded"), why=lambda: agent.log)
    until(lambda: otlp.logs("gpu.counter.reset"), why=lambda: agent.log)
    assert otlp.last("hw.energy") == pytest.approx(15.3, rel=0.01)


def test_without_amds_binding_it_leaves_with_code_3(start):
    agent = start(None, None, "--provider", "amd")
    assert agent.process.wait(20) == 3
    assert "amdsmi" in agent.log


def install_macmon(folder, count=10_000, sample=SAMPLE):
    program = folder / "macmon"
    program.write_text(MACMON.format(python=sys.executable, count=count, sample=sample))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(folder)


def test_an_apple_gpu_arrives_in_our_units_with_estimated_energy(tmp_path, start, otlp):
    agent = start(None, None, "--provider", "apple", PATH=install_macmon(tmp_path))
    until(lambda: len(otlp.points("hw.energy")) > 10, why=lambda: agent.log)
    assert otlp.last("hw.gpu.utilization", hw_gpu_task="general") == pytest.approx(0.09)
    assert otlp.last("gpu.clock.frequency", gpu_clock_type="graphics") == 461_000_000
    assert otlp.last("hw.gpu.memory.utilization") == pytest.approx(0.5)
    assert otlp.last("hw.temperature", hw_sensor_location="gpu") == pytest.approx(36.95)
    energy = otlp.points("hw.energy")
    watts = (energy[-1].value - energy[0].value) / ((energy[-1].time_ns - energy[0].time_ns) / 1e9)
    assert watts == pytest.approx(5.5, rel=0.02)
    assert energy[0].attributes == {"gpu.energy.estimated": "true"}
    assert energy[0].resource["hw.name"] == "Apple M3 Pro"
    assert agent.stop() == 0


def test_the_program_is_started_again_when_it_stops_printing(tmp_path, start, otlp):
    agent = start(None, None, "--provider", "apple", PATH=install_macmon(tmp_path, count=5))
    until(lambda: otlp.logs("gpu.driver.reloaded"), why=lambda: agent.log)
    assert agent.stop() == 0


def test_without_the_program_it_leaves_with_code_3(tmp_path, start):
    agent = start(None, None, "--provider", "apple", PATH=str(tmp_path))
    assert agent.process.wait(20) == 3
    assert "macmon" in agent.log


def test_a_sample_of_an_older_version_is_understood():
    found = {metric.name: value for metric, value, _attributes in apple.readings({"gpu_usage": [461, 0.25]})}
    assert found == {"hw.gpu.utilization": 0.25, "gpu.clock.frequency": 461_000_000}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["temp", "memory", "gpu_usage", "ram_total"]), inner)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["temp", "memory", "gpu_usage", "gpu_power", "gpu_freq_mhz"]), JSON))
def test_no_sample_breaks_the_reader(sample):
    for metric, value, _attributes in apple.readings(sample):
        assert isinstance(value, int | float), metric
