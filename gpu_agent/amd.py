"""Read AMD GPUs through AMD SMI (the `amdsmi` package of ROCm). Tested with a scripted library, never on hardware.

The binding answers with dictionaries in which the text "N/A" stands for no value, and raises for what is not supported.
Units are those of AMD's documentation: activity in percent, memory in MiB, power in W, energy in ticks of
`counter_resolution` microjoules, clocks in MHz, power cap in microwatts.
"""

import importlib
import logging
import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

from gpu_agent import metrics as m
from gpu_agent.metrics import Interval, Metric
from gpu_agent.processes import ProcessTable
from gpu_agent.provider import Attributes, DeviceLost, Entity, Event, Point, ProviderLost, Sample, Unavailable

log = logging.getLogger("gpu_agent.amd")

MIB = 1 << 20
MEGAHERTZ = 1_000_000
MICRO = 1e-6
MAX_GPUS = 64  # a host has 16 at most today
ABSENT_CODES = frozenset(
    {1, 2, 3, 10, 31, 40}
)  # invalid, unsupported, not implemented, no permission, not found, no data
LOST_CODES = frozenset({32, 34, 51})  # not initialised, driver not loaded, no driver
GPU_LOST_CODES = frozenset({6})  # the kernel's device is gone


class Reading(NamedTuple):
    """A function, its arguments by name ("Enum.MEMBER"), the key in its answer, and the scale to our unit."""

    metric: Metric
    function: str
    arguments: tuple[str, ...] = ()
    key: str | None = None
    scale: int | float = 1
    attributes: Attributes = ()


def _temperature(location: str, sensor: str) -> Reading:
    arguments = (f"AmdSmiTemperatureType.{sensor}", "AmdSmiTemperatureMetric.CURRENT")
    return Reading(m.TEMPERATURE, "amdsmi_get_temp_metric", arguments, attributes=(("hw.sensor_location", location),))


def _clock(metric: Metric, name: str, kind: str, key: str) -> Reading:
    attributes: Attributes = (("gpu.clock.type", name),)
    return Reading(metric, "amdsmi_get_clock_info", (f"AmdSmiClkType.{kind}",), key, MEGAHERTZ, attributes)


def _errors(name: str, key: str) -> Reading:
    attributes: Attributes = (("hw.type", "gpu"), ("error.type", name))
    return Reading(m.ERRORS, "amdsmi_get_gpu_total_ecc_count", key=key, attributes=attributes)


ACTIVITY, VRAM, POWER = "amdsmi_get_gpu_activity", "amdsmi_get_gpu_vram_usage", "amdsmi_get_power_info"
READINGS: dict[Interval, tuple[Reading, ...]] = {
    Interval.FAST: (
        Reading(m.UTILIZATION, ACTIVITY, (), "gfx_activity", 0.01, (("hw.gpu.task", "general"),)),
        Reading(m.MEMORY_CONTROLLER, ACTIVITY, (), "umc_activity", 0.01),
        Reading(m.MEMORY_USAGE, VRAM, (), "vram_used", MIB),
        Reading(m.MEMORY_LIMIT, VRAM, (), "vram_total", MIB),
        Reading(m.POWER, POWER, (), "current_socket_power"),
        Reading(m.POWER_AVERAGE, POWER, (), "average_socket_power"),
        Reading(m.POWER_LIMIT, "amdsmi_get_power_cap_info", (), "power_cap", MICRO),
        _temperature("gpu", "HOTSPOT"),
        _temperature("memory", "VRAM"),
        _clock(m.CLOCK, "graphics", "GFX", "clk"),
        _clock(m.CLOCK, "memory", "MEM", "clk"),
    ),
    Interval.MEDIUM: (
        _errors("corrected", "correctable_count"),
        _errors("uncorrected", "uncorrectable_count"),
        _errors("deferred", "deferred_count"),
    ),
    Interval.SLOW: (
        _clock(m.CLOCK_MAX, "graphics", "GFX", "max_clk"),
        _clock(m.CLOCK_MAX, "memory", "MEM", "max_clk"),
    ),
}


