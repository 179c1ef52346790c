"""`python benchmarks/gpu_fleet.py`: what the metrics of a fleet of GPUs cost to take in, and to look at.

A store and a collector as in production, and a load generator of its own process. Bodies are made beforehand by the GPU
agent's own encoder from its scripted GPUs: each is what one agent with eight GPUs sends after five seconds at one
reading a second. 125 such agents are 1,000 GPUs. Agents differ in their host and UUIDs, requests in their times, so
that nothing is taken for a repetition.

Printed: CPU seconds per 1,000 points of collector and store, the points a second that two cores could take by that,
what 1,000 GPUs at one reading a second need, and how long the questions of the fleet's pages take afterwards.
"""

import argparse
import gzip
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import django
from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")
django.setup()

from benchmarks.ingest import run_load  # noqa: E402  # the path comes first
from gpu_agent.demo import DemoGpu  # noqa: E402  # as above
from gpu_agent.export import COMPRESSION  # noqa: E402  # as above
from gpu_agent.metrics import Interval  # noqa: E402  # as above
from gpu_agent.otlp import Encoder, Stamped  # noqa: E402  # as above
from gpu_agent.provider import Entity  # noqa: E402  # as above
from heliograph.query import fleet, gpu_series  # noqa: E402  # as above
from heliograph.query.filters import TimeRange  # noqa: E402  # as above
from tests.ingest.stack import Stack  # noqa: E402  # as above

T = TypeVar("T")
GPUS_AN_AGENT, AGENTS = 8, 125
SECONDS_AN_EXPORT = 5
SECOND = 10**9


@dataclass
class Clock:
    """The story's second, set by hand."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class FleetAgent:
    """One host's agent: its encoder, and its eight scripted GPUs under UUIDs of their own."""

    def __init__(self, number: int, started_ns: int) -> None:
        self.clock = Clock(now=float(number))
        self.host = {"host.name": f"node-{number:03}", "service.name": "gpu-agent", "host.id": f"{number:032x}"}
        self.encoder = Encoder(self.host, started_ns)
        self.gpus = [DemoGpu(index, self.clock) for index in range(GPUS_AN_AGENT)]
        self.entities = {
            gpu.entity: Entity(
                uuid := f"GPU-{number:08x}-0000-4000-8000-{index:012d}",
                dict(gpu.entity.attributes) | {"hw.id": uuid},
            )
            for index, gpu in enumerate(self.gpus)
        }

    def export(self, start_ns: int, tick: int) -> tuple[bytes, int]:
        """Return the body of five seconds of readings, as the agent sends it, and its points."""
        samples = []
        for second in range(SECONDS_AN_EXPORT):
            self.clock.now += 1.0
            at_ns = start_ns + second * SECOND
            for gpu in self.gpus:
                points = [] if gpu.lost else list(gpu.read(Interval.FAST).points)
                if (tick * SECONDS_AN_EXPORT + second) % Interval.MEDIUM.value == 0 and not gpu.lost:
                    points += gpu.read(Interval.MEDIUM).points
                moved = [point._replace(entity=self.entities[point.entity]) for point in points]
                samples.append(Stamped(at_ns, moved))
        message, count = self.encoder.metrics(samples)
        return gzip.compress(message.SerializeToString(), COMPRESSION, mtime=0), count


def bodies_of(exports: int) -> tuple[list[bytes], int]:
    """Return `exports` exports of every agent, interleaved as they would come, and the number of points."""
    started_ns = time.time_ns() - exports * SECONDS_AN_EXPORT * SECOND
    agents = [FleetAgent(number, started_ns) for number in range(AGENTS)]
    bodies, points = [], 0
    for tick in range(exports):
        start_ns = started_ns + tick * SECONDS_AN_EXPORT * SECOND
        random.Random(tick).shuffle(agents)
        for agent in agents:
            body, count = agent.export(start_ns, tick)
            bodies.append(body)
            points += count
    return bodies, points


def ask(project_id: int, url: str) -> None:
    """Print how long the questions of the fleet's page and of one GPU's take."""
    settings.CLICKHOUSE_URL = url
    end = datetime.now(UTC) + timedelta(seconds=1)
    span = TimeRange(end - timedelta(hours=1), end)

    def timed(words: str, question: Callable[[], T]) -> T:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            answer = question()
            times.append(time.perf_counter() - started)
        print(f"{words:<26} {sorted(times)[1] * 1000:,.0f} ms (median of three)")
        return answer

    gpus = timed("fleet, one hour", lambda: fleet.fleet(project_id, span)).gpus
    print(f"  {len(gpus):,} GPUs, {sum(bool(gpu.problems) for gpu in gpus):,} with problems")
    one = gpus[0]
    metrics = ["hw.gpu.utilization", "hw.power", "hw.temperature", "gpu.clock.frequency", "hw.gpu.memory.usage"]
    timed(
        "one GPU, five metrics",
        lambda: gpu_series.levels(project_id, span, metrics, gpu_uuid=one.gpu_uuid, host=one.host),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exports", type=int, default=12, help="of each agent, five seconds each (default: 12)")
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="heliograph-benchmark-"))
    stack = Stack(folder)
    try:
        bodies, points = bodies_of(options.exports)
        stack.start()
        warm, tenant = next(stack.tenants), next(stack.tenants)
        headers = "/v1/metrics", "content-encoding: gzip\r\n"
        run_load(stack, warm, bodies[:AGENTS], 8, *headers)
        load, used = run_load(stack, tenant, bodies, options.connections, *headers)
        assert load.answers == {200: len(bodies)}, load.answers
        [(stored,)] = stack.query("SELECT count() FROM metric_points WHERE project_id = %(p)s", p=tenant.id)
        assert stored == points, (stored, points)
        report(len(bodies), points, sum(map(len, bodies)), load.seconds, used, options.exports)
        ask(tenant.id, stack.environment["HELIOGRAPH_CLICKHOUSE_URL"])
    finally:
        stack.stop()
        shutil.rmtree(folder)


def report(requests: int, points: int, size: int, seconds: float, used: dict[str, float], exports: int) -> None:
    """Print the costs."""
    needed = points / (exports * SECONDS_AN_EXPORT)
    print(f"{points:,} points in {requests:,} requests, {size / points:.1f} bytes a point on the wire (gzip)")
    print(f"acknowledged and stored  {points / seconds:,.0f} points/s on {os.cpu_count()} cores, with the generator")
    for name, each in used.items():
        print(f"CPU {name:<20} {each / points * 1000 * 1000:.2f} ms per 1,000 points")
    server = used["collector"] + used["store"]
    print(f"CPU of the server        {server / points * 1e6:.2f} ms per 1,000 points")
    print(f"on two cores             {2 * points / server:,.0f} points/s by that")
    print(f"1,000 GPUs at 1 s        {needed:,.0f} points/s: {needed * server / points:.2f} cores")


if __name__ == "__main__":
    main()
