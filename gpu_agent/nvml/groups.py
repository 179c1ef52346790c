"""Readings that need more than one value at once: memory, throttle reasons, activity (GPM), NVLink, processes.

A group is a function from a `Reader` to points; what it cannot read it leaves out.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from gpu_agent import metrics as m
from gpu_agent.metrics import Metric
from gpu_agent.nvml import library
from gpu_agent.nvml.library import FieldKey, ReadFailed, Unsupported
from gpu_agent.processes import ProcessTable
from gpu_agent.provider import Attributes, Entity, Point

KIB, MIB = 1024, 1 << 20
MEMORY_V2 = 0x02000028  # the version that tells the driver's reserve apart from what is used
NVLINK_COUNT_FIELD, NVLINK_STATE_FIELD, NVLINK_SPEED_FIELD = 91, 165, 164
MAX_NVLINKS = 64  # NVLink 5 has 18 links a GPU
# Counters per link, the first kind that answers: KiB of data (138, 139), then bytes (202, 204).
NVLINK_TRAFFIC = (("transmit", ((138, KIB), (202, 1))), ("receive", ((139, KIB), (204, 1))))
NVLINK_ERRORS = {
    161: "replay",
    162: "recovery",
    163: "crc",
    208: "receive",
    214: "recovery_failed",
    219: "effective",
    221: "symbol",
}
# Before the counters per link there were totals.
NVLINK_ERROR_TOTALS = {38: "crc_flit", 45: "crc_data", 52: "replay", 59: "recovery"}
MEGABIT = 1_000_000 // 8

THROTTLE_BITS = {
    0x2: "applications_clocks_setting",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}  # 0x1 is idleness, not throttling
THROTTLE_ATTRIBUTES: tuple[tuple[int, Attributes], ...] = tuple(
    (bit, (("gpu.throttle.reason", reason),)) for bit, reason in THROTTLE_BITS.items()
)

RECOVERY_ACTION_FIELD = 230
RECOVERY_ACTIONS = (
    "none",
    "gpu_reset",
    "node_reboot",
    "drain_p2p",
    "drain_and_reset",
    "recover_imex_domain",
    "bus_reset",
    "system_reboot",
)
UNKNOWN_INSTANCE = 0xFFFFFFFF


class Reader(Protocol):
    """What a group needs of its device for one read."""

    handle: Any

    @property
    def entity(self) -> Entity: ...

    def call(self, function: str, *arguments: Any) -> Any: ...

    def fields(self, keys: Iterable[FieldKey]) -> dict[FieldKey, int | float]: ...


def memory(reader: Reader) -> Iterator[Point]:
    """Used, reserved and total device memory; version 1 of the call counts the reserve as used."""
    reserved = None
    try:
        info = reader.call("nvmlDeviceGetMemoryInfo", reader.handle, MEMORY_V2)
        reserved = info.reserved
    except Unsupported:  # past the reader, which now knows this name as missing
        info = library.call("nvmlDeviceGetMemoryInfo", reader.handle)
    yield Point(reader.entity, m.MEMORY_USAGE, info.used)
    yield Point(reader.entity, m.MEMORY_LIMIT, info.total)
    if info.total:
        yield Point(reader.entity, m.MEMORY_UTILIZATION, info.used / info.total)
    if reserved is not None:
        yield Point(reader.entity, m.MEMORY_RESERVED, reserved)


def throttle_reasons(reader: Reader) -> Iterator[Point]:
    try:
        bits = reader.call("nvmlDeviceGetCurrentClocksEventReasons", reader.handle)
    except Unsupported:  # the name before driver 535
        bits = reader.call("nvmlDeviceGetCurrentClocksThrottleReasons", reader.handle)
    for bit, attributes in THROTTLE_ATTRIBUTES:
        yield Point(reader.entity, m.THROTTLE_ACTIVE, int(bool(bits & bit)), attributes)


def remapped_rows(reader: Reader) -> tuple[list[Point], str]:
    """Points, and the state that they mean: a pending remap predicts a failure, a failed one is one."""
    try:
        corrected, uncorrected, pending, failed = reader.call("nvmlDeviceGetRemappedRows", reader.handle)
    except Unsupported:
        values = reader.fields((number, 0) for number in (142, 143, 144, 145))
        corrected, uncorrected, pending, failed = (values.get((number, 0)) for number in (142, 143, 144, 145))
    points = [
        Point(reader.entity, m.ROWS_REMAPPED, value, (("error.type", name),))
        for name, value in (("corrected", corrected), ("uncorrected", uncorrected))
        if value is not None
    ]
    return points, "failed" if failed else "predicted_failure" if pending else "ok"


def recovery_action(reader: Reader) -> tuple[list[Point], str]:
    """What the driver asks for, and the state that it means."""
    value = reader.fields([(RECOVERY_ACTION_FIELD, 0)]).get((RECOVERY_ACTION_FIELD, 0))
    if value is None:
        return [], "ok"
    known = enumerate(RECOVERY_ACTIONS)
    points = [
        Point(reader.entity, m.RECOVERY_ACTION, int(value == number), (("gpu.recovery.action", name),))
        for number, name in known
    ]
    return points, "degraded" if value else "ok"


def nvlink(reader: Reader) -> Iterator[Point]:
    """State, speed, traffic and errors of each link, in one call for all links."""
    count = reader.fields([(NVLINK_COUNT_FIELD, 0)]).get((NVLINK_COUNT_FIELD, 0), 0)
    links = range(min(int(count), MAX_NVLINKS))
    numbers = [NVLINK_STATE_FIELD, NVLINK_SPEED_FIELD, *NVLINK_ERRORS]
    numbers += [number for _direction, sources in NVLINK_TRAFFIC for number, _scale in sources]
    values = reader.fields((number, link) for link in links for number in numbers)
    for link in links:
        name: Attributes = (("gpu.nvlink.link", link),)
        if (state := values.get((NVLINK_STATE_FIELD, link))) is not None:
            yield Point(reader.entity, m.NVLINK_STATE, int(state != 0), name)
        if speed := values.get((NVLINK_SPEED_FIELD, link)):
            yield Point(reader.entity, m.NVLINK_SPEED, int(speed) * MEGABIT, name)
        for direction, sources in NVLINK_TRAFFIC:
            found = ((values[number, link] * scale) for number, scale in sources if (number, link) in values)
            if (value := next(found, None)) is not None:
                yield Point(reader.entity, m.NVLINK_IO, value, (*name, ("network.io.direction", direction)))
        for number, error in NVLINK_ERRORS.items():
            if (number, link) in values:
                yield Point(reader.entity, m.NVLINK_ERRORS, values[number, link], (*name, ("error.type", error)))
    if links and not any((number, link) in values for number in NVLINK_ERRORS for link in links):
        for (number, _scope), value in reader.fields((number, 0) for number in NVLINK_ERROR_TOTALS).items():
            yield Point(reader.entity, m.NVLINK_ERRORS, value, (("error.type", NVLINK_ERROR_TOTALS[number]),))


class Processes:
    """The processes on a GPU or a MIG instance: memory, identity, share of the engines since the last read."""

    KINDS = (("compute", "nvmlDeviceGetComputeRunningProcesses"), ("graphics", "nvmlDeviceGetGraphicsRunningProcesses"))
    MPS = ("mps", "nvmlDeviceGetMPSComputeRunningProcesses")
    ENGINES = (("general", "smUtil"), ("encoder", "encUtil"), ("decoder", "decUtil"))

    def __init__(self, table: ProcessTable) -> None:
        self.table = table
        self._last_seen = 0

    def __call__(self, reader: Reader) -> Iterator[Point]:
        told: set[int] = set()
        for kind, function in (*self.KINDS, self.MPS):
            try:
                found = reader.call(function, reader.handle)
            except Unsupported:
                continue
            for each in found:
                process = self.table.describe(each.pid)
                if each.usedGpuMemory is not None and not library.is_sentinel(each.usedGpuMemory):
                    attributes = (*process.attributes, ("gpu.process.type", kind))
                    yield Point(reader.entity, m.PROCESS_MEMORY, each.usedGpuMemory, attributes)
                if each.pid not in told:
                    told.add(each.pid)
                    yield Point(reader.entity, m.PROCESS_INFO, 1, (*process.attributes, *process.links))
        yield from self._utilization(reader)

    def _utilization(self, reader: Reader) -> Iterator[Point]:
        try:
            samples = reader.call("nvmlDeviceGetProcessUtilization", reader.handle, self._last_seen)
        except (Unsupported, ReadFailed):  # no sample since the last read comes as an error, even as "success"
            return
        latest: dict[int, Any] = {}
        for sample in samples:
            self._last_seen = max(self._last_seen, sample.timeStamp)
            if sample.pid not in latest or latest[sample.pid].timeStamp < sample.timeStamp:
                latest[sample.pid] = sample
        for pid, sample in latest.items():
            process = self.table.describe(pid)
            for engine, field in self.ENGINES:
                share = getattr(sample, field)
                if share <= 100:  # the driver leaves garbage for engines that it does not sample
                    yield Point(
                        reader.entity,
                        m.PROCESS_UTILIZATION,
                        share / 100,
                        (*process.attributes, ("hw.gpu.task", engine)),
                    )


GPM_PERCENT: dict[int, tuple[Metric, Attributes]] = {
    1: (m.GRAPHICS_ACTIVITY, ()),
    2: (m.SM_ACTIVITY, ()),
    3: (m.SM_OCCUPANCY, ()),
    5: (m.TENSOR_ACTIVITY, (("gpu.pipe", "any"),)),
    7: (m.TENSOR_ACTIVITY, (("gpu.pipe", "hmma"),)),
    9: (m.TENSOR_ACTIVITY, (("gpu.pipe", "imma"),)),
    10: (m.DRAM_BANDWIDTH, ()),
    11: (m.PIPE_ACTIVITY, (("gpu.pipe", "fp64"),)),
    12: (m.PIPE_ACTIVITY, (("gpu.pipe", "fp32"),)),
    13: (m.PIPE_ACTIVITY, (("gpu.pipe", "fp16"),)),
}
GPM_MIB_PER_SECOND: dict[int, tuple[Metric, Attributes]] = {
    20: (m.PCIE_THROUGHPUT, (("network.io.direction", "transmit"),)),
    21: (m.PCIE_THROUGHPUT, (("network.io.direction", "receive"),)),
    60: (m.NVLINK_THROUGHPUT, (("network.io.direction", "receive"),)),
    61: (m.NVLINK_THROUGHPUT, (("network.io.direction", "transmit"),)),
}
GPM_METRICS = {number: (row, 0.01) for number, row in GPM_PERCENT.items()}
GPM_METRICS |= {number: (row, float(MIB)) for number, row in GPM_MIB_PER_SECOND.items()}
GPM_SHORTEST_S = 0.09  # shared with DCGM and meaningless below 100 ms; a tenth of slack for timers


class Gpm:
    """Activity between two samples of the performance monitor (Hopper and later), for a GPU or a MIG instance.

    The structure for the result has 19 kB, so one is kept.
    """

    def __init__(self, take: Callable[[Any], None]) -> None:
        """`take` fills a sample: nvmlGpmSampleGet or nvmlGpmMigSampleGet with its device bound."""
        self._take = take
        self._samples = [library.call("nvmlGpmSampleAlloc") for _ in range(2)]
        self._taken_at: float | None = None
        self._request = library.gpm_request(list(GPM_METRICS))

    def __call__(self, reader: Reader) -> Iterator[Point]:
        now = time.monotonic()
        if self._taken_at is not None and now - self._taken_at < GPM_SHORTEST_S:
            return
        older, newer = self._samples
        self._take(newer)
        first, self._taken_at = self._taken_at is None, now
        self._samples = [newer, older]
        if first:
            return
        self._request.sample1, self._request.sample2 = older, newer
        library.call("nvmlGpmMetricsGet", self._request)
        for (row, scale), value in zip(GPM_METRICS.values(), library.gpm_values(self._request), strict=True):
            if value is not None:
                yield Point(reader.entity, row[0], value * scale, row[1])

    def close(self) -> None:
        for sample in self._samples:
            library.call("nvmlGpmSampleFree", sample)
        self._samples = []
