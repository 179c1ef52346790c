"""What a verdict is made from: plain numbers, each of which may be unknown."""

from dataclasses import dataclass, field
from typing import Literal

Cause = Literal["throttling", "memory", "queue", "prefill", "crowding", "network", "longer_output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """One measure over the calls of the same model and engine in the hour before: median and 90th percentile."""

    median: float
    p90: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The hour before, over `calls` calls; a measure is None where too few calls carried it."""

    calls: int
    ttft_s: Usual | None = None
    tpot_s: Usual | None = None
    e2e_s: Usual | None = None
    queue_s: Usual | None = None
    prefill_s: Usual | None = None
    input_tokens: Usual | None = None
    output_tokens: Usual | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One call; seconds and tokens."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
    queue_s: float | None = None
    prefill_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuEvidence:
    """One GPU around the call: by how many seconds each throttle counter rose in `seconds`, and its SM clock in Hz."""

    label: str
    seconds: float | None
    throttled_s: dict[str, float] = field(default_factory=dict)
    clock_hz: float | None = None
    usual_clock_hz: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEvidence:
    """The engine during the call: highest readings, and what the preemption counter rose by."""

    kv_usage: float | None = None
    waiting: float | None = None
    running: float | None = None
    usual_running: float | None = None
    preemptions: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All of it. `missing` says in words what could not be looked at, and why."""

    call: Measured
    baseline: Baseline
    gpus: tuple[GpuEvidence, ...] = ()
    engine: EngineEvidence = EngineEvidence()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One cause that the evidence shows, in words with its numbers; `weight` is the seconds that it may explain."""

    cause: Cause
    sentence: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was slow, and why: findings by weight, none where no rule applies.

    `outcome` is `usual` (nothing was slower than usual), `explained`, `unexplained` (slower, and no cause found) or
    `unknown` (nothing to compare with).
    """

    outcome: Literal["usual", "explained", "unexplained", "unknown"]
    summary: str
    findings: tuple[Finding, ...] = ()
    missing: tuple[str, ...] = ()
