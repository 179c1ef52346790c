"""Whether a gate or a monitor can be used as it is: one sentence for each field at fault, the same in page and API."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from heliograph.gates import metrics
from heliograph.gates.drift import segments, signals
from heliograph.gates.models import Gate, Monitor
from heliograph.query.filters import InvalidFilterError, TimeRange
from heliograph.query.language import parse

# A person keeps an overview of so many; each watch and monitor costs the store a question a minute or an hour.
MAX_GATES = 200
MAX_MONITORS = 50
MAX_HOURS = 24 * 90
# A monitor that looks more often compares windows that are nearly the same.
LEAST_EVERY_HOURS = 0.25

Errors = dict[str, str]


def gate_errors(gate: Gate) -> Errors:
    """Return what keeps a gate from being used, by field."""
    errors = _common(gate, MAX_GATES)
    if gate.source == Gate.Source.LIVE:
        if gate.baseline.strip() == gate.candidate.strip():
            errors["candidate"] = "Must differ from the baseline, such as release:1.4 and release:1.5."
        for side in ("baseline", "candidate"):
            if text := getattr(gate, side).strip():
                _filter(errors, side, text)
            else:
                errors[side] = "Say which spans are this side's, such as release:1.4."
        _filter(errors, "scope", gate.scope)
        _between(errors, "hours", gate.hours, 0.1, MAX_HOURS)
    else:
        for side in ("baseline_run", "candidate_run"):
            run = getattr(gate, side)
            if run is None or run.project_id != gate.project_id:
                errors[side] = "Choose a run of this project."
        if gate.baseline_run_id is not None and gate.baseline_run_id == gate.candidate_run_id:
            errors["candidate_run"] = "Choose another run than the baseline's."
    _tried(errors, "metrics", lambda: metrics.metrics(gate.metrics))
    return errors


def monitor_errors(monitor: Monitor) -> Errors:
    """Return what keeps a monitor from being used, by field."""
    errors = _common(monitor, MAX_MONITORS)
    _filter(errors, "scope", monitor.scope)
    _tried(errors, "signals", lambda: signals.signals(monitor.signals))
    _tried(errors, "segments", lambda: segments.fields(monitor.segments))
    for name in ("reference_hours", "current_hours"):
        _between(errors, name, getattr(monitor, name), 0.1, MAX_HOURS)
    _between(errors, "every_hours", monitor.every_hours, LEAST_EVERY_HOURS, 24 * 30)
    _between(errors, "min_effect", monitor.min_effect, 0, 1)
    if monitor.reference == Monitor.Reference.PINNED:
        if monitor.pinned_from is None or monitor.pinned_to is None:
            errors["pinned_from"] = "A pinned reference needs both its ends."
        elif not timedelta() < monitor.pinned_to - monitor.pinned_from <= timedelta(hours=MAX_HOURS):
            errors["pinned_to"] = f"Must come after its start, within {MAX_HOURS // 24} days."
    return errors


def _common(row: Gate | Monitor, most: int) -> Errors:
    errors: Errors = {}
    others = type(row)._default_manager.filter(project=row.project).exclude(pk=row.pk)
    if not row.name.strip():
        errors["name"] = "Give it a name."
    elif others.filter(name=row.name).exists():
        errors["name"] = f"There is one named {row.name!r} already."
    elif row.pk is None and others.count() >= most:
        errors["name"] = f"A project may have {most}; remove one first."
    _between(errors, "alpha", row.alpha, 0.001, 0.2)
    return errors


def _filter(errors: Errors, field: str, text: str) -> None:
    now = datetime.now(UTC)
    _tried(errors, field, lambda: parse(text, TimeRange(now - timedelta(hours=1), now)))


def _between(errors: Errors, field: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        errors[field] = f"Must be a number from {low:g} to {high:g}."


def _tried(errors: Errors, field: str, read: Callable[[], object]) -> None:
    try:
        read()
    except InvalidFilterError as error:
        errors[field] = f"{error.message[:1].upper()}{error.message[1:]}."
    except (metrics.InvalidMetricError, signals.InvalidSignalError) as error:
        errors[field] = str(error)
