"""What is wrong with a GPU, in words with its numbers, worst first. Reads nothing.

- `problems_of(...) -> tuple[GpuProblem, ...]`
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# Of a range: below this, a second of slowing down in an hour would stand beside a GPU that burns.
THROTTLED_SHARE = 0.01
# A cap holds a busy GPU most of the time by design; it is told where it is nearly always so.
CAPPED_SHARE = 0.5
# Three missed minutes of a sender that speaks every five seconds.
SILENT_AFTER_S = 180

Severity = Literal["bad", "warn"]
# Reasons of gpu.throttle.time that are somebody's problem; the rest (idle, sync boost, a clock that was set) is not.
HEAT = ("thermal", "hw_thermal_slowdown", "sw_thermal_slowdown")
HARDWARE = ("hw_slowdown", "hw_power_brake_slowdown")
CAP = ("sw_power_cap", "power")
# Errors that the memory or the link could not mend.
FATAL_ERRORS = ("uncorrected",)


@dataclass(frozen=True, slots=True)
class GpuProblem:
    """One thing that is wrong: what kind, how bad, and the sentence that says so."""

    kind: Literal["lost", "xid", "failed", "stuck", "ecc", "heat", "hardware", "power_cap", "silent", "failing"]
    severity: Severity
    sentence: str


def problems_of(
    *,
    seconds: float,
    silent_s: float | None,
    grown: Mapping[str, float],
    states: Mapping[str, float],
    states_now: Mapping[str, float],
    xids: Mapping[str, int],
) -> tuple[GpuProblem, ...]:
    """Return what is wrong in a range of `seconds`.

    `grown` is what counters rose by (`throttle:<reason>` in seconds, `error:<type>`), `states` are those that the GPU
    was in, `states_now` those of the end of the range, `silent_s` how long before the end its last reading came.
    """
    found: list[GpuProblem] = []
    if states_now.get("failed"):
        found.append(GpuProblem("lost", "bad", "Lost or failed: it does no work until it is reset"))
    elif states.get("failed"):
        found.append(GpuProblem("failed", "bad", "Was lost or failed, and answers again"))
    for code, times in sorted(xids.items(), key=lambda item: (-item[1], item[0])):
        found.append(GpuProblem("xid", "bad", f"XID {code}" + (f", {times} times" if times > 1 else "")))
    if states_now.get("stuck"):
        found.append(GpuProblem("stuck", "bad", "Stuck: a call into its driver does not return"))
    elif states.get("stuck"):
        found.append(GpuProblem("stuck", "warn", "Was stuck: a call into its driver did not return for a while"))
    for kind in FATAL_ERRORS:
        if errors := grown.get(f"error:{kind}", 0):
            found.append(GpuProblem("ecc", "bad", f"{errors:,.0f} ECC error{'s' if errors > 1 else ''} not corrected"))
    found += _throttling(seconds, grown)
    if states_now.get("predicted_failure"):
        found.append(GpuProblem("failing", "warn", "Memory rows wait to be remapped: reset it soon"))
    if silent_s is not None and silent_s >= SILENT_AFTER_S and not states_now.get("failed"):
        found.append(GpuProblem("silent", "warn", f"Silent: nothing was heard of it for the last {_minutes(silent_s)}"))
    return tuple(sorted(found, key=lambda one: one.severity != "bad"))


def held_back_s(grown: Mapping[str, float]) -> float:
    """Seconds for which heat or the hardware held the clocks down; reasons overlap, so the longest stands for all."""
    return max((grown.get(f"throttle:{reason}", 0.0) for reason in (*HEAT, *HARDWARE)), default=0.0)


def _throttling(seconds: float, grown: Mapping[str, float]) -> list[GpuProblem]:
    found: list[GpuProblem] = []
    heat = max(grown.get(f"throttle:{reason}", 0.0) for reason in HEAT)
    if heat > THROTTLED_SHARE * seconds:
        found.append(GpuProblem("heat", "bad", f"Thermally limited for {_minutes(heat)} ({_share(heat / seconds)})"))
    elif heat >= 1:
        found.append(GpuProblem("heat", "warn", f"Thermally limited for {_minutes(heat)}"))
    hardware = max(grown.get(f"throttle:{reason}", 0.0) for reason in HARDWARE)
    # A thermal slowdown by the hardware counts as one by heat, not twice.
    if hardware >= 1 and hardware > 1.1 * heat:
        found.append(GpuProblem("hardware", "bad", f"Slowed down by the hardware for {_minutes(hardware)}"))
    cap = max(grown.get(f"throttle:{reason}", 0.0) for reason in CAP)
    if cap > CAPPED_SHARE * seconds:
        found.append(GpuProblem("power_cap", "warn", f"At its power cap for {_minutes(cap)} ({_share(cap / seconds)})"))
    return found


def _share(of_time: float) -> str:
    return f"{of_time * 100:.0f} %"


def _minutes(seconds: float) -> str:
    if seconds >= 5_400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
