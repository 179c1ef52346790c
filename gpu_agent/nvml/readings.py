"""The table of plain readings: one row is a metric, its attributes, and the places it is read from, the best one first.

A reading that needs more than one value (memory, GPM, links, processes) is a function in groups.py instead.
"""

from typing import NamedTuple

from gpu_agent import metrics as m
from gpu_agent.metrics import Interval, Metric
from gpu_agent.nvml.library import FieldKey
from gpu_agent.provider import Attributes

MILLI = 1e-3  # mW, mJ
NANO = 1e-9
PERCENT = 1e-2
MEGAHERTZ = 1_000_000


class Field(NamedTuple):
    """A field id of nvmlDeviceGetFieldValues; ids are numbers here because bindings lack some and move others."""

    id: int
    scale: int | float = 1

    @property
    def key(self) -> FieldKey:
        return (self.id, 0)


class Call(NamedTuple):
    """A function of pynvml, its arguments after the handle, and the part of its result that is meant."""

    function: str
    arguments: tuple[int, ...] = ()
    scale: int | float = 1
    part: str | int | None = None


Source = Field | Call


class Reading(NamedTuple):
    """`low` and `high` bound what is believable, in the metric's unit; a value outside is no value."""

    metric: Metric
    sources: tuple[Source, ...]
    attributes: Attributes = ()
    low: float = float("-inf")
    high: float = float("inf")


class ThrottleFields(NamedTuple):
    software_thermal: int
    hardware_thermal: int
    power_brake: int


# The ids moved between drivers: the newest binding's ids read unrelated fields of an older driver, without an error.
THROTTLE_FIELDS = ((590, ThrottleFields(269, 270, 271)), (575, ThrottleFields(251, 252, 253)))
# NVML's performance policies for nvmlDeviceGetViolationStatus, the older way to the same counters.
POLICY_POWER, POLICY_THERMAL, POLICY_SYNC_BOOST = 0, 1, 2
CLOCK_TYPES = (("graphics", 0), ("sm", 1), ("memory", 2), ("video", 3))
PCIE_ERROR_FIELDS = {
    173: "pcie_correctable",
    174: "pcie_nak_received",
    175: "pcie_receiver",
    176: "pcie_bad_tlp",
    177: "pcie_nak_sent",
    178: "pcie_bad_dllp",
    179: "pcie_non_fatal",
    180: "pcie_fatal",
    181: "pcie_unsupported_request",
    182: "pcie_lcrc",
    183: "pcie_lane",
}
# Threshold of nvmlDeviceGetTemperatureThreshold, T.Limit field of the same, semconv's hw.limit_type, sensor.
TEMPERATURE_LIMITS = (
    (0, 193, "high.critical", "gpu"),
    (1, 194, "throttled", "gpu"),
    (2, 195, "max", "memory"),
    (3, 196, "max", "gpu"),
)


def throttle_fields(driver_major: int) -> ThrottleFields | None:
    """The ids of the slowdown counters for a driver, None before 575, which has none."""
    return next((fields for first, fields in THROTTLE_FIELDS if driver_major >= first), None)


def _fast() -> list[Reading]:
    rates, encoder, decoder = (
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetEncoderUtilization",
        "nvmlDeviceGetDecoderUtilization",
    )
    return [
        Reading(m.UTILIZATION, (Call(rates, scale=PERCENT, part="gpu"),), (("hw.gpu.task", "general"),)),
        Reading(m.UTILIZATION, (Call(encoder, scale=PERCENT, part=0),), (("hw.gpu.task", "encoder"),)),
        Reading(m.UTILIZATION, (Call(decoder, scale=PERCENT, part=0),), (("hw.gpu.task", "decoder"),)),
        Reading(m.MEMORY_CONTROLLER, (Call(rates, scale=PERCENT, part="memory"),)),
        Reading(m.POWER, (Field(186, MILLI), Call("nvmlDeviceGetPowerUsage", scale=MILLI)), low=0, high=100_000),
        Reading(m.POWER_AVERAGE, (Field(185, MILLI),), low=0, high=100_000),
        Reading(m.POWER_LIMIT, (Call("nvmlDeviceGetEnforcedPowerLimit", scale=MILLI),), low=0, high=100_000),
        Reading(m.ENERGY, (Field(83, MILLI), Call("nvmlDeviceGetTotalEnergyConsumption", scale=MILLI))),
        Reading(
            m.TEMPERATURE,
            (Call("nvmlDeviceGetTemperatureV", (0,)), Call("nvmlDeviceGetTemperature", (0,))),
            (("hw.sensor_location", "gpu"),),
            low=-60,
            high=250,
        ),
        Reading(m.TEMPERATURE, (Field(82),), (("hw.sensor_location", "memory"),), low=-60, high=250),
        *(
            Reading(m.CLOCK, (Call("nvmlDeviceGetClockInfo", (number,), MEGAHERTZ),), (("gpu.clock.type", name),))
            for name, number in CLOCK_TYPES
        ),
    ]


