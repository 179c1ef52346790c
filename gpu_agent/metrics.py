"""Every metric and event that the agent sends, in one table.

Names follow OpenTelemetry's hardware conventions (`hw.*`, semconv 1.44) where one exists and are ours (`gpu.*`)
elsewhere. `docs/gpu-agent.md` shows the same table to people; a test keeps the two equal.
"""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How a value behaves in time, and so how OTLP carries it."""

    GAUGE = "gauge"
    COUNTER = "counter"  # cumulative monotonic sum
    UPDOWN = "updowncounter"  # cumulative sum that may fall


class Interval(Enum):
    """How often a reading is taken, as a multiple of the base interval (1 s unless set)."""

    FAST = 1
    MEDIUM = 10
    SLOW = 600
    EVENT = 0  # when it happens


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One row: `attributes` are the keys a point may carry beside its resource's."""

    name: str
    unit: str
    kind: Kind
    interval: Interval
    description: str
    attributes: tuple[str, ...] = ()


GAUGE, COUNTER, UPDOWN = Kind.GAUGE, Kind.COUNTER, Kind.UPDOWN
FAST, MEDIUM, SLOW, EVENT = Interval.FAST, Interval.MEDIUM, Interval.SLOW, Interval.EVENT

PROCESS_ATTRIBUTES = (
    "process.pid",
    "process.creation.time",
    "process.executable.name",
    "container.id",
    "k8s.pod.uid",
)

# Utilisation and activity
UTILIZATION = Metric(
    "hw.gpu.utilization", "1", GAUGE, FAST, "Share of time in which the engine was busy", ("hw.gpu.task",)
)
MEMORY_CONTROLLER = Metric(
    "gpu.memory_controller.utilization", "1", GAUGE, FAST, "Share of time in which device memory was read or written"
)
GRAPHICS_ACTIVITY = Metric(
    "gpu.graphics.activity", "1", GAUGE, FAST, "Share of time in which any graphics or compute engine was active (GPM)"
)
SM_ACTIVITY = Metric(
    "gpu.sm.activity", "1", GAUGE, FAST, "Share of time with a warp on a multiprocessor, mean over them (GPM)"
)
SM_OCCUPANCY = Metric("gpu.sm.occupancy", "1", GAUGE, FAST, "Resident warps as a share of the possible ones (GPM)")
TENSOR_ACTIVITY = Metric(
    "gpu.tensor.activity", "1", GAUGE, FAST, "Share of time in which tensor cores worked (GPM)", ("gpu.pipe",)
)
PIPE_ACTIVITY = Metric(
    "gpu.pipe.activity", "1", GAUGE, FAST, "Share of time in which an arithmetic pipe worked (GPM)", ("gpu.pipe",)
)
DRAM_BANDWIDTH = Metric(
    "gpu.dram.bandwidth_utilization", "1", GAUGE, FAST, "Device-memory bandwidth in use, as a share of the peak (GPM)"
)
PCIE_THROUGHPUT = Metric(
    "gpu.pcie.throughput", "By/s", GAUGE, FAST, "PCIe traffic between two samples (GPM)", ("network.io.direction",)
)
NVLINK_THROUGHPUT = Metric(
    "gpu.nvlink.throughput", "By/s", GAUGE, FAST, "NVLink traffic of all links (GPM)", ("network.io.direction",)
)

# Memory
MEMORY_USAGE = Metric("hw.gpu.memory.usage", "By", UPDOWN, FAST, "Device memory in use, without the driver's reserve")
MEMORY_LIMIT = Metric("hw.gpu.memory.limit", "By", UPDOWN, FAST, "Device memory in all")
MEMORY_UTILIZATION = Metric("hw.gpu.memory.utilization", "1", GAUGE, FAST, "Used share of the device memory")
MEMORY_RESERVED = Metric("gpu.memory.reserved", "By", UPDOWN, FAST, "Device memory held by driver and firmware")
BAR1_USAGE = Metric("gpu.memory.bar1.usage", "By", UPDOWN, MEDIUM, "BAR1 window in use")
BAR1_LIMIT = Metric("gpu.memory.bar1.limit", "By", UPDOWN, MEDIUM, "BAR1 window in all")

