"""What other GPU agents call what our own agent measures: dcgm-exporter, nvidia_gpu_exporter, OpenLIT and l9gpu.

A point of theirs is kept as it came, and stands once more under the name and unit of our agent, so that every chart,
rule and attribution reads one set of names. `heliograph.agent` on the second point says whose it is.

Left out on purpose:
- dcgm-exporter's XID gauge, which is the last code and no count, and its violation times, whose unit changed;
- l9gpu's NVLink "throughput", a counter since boot sent as a rate, and its "XID errors", which read an NVLink CRC
  counter (l9gpu 0.2.1 and 0.2.3).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Agent = Literal["dcgm-exporter", "nvidia_gpu_exporter", "openlit", "l9gpu"]
AGENT = "heliograph.agent"
# DCGM's "blank" values start at 2**63 - 16 for integers and are 2**47 for floats; both were seen as temperatures.
_BLANK_INTEGER, _BLANK_FLOAT = 9.2e18, 140_737_488_355_328.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One of our metrics, from one of theirs, multiplied by `factor`; `attributes` join the point's own."""

    name: str
    unit: str
    factor: float = 1.0
    is_counter: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)


def _task(task: str) -> dict[str, str]:
    return {"hw.gpu.task": task}


_MIB = 2.0**20
_UTILIZATION = Rule("hw.gpu.utilization", "1", attributes=_task("general"))
_PERCENT = Rule("hw.gpu.utilization", "1", 0.01, attributes=_task("general"))
_GPU_TEMPERATURE = Rule("hw.temperature", "Cel", attributes={"hw.sensor_location": "gpu"})
_MEMORY_TEMPERATURE = Rule("hw.temperature", "Cel", attributes={"hw.sensor_location": "memory"})
_MEMORY_USAGE = Rule("hw.gpu.memory.usage", "By")
_MEMORY_LIMIT = Rule("hw.gpu.memory.limit", "By")
_POWER = Rule("hw.power", "W")
_POWER_LIMIT = Rule("gpu.power.limit", "W")
_ENERGY_MJ = Rule("hw.energy", "J", 1e-3, is_counter=True)
_ENERGY_J = Rule("hw.energy", "J", is_counter=True)
_REPLAYS = Rule("hw.errors", "{error}", is_counter=True, attributes={"hw.type": "gpu", "error.type": "pcie_replay"})


def _clock(kind: str, factor: float) -> Rule:
    return Rule("gpu.clock.frequency", "Hz", factor, attributes={"gpu.clock.type": kind})