def _throttle(driver_major: int) -> list[Reading]:
    def row(reason: str, *sources: Source) -> Reading:
        return Reading(m.THROTTLE_TIME, sources, (("gpu.throttle.reason", reason),))

    def violation(policy: int) -> Call:
        return Call("nvmlDeviceGetViolationStatus", (policy,), NANO, "violationTime")

    rows = [
        row("sw_power_cap", Field(74, NANO), violation(POLICY_POWER)),
        row("thermal", Field(75, NANO), violation(POLICY_THERMAL)),
        row("sync_boost", Field(76, NANO), violation(POLICY_SYNC_BOOST)),
    ]
    if fields := throttle_fields(driver_major):
        rows += [
            row("sw_thermal_slowdown", Field(fields.software_thermal, NANO)),
            row("hw_thermal_slowdown", Field(fields.hardware_thermal, NANO)),
            row("hw_power_brake_slowdown", Field(fields.power_brake, NANO)),
        ]
    return rows


def _medium() -> list[Reading]:
    def errors(name: str, *sources: Source) -> Reading:
        return Reading(m.ERRORS, sources, (("hw.type", "gpu"), ("error.type", name)))

    def link(metric: Metric, function: str) -> list[Reading]:
        names = (("current", f"nvmlDeviceGetCurr{function}"), ("max", f"nvmlDeviceGetMax{function}"))
        return [Reading(metric, (Call(name),), (("gpu.link.bound", bound),)) for bound, name in names]

    ecc = "nvmlDeviceGetTotalEccErrors"
    return [
        Reading(m.BAR1_USAGE, (Call("nvmlDeviceGetBAR1MemoryInfo", part="bar1Used"),)),
        Reading(m.BAR1_LIMIT, (Call("nvmlDeviceGetBAR1MemoryInfo", part="bar1Total"),)),
        Reading(m.TEMPERATURE_MARGIN, (Call("nvmlDeviceGetMarginTemperature"),), low=-250, high=250),
        errors("corrected", Call(ecc, (0, 1))),
        errors("uncorrected", Call(ecc, (1, 1))),
        Reading(m.ECC_VOLATILE, (Call(ecc, (0, 0)),), (("error.type", "corrected"),)),
        Reading(m.ECC_VOLATILE, (Call(ecc, (1, 0)),), (("error.type", "uncorrected"),)),
        errors("pcie_replay", Call("nvmlDeviceGetPcieReplayCounter")),
        *(errors(name, Field(number)) for number, name in PCIE_ERROR_FIELDS.items()),
        Reading(m.IO, (Field(197),), (("network.io.direction", "transmit"),)),
        Reading(m.IO, (Field(198),), (("network.io.direction", "receive"),)),
        *link(m.PCIE_GENERATION, "PcieLinkGeneration"),
        *link(m.PCIE_WIDTH, "PcieLinkWidth"),
    ]


def _slow() -> list[Reading]:
    rows = [
        Reading(m.CLOCK_MAX, (Call("nvmlDeviceGetMaxClockInfo", (number,), MEGAHERTZ),), (("gpu.clock.type", name),))
        for name, number in CLOCK_TYPES
    ]
    for threshold, field, limit, sensor in TEMPERATURE_LIMITS:
        attributes = (("hw.limit_type", limit), ("hw.sensor_location", sensor))
        call = Call("nvmlDeviceGetTemperatureThreshold", (threshold,))
        rows.append(Reading(m.TEMPERATURE_LIMIT, (call,), attributes, low=-60, high=250))
        rows.append(Reading(m.TEMPERATURE_LIMIT_MARGIN, (Field(field),), attributes, low=-250, high=250))
    return rows


def table(driver_major: int) -> dict[Interval, tuple[Reading, ...]]:
    """The rows of each interval class for a driver version."""
    return {
        Interval.FAST: (*_fast(), *_throttle(driver_major)),
        Interval.MEDIUM: tuple(_medium()),
        Interval.SLOW: tuple(_slow()),
    }
