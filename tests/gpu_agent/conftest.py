import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from tests.gpu_agent.support import AgentProcess, Receiver, Scenario, environment, receiver

FAST = ["--interval", "0.1", "--export-interval", "0.1", "--proc", "/proc"]


def _builder() -> ModuleType:
    path = Path(__file__).parent / "fake_nvml" / "build.py"
    spec = importlib.util.spec_from_file_location("fake_nvml_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needs_compiler() -> None:
    """The scripted driver is C: without a compiler its tests are skipped, but never in CI."""
    if shutil.which("cc") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has no C compiler (cc), so the GPU agent cannot be tested against the scripted driver")
        pytest.skip("no C compiler (cc) here to build the scripted NVIDIA driver: apt-get install gcc libc6-dev")


@pytest.fixture(scope="session")
def fake_nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled scripted driver."""
    needs_compiler()
    path: Path = _builder().build(tmp_path_factory.mktemp("nvml"))
    return path


@pytest.fixture(scope="session")
def old_nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scripted driver of 2022: the newer functions are missing from the library."""
    needs_compiler()
    missing = ["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetTemperatureV", "nvmlDeviceGetMemoryInfo_v2"]
    missing += ["nvmlDeviceGetFieldValues", "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetRemappedRows"]
    missing += ["nvmlGpmQueryDeviceSupport", "nvmlDeviceGetComputeRunningProcesses_v3"]
    path: Path = _builder().build(tmp_path_factory.mktemp("old_nvml"), without=missing)
    return path


@pytest.fixture
def otlp() -> Iterator[Receiver]:
    with receiver() as record:
        yield record


StartAgent = Callable[..., AgentProcess]


@pytest.fixture
def scenario(tmp_path: Path) -> Callable[[Mapping[str, object]], Scenario]:
    return lambda world: Scenario(tmp_path / "scenario.txt", world)


@pytest.fixture
def start(tmp_path: Path, otlp: Receiver) -> Iterator[StartAgent]:
    """Start the agent as a process; it samples every 0.1 s, so its ten-second class comes every second."""
    running: list[AgentProcess] = []

    def launch(library: Path | None, script: Scenario | None, *arguments: str, **variables: str) -> AgentProcess:
        given = [*FAST, "--endpoint", otlp.endpoint, *arguments]
        env = environment(library, script) | variables
        running.append(AgentProcess(given, env, tmp_path / f"agent-{len(running)}.log"))
        return running[-1]

    yield launch
    for process in running:
        process.kill()
