"""NVML as a provider: finding GPUs, their events, and how they are joined."""

import itertools
import json
import logging
import time
from collections.abc import Sequence
from typing import Any

from gpu_agent import metrics as m
from gpu_agent.nvml import library
from gpu_agent.nvml.device import NvmlDevice
from gpu_agent.nvml.groups import UNKNOWN_INSTANCE
from gpu_agent.nvml.library import ReadFailed, Unsupported
from gpu_agent.nvml.readings import table
from gpu_agent.processes import ProcessTable
from gpu_agent.provider import Attributes, DeviceLost, Entity, Event, ProviderLost

log = logging.getLogger("gpu_agent.nvml")

MAX_GPUS = 64  # a host has 16 at most today; a wrong count must not loop for ever
XID_EVENT = 0x8
EVENT_NAMES = {
    0x2: "double_bit_ecc",
    0x200: "single_bit_ecc_storm",
    0x400: "dram_retirement",
    0x800: "dram_retirement_failure",
    0x1000: "non_fatal_poison",
    0x2000: "fatal_poison",
    0x4000: "gpu_unavailable",
    0x8000: "recovery_action",
}
WANTED_EVENTS = XID_EVENT | sum(EVENT_NAMES)
TIMEOUT = "timeout"
ARCHITECTURES = {
    2: "kepler",
    3: "maxwell",
    4: "pascal",
    5: "volta",
    6: "turing",
    7: "ampere",
    8: "ada",
    9: "hopper",
    10: "blackwell",
    13: "rubin",
}
PATHS = {0: "internal", 10: "single_switch", 20: "multiple_switches", 30: "host_bridge", 40: "numa_node", 50: "system"}
P2P_NVLINK, P2P_OK = 2, 0