class Absent(Exception):  # noqa: N818  # names a decision
    """This GPU has no such reading."""


class AmdLibrary:
    """The one door to amdsmi; maps its codes to decisions."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def call(self, function: str, *arguments: Any) -> Any:
        found = getattr(self._module, function, None)
        if found is None:
            raise Absent(function)
        try:
            return found(*arguments)
        except self._module.AmdSmiLibraryException as error:
            code = error.get_error_code()
            if code in ABSENT_CODES:
                raise Absent(function) from error
            if code in LOST_CODES:
                raise ProviderLost(f"{function}: code {code}") from error
            if code in GPU_LOST_CODES:
                raise DeviceLost(f"{function}: code {code}") from error
            raise

    def constant(self, path: str) -> Any:
        """The member of one of the binding's enumerations, such as "AmdSmiClkType.GFX"."""
        enumeration, _, member = path.partition(".")
        return getattr(getattr(self._module, enumeration), member)

    @property
    def failure(self) -> type[Exception]:
        """What a call raises for a code that is none of the known ones."""
        found: type[Exception] = self._module.AmdSmiLibraryException
        return found


class AmdDevice:
    """One GPU."""

    def __init__(self, library: AmdLibrary, handle: Any, entity: Entity, processes: ProcessTable) -> None:
        self._library = library
        self._handle = handle
        self._entity = entity
        self._processes = processes
        self._missing: set[Reading] = set()

    @property
    def entity(self) -> Entity:
        return self._entity

    def read(self, interval: Interval) -> Sample:
        sample = Sample()
        if interval is Interval.SLOW:
            self._missing.clear()
        answers: dict[tuple[str, tuple[str, ...]], Any] = {}
        for reading in READINGS[interval]:
            if reading not in self._missing:
                self._row(reading, answers, sample)
        if interval is Interval.FAST:
            self._energy(sample)
            found = {point.metric: point.value for point in sample.points}
            if found.get(m.MEMORY_LIMIT) and m.MEMORY_USAGE in found:
                share = found[m.MEMORY_USAGE] / found[m.MEMORY_LIMIT]
                sample.points.append(Point(self._entity, m.MEMORY_UTILIZATION, share))
        elif interval is Interval.MEDIUM:
            self._running(sample)
        return sample

    def close(self) -> None:
        """Nothing is held."""

    def _row(self, reading: Reading, answers: dict[tuple[str, tuple[str, ...]], Any], sample: Sample) -> None:
        call = (reading.function, reading.arguments)
        try:
            if call not in answers:
                constants = [self._library.constant(path) for path in reading.arguments]
                answers[call] = self._library.call(reading.function, self._handle, *constants)
        except Absent:
            self._missing.add(reading)
            return
        except self._library.failure as error:
            self._failed(sample, error)
            return
        value = answers[call] if reading.key is None else answers[call].get(reading.key)
        if isinstance(value, int | float) and not isinstance(value, bool):  # "N/A" is no value
            sample.points.append(Point(self._entity, reading.metric, value * reading.scale, reading.attributes))

    def _energy(self, sample: Sample) -> None:
        try:
            found = self._library.call("amdsmi_get_energy_count", self._handle)
        except Absent:
            return
        except self._library.failure as error:
            self._failed(sample, error)
            return
        ticks = found.get("energy_accumulator", found.get("power"))  # the name before ROCm 6.4
        if isinstance(ticks, int) and isinstance(found.get("counter_resolution"), float):
            sample.points.append(Point(self._entity, m.ENERGY, ticks * found["counter_resolution"] * MICRO))

    def _running(self, sample: Sample) -> None:
        try:
            found = self._library.call("amdsmi_get_gpu_process_list", self._handle)
        except Absent:
            return
        except self._library.failure as error:
            self._failed(sample, error)
            return
        for each in found:
            process = self._processes.describe(each["pid"])
            memory = each.get("memory_usage", {}).get("vram_mem", each.get("mem"))
            if isinstance(memory, int):
                attributes = (*process.attributes, ("gpu.process.type", "compute"))
                sample.points.append(Point(self._entity, m.PROCESS_MEMORY, memory, attributes))
            sample.points.append(Point(self._entity, m.PROCESS_INFO, 1, (*process.attributes, *process.links)))

    @staticmethod
    def _failed(sample: Sample, error: Exception) -> None:
        name = f"code_{getattr(error, 'err_code', 'unknown')}"
        sample.errors[name] = sample.errors.get(name, 0) + 1