_DCGM: dict[str, Rule] = {
    "DCGM_FI_DEV_GPU_UTIL": _PERCENT,
    "DCGM_FI_DEV_ENC_UTIL": Rule("hw.gpu.utilization", "1", 0.01, attributes=_task("encoder")),
    "DCGM_FI_DEV_DEC_UTIL": Rule("hw.gpu.utilization", "1", 0.01, attributes=_task("decoder")),
    "DCGM_FI_DEV_MEM_COPY_UTIL": Rule("gpu.memory_controller.utilization", "1", 0.01),
    # Newer fields state their share from 0 to 1.
    "DCGM_FI_DEV_GPU_UTIL_RATIO": _UTILIZATION,
    "DCGM_FI_DEV_ENC_UTIL_RATIO": Rule("hw.gpu.utilization", "1", attributes=_task("encoder")),
    "DCGM_FI_DEV_DEC_UTIL_RATIO": Rule("hw.gpu.utilization", "1", attributes=_task("decoder")),
    "DCGM_FI_DEV_MEM_COPY_UTIL_RATIO": Rule("gpu.memory_controller.utilization", "1"),
    "DCGM_FI_DEV_FB_USED": Rule("hw.gpu.memory.usage", "By", _MIB),
    "DCGM_FI_DEV_FB_TOTAL": Rule("hw.gpu.memory.limit", "By", _MIB),
    "DCGM_FI_DEV_FB_RESERVED": Rule("gpu.memory.reserved", "By", _MIB),
    "DCGM_FI_DEV_POWER_USAGE": _POWER,
    "DCGM_FI_DEV_POWER_USAGE_INSTANT": _POWER,
    "DCGM_FI_DEV_ENFORCED_POWER_LIMIT": _POWER_LIMIT,
    "DCGM_FI_DEV_POWER_MGMT_LIMIT": _POWER_LIMIT,
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": _ENERGY_MJ,
    "DCGM_FI_DEV_GPU_TEMP": _GPU_TEMPERATURE,
    "DCGM_FI_DEV_MEMORY_TEMP": _MEMORY_TEMPERATURE,
    "DCGM_FI_DEV_SM_CLOCK": _clock("sm", 1e6),
    "DCGM_FI_DEV_MEM_CLOCK": _clock("memory", 1e6),
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": _REPLAYS,
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": Rule("gpu.graphics.activity", "1"),
    "DCGM_FI_PROF_SM_ACTIVE": Rule("gpu.sm.activity", "1"),
    "DCGM_FI_PROF_SM_OCCUPANCY": Rule("gpu.sm.occupancy", "1"),
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": Rule("gpu.tensor.activity", "1", attributes={"gpu.pipe": "any"}),
    "DCGM_FI_PROF_DRAM_ACTIVE": Rule("gpu.dram.bandwidth_utilization", "1"),
}
_NVIDIA_SMI: dict[str, Rule] = {
    "nvidia_smi_utilization_gpu_ratio": _UTILIZATION,
    "nvidia_smi_utilization_encoder_ratio": Rule("hw.gpu.utilization", "1", attributes=_task("encoder")),
    "nvidia_smi_utilization_decoder_ratio": Rule("hw.gpu.utilization", "1", attributes=_task("decoder")),
    "nvidia_smi_utilization_memory_ratio": Rule("gpu.memory_controller.utilization", "1"),
    "nvidia_smi_memory_used_bytes": _MEMORY_USAGE,
    "nvidia_smi_memory_total_bytes": _MEMORY_LIMIT,
    "nvidia_smi_memory_reserved_bytes": Rule("gpu.memory.reserved", "By"),
    "nvidia_smi_power_draw_watts": _POWER,
    "nvidia_smi_power_draw_instant_watts": _POWER,
    "nvidia_smi_power_draw_average_watts": Rule("gpu.power.average", "W"),
    "nvidia_smi_enforced_power_limit_watts": _POWER_LIMIT,
    "nvidia_smi_temperature_gpu": _GPU_TEMPERATURE,
    "nvidia_smi_temperature_memory": _MEMORY_TEMPERATURE,
    "nvidia_smi_clocks_current_graphics_clock_hz": _clock("graphics", 1.0),
    "nvidia_smi_clocks_current_sm_clock_hz": _clock("sm", 1.0),
    "nvidia_smi_clocks_current_memory_clock_hz": _clock("memory", 1.0),
}
# OpenLIT's names are those of the conventions where ours are (`hw.gpu.utilization`, `hw.gpu.memory.usage`, ...): these
# need no rule, but for the one that it uses for something else.
_OPENLIT: dict[str, Rule] = {
    "hw.gpu.memory.utilization": Rule("gpu.memory_controller.utilization", "1"),
    "hw.gpu.power.draw": _POWER,
    "hw.gpu.power.limit": _POWER_LIMIT,
    "hw.gpu.energy.consumed": _ENERGY_J,
    "hw.gpu.temperature": _GPU_TEMPERATURE,
}
_L9GPU: dict[str, Rule] = {
    "gpu.utilization": Rule("hw.gpu.utilization", "1", attributes=_task("general")),
    "gpu.encode.utilization": Rule("hw.gpu.utilization", "1", attributes=_task("encoder")),
    "gpu.decode.utilization": Rule("hw.gpu.utilization", "1", attributes=_task("decoder")),
    "gpu.memory.utilization": Rule("gpu.memory_controller.utilization", "1"),
    "gpu.memory.used": _MEMORY_USAGE,
    "gpu.memory.total": _MEMORY_LIMIT,
    "gpu.power.draw": _POWER,
    "gpu.energy.consumption": _ENERGY_MJ,
    "gpu.temperature": Rule("hw.temperature", "Cel", attributes={"hw.sensor_location": "gpu"}),
    "gpu.clock.frequency": Rule("gpu.clock.frequency", "Hz", 1e6),
    "gpu.pcie.replay.count": _REPLAYS,
    "gpu.sm.active": Rule("gpu.sm.activity", "1"),
    "gpu.dram.active": Rule("gpu.dram.bandwidth_utilization", "1"),
    "gpu.gr_engine.active": Rule("gpu.graphics.activity", "1"),
    "gpu.pipe.tensor.active": Rule("gpu.tensor.activity", "1", attributes={"gpu.pipe": "any"}),
}
_RULES: dict[Agent, dict[str, Rule]] = {
    "dcgm-exporter": _DCGM,
    "nvidia_gpu_exporter": _NVIDIA_SMI,
    "openlit": _OPENLIT,
    "l9gpu": _L9GPU,
}
# Names of ours that an agent uses in another unit or for another thing: its own point moves out of their way.
_MOVED: dict[Agent, dict[str, str]] = {
    "openlit": {"hw.gpu.memory.utilization": "openlit.hw.gpu.memory.utilization"},
    "l9gpu": {"gpu.clock.frequency": "l9gpu.gpu.clock.frequency", "gpu.xid.errors": "l9gpu.gpu.xid.errors"},
}
_OPENLIT_ALONE = frozenset({"hw.gpu.power.draw", "hw.gpu.energy.consumed", "hw.gpu.temperature"})
_L9GPU_SCOPE = "l9gpu-meter"


def agent_of(scope: str, names: Iterable[str]) -> Agent | None:
    """Return whose metrics these are, by their scope and their names; None for everybody else's."""
    if scope == _L9GPU_SCOPE:
        return "l9gpu"
    for name in names:
        if name.startswith("DCGM_FI_"):
            return "dcgm-exporter"
        if name.startswith("nvidia_smi_"):
            return "nvidia_gpu_exporter"
        if name in _OPENLIT_ALONE:
            return "openlit"
    return None


def rule_of(agent: Agent, name: str) -> Rule | None:
    """Return what a metric of an agent is among ours."""
    return _RULES[agent].get(name)


def kept_name(agent: Agent, name: str) -> str:
    """Return the name under which the agent's own point is kept."""
    return _MOVED.get(agent, {}).get(name, name)


def value_of(rule: Rule, value: float | None) -> float | None:
    """Return a value in our unit; None for none, and for what DCGM writes where it has none."""
    if value is None or value >= _BLANK_INTEGER or value == _BLANK_FLOAT:
        return None
    return value * rule.factor


def gpu_of(agent: Agent, attributes: Mapping[str, str]) -> str:
    """Return the UUID that an agent names in a way of its own; '' for none.

    nvidia_gpu_exporter writes NVIDIA's UUIDs without what they begin with.
    """
    if agent != "nvidia_gpu_exporter":
        return ""
    uuid = attributes.get("uuid", "")
    return uuid if not uuid or uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