class NvmlProvider:
    """`gpm` can be turned off: the performance monitor is shared with DCGM."""

    name = "nvml"

    def __init__(self, processes: ProcessTable, *, gpm: bool = True) -> None:
        self._processes = processes
        self._gpm = gpm
        self._devices: dict[str, NvmlDevice] = {}
        self._handles: dict[str, Any] = {}
        self._driver_version = ""
        self._cuda_version = ""
        self._event_set: Any = None
        # By address, of the GPUs in the event set, also when they are gone.
        self._event_entities: dict[int, Entity] = {}
        self._have_come = False  # GPUs that are not in the event set

    def open(self) -> None:
        library.initialise()
        self._driver_version = _text("nvmlSystemGetDriverVersion")
        cuda = _optional("nvmlSystemGetCudaDriverVersion")
        self._cuda_version = f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else ""
        log.info("NVML is open: driver %s, CUDA %s", self._driver_version, self._cuda_version)

    def devices(self) -> Sequence[NvmlDevice]:
        """By UUID: an index moves when another GPU is lost. A GPU that does not answer is left out."""
        found: dict[str, NvmlDevice] = {}
        handles: dict[str, Any] = {}
        try:
            count = min(library.call("nvmlDeviceGetCount"), MAX_GPUS)
        except (DeviceLost, Unsupported, ReadFailed) as error:
            raise ProviderLost(f"the driver counts no GPUs: {error}") from error
        for index in range(count):
            try:
                handle = library.call("nvmlDeviceGetHandleByIndex", index)
                uuid = library.call("nvmlDeviceGetUUID", handle)
            except (DeviceLost, Unsupported, ReadFailed) as error:
                log.debug("GPU %d does not answer: %s", index, error)
                continue
            handles[uuid] = handle
            found[uuid] = self._device(handle, uuid, index)
        have_come = bool(found.keys() - self._devices.keys())
        self._devices, self._handles = found, handles
        self._have_come = self._have_come or have_come
        return list(found.values())

    def _device(self, handle: Any, uuid: str, index: int) -> NvmlDevice:
        known = self._devices.get(uuid)
        if known is None:
            rows = table(_major(self._driver_version))
            return NvmlDevice(handle, self._entity(handle, uuid, index), rows, self._processes, self._gpm)
        if known.entity.attributes["gpu.index"] != index:
            known.moved(handle, self._entity(handle, uuid, index))
        return known

    def _entity(self, handle: Any, uuid: str, index: int) -> Entity:
        architecture = _optional("nvmlDeviceGetArchitecture", handle)
        pci = _optional("nvmlDeviceGetPciInfo", handle)
        bus = pci.busId if pci else ""
        attributes: dict[str, str | int | None] = {
            "hw.id": uuid,
            "hw.type": "gpu",
            "hw.vendor": "NVIDIA",
            "hw.name": _text("nvmlDeviceGetName", handle),
            "hw.serial_number": _text("nvmlDeviceGetSerial", handle),
            "hw.driver_version": self._driver_version,
            "hw.firmware_version": _text("nvmlDeviceGetVbiosVersion", handle),
            "gpu.index": index,
            "gpu.pci.bdf": bus.decode() if isinstance(bus, bytes) else bus,
            "gpu.architecture": ARCHITECTURES.get(architecture, "") if architecture is not None else "",
            "gpu.cores": _optional("nvmlDeviceGetNumGpuCores", handle),
            "gpu.memory.bus_width": _optional("nvmlDeviceGetMemoryBusWidth", handle),
            "gpu.cuda_version": self._cuda_version,
        }
        return Entity(uuid, {key: value for key, value in attributes.items() if value not in (None, "")})

    def topology(self) -> Event | None:
        """Every pair of GPUs with the PCIe path between them and whether NVLink joins them; NUMA node of each."""
        pairs = []
        for (a, first), (b, second) in itertools.combinations(self._handles.items(), 2):
            path = _optional("nvmlDeviceGetTopologyCommonAncestor", first, second)
            peer = _optional("nvmlDeviceGetP2PStatus", first, second, P2P_NVLINK)
            if path is not None or peer is not None:
                pairs.append(
                    {"a": a, "b": b, "path": PATHS.get(path), "nvlink": None if peer is None else peer == P2P_OK}
                )
        numa = {uuid: _optional("nvmlDeviceGetNumaNodeId", handle) for uuid, handle in self._handles.items()}
        told = {"pairs": pairs, "numa": {uuid: node for uuid, node in numa.items() if node is not None}}
        if not pairs and not told["numa"]:
            return None
        joined = sum(1 for pair in pairs if pair["nvlink"])
        message = f"{len(self._handles)} GPUs, {joined} of {len(pairs)} pairs joined by NVLink"
        return Event(None, m.TOPOLOGY, message, (("gpu.topology", json.dumps(told, separators=(",", ":"))),))

    def events(self, timeout_s: float) -> list[Event]:
        """Wait for one event. The set is made anew when GPUs came, and after an error.

        Not when one went: the XID that says why may still wait in the set, and would go with it.
        """
        if self._event_set is None or self._have_come:
            self._have_come = False
            self._subscribe()
        if not self._event_entities:
            time.sleep(timeout_s)  # no GPU tells events here
            return []
        try:
            data = library.call("nvmlEventSetWait_v2", self._event_set, int(timeout_s * 1000))
        except ReadFailed as error:
            if str(error) != TIMEOUT:
                log.warning("waiting for events failed: %s", error)
                self._unsubscribe()
                time.sleep(timeout_s)
            return []
        except (DeviceLost, Unsupported) as error:
            log.info("event set is made anew: %s", error)
            self._unsubscribe()
            time.sleep(timeout_s)
            return []
        return [self._event(data)]

    def _event(self, data: Any) -> Event:
        # As it was when it was registered: one that fell off the bus may be listed no more when its XID is read.
        entity = self._event_entities.get(library.address(data.device))
        uuid = entity.uuid if entity else ""
        if device := self._devices.get(uuid):
            entity = device.entity
        attributes: Attributes = tuple(
            (key, value)
            for key, value in (("gpu.mig.gi", data.gpuInstanceId), ("gpu.mig.ci", data.computeInstanceId))
            if value != UNKNOWN_INSTANCE
        )
        if data.eventType == XID_EVENT:
            return Event(
                entity, m.XID, f"XID {data.eventData} on GPU {uuid}", (("gpu.xid", int(data.eventData)), *attributes)
            )
        name = EVENT_NAMES.get(data.eventType, f"type_{data.eventType}")
        return Event(entity, m.CRITICAL, f"{name} on GPU {uuid}", (("gpu.event.type", name), *attributes))

    def _subscribe(self) -> None:
        """Register each GPU for the events it supports; one that is lost or supports none is remembered as tried."""
        self._unsubscribe()
        try:
            self._event_set = library.call("nvmlEventSetCreate")
        except (Unsupported, ReadFailed) as error:
            log.warning("no events from this driver: %s", error)
            return
        devices = self._devices
        for uuid, handle in list(self._handles.items()):
            if uuid not in devices:
                continue  # listed at this moment; the next look registers it
            address = library.address(handle)
            try:
                supported = library.call("nvmlDeviceGetSupportedEventTypes", handle) & WANTED_EVENTS
                if supported:
                    library.call("nvmlDeviceRegisterEvents", handle, supported, self._event_set)
            except (DeviceLost, Unsupported, ReadFailed) as error:
                log.info("no events from GPU %s: %s", uuid, error)
            self._event_entities[address] = devices[uuid].entity

    def _unsubscribe(self) -> None:
        if self._event_set is not None:
            _optional("nvmlEventSetFree", self._event_set)
        self._event_set = None
        self._event_entities.clear()

    def close(self) -> None:
        self._unsubscribe()
        for device in self._devices.values():
            try:
                device.close()
            except (Unsupported, ReadFailed, DeviceLost, ProviderLost) as error:
                log.debug("GPU %s does not close: %s", device.entity.uuid, error)
        self._devices, self._handles = {}, {}
        _optional("nvmlShutdown")


def _optional(function: str, *arguments: Any) -> Any:
    """The result of a call, or None where there is none."""
    try:
        return library.call(function, *arguments)
    except (Unsupported, ReadFailed, DeviceLost, ProviderLost):
        return None


def _text(function: str, *arguments: Any) -> str:
    value = _optional(function, *arguments)
    return value.decode() if isinstance(value, bytes) else value or ""


def _major(version: str) -> int:
    head = version.split(".", 1)[0]
    return int(head) if head.isdigit() else 0
