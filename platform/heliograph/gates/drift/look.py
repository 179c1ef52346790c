"""One look of a monitor: every signal in every segment, corrected together, and what moved where there is drift.

False alarms are bounded twice. Within a look, Benjamini and Hochberg's procedure over all signals and segments. Over
time, the looks of 30 days share alpha evenly (alpha spending): windows of neighbouring looks overlap, so a bound that
needs no independence is taken. While nothing changes, the chance of any finding in 30 days is then at most alpha.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db import transaction
from scipy import stats

from heliograph.events.outbox import record
from heliograph.gates.drift import segments
from heliograph.gates.drift.schedule import alpha_of_a_look
from heliograph.gates.drift.segments import MIN_ROWS, Segment
from heliograph.gates.drift.signals import Signal, signals
from heliograph.gates.drift.testing import Tested, moved, tested
from heliograph.gates.drift.window import Window, topics_of
from heliograph.gates.models import Finding, Look, Monitor
from heliograph.query.filters import SpanFilter, TimeRange
from heliograph.query.language import parse

# A look that finds more shows the largest; the API lists all tests.
MAX_FINDINGS = 50
LISTED_IN_EVENT = 20
ALL = Segment("", "", (), ())


def ranges(monitor: Monitor, look: Look) -> tuple[TimeRange, TimeRange]:
    """Return the reference and the current time. Raises InvalidFilterError."""
    start = look.until - timedelta(hours=monitor.current_hours)
    current = TimeRange(start, look.until)
    if monitor.reference == Monitor.Reference.PINNED and monitor.pinned_from and monitor.pinned_to:
        return TimeRange(monitor.pinned_from, monitor.pinned_to), current
    return TimeRange(start - timedelta(hours=monitor.reference_hours), start), current


def run(look: Look) -> None:
    """Look, and store what was found with the look's end. Raises InvalidFilterError, StoreError, LostLeaseError."""
    monitor = look.monitor
    chosen = signals(monitor.signals)
    by = segments.fields(monitor.segments)
    before, after = ranges(monitor, look)
    keys = tuple(segments.attribute_keys(by))
    reference = Window(monitor.project_id, _filter(monitor, before), keys)
    current = Window(monitor.project_id, _filter(monitor, after), keys)
    alpha = alpha_of_a_look(monitor)
    result: dict[str, Any] = {
        "windows": {"reference": _ends(before), "current": _ends(after)},
        "spans": {"reference": len(reference.spans), "current": len(current.spans)},
        "alpha": alpha,
    }
    if min(result["spans"].values()) < MIN_ROWS:
        counts = result["spans"]
        reason = f"{counts['reference']} spans before and {counts['current']} now; {MIN_ROWS} a side are needed."
        look.finish(result | {"verdict": "not_enough_data", "reason": reason, "tests": []})
        return
    made = _all_tests(look, reference, current, chosen, _segments(by, reference, current))
    if not made:
        reason = f"No signal has {MIN_ROWS} values on each side."
        look.finish(result | {"verdict": "not_enough_data", "reason": reason, "tests": []})
        return
    q_values = [float(q) for q in stats.false_discovery_control([each.result.p_value for each in made])]
    found = [
        (each, q)
        for each, q in zip(made, q_values, strict=True)
        if q <= alpha and (each.signal.kind == "embedding" or abs(each.result.effect) >= monitor.min_effect)
    ]
    found.sort(key=lambda row: -abs(row[0].result.effect))
    rows = []
    for each, q in found[:MAX_FINDINGS]:
        look.renew()
        rows.append(_finding(look, each, q, moved(reference, current, each)))
    is_found = {(each.signal.name, each.segment.field, each.segment.value) for each, _ in found}
    result["tests"] = [_row(each, q, is_found) for each, q in zip(made, q_values, strict=True)]
    result["verdict"] = "drift" if found else "no_drift"
    _store(look, result, rows)


def _filter(monitor: Monitor, span: TimeRange) -> SpanFilter:
    return parse(monitor.scope, span)


def _segments(by: list[str], reference: Window, current: Window) -> list[Segment]:
    found = [ALL]
    for field in by:
        if field in ("language", "topic"):
            sides = (reference.languages, current.languages) if field == "language" else topics_of(reference, current)
            values = [
                [[named.get(row, "")] for row in range(len(window.spans))]
                for named, window in zip(sides, (reference, current), strict=True)
            ]
        else:
            values = [segments.values_of(field, window.spans, window.attributes) for window in (reference, current)]
        found += segments.split(field, values[0], values[1])
    return found


def _all_tests(
    look: Look, reference: Window, current: Window, chosen: list[Signal], parts: list[Segment]
) -> list[Tested]:
    made = []
    for signal in chosen:
        for segment in parts:
            # The model does not change within one model, nor the language within one language.
            if segment.field != signal.name and (each := tested(reference, current, signal, segment)):
                made.append(each)
        look.renew()
    return made


def _row(each: Tested, q: float, found: set[tuple[str, str, str]]) -> dict[str, Any]:
    """A test in few numbers."""
    segment = each.segment
    return {
        "signal": each.signal.name,
        "segment_field": segment.field,
        "segment_value": segment.value,
        "test": each.result.test,
        "n": {"reference": each.result.n_reference, "current": each.result.n_current},
        "effect": each.result.effect,
        "p_value": each.result.p_value,
        "q_value": q,
        "is_found": (each.signal.name, segment.field, segment.value) in found,
    }


def _finding(look: Look, each: Tested, q: float, what: dict[str, Any]) -> Finding:
    result = replace(each.result, verdict="drift").as_dict()
    return Finding(
        project=look.monitor.project,
        monitor=look.monitor,
        look=look,
        signal=each.signal.name,
        segment_field=each.segment.field,
        segment_value=each.segment.value[:500],
        effect=each.result.effect,
        q_value=q,
        details=result | what,
    )


def _store(look: Look, result: dict[str, Any], rows: list[Finding]) -> None:
    earlier = look.monitor.looks.filter(status=Look.Status.DONE, until__lt=look.until).order_by("-until").first()
    known = set(earlier.findings.values_list("signal", "segment_field", "segment_value")) if earlier else set()
    fresh = [row for row in rows if (row.signal, row.segment_field, row.segment_value) not in known]
    for row in rows:
        row.details["is_new"] = (row.signal, row.segment_field, row.segment_value) not in known
    with transaction.atomic():
        look.finish(result)
        Finding.objects.bulk_create(rows)
        if fresh:
            record(look.monitor.project, "drift.found", _event(look, fresh))


def _event(look: Look, fresh: list[Finding]) -> dict[str, Any]:
    listed = [
        {"signal": row.signal, "segment": row.segment[:200], "effect": row.effect, "q_value": row.q_value}
        for row in fresh[:LISTED_IN_EVENT]
    ]
    monitor = look.monitor
    return {"monitor": monitor.pk, "name": monitor.name, "look": look.pk, "found": len(fresh), "findings": listed}


def _ends(span: TimeRange) -> list[str]:
    return [span.start.isoformat(), span.end.isoformat()]
