"""Demo GPU metrics of the host that serves the demo's own model, under the names that the GPU agent sends."""

import math
import random
from collections.abc import Iterator

from opentelemetry.sdk.metrics.export import (
    Gauge,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from heliograph.demo.traces import GPU_HOST, HOUR

SECOND = 1_000_000_000
MEMORY_BYTES = 80 * 2**30
# Fine in the last hours, coarser before, and never so coarse that a trace falls between two points: 75,000 in all.
FINE_SECONDS, COARSE_SECONDS = 10, 20
POINTS_PER_EXPORT = 500
UNITS = {
    "hw.gpu.utilization": "1",
    "hw.gpu.memory.usage": "By",
    "hw.gpu.memory.limit": "By",
    "hw.gpu.memory.utilization": "1",
    "hw.power": "W",
    "hw.temperature": "Cel",
    "gpu.clock.frequency": "Hz",
}


def generate(start: int, end: int, seed: int, gpus: int = 2) -> Iterator[MetricsData]:
    """Yield exports of gauges for [start, end) nanoseconds; GPU 0 runs hot between 3 and 2 hours before the end."""
    for index in range(gpus):
        rng = random.Random(seed + index)  # noqa: S311  # demo data, not a secret
        uuid = f"GPU-{rng.getrandbits(32):08x}-0000-4000-8000-{index:012x}"
        attributes = {"host.name": GPU_HOST, "hw.id": uuid, "hw.name": "NVIDIA H100 80GB HBM3", "hw.type": "gpu"}
        resource = Resource.create(attributes | {"gpu.index": index, "service.name": "gpu-agent"})
        times = [
            *range(start, end - 3 * HOUR, COARSE_SECONDS * SECOND),
            *range(end - 3 * HOUR, end, FINE_SECONDS * SECOND),
        ]
        for first in range(0, len(times), POINTS_PER_EXPORT):
            points: dict[str, list[NumberDataPoint]] = {name: [] for name in UNITS}
            for at in times[first : first + POINTS_PER_EXPORT]:
                hot = index == 0 and end - 3 * HOUR < at < end - 2 * HOUR
                for name, value in _sample(rng, at, hot).items():
                    points[name].append(NumberDataPoint({}, 0, at, value))
            metrics = [Metric(name, "", UNITS[name], Gauge(points[name])) for name in UNITS]
            scope = ScopeMetrics(InstrumentationScope("heliograph.demo"), metrics, "")
            yield MetricsData([ResourceMetrics(resource, [scope], "")])


def _sample(rng: random.Random, at: int, hot: bool) -> dict[str, float]:
    """Return one plausible reading: a daily wave, noise, and lower clocks while the GPU is too warm."""
    wave = 0.55 + 0.3 * math.sin(at / SECOND / 86_400 * 2 * math.pi)
    utilization = min(1.0, max(0.0, wave + rng.gauss(0, 0.08)))
    used = MEMORY_BYTES * min(0.95, 0.62 + 0.25 * utilization)
    return {
        "hw.gpu.utilization": round(utilization, 3),
        "hw.gpu.memory.usage": float(int(used)),
        "hw.gpu.memory.limit": float(MEMORY_BYTES),
        "hw.gpu.memory.utilization": round(used / MEMORY_BYTES, 4),
        "hw.power": round(120 + 520 * utilization * (0.7 if hot else 1.0) + rng.gauss(0, 8), 1),
        "hw.temperature": round((87 if hot else 48 + 24 * utilization) + rng.gauss(0, 0.7), 1),
        "gpu.clock.frequency": 1.2e9 if hot else 1.98e9,
    }
