"""A scripted host with eight H100s, for trying Heliograph without a GPU. Its story repeats every fifteen minutes.

GPUs 0-3   one engine over four GPUs; load rises and falls with the "day" of ten minutes
GPUs 4-5   a second engine over two
GPU 6      embeddings, in bursts
GPU 7      idle
120-180 s  GPU 3 overheats: its clocks fall, and the thermal throttle counter runs
240-300 s  GPU 7 falls off the bus with XID 79, and comes back
"""

import math
import threading
import time
from collections.abc import Callable, Sequence

from gpu_agent import metrics as m
from gpu_agent.metrics import Interval
from gpu_agent.provider import Attributes, DeviceLost, Entity, Event, Point, Sample

CYCLE_S, DAY_S = 900.0, 600.0
HOT_GPU, HOT_FROM, HOT_TO = 3, 120.0, 180.0
LOST_GPU, LOST_FROM, LOST_TO = 7, 240.0, 300.0
FALLEN_OFF_THE_BUS = 79
MEMORY_BYTES = 85_520_809_984
IDLE_W, LIMIT_W = 70.0, 700.0
# First PID, GPUs and bytes of weights and cache per GPU of each program.
PROGRAMS = (
    (41_000, (0, 1, 2, 3), 74 << 30, "0.0.0.0:8000"),
    (42_000, (4, 5), 61 << 30, "0.0.0.0:8001"),
    (43_000, (6,), 9 << 30, "0.0.0.0:8002"),
)


def load(gpu: int, second: float) -> float:
    """Share of the GPU that is at work, 0 to 1, at a second of the story."""
    day = 0.5 - 0.5 * math.cos(2 * math.pi * second / DAY_S)
    ripple = 0.06 * math.sin(second / 3 + gpu) + 0.04 * math.sin(second / 0.7 + 2 * gpu)
    if gpu <= 3:
        level = 0.35 + 0.55 * day
    elif gpu <= 5:
        level = 0.2 + 0.4 * (1 - day)
    elif gpu == 6:
        level = 0.8 if second % 45 < 8 else 0.05
    else:
        return 0.0
    return min(max(level + ripple, 0.0), 1.0)


