"""What an engine's entry in the table is made of: canonical metrics, and the ways to them.

A way says from which of the engine's own metrics, of which versions, by which computation and factor. Ways of one
canonical metric stand in order of preference: the first whose names are there answers.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Version = tuple[int, ...]
Labels = Mapping[str, str]
# How the series of one instance at one moment become one number.
Across = Literal["sum", "avg", "max"]


@dataclass(frozen=True, slots=True)
class Canonical:
    """One metric that every engine is compared by."""

    name: str
    unit: str
    description: str


CANONICAL: tuple[Canonical, ...] = (
    Canonical("ttft", "s", "Time to the first token of a request"),
    Canonical("tpot", "s", "Time per output token after the first, one value a request"),
    Canonical("itl", "s", "Time between two tokens, one value a gap"),
    Canonical("e2e", "s", "Time of a whole request"),
    Canonical("queue", "s", "Time that a request waited before it ran"),
    Canonical("prefill", "s", "Time in which the prompt was read"),
    Canonical("decode", "s", "Time in which the answer was written"),
    Canonical("running", "{request}", "Requests being worked on"),
    Canonical("waiting", "{request}", "Requests in the queue"),
    Canonical("kv_usage", "1", "Used share of the key-value cache"),
    Canonical("prefix_hit", "1", "Share of the prompt tokens that came from the prefix cache"),
    Canonical("preemptions", "{preemption}/s", "Requests thrown out of memory, a second"),
    Canonical("spec_accept", "1", "Share of the drafted tokens that were accepted"),
    Canonical("batch", "1", "Size of a step: requests or tokens, as the way says"),
    Canonical("out_tok_s", "{token}/s", "Tokens written a second"),
    Canonical("in_tok_s", "{token}/s", "Prompt tokens read a second"),
    Canonical("requests_s", "{request}/s", "Requests finished a second"),
)
BY_NAME = {each.name: each for each in CANONICAL}


@dataclass(frozen=True, slots=True)
class Pick:
    """One of the engine's metrics, narrowed by labels. `field` is what of it counts: its value, or of a histogram the
    count or the sum."""

    name: str
    where: Labels = field(default_factory=dict)
    field: Literal["value", "count", "sum"] = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way(ABC):
    """What every way has: `factor` to the canonical unit, and the versions from `since` to before `until`.

    `bound` says that the number is only a bound of what is asked for; `note` is for the reader.
    """

    factor: float = 1.0
    since: Version = ()
    until: Version = ()
    bound: Literal["", "lower", "upper"] = ""
    note: str = ""

    def serves(self, version: Version | None) -> bool:
        """Say whether the way holds for a version; an unknown one is tried by the names that are there."""
        return version is None or (
            (not self.since or version >= self.since) and (not self.until or version < self.until)
        )

    @property
    @abstractmethod
    def picks(self) -> tuple[Pick, ...]:
        """The metrics that it needs."""


@dataclass(frozen=True, slots=True)
class Quantiles(Way):
    """A histogram: quantiles and mean of what was counted in an interval."""

    of: Pick

    @property
    def picks(self) -> tuple[Pick, ...]:
        """The histogram."""
        return (self.of,)


@dataclass(frozen=True, slots=True)
class Level(Way):
    """A gauge: its mean over the interval, over the instance's series by `across`."""

    of: Pick
    across: Across = "sum"

    @property
    def picks(self) -> tuple[Pick, ...]:
        """The gauge."""
        return (self.of,)


@dataclass(frozen=True, slots=True)
class LevelRatio(Way):
    """One gauge over another, such as used and possible blocks."""

    part: Pick
    whole: Pick

    @property
    def picks(self) -> tuple[Pick, ...]:
        """Both gauges."""
        return (self.part, self.whole)


@dataclass(frozen=True, slots=True)
class Rate(Way):
    """A counter's increase a second."""

    of: Pick

    @property
    def picks(self) -> tuple[Pick, ...]:
        """The counter."""
        return (self.of,)


@dataclass(frozen=True, slots=True)
class Ratio(Way):
    """What counters counted in an interval, one over the other. `whole` may be several, which are added."""

    part: Pick
    whole: tuple[Pick, ...]

    @property
    def picks(self) -> tuple[Pick, ...]:
        """All counters."""
        return (self.part, *self.whole)


@dataclass(frozen=True, slots=True)
class MeanSum(Way):
    """The sum of several histograms' means: of parts that follow each other. Quantiles of parts do not add."""

    of: tuple[Pick, ...]

    @property
    def picks(self) -> tuple[Pick, ...]:
        """The histograms."""
        return self.of


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine: how its metrics begin, the ways to the canonical ones, and why others have none.

    `names` are metrics without a prefix that no other engine here has; `model_labels` name the model it serves.
    """

    name: str
    title: str
    prefixes: tuple[str, ...]
    ways: Mapping[str, tuple[Way, ...]]
    absent: Mapping[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    model_labels: tuple[str, ...] = ("model_name", "model")

    @property
    def needed(self) -> frozenset[str]:
        """Every metric that some way needs."""
        return frozenset(pick.name for ways in self.ways.values() for way in ways for pick in way.picks)
