"""A scripted day of one GPU host: what its requests did to eight GPUs, and what that cost each tenant in truth.

- `Day(start_ns, length_s, seed)`: the script; the same arguments give the same day
- `day.requests`: each request with its phases; `day.joules(...)`: what a GPU has drawn by a moment, exactly
- `day.true_joules()`: what each tenant's requests drew, by the rule of docs/attribution.md at every moment

GPUs 0-3   one vLLM engine with a 70B model over four GPUs, twenty tenants
GPUs 4-5   a second one with a 7B model and three LoRA adapters, the same tenants
GPUs 6, 7  idle
62-70 %    of the day GPU 3 overheats: its clocks fall, its thermal counters run, and its engine writes slower
80-85 %    GPU 7 has fallen off the bus with XID 79
90-93 %    the second engine gets more requests than it can run: they wait in its queue

Time is the timestamps' alone: a day of two hours is told in seconds. The power model is invented, as it is in
benchmarks/attribution.py: idle power, and a share for each request at work.
"""

import random
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

SECOND = 1_000_000_000
HOST = "gpu-node-1"
GPUS = 8
TENANTS = tuple(f"tenant-{number:02}" for number in range(1, 21))
IDLE_W, BUSY_W, REQUEST_W, LIMIT_W = 70.0, 230.0, 42.0, 700.0
# A prompt that is read weighs as much as this many answers that are written: the rule's own weights.
PREFILL = 4.0
HOT_GPU, HOT = 3, (0.62, 0.70)
LOST_GPU, LOST = 7, (0.80, 0.85)
CROWD = (0.90, 0.93)
# The last request ends so long before the day does that GPUs were read after it too, at any interval of an agent.
QUIET_S = 45.0
# Clocks kept while hot, and how much slower each token is for it.
KEPT_CLOCK, SLOWER = 0.6, 1.9


@dataclass(frozen=True, slots=True)
class EngineScript:
    """One engine: where it runs and how fast it is (seconds)."""

    name: str
    model: str
    pid: int
    port: int
    gpus: tuple[int, ...]
    memory: int
    every_s: float
    prefill_s: float
    per_token_s: float
    adapters: tuple[str, ...] = ()

    @property
    def instance(self) -> str:
        """What its metrics and spans call it."""
        return f"{HOST}:{self.port}"


ENGINES = (
    EngineScript(
        "vllm-70b", "meta-llama/Llama-3.3-70B-Instruct", 41_000, 8000, (0, 1, 2, 3), 74 << 30, 4.4, 0.32, 0.021
    ),
    EngineScript(
        "vllm-7b",
        "Qwen/Qwen2.5-7B-Instruct-AWQ",
        42_000,
        8001,
        (4, 5),
        61 << 30,
        3.2,
        0.05,
        0.014,
        ("support-v2", "legal-v1", "sql-v4"),
    ),
)


@dataclass(frozen=True, slots=True)
class ScriptedRequest:
    """One request: its phases are the engine's, in ns since the epoch."""

    number: int
    engine: EngineScript
    tenant: str
    adapter: str
    arrived_ns: int
    started_ns: int
    first_token_ns: int
    end_ns: int
    input_tokens: int
    output_tokens: int

    @property
    def queue_ns(self) -> int:
        """Time in the queue."""
        return self.started_ns - self.arrived_ns


