"""Starting and stopping the watch of a gate; `watch` follows it, in the worker."""

from datetime import UTC, datetime, timedelta

from django.utils import timezone

from heliograph.gates import metrics
from heliograph.gates.models import Gate, Watch

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NotWatchableError(ValueError):
    """A gate whose live traffic cannot be followed; the text says why."""


def start(gate: Gate, now: datetime) -> Watch:
    """Watch a gate from now on; what an earlier watch saw is forgotten. Raises NotWatchableError."""
    if gate.source != Gate.Source.LIVE:
        raise NotWatchableError("Only live traffic can be watched; a data set has ended.")
    if quantiles := [each.name for each in metrics.metrics(gate.metrics) if each.quantile is not None]:
        # A watch keeps sums, of which no quantile can be told.
        raise NotWatchableError(
            f"A watch follows means and shares; take {' and '.join(quantiles)} out, or run the gate."
        )
    began = since_epoch(now)
    watch, _ = Watch.objects.update_or_create(
        gate=gate,
        defaults={
            "is_on": True,
            "started_at_us": began,
            "read_to_us": began,
            "state": b"",
            "result": {},
            "verdict": "not_enough_data",
            "decided_at": None,
            "looked_at": None,
            "error": "",
        },
    )
    return watch


def stop(gate: Gate) -> None:
    """Watch no more; what was seen stays."""
    Watch.objects.filter(gate=gate).update(is_on=False)


def restart_if_on(gate: Gate) -> None:
    """Start a running watch anew: its gate asks another question now."""
    if Watch.objects.filter(gate=gate, is_on=True).exists():
        try:
            start(gate, timezone.now())
        except NotWatchableError as error:
            Watch.objects.filter(gate=gate).update(is_on=False, error=str(error))


def since_epoch(moment: datetime) -> int:
    """Microseconds since the epoch."""
    return microseconds(moment - _EPOCH)


def microseconds(length: timedelta) -> int:
    """A length of time in microseconds."""
    return length // timedelta(microseconds=1)
