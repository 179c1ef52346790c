"""What the agent costs its host: CPU share of one core and memory, for eight GPUs read every second.

The agent runs as it ships, as a process, through the real binding, against the scripted driver of the tests. The
yardstick in the same run is a process that makes the same number of wake-ups and does nothing, so that the price of
waking up on this machine can be told apart from the agent's work. Run: python benchmarks/gpu_agent.py [seconds]
"""

import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.gpu_agent.support import Scenario, environment, h100s, receiver  # noqa: E402  # the checkout is not installed

GPUS = 8
WARM_UP_S = 8.0
TARGET_CPU, TARGET_RSS_MB = 0.005, 60.0
# Eight workers, the main loop and the events loop each wake once a second or so.
IDLE = """
import threading
def wait():
    while True:
        threading.Event().wait(1)
for _ in range(9):
    threading.Thread(target=wait, daemon=True).start()
wait()
"""


def build(folder: Path) -> Path:
    spec = importlib.util.spec_from_file_location("fake", ROOT / "tests/gpu_agent/fake_nvml/build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path: Path = module.build(folder)
    return path


def cpu_seconds(pid: int) -> float:
    """CPU time of a process by its kernel clock, which counts nanoseconds where /proc counts ticks."""
    return time.clock_gettime((~pid << 3) | 2)


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


def measure(process: subprocess.Popen[bytes], seconds: float) -> tuple[float, float]:
    """(share of a core, resident MB) over `seconds` after the warm-up."""
    time.sleep(WARM_UP_S)
    began, before = time.monotonic(), cpu_seconds(process.pid)
    time.sleep(seconds)
    share = (cpu_seconds(process.pid) - before) / (time.monotonic() - began)
    memory = rss_mb(process.pid)
    process.terminate()
    process.wait(20)
    return share, memory


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with tempfile.TemporaryDirectory() as name, receiver() as otlp:
        folder = Path(name)
        env = environment(build(folder), Scenario(folder / "scenario.txt", h100s(GPUS)))
        agent = [sys.executable, "-m", "gpu_agent", "--endpoint", otlp.endpoint, "--log-level", "ERROR"]
        share, memory = measure(subprocess.Popen(agent, env=env, cwd=ROOT), seconds)
        idle, idle_memory = measure(subprocess.Popen([sys.executable, "-c", IDLE]), seconds)
        fast = otlp.points("gpu.agent.sample.duration", gpu_agent_interval="fast")
        span = (max(point.time_ns for point in fast) - min(point.time_ns for point in fast)) / 1e9
        milliseconds = sorted(point.value * 1e3 for point in fast)
    print(f"GPUs {GPUS}, points {len(otlp.points()) / span:.0f}/s, fast reads {len(fast) / span:.1f}/s")
    median, worst = milliseconds[len(milliseconds) // 2], milliseconds[int(len(milliseconds) * 0.99)]
    print(f"one fast read of one GPU: p50 {median:.2f} ms, p99 {worst:.2f} ms")
    print(
        f"agent: {share:.2%} of a core, {memory:.1f} MB resident   (targets {TARGET_CPU:.1%}, {TARGET_RSS_MB:.0f} MB)"
    )
    print(f"ten threads that only wake up: {idle:.2%} of a core, {idle_memory:.1f} MB   (ratio {share / idle:.1f})")
    return 0 if share < TARGET_CPU and memory < TARGET_RSS_MB else 1


if __name__ == "__main__":
    sys.exit(main())
