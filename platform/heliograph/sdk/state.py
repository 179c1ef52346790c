"""What `init()` settled for this process."""

import threading
from dataclasses import dataclass

from opentelemetry.sdk.trace import TracerProvider

from heliograph.sdk.destination import Destination, destination
from heliograph.sdk.export import SpanSender
from heliograph.sdk.masking import Mask

lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of `init()`."""

    provider: TracerProvider
    sender: SpanSender
    target: Destination
    mask: Mask | None


_settled: list[Settled] = []


def settled() -> Settled | None:
    """Return it, or None before `init()`."""
    return _settled[0] if _settled else None


def settle(outcome: Settled) -> None:
    """Keep it; the first one counts."""
    if not _settled:
        _settled.append(outcome)


def target() -> Destination:
    """Return where things go: as `init()` was told, else as the environment says."""
    known = settled()
    return known.target if known else destination()


def mask() -> Mask | None:
    """Return the mask that `init()` was given."""
    known = settled()
    return known.mask if known else None