@dataclass(frozen=True)
class Day:
    """The script of a day that begins at `start_ns` and lasts `length_s` seconds of timestamps."""

    start_ns: int
    length_s: float
    seed: int = 1

    @property
    def end_ns(self) -> int:
        """When it ends."""
        return self.start_ns + round(self.length_s * SECOND)

    def at_ns(self, share: float) -> int:
        """The moment at a share of the day, 0 to 1."""
        return self.start_ns + round(share * self.length_s * SECOND)

    def within(self, window: tuple[float, float], at_ns: int) -> bool:
        """Whether a moment lies in a window of shares."""
        return self.at_ns(window[0]) <= at_ns < self.at_ns(window[1])

    @cached_property
    def requests(self) -> tuple[ScriptedRequest, ...]:
        """All requests, by arrival."""
        found: list[ScriptedRequest] = []
        for engine in ENGINES:
            found += self._of(engine, random.Random(f"{self.seed}-{engine.name}"))  # noqa: S311  # a script, no secret
        return tuple(sorted(found, key=lambda one: one.arrived_ns))

    def watts(self, gpu: int, at_ns: int) -> float:
        """What a GPU draws at a moment."""
        times, watts, _ = self._power[gpu]
        place = int(np.searchsorted(times, at_ns, side="right")) - 1
        return float(watts[max(0, min(place, len(watts) - 1))])

    def weight(self, gpu: int, at_ns: int) -> float:
        """The weights of the requests at work on a GPU at a moment; 0 where it idles."""
        draw = self.watts(gpu, at_ns)
        return 0.0 if draw <= IDLE_W else max(0.5, (draw - BUSY_W) / REQUEST_W)

    def joules(self, gpu: int, at_ns: int) -> float:
        """What a GPU has drawn since the day began, exactly."""
        times, _, joules = self._power[gpu]
        return float(np.interp(at_ns, times, joules))

    def true_joules(self) -> dict[str, float]:
        """What each tenant's requests drew: at each moment the GPU's power by the weights of those at work."""
        drawn: defaultdict[str, float] = defaultdict(float)
        for engine in ENGINES:
            times, weights = self._weights(engine)
            for gpu in engine.gpus:
                _, watts, _ = self._power[gpu]
                # Joules of one unit of weight up to each change.
                each = np.where(weights[:-1] > 0, watts[:-1] / np.maximum(weights[:-1], 1e-9), 0.0)
                per_weight = np.concatenate([[0.0], np.cumsum(each * np.diff(times) / SECOND)])
                for one in self.requests:
                    if one.engine is engine:
                        begun, first, ended = np.interp(
                            [one.started_ns, one.first_token_ns, one.end_ns], times, per_weight
                        )
                        drawn[one.tenant] += PREFILL * (first - begun) + (ended - first)
        return dict(drawn)

    def _of(self, engine: EngineScript, rng: random.Random) -> list[ScriptedRequest]:
        found: list[ScriptedRequest] = []
        at, free_ns = 0.0, 0
        while True:
            crowd = engine is ENGINES[1] and self.within(CROWD, self.start_ns + round(at * SECOND))
            at += rng.expovariate(1 / engine.every_s) / (3 if crowd else 1)
            arrived = self.start_ns + round(at * SECOND)
            queue = rng.uniform(0.002, 0.02)
            if crowd:
                # One after another gets its turn.
                free_ns = max(free_ns, arrived) + round(0.35 * SECOND)
                queue = (free_ns - arrived) / SECOND
            hot = HOT_GPU in engine.gpus and self.within(HOT, arrived)
            tokens = rng.randrange(300, 900)
            started = arrived + round(queue * SECOND)
            first = started + round(engine.prefill_s * rng.uniform(0.8, 1.2) * SECOND)
            per_token = engine.per_token_s * rng.uniform(0.92, 1.08) * (SLOWER if hot else 1.0)
            end = first + round(per_token * (tokens - 1) * SECOND)
            if end >= self.end_ns - round(QUIET_S * SECOND):
                return found
            adapter = rng.choice(("", *engine.adapters)) if engine.adapters else ""
            # The first tenants ask most, as a few customers do.
            tenant = TENANTS[min(int(rng.expovariate(1 / 8)), len(TENANTS) - 1)]
            found.append(
                ScriptedRequest(
                    len(found), engine, tenant, adapter, arrived, started, first, end, rng.randrange(200, 1800), tokens
                )
            )

    def _weights(self, engine: EngineScript) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The moments at which the weights on an engine's GPUs change, and what they are from then on."""
        changes: defaultdict[int, float] = defaultdict(float)
        changes[self.start_ns] += 0.0
        changes[self.end_ns] += 0.0
        for at in (*HOT, *LOST):
            changes[self.at_ns(at)] += 0.0
        for one in self.requests:
            if one.engine is engine:
                changes[one.started_ns] += PREFILL
                changes[one.first_token_ns] += 1.0 - PREFILL
                changes[one.end_ns] -= 1.0
        times = np.array(sorted(changes), dtype=np.int64)
        return times, np.round(np.cumsum([changes[int(at)] for at in times]), 6)

    @cached_property
    def _power(self) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]]:
        """By GPU: moments, the watts from each on, and the joules drawn up to it."""
        found = {}
        for gpu in range(GPUS):
            engine = next((each for each in ENGINES if gpu in each.gpus), None)
            if engine is None:
                times = np.array([self.start_ns, self.end_ns], dtype=np.int64)
                watts = np.array([IDLE_W, IDLE_W])
            else:
                times, weights = self._weights(engine)
                watts = np.where(weights > 0, np.minimum(LIMIT_W - 20, BUSY_W + REQUEST_W * weights), IDLE_W)
                if gpu == HOT_GPU:
                    hot = (times >= self.at_ns(HOT[0])) & (times < self.at_ns(HOT[1]))
                    watts = np.where(hot, np.maximum(IDLE_W, watts * 0.7), watts)
            joules = np.concatenate([[0.0], np.cumsum(watts[:-1] * np.diff(times) / SECOND)])
            found[gpu] = (times, watts, joules)
        return found
