"""The seam between the agent and a maker's library: five methods of a provider, two of a device.

Errors carry the decision:

    ProviderError
    ├── Unavailable      no library or no driver: try again later
    │   └── Outdated     library and driver differ in version: only a new process can load the right one
    ├── DeviceLost       one GPU is gone: stop reading it, look again
    └── ProviderLost     the driver went away under us: close and open again

A single reading that a GPU does not support is no error: its point is absent, never 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gpu_agent.metrics import EventKind, Interval, Metric

Attributes = tuple[tuple[str, str | int], ...]


class ProviderError(Exception):
    """Why the maker's library gives no readings."""


class Unavailable(ProviderError):  # noqa: N818  # names a decision
    """No library or no driver; trying again later may help."""


class Outdated(Unavailable):
    """The loaded library does not fit the driver; a new process is needed."""


class DeviceLost(ProviderError):  # noqa: N818  # names a decision
    """The GPU no longer answers."""


class ProviderLost(ProviderError):  # noqa: N818  # names a decision
    """The driver was unloaded or the library shut down; open again."""


@dataclass(frozen=True, slots=True, eq=False)
class Entity:
    """What points belong to: a GPU or a MIG instance, with its OTLP resource attributes (`hw.id` is its UUID)."""

    uuid: str
    attributes: Mapping[str, str | int] = field(default_factory=dict)


class Point(NamedTuple):
    """One value of one entity; the unit is the metric's."""

    entity: Entity
    metric: Metric
    value: int | float
    attributes: Attributes = ()


class Event(NamedTuple):
    """Something that happened; `entity` is None for the host."""

    entity: Entity | None
    kind: EventKind
    message: str
    attributes: Attributes = ()


@dataclass(slots=True)
class Sample:
    """What one read of one GPU brought: its points, the failures by error name, the state it is in."""

    points: list[Point] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    state: str = "ok"  # a value of semconv's hw.state


class Device(Protocol):
    """One GPU. Its methods are called from one thread only and may block for as long as the driver does."""

    @property
    def entity(self) -> Entity: ...

    def read(self, interval: Interval) -> Sample:
        """Read the rows of one interval class; raises DeviceLost or ProviderLost."""

    def close(self) -> None:
        """Free what reading needed; not called for a device that is stuck."""


class Provider(Protocol):
    """One maker's library."""

    @property
    def name(self) -> str: ...

    def open(self) -> None:
        """Load and initialise; raises Unavailable."""

    def devices(self) -> Sequence[Device]:
        """The GPUs that answer now. A GPU already handed out comes back as the same object; raises ProviderLost."""

    def topology(self) -> Event | None:
        """How the GPUs are joined, as one event."""

    def events(self, timeout_s: float) -> list[Event]:
        """Wait for events for at most `timeout_s`; raises ProviderLost."""

    def close(self) -> None:
        """Shut the library down; never raises."""