class DemoGpu:
    """One scripted GPU; `clock` tells the seconds since the story began."""

    def __init__(self, index: int, clock: Callable[[], float]) -> None:
        self._index = index
        self._clock = clock
        self._entity = Entity(uuid := f"GPU-de300000-0000-4000-8000-{index:012d}", _identity(index, uuid))
        self._read_at = clock()
        self._joules = 4.0e8 + 1e6 * index
        self._throttled = {
            "sw_power_cap": 310.0,
            "thermal": 4.0,
            "hw_thermal_slowdown": 4.0,
            "sw_thermal_slowdown": 0.0,
        }
        self._bytes = 0.0

    @property
    def entity(self) -> Entity:
        return self._entity

    @property
    def lost(self) -> bool:
        return self._index == LOST_GPU and LOST_FROM <= self._clock() % CYCLE_S < LOST_TO

    def read(self, interval: Interval) -> Sample:
        if self.lost:
            raise DeviceLost("it has fallen off the bus")
        second = self._clock() % CYCLE_S
        busy = load(self._index, second)
        hot = self._index == HOT_GPU and HOT_FROM <= second < HOT_TO
        sample = Sample()
        read = {Interval.FAST: self._fast, Interval.MEDIUM: self._medium, Interval.SLOW: self._slow}[interval]
        for metric, value, attributes in read(busy, hot):
            sample.points.append(Point(self._entity, metric, value, attributes))
        return sample

    def close(self) -> None:
        """Nothing is held."""

    def _fast(self, busy: float, hot: bool) -> list[tuple[m.Metric, int | float, Attributes]]:
        now = self._clock()
        passed, self._read_at = now - self._read_at, now
        slowed = 0.6 if hot else 1.0
        watts = IDLE_W + (LIMIT_W - IDLE_W) * busy * slowed
        self._joules += watts * passed
        self._bytes += 2e9 * busy * passed
        if hot:
            for reason in ("thermal", "hw_thermal_slowdown"):
                self._throttled[reason] += 0.7 * passed
        used = next((size for _pid, gpus, size, _listen in PROGRAMS if self._index in gpus), 1 << 29)
        sm_clock = int((1_980 if busy else 345) * slowed) * 1_000_000
        rows: list[tuple[m.Metric, int | float, Attributes]] = [
            (m.UTILIZATION, round(min(1.0, 1.3 * busy), 2), (("hw.gpu.task", "general"),)),
            (m.MEMORY_CONTROLLER, round(0.8 * busy, 2), ()),
            (m.MEMORY_USAGE, used, ()),
            (m.MEMORY_LIMIT, MEMORY_BYTES, ()),
            (m.MEMORY_UTILIZATION, used / MEMORY_BYTES, ()),
            (m.SM_ACTIVITY, 0.85 * busy, ()),
            (m.SM_OCCUPANCY, 0.3 * busy, ()),
            (m.TENSOR_ACTIVITY, 0.35 * busy, (("gpu.pipe", "any"),)),
            (m.DRAM_BANDWIDTH, 0.7 * busy, ()),
            (m.POWER, round(watts, 1), ()),
            (m.POWER_LIMIT, LIMIT_W, ()),
            (m.ENERGY, self._joules, ()),
            (m.TEMPERATURE, 88 if hot else round(32 + 38 * busy), (("hw.sensor_location", "gpu"),)),
            (m.TEMPERATURE, 96 if hot else round(38 + 44 * busy), (("hw.sensor_location", "memory"),)),
            (m.CLOCK, sm_clock, (("gpu.clock.type", "sm"),)),
            (m.CLOCK, 2_619_000_000, (("gpu.clock.type", "memory"),)),
        ]
        active = {"hw_thermal_slowdown": hot, "sw_power_cap": busy > 0.93}
        rows += [(m.THROTTLE_ACTIVE, int(on), (("gpu.throttle.reason", reason),)) for reason, on in active.items()]
        rows += [
            (m.THROTTLE_TIME, seconds, (("gpu.throttle.reason", why),)) for why, seconds in self._throttled.items()
        ]
        return rows

    def _medium(self, busy: float, _hot: bool) -> list[tuple[m.Metric, int | float, Attributes]]:
        rows: list[tuple[m.Metric, int | float, Attributes]] = [
            (m.ERRORS, 2 if self._index == 5 else 0, (("hw.type", "gpu"), ("error.type", "corrected"))),
            (m.ERRORS, 0, (("hw.type", "gpu"), ("error.type", "uncorrected"))),
            (m.IO, int(self._bytes * 0.1), (("network.io.direction", "transmit"),)),
            (m.IO, int(self._bytes * 0.2), (("network.io.direction", "receive"),)),
        ]
        for link in range(4):
            name: Attributes = (("gpu.nvlink.link", link),)
            rows.append((m.NVLINK_STATE, 1, name))
            rows.append((m.NVLINK_IO, int(self._bytes / 4), (*name, ("network.io.direction", "transmit"))))
            rows.append((m.NVLINK_IO, int(self._bytes / 4), (*name, ("network.io.direction", "receive"))))
        for pid, gpus, size, listen in PROGRAMS:
            if self._index in gpus:
                identity: Attributes = (
                    ("process.pid", pid + 1 + gpus.index(self._index)),
                    ("process.executable.name", "python3"),
                )
                links: Attributes = (("gpu.process.parent_pids", str(pid)), ("gpu.process.listen", listen))
                rows.append((m.PROCESS_MEMORY, size, (*identity, ("gpu.process.type", "compute"))))
                rows.append((m.PROCESS_INFO, 1, (*identity, *links)))
                rows.append((m.PROCESS_UTILIZATION, round(busy, 2), (*identity, ("hw.gpu.task", "general"))))
        return rows

    def _slow(self, _busy: float, _hot: bool) -> list[tuple[m.Metric, int | float, Attributes]]:
        return [
            (m.CLOCK_MAX, 1_980_000_000, (("gpu.clock.type", "sm"),)),
            (m.TEMPERATURE_LIMIT, 92, (("hw.limit_type", "high.critical"), ("hw.sensor_location", "gpu"))),
            (m.TEMPERATURE_LIMIT, 87, (("hw.limit_type", "throttled"), ("hw.sensor_location", "gpu"))),
        ]


class DemoProvider:
    """The scripted host. `clock` is seconds, by default since the provider was made."""

    name = "demo"

    def __init__(self, clock: Callable[[], float] | None = None, gpus: int = 8) -> None:
        began = time.monotonic()
        self._clock = clock or (lambda: time.monotonic() - began)
        self._gpus = [DemoGpu(index, self._clock) for index in range(gpus)]
        self._told_cycle = -1
        self._closed = threading.Event()

    def open(self) -> None:
        self._closed.clear()

    def devices(self) -> Sequence[DemoGpu]:
        return [gpu for gpu in self._gpus if not gpu.lost]

    def topology(self) -> Event | None:
        return Event(
            None,
            m.TOPOLOGY,
            f"{len(self._gpus)} scripted GPUs joined by NVLink",
            (("gpu.topology", '{"pairs":[],"numa":{}}'),),
        )

    def events(self, timeout_s: float) -> list[Event]:
        """XID 79 once in each telling of the story."""
        self._closed.wait(timeout_s)
        cycle, second = divmod(self._clock(), CYCLE_S)
        if cycle == self._told_cycle or not LOST_FROM <= second < LOST_TO or len(self._gpus) <= LOST_GPU:
            return []
        self._told_cycle = int(cycle)
        entity = self._gpus[LOST_GPU].entity
        return [
            Event(entity, m.XID, f"XID {FALLEN_OFF_THE_BUS} on GPU {entity.uuid}", (("gpu.xid", FALLEN_OFF_THE_BUS),))
        ]

    def close(self) -> None:
        self._closed.set()


def _identity(index: int, uuid: str) -> dict[str, str | int]:
    return {
        "hw.id": uuid,
        "hw.type": "gpu",
        "hw.vendor": "NVIDIA",
        "hw.name": "NVIDIA H100 80GB HBM3 (scripted)",
        "hw.driver_version": "590.48.01",
        "gpu.index": index,
        "gpu.pci.bdf": f"00000000:{0x18 + 8 * index:02X}:00.0",
        "gpu.architecture": "hopper",
    }
