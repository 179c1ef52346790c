"""The GPUs of a scripted day, read and sent as the GPU agent does: its metrics, its state, its encoder, its sender.

- `play(day, *, interval_s=5, export_s=60) -> Iterator[Body]`: the bodies that the agent would have sent, in order
"""

import gzip
from collections.abc import Iterator

from gpu_agent import metrics as m
from gpu_agent.export import COMPRESSION, LOGS_PATH, METRICS_PATH, Body
from gpu_agent.metrics import Interval
from gpu_agent.otlp import Encoder, Stamped, StampedEvent
from gpu_agent.provider import Attributes, Entity, Event, Point, Sample
from gpu_agent.state import GpuState
from heliograph.demo.day import (
    ENGINES,
    GPUS,
    HOST,
    HOT,
    HOT_GPU,
    KEPT_CLOCK,
    LIMIT_W,
    LOST,
    LOST_GPU,
    SECOND,
    Day,
    EngineScript,
)

MEMORY_BYTES = 85_520_809_984
SM_HZ, MEMORY_HZ = 1_980_000_000, 2_619_000_000
FALLEN_OFF_THE_BUS = 79
# Of a second that is too hot, how much the driver's counters count.
HELD_SHARE = 0.72
Row = tuple[m.Metric, int | float, Attributes]


def uuid_of(gpu: int) -> str:
    """The UUID of a scripted GPU."""
    return f"GPU-da700000-0000-4000-8000-{gpu:012d}"


class DayGpu:
    """One scripted GPU with the agent's memory of it."""

    def __init__(self, day: Day, index: int) -> None:
        self.day = day
        self.index = index
        self.engine: EngineScript | None = next((each for each in ENGINES if index in each.gpus), None)
        self.state = GpuState()
        self.entity = Entity(
            uuid_of(index),
            {
                "hw.id": uuid_of(index),
                "hw.type": "gpu",
                "hw.vendor": "NVIDIA",
                "hw.name": "NVIDIA H100 80GB HBM3 (scripted)",
                "hw.driver_version": "590.48.01",
                "gpu.index": index,
                "gpu.pci.bdf": f"00000000:{0x18 + 8 * index:02X}:00.0",
                "gpu.architecture": "hopper",
            },
        )

    def lost(self, at_ns: int) -> bool:
        """Whether it has fallen off the bus."""
        return self.index == LOST_GPU and self.day.within(LOST, at_ns)

    def read(self, interval: Interval, at_ns: int) -> Sample:
        """What the agent reads of an interval class."""
        rows = {Interval.FAST: self._fast, Interval.MEDIUM: self._medium, Interval.SLOW: self._slow}[interval](at_ns)
        return Sample(points=[Point(self.entity, metric, value, attributes) for metric, value, attributes in rows])

    def _fast(self, at_ns: int) -> list[Row]:
        watts, weight = self.day.watts(self.index, at_ns), self.day.weight(self.index, at_ns)
        busy = min(1.0, 0.55 + weight / 20) if weight else 0.0
        hot = self.index == HOT_GPU and self.day.within(HOT, at_ns)
        used = self.engine.memory if self.engine else 1 << 29
        held = self._held_s(at_ns)
        return [
            (m.UTILIZATION, round(busy, 3), (("hw.gpu.task", "general"),)),
            (m.SM_ACTIVITY, round(0.85 * busy, 3), ()),
            (m.TENSOR_ACTIVITY, round(0.35 * busy, 3), (("gpu.pipe", "any"),)),
            (m.DRAM_BANDWIDTH, round(0.7 * busy, 3), ()),
            (m.MEMORY_USAGE, used, ()),
            (m.MEMORY_LIMIT, MEMORY_BYTES, ()),
            (m.POWER, round(watts, 1), ()),
            (m.POWER_LIMIT, LIMIT_W, ()),
            (m.ENERGY, 4.0e8 + self.day.joules(self.index, at_ns), ()),
            (m.TEMPERATURE, 89 if hot else round(34 + 36 * busy), (("hw.sensor_location", "gpu"),)),
            (m.CLOCK, round(SM_HZ * (KEPT_CLOCK if hot else 1.0)), (("gpu.clock.type", "sm"),)),
            (m.THROTTLE_TIME, 4.0 + held, (("gpu.throttle.reason", "hw_thermal_slowdown"),)),
            (m.THROTTLE_TIME, 310.0, (("gpu.throttle.reason", "sw_power_cap"),)),
        ]

    def _held_s(self, at_ns: int) -> float:
        if self.index != HOT_GPU:
            return 0.0
        begun, ended = (self.day.at_ns(share) for share in HOT)
        return HELD_SHARE * max(0, min(at_ns, ended) - begun) / SECOND

    def _medium(self, at_ns: int) -> list[Row]:
        moved = self.day.joules(self.index, at_ns) * 1e6
        rows: list[Row] = [
            (m.ERRORS, 2 if self.index == 5 else 0, (("hw.type", "gpu"), ("error.type", "corrected"))),
            (m.ERRORS, 0, (("hw.type", "gpu"), ("error.type", "uncorrected"))),
            (m.IO, int(moved * 0.1), (("network.io.direction", "transmit"),)),
            (m.IO, int(moved * 0.2), (("network.io.direction", "receive"),)),
            (m.NVLINK_IO, int(moved), (("gpu.nvlink.link", 0), ("network.io.direction", "transmit"))),
            (m.NVLINK_IO, int(moved), (("gpu.nvlink.link", 0), ("network.io.direction", "receive"))),
        ]
        if self.engine:
            worker: Attributes = (
                ("process.pid", self.engine.pid + 1 + self.engine.gpus.index(self.index)),
                ("process.executable.name", "python3"),
            )
            links: Attributes = (
                ("gpu.process.parent_pids", str(self.engine.pid)),
                ("gpu.process.listen", f"0.0.0.0:{self.engine.port}"),
            )
            rows.append((m.PROCESS_MEMORY, self.engine.memory, (*worker, ("gpu.process.type", "compute"))))
            rows.append((m.PROCESS_INFO, 1, (*worker, *links)))
        return rows

    def _slow(self, _at_ns: int) -> list[Row]:
        return [
            (m.CLOCK_MAX, SM_HZ, (("gpu.clock.type", "sm"),)),
            (m.TEMPERATURE_LIMIT, 92, (("hw.limit_type", "high.critical"), ("hw.sensor_location", "gpu"))),
            (m.TEMPERATURE_LIMIT, 87, (("hw.limit_type", "throttled"), ("hw.sensor_location", "gpu"))),
        ]