# Power, energy, clocks, heat
POWER = Metric("hw.power", "W", GAUGE, FAST, "Power drawn by the board, instant where the driver tells it")
POWER_AVERAGE = Metric("gpu.power.average", "W", GAUGE, FAST, "Power averaged by the driver over about one second")
POWER_LIMIT = Metric("gpu.power.limit", "W", GAUGE, FAST, "Power limit in force")
ENERGY = Metric(
    "hw.energy", "J", COUNTER, FAST, "Energy consumed; continues through a driver reload", ("gpu.energy.estimated",)
)
CLOCK = Metric("gpu.clock.frequency", "Hz", GAUGE, FAST, "Clock frequency", ("gpu.clock.type",))
CLOCK_MAX = Metric("gpu.clock.max_frequency", "Hz", GAUGE, SLOW, "Highest clock frequency", ("gpu.clock.type",))
THROTTLE_ACTIVE = Metric(
    "gpu.throttle.active", "1", GAUGE, FAST, "1 while the reason holds the clocks down", ("gpu.throttle.reason",)
)
THROTTLE_TIME = Metric(
    "gpu.throttle.time", "s", COUNTER, FAST, "Time for which the reason held the clocks down", ("gpu.throttle.reason",)
)
TEMPERATURE = Metric("hw.temperature", "Cel", GAUGE, FAST, "Temperature", ("hw.sensor_location",))
TEMPERATURE_LIMIT = Metric(
    "hw.temperature.limit", "Cel", GAUGE, SLOW, "Temperature limit", ("hw.limit_type", "hw.sensor_location")
)

TEMPERATURE_MARGIN = Metric(
    "gpu.temperature.margin", "Cel", GAUGE, MEDIUM, "Degrees left before the driver slows the clocks down"
)
TEMPERATURE_LIMIT_MARGIN = Metric(
    "gpu.temperature.limit.margin",
    "Cel",
    GAUGE,
    SLOW,
    "Margin at which the limit acts",
    ("hw.limit_type", "hw.sensor_location"),
)

# Health
ERRORS = Metric("hw.errors", "{error}", COUNTER, MEDIUM, "Errors of a kind", ("hw.type", "error.type"))
ECC_VOLATILE = Metric(
    "gpu.ecc.volatile.errors", "{error}", COUNTER, MEDIUM, "ECC errors since the driver was loaded", ("error.type",)
)
ROWS_REMAPPED = Metric(
    "gpu.rows.remapped", "{row}", COUNTER, MEDIUM, "Memory rows replaced by spare ones", ("error.type",)
)
STATUS = Metric("hw.status", "1", UPDOWN, MEDIUM, "1 for the state the GPU is in, 0 for the others", ("hw.state",))
RECOVERY_ACTION = Metric(
    "gpu.recovery.action", "1", GAUGE, MEDIUM, "1 for the action that the driver asks for", ("gpu.recovery.action",)
)
XID_ERRORS = Metric("gpu.xid.errors", "{error}", COUNTER, EVENT, "XID errors since the agent started", ("gpu.xid",))

# Links
IO = Metric("hw.gpu.io", "By", COUNTER, MEDIUM, "Bytes over PCIe", ("network.io.direction",))
PCIE_GENERATION = Metric(
    "gpu.pcie.link.generation", "1", GAUGE, MEDIUM, "PCIe generation, now and at most", ("gpu.link.bound",)
)
PCIE_WIDTH = Metric("gpu.pcie.link.width", "{lane}", GAUGE, MEDIUM, "PCIe lanes, now and at most", ("gpu.link.bound",))
NVLINK_IO = Metric(
    "gpu.nvlink.io", "By", COUNTER, MEDIUM, "Bytes over one NVLink", ("gpu.nvlink.link", "network.io.direction")
)
NVLINK_ERRORS = Metric(
    "gpu.nvlink.errors", "{error}", COUNTER, MEDIUM, "Errors of one NVLink", ("gpu.nvlink.link", "error.type")
)
NVLINK_STATE = Metric("gpu.nvlink.state", "1", GAUGE, MEDIUM, "1 while the NVLink is up", ("gpu.nvlink.link",))
NVLINK_SPEED = Metric("gpu.nvlink.speed", "By/s", GAUGE, MEDIUM, "Speed of one NVLink", ("gpu.nvlink.link",))