class AmdProvider:
    """AMD SMI as a provider. The binding loads the driver's library when it is imported, so `open` imports it."""

    name = "amd"

    def __init__(self, processes: ProcessTable) -> None:
        self._processes = processes
        self._library: AmdLibrary | None = None
        self._devices: dict[str, AmdDevice] = {}

    def open(self) -> None:
        try:
            module = importlib.import_module("amdsmi")
        except ImportError as error:
            raise Unavailable("the Python package amdsmi is not installed (it comes with ROCm)") from error
        except (OSError, KeyError) as error:  # how the binding says that libamd_smi.so is missing
            raise Unavailable("libamd_smi.so was not found: no AMD driver library is installed here") from error
        try:
            module.amdsmi_init()
        except module.AmdSmiLibraryException as error:
            raise Unavailable(f"AMD SMI does not start: code {error.get_error_code()}") from error
        self._library = AmdLibrary(module)

    def devices(self) -> Sequence[AmdDevice]:
        if self._library is None:
            raise ProviderLost("AMD SMI is not open")
        found: dict[str, AmdDevice] = {}
        try:
            handles = self._library.call("amdsmi_get_processor_handles")[:MAX_GPUS]
        except (Absent, DeviceLost, self._library.failure) as error:
            raise ProviderLost(f"AMD SMI lists no GPUs: {error}") from error
        for index, handle in enumerate(handles):
            try:
                uuid = str(self._library.call("amdsmi_get_gpu_device_uuid", handle))
            except (Absent, DeviceLost, self._library.failure) as error:
                log.debug("GPU %d does not answer: %s", index, error)
                continue
            known = self._devices.get(uuid)
            entity = known.entity if known else self._entity(handle, uuid, index)
            found[uuid] = known or AmdDevice(self._library, handle, entity, self._processes)
        self._devices = found
        return list(found.values())

    def _entity(self, handle: Any, uuid: str, index: int) -> Entity:
        chip = self._answer("amdsmi_get_gpu_asic_info", handle) or {}
        driver = self._answer("amdsmi_get_gpu_driver_info", handle) or {}
        attributes: dict[str, str | int] = {
            "hw.id": uuid,
            "hw.type": "gpu",
            "hw.vendor": "AMD",
            "hw.name": chip.get("market_name", "N/A"),
            "hw.serial_number": chip.get("asic_serial", "N/A"),
            "hw.driver_version": driver.get("driver_version", "N/A"),
            "gpu.index": index,
            "gpu.pci.bdf": self._answer("amdsmi_get_gpu_device_bdf", handle) or "N/A",
            "gpu.architecture": chip.get("target_graphics_version", "N/A"),
        }
        return Entity(uuid, {key: value for key, value in attributes.items() if value != "N/A"})

    def _answer(self, function: str, handle: Any) -> Any:
        assert self._library is not None
        try:
            return self._library.call(function, handle)
        except (Absent, self._library.failure):
            return None

    def topology(self) -> Event | None:
        return None

    def events(self, timeout_s: float) -> list[Event]:
        """None are read; the wait keeps the caller's loop slow."""
        time.sleep(timeout_s)
        return []

    def close(self) -> None:
        if self._library is not None:
            try:
                self._library.call("amdsmi_shut_down")
            except (Absent, ProviderLost, self._library.failure) as error:
                log.debug("AMD SMI does not shut down: %s", error)
        self._library, self._devices = None, {}
