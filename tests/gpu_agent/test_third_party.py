"""Programs that know nothing of this project read the scripted driver: it is faithful enough to test against."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from tests.gpu_agent.support import environment, h100s, uuid


def needs(package: str) -> None:
    """A second reader is a development package; where it is not installed the test says so."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the package {package} is not installed (pip install {package})")


def read(code: list[str], fake_nvml, scenario, world) -> str:
    command = [sys.executable, *code]
    env = environment(fake_nvml, scenario(world)) | {"PYTHONWARNINGS": "ignore", "TERM": "dumb"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=180).stdout


def test_gpustat_prints_the_scripted_values(fake_nvml, scenario):
    needs("gpustat")
    world = h100s(2) | {"1.utilization": 3, "0.process.0": f"{os.getpid()}:8000000000"}
    found = json.loads(read(["-m", "gpustat", "--json"], fake_nvml, scenario, world))
    assert found["driver_version"] == "590.48.01"
    first, second = found["gpus"]
    assert (first["uuid"], first["name"]) == (uuid(0), "NVIDIA H100 80GB HBM3")
    assert (first["utilization.gpu"], second["utilization.gpu"]) == (97, 3)
    assert (first["temperature.gpu"], first["power.draw"], first["enforced.power.limit"]) == (61, 625, 700)
    assert (first["processes"][0]["pid"], first["processes"][0]["gpu_memory_usage"]) == (os.getpid(), 7629)


def test_nvitop_reads_the_scripted_values(fake_nvml, scenario):
    needs("nvitop")
    code = (
        "import json; from nvitop import Device;"
        "print(json.dumps([[d.uuid(), d.gpu_utilization(), d.temperature(), d.power_usage(), d.memory_used()]"
        " for d in Device.all()]))"
    )
    found = json.loads(read(["-c", code], fake_nvml, scenario, h100s(2) | {"1.temperature.0": 45}))
    assert found == [[uuid(0), 97, 61, 625_700, 70_000_000_000], [uuid(1), 97, 45, 625_700, 70_000_000_000]]
