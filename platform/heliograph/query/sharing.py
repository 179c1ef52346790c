"""One GPU's energy and time, shared out over the requests that it served: arithmetic only.

- `share(counter, requests, windows, weights) -> list[Shared]`, one for each window

The rule. At each moment the GPU's time belongs to the requests at work on it, by their weights: `prefill` while a
request's prompt is read, `decode` while its answer is written, nothing while it waits in a queue. What the energy
counter rose by between two readings is spread evenly over the moments between them at which some request was at work;
where none was, it is the idle row's. So requests and idle add up to the counter, to rounding.

The bounds. What a request's share would be under other weights (`BOUND_RATIOS`), and how uneven the power may have been
in the readings in which it began or ended: between two readings nobody knows when the energy was drawn. They are an
estimate too; benchmarks/attribution.py prints how often they hold the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
SECOND = 10**9
# Two readings further apart than this leave the time between them without energy: the agent was away.
MAX_GAP_NS = 90 * SECOND
# Weights are whole numbers up to this, so that requests that come and go leave no rounding behind; one that weighs less
# than a millionth of the heaviest is taken to weigh that.
_RANGE = 2.0**20
_SMALLEST = 1e-12
# Prefill to decode, by time: equal, and twice the default.
BOUND_RATIOS = (1.0, 8.0)


Per = Literal["second", "token"]


@dataclass(frozen=True, slots=True)
class Weights:
    """How much of the GPU a request is taken to use: per second of its phase, or per token of it."""

    prefill: float = 4.0
    decode: float = 1.0
    per: Per = "second"

    def __str__(self) -> str:
        return f"prefill {self.prefill:g} : decode {self.decode:g} per {self.per}"


DEFAULT_WEIGHTS = Weights()
# Policies that have a name; others are a project's own.
POLICIES: dict[str, Weights] = {
    "Prompts weigh more": DEFAULT_WEIGHTS,
    "Equal time": Weights(1.0, 1.0),
    "By tokens": Weights(1.0, 4.0, "token"),
}


def policy_name(weights: Weights) -> str:
    """Return the name of a policy, `Own weights` for any other."""
    return next((name for name, known in POLICIES.items() if known == weights), "Own weights")


@dataclass(frozen=True, slots=True)
class Request:
    """One request's work on the GPU, from the end of its queue to its end; ns since the epoch.

    `prefill_end_ns` is `start_ns` where the phases are not known: all of it then counts as decode.
    """

    start_ns: int
    prefill_end_ns: int
    end_ns: int
    prefill_tokens: int = 0
    decode_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Counter:
    """Readings of the energy counter: times in ns (rising) and joules. It may be empty."""

    times_ns: Integers
    joules: Floats


@dataclass(frozen=True, slots=True)
class Shared:
    """One window: arrays have one entry a request, in the order given; seconds are of the one GPU.

    `joules` holds what is metered; `unmetered_seconds` are those of `gpu_seconds` whose energy is not known.
    """

    gpu_seconds: Floats
    gpu_seconds_low: Floats
    gpu_seconds_high: Floats
    joules: Floats
    joules_low: Floats
    joules_high: Floats
    unmetered_seconds: Floats
    idle_seconds: float
    idle_joules: float
    idle_unmetered_seconds: float
    counter_joules: float
    covered_seconds: float

    @property
    def residue(self) -> float:
        """What requests and idle miss of the counter's joules, as a share of them; rounding only."""
        given = float(self.joules.sum()) + self.idle_joules
        return abs(given - self.counter_joules) / max(abs(self.counter_joules), 1e-9)


def share(
    counter: Counter, requests: Sequence[Request], windows: Sequence[tuple[int, int]], weights: Weights | None = None
) -> list[Shared]:
    """Share out each window (start, end in ns) of one GPU.

    All requests that worked between the counter's readings around the windows must be given, or the split of the first
    and last reading will not add up with that of the neighbouring windows.
    """
    weights = weights or Weights()
    main = _Split(counter, requests, windows, weights)
    others = [
        _Split(counter, requests, windows, Weights(ratio * weights.decode, weights.decode)) for ratio in BOUND_RATIOS
    ]
    return [main.window(start, end, others) for start, end in windows]


