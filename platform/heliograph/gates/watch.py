"""Live traffic of a gate, followed as it comes by a test that may be looked at any time.

A step reads what was stored since the last one and adds it to the sums. The place read to and the sums change in one
statement that names the place read from: of two workers one wins, and one that was killed changed nothing.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from evaluators.regression.gate import overall
from evaluators.regression.live import STATE_BYTES, LiveComparison
from heliograph.events.outbox import record
from heliograph.gates import metrics
from heliograph.gates.live import scale_of, side_of, sums_of
from heliograph.gates.metrics import Metric
from heliograph.gates.models import Gate, Watch
from heliograph.gates.report import EXIT_CODES
from heliograph.gates.sides import sides
from heliograph.gates.watches import microseconds, since_epoch
from heliograph.query.comparison import Stored
from heliograph.query.filters import TimeRange

# An insert is visible at once; its time of storing was set some moments before.
SETTLE = timedelta(seconds=15)
# Evaluators judge within a minute or so; a score that comes later than this after its span is not in the watch.
SCORES_SETTLE = timedelta(minutes=10)
# A step is compared within itself, so it needs some rows of both sides; a quiet side is waited for so long.
MIN_STEP_ROWS = 20
LONGEST_STEP = timedelta(hours=1)
# Spans that began this long before the watch belong to it, if they were stored since.
BEGAN_BEFORE = timedelta(hours=1)
# A worker that was away for days catches up within some minutes and lets others work in between.
MAX_STEPS = 50
# A span may carry a clock that is ahead of ours.
_AHEAD = timedelta(hours=1)


def follow(watch: Watch, now: datetime) -> None:
    """Take in what was stored up to `now`. Raises InvalidFilterError, InvalidMetricError, StoreError."""
    for _ in range(MAX_STEPS):
        if not _step(watch, now):
            return


def _step(watch: Watch, now: datetime) -> bool:
    """Take one step; return whether there may be another."""
    compared = metrics.metrics(watch.gate.metrics)
    settle = SCORES_SETTLE if any(metric.score for metric in compared) else SETTLE
    end = since_epoch(now - settle)
    until = min(end, watch.read_to_us + microseconds(LONGEST_STEP))
    if until <= watch.read_to_us:
        return False
    stored = Stored(watch.read_to_us, until)
    began = datetime.fromtimestamp(watch.started_at_us / 1e6, UTC) - BEGAN_BEFORE
    chosen = sides(watch.gate, TimeRange(began, now + _AHEAD).widened(timedelta()))
    before, after = (
        side_of(watch.gate.project_id, side, compared, stored) for side in (chosen.baseline, chosen.candidate)
    )
    least = min(max((sum(rows.n) for rows in side.values()), default=0) for side in (before, after))
    if least < MIN_STEP_ROWS and until < watch.read_to_us + microseconds(LONGEST_STEP):
        _looked(watch)
        return False
    states = restored(watch, compared)
    for metric, state in zip(compared, states, strict=True):
        rows = (before[metric.name], after[metric.name])
        state.scale = max(state.scale, scale_of(metric, *rows)) if any(side.n for side in rows) else state.scale
        state.update(sums_of(rows[0]), sums_of(rows[1]))
    return _store(watch, until, compared, states) and until < end


def restored(watch: Watch, compared: list[Metric]) -> list[LiveComparison]:
    """Return the state of every metric. Each may fail the gate, so each gets its part of alpha (Bonferroni)."""
    states = [
        LiveComparison(metric.kind, metric.margin, watch.gate.alpha / len(compared), metric.higher_is_better)
        for metric in compared
    ]
    kept = bytes(watch.state)
    if len(kept) == STATE_BYTES * len(compared):
        for number, state in enumerate(states):
            state.restore(kept[number * STATE_BYTES : (number + 1) * STATE_BYTES])
    return states


def _store(watch: Watch, until: int, compared: list[Metric], states: list[LiveComparison]) -> bool:
    verdict = overall([state.verdict for state in states])
    decided = verdict != "not_enough_data"
    now = timezone.now()
    result: dict[str, Any] = {
        "verdict": verdict,
        "exit_code": EXIT_CODES[verdict],
        "source": "live",
        "alpha": watch.gate.alpha,
        "metrics": {metric.name: state.as_dict() for metric, state in zip(compared, states, strict=True)},
    }
    values = {
        "read_to_us": until,
        "state": b"".join(state.state() for state in states),
        "result": result,
        "verdict": verdict,
        "looked_at": now,
        "error": "",
        "decided_at": now if decided else None,
        # What was asked is answered; the verdict would not change any more.
        "is_on": not decided,
    }
    with transaction.atomic():
        mine = Watch.objects.filter(
            pk=watch.pk, is_on=True, read_to_us=watch.read_to_us, started_at_us=watch.started_at_us
        )
        if not mine.update(**values):
            return False
        if verdict == "fail":
            failed = [metric.name for metric, state in zip(compared, states, strict=True) if state.verdict == "fail"]
            record(watch.gate.project, "gate.failed", event_body(watch.gate, failed) | {"watch": True})
    for name, value in values.items():
        setattr(watch, name, value)
    return not decided


def event_body(gate: Gate, failed: list[str]) -> dict[str, Any]:
    """Return what the event of a failed gate tells."""
    return {"gate": gate.pk, "name": gate.name, "source": gate.source, "metrics": failed}


def _looked(watch: Watch) -> None:
    Watch.objects.filter(pk=watch.pk, read_to_us=watch.read_to_us).update(looked_at=timezone.now(), error="")