def play(day: Day, *, interval_s: float = 5.0, export_s: float = 60.0) -> Iterator[Body]:
    """Yield what the agent would have sent over the day: metrics each `export_s`, events as they happen."""
    encoder = Encoder({"service.name": "gpu-agent", "host.name": HOST}, day.start_ns)
    gpus = [DayGpu(day, index) for index in range(GPUS)]
    samples: list[Stamped] = []
    export_at = day.start_ns + round(export_s * SECOND)
    for tick in range(round(day.length_s / interval_s)):
        at_ns = day.start_ns + round(tick * interval_s * SECOND)
        for gpu in gpus:
            points, events = _sampled(gpu, tick, at_ns)
            samples.append(Stamped(at_ns, points))
            if events:
                request, count = encoder.logs(StampedEvent(at_ns, event) for event in events)
                yield body_of(LOGS_PATH, request.SerializeToString(), count)
        if at_ns >= export_at:
            export_at += round(export_s * SECOND)
            message, count = encoder.metrics(samples)
            samples = []
            yield body_of(METRICS_PATH, message.SerializeToString(), count)
    message, count = encoder.metrics(samples)
    yield body_of(METRICS_PATH, message.SerializeToString(), count)


def _sampled(gpu: DayGpu, tick: int, at_ns: int) -> tuple[list[Point], list[Event]]:
    if gpu.lost(at_ns):
        events = []
        points = []
        if gpu.state.set_lost(True):
            points.append(gpu.state.xid(gpu.entity, FALLEN_OFF_THE_BUS))
            said = f"XID {FALLEN_OFF_THE_BUS} on GPU {gpu.entity.uuid}"
            events.append(Event(gpu.entity, m.XID, said, (("gpu.xid", FALLEN_OFF_THE_BUS),)))
            events.append(Event(gpu.entity, m.LOST, f"GPU {gpu.entity.uuid} is lost: it has fallen off the bus"))
        if tick % Interval.MEDIUM.value == 0 or events:
            points += gpu.state.own_points(gpu.entity)
        return points, events
    events = []
    if gpu.state.set_lost(False):
        events.append(Event(gpu.entity, m.FOUND, f"GPU {gpu.entity.uuid} answers again"))
    points = []
    for interval in (Interval.SLOW, Interval.MEDIUM, Interval.FAST):
        if tick % interval.value == 0:
            told, more = gpu.state.finish(gpu.entity, gpu.read(interval, at_ns), interval, at_ns)
            points += told
            events += more
    return points, events


def body_of(path: str, message: bytes, items: int) -> Body:
    """Return a request as the agent queues it."""
    return Body(path, gzip.compress(message, COMPRESSION, mtime=0), items)