# Processes
PROCESS_MEMORY = Metric(
    "gpu.process.memory", "By", UPDOWN, MEDIUM, "Device memory of a process", (*PROCESS_ATTRIBUTES, "gpu.process.type")
)
PROCESS_UTILIZATION = Metric(
    "gpu.process.utilization",
    "1",
    GAUGE,
    MEDIUM,
    "Share of time in which the process kept the engine busy",
    (*PROCESS_ATTRIBUTES, "hw.gpu.task"),
)
PROCESS_INFO = Metric(
    "gpu.process.info",
    "1",
    GAUGE,
    MEDIUM,
    "1 while the process holds the GPU; parents and listening sockets lead a span to its GPU",
    (*PROCESS_ATTRIBUTES, "gpu.process.parent_pids", "gpu.process.listen", "gpu.process.addresses"),
)

# The agent itself
SAMPLE_DURATION = Metric(
    "gpu.agent.sample.duration", "s", GAUGE, FAST, "Time that reading one GPU took", ("gpu.agent.interval",)
)
STUCK = Metric("gpu.agent.stuck", "1", GAUGE, FAST, "1 while a call into the driver does not return for this GPU")
READ_ERRORS = Metric(
    "gpu.agent.read.errors", "{error}", COUNTER, MEDIUM, "Calls that failed, unsupported ones aside", ("error.type",)
)
COUNTER_RESETS = Metric(
    "gpu.agent.counter.resets", "{reset}", COUNTER, MEDIUM, "Driver counters that went backwards", ("gpu.metric",)
)
EXPORT_DROPPED = Metric(
    "gpu.agent.export.dropped", "{point}", COUNTER, MEDIUM, "Points that never reached the server", ("error.type",)
)
PROVIDER_RESTARTS = Metric(
    "gpu.agent.provider.restarts", "{restart}", COUNTER, MEDIUM, "Times the driver was opened again after a loss"
)

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
BY_NAME = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True, slots=True)
class EventKind:
    """One kind of log record."""

    name: str
    description: str
    attributes: tuple[str, ...]


XID = EventKind("gpu.xid", "The driver reported an XID error", ("gpu.xid", "gpu.mig.gi", "gpu.mig.ci"))
CRITICAL = EventKind("gpu.event", "The driver reported another critical event", ("gpu.event.type",))
TOPOLOGY = EventKind("gpu.topology", "How the GPUs of the host are joined, at start", ("gpu.topology",))
LOST = EventKind("gpu.lost", "The driver no longer reaches a GPU", ("error.type",))
FOUND = EventKind("gpu.found", "A GPU that was lost answers again", ())
RESTARTED = EventKind("gpu.driver.reloaded", "The driver went away and came back", ("error.type",))
RESET = EventKind("gpu.counter.reset", "A driver counter went backwards; the step back was dropped", ("gpu.metric",))
IS_STUCK = EventKind("gpu.stuck", "A call into the driver does not return", ())

EVENTS: tuple[EventKind, ...] = tuple(value for value in list(globals().values()) if isinstance(value, EventKind))

# What names a GPU, a MIG instance or the host; one ResourceMetrics carries these once for all its points.
RESOURCE_ATTRIBUTES = {
    "service.name": "always `gpu-agent`",
    "service.version": "version of the agent",
    "host.name": "host name",
    "host.id": "machine id, where the host tells it",
    "hw.id": "UUID of the GPU or of the MIG instance",
    "hw.parent": "UUID of the GPU that a MIG instance is part of",
    "hw.name": "product name",
    "hw.vendor": "maker",
    "hw.type": "always `gpu`",
    "hw.serial_number": "serial number of the board",
    "hw.driver_version": "version of the kernel driver",
    "hw.firmware_version": "version of the VBIOS",
    "gpu.index": "index in the driver's order, which changes when a GPU is lost",
    "gpu.pci.bdf": "PCI bus address",
    "gpu.architecture": "architecture, such as hopper",
    "gpu.cores": "shader cores",
    "gpu.memory.bus_width": "bits of the memory bus",
    "gpu.cuda_version": "newest CUDA version that the driver serves",
    "gpu.mig.profile": "profile of the MIG instance, such as 3g.40gb",
    "gpu.mig.gi": "GPU instance id",
    "gpu.mig.ci": "compute instance id",
}