class _Split:
    """Running totals over a grid on which nothing changes between two edges."""

    def __init__(
        self, counter: Counter, requests: Sequence[Request], windows: Sequence[tuple[int, int]], weights: Weights
    ) -> None:
        self.start = np.array([each.start_ns for each in requests], dtype=np.int64)
        self.end = np.maximum(np.array([each.end_ns for each in requests], dtype=np.int64), self.start)
        middle = np.array([each.prefill_end_ns for each in requests], dtype=np.int64)
        self.middle = np.clip(middle, self.start, self.end)
        self.counter = counter
        bounds = np.array([at for window in windows for at in window], dtype=np.int64)
        self.edges = np.unique(np.concatenate([self.start, self.middle, self.end, counter.times_ns, bounds]))
        self.prefill, self.decode = self._weights(requests, weights)
        self._integrate()

    def _weights(self, requests: Sequence[Request], weights: Weights) -> tuple[Integers, Integers]:
        """Each request's weight while it reads and while it writes, from 1 to _RANGE."""
        prefill, decode = (np.full(len(requests), float(each)) for each in (weights.prefill, weights.decode))
        if weights.per == "token":
            read = np.array([each.prefill_tokens for each in requests], dtype=np.float64)
            written = np.array([each.decode_tokens for each in requests], dtype=np.float64)
            prefill *= read / np.maximum((self.middle - self.start) / SECOND, 1e-6)
            decode *= written / np.maximum((self.end - self.middle) / SECOND, 1e-6)
        heaviest = max([_SMALLEST, *prefill.tolist(), *decode.tolist()])
        # A request at work weighs something, even where its tokens are not known.
        units = [np.rint(np.maximum(each / heaviest * _RANGE, 1.0)).astype(np.int64) for each in (prefill, decode)]
        return units[0], units[1]

    def _integrate(self) -> None:
        lengths = np.diff(self.edges) / SECOND
        total = np.zeros(len(self.edges), dtype=np.int64)
        np.add.at(total, self.at(self.start), self.prefill)
        np.add.at(total, self.at(self.middle), self.decode - self.prefill)
        np.add.at(total, self.at(self.end), -self.decode)
        weight = np.cumsum(total)[:-1]
        busy = weight > 0
        per_weight = np.divide(lengths, weight, out=np.zeros_like(lengths), where=busy)
        power_busy, power_idle, metered = self._power(lengths, busy)
        self.seconds = _running(per_weight)
        self.unmetered = _running(np.where(metered, 0.0, per_weight))
        self.energy = _running(per_weight * power_busy)
        self.idle_seconds = _running(np.where(busy, 0.0, lengths))
        self.idle_unmetered = _running(np.where(busy | metered, 0.0, lengths))
        self.idle_energy = _running(np.where(busy, 0.0, lengths * power_idle))
        self.counted = _running(np.where(busy, lengths * power_busy, lengths * power_idle))
        self.covered = _running(np.where(metered, lengths, 0.0))

    def _power(self, lengths: Floats, busy: NDArray[np.bool_]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """For each stretch of the grid: the power while busy and while idle (W), and whether it is metered."""
        times = self.counter.times_ns
        if len(times) < 2:
            nothing = np.zeros_like(lengths)
            return nothing, nothing, np.zeros(len(lengths), dtype=bool)
        rise = np.diff(self.counter.joules)
        good = (rise >= 0) & np.isfinite(rise) & (np.diff(times) <= MAX_GAP_NS)
        reading = np.searchsorted(times, self.edges[:-1], side="right") - 1
        inside = (reading >= 0) & (reading < len(rise))
        index = np.clip(reading, 0, len(rise) - 1)
        metered = inside & good[index]
        worked = np.bincount(index[inside & busy], lengths[inside & busy], minlength=len(rise))
        lasted = np.diff(times) / SECOND
        while_busy = np.divide(rise, worked, out=np.zeros_like(rise), where=worked > 0)
        while_idle = np.where(worked > 0, 0.0, rise / lasted)
        power = np.where(worked > 0, while_busy, while_idle)
        steps = np.abs(np.diff(power))
        widest = np.maximum(np.concatenate([[0.0], steps]), np.concatenate([steps, [0.0]]))
        self.unevenness = np.clip(np.divide(widest, power, out=np.ones_like(power), where=power > 0), 0.0, 1.0)
        return np.where(metered, while_busy[index], 0.0), np.where(metered, while_idle[index], 0.0), metered

    def at(self, moments: Integers) -> Integers:
        """Positions of moments that are edges of the grid."""
        return np.searchsorted(self.edges, moments)

    def of(self, totals: Floats, first: Integers, middle: Integers, last: Integers) -> Floats:
        """Each request's share of a total between its moments `first` and `last`."""
        read = totals[self.at(middle)] - totals[self.at(first)]
        written = totals[self.at(last)] - totals[self.at(middle)]
        return np.asarray(self.prefill * read + self.decode * written)

    def window(self, start: int, end: int, others: Sequence["_Split"]) -> Shared:
        """One window of the grid."""
        first, middle, last = (np.clip(moments, start, end) for moments in (self.start, self.middle, self.end))
        joules = self.of(self.energy, first, middle, last)
        alternatives = np.stack([joules, *(each.of(each.energy, first, middle, last) for each in others)])
        seconds = self.of(self.seconds, first, middle, last)
        other_seconds = np.stack([seconds, *(each.of(each.seconds, first, middle, last) for each in others)])
        unsure = self._unsure(first, middle, last)
        ends = self.at(np.array([start, end], dtype=np.int64))
        return Shared(
            gpu_seconds=seconds,
            gpu_seconds_low=np.maximum(other_seconds.min(axis=0), 0.0),
            gpu_seconds_high=other_seconds.max(axis=0),
            joules=joules,
            joules_low=np.maximum(alternatives.min(axis=0) - unsure, 0.0),
            joules_high=alternatives.max(axis=0) + unsure,
            unmetered_seconds=self.of(self.unmetered, first, middle, last),
            idle_seconds=_between(self.idle_seconds, ends),
            idle_joules=_between(self.idle_energy, ends),
            idle_unmetered_seconds=_between(self.idle_unmetered, ends),
            counter_joules=_between(self.counted, ends),
            covered_seconds=_between(self.covered, ends),
        )

    def _unsure(self, first: Integers, middle: Integers, last: Integers) -> Floats:
        """How far a request's joules may be off for the readings in which it began and ended.

        Inside a reading the power is taken to be even. It may have differed as much as from the readings beside it;
        for a request inside one reading, by all of it.
        """
        times = self.counter.times_ns
        if len(times) < 2 or not len(self.start):
            return np.zeros(len(self.start))
        head = np.clip(np.searchsorted(times, self.start, side="right"), 0, len(times) - 1)
        tail = np.clip(np.searchsorted(times, self.end, side="left") - 1, 0, len(times) - 1)
        after_head = np.clip(times[head], first, last)
        before_tail = np.clip(np.maximum(times[tail], after_head), first, last)
        begun = self.of(self.energy, first, np.clip(middle, first, after_head), after_head)
        ended = self.of(self.energy, before_tail, np.clip(middle, before_tail, last), last)
        readings = len(times) - 2
        inside_one = head > tail
        off_head = np.where(inside_one, 1.0, self.unevenness[np.clip(head - 1, 0, readings)])
        off_tail = np.where(inside_one, 1.0, self.unevenness[np.clip(tail, 0, readings)])
        return np.asarray(np.maximum(begun * off_head + ended * off_tail, 0.0))


def _running(values: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(values)])


def _between(totals: Floats, ends: Integers) -> float:
    return float(totals[ends[1]] - totals[ends[0]])
