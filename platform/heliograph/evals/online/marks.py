"""What a rule has noticed and what of it is still to be judged: places that follow what comes, and gaps behind them.

Noticing is one transaction: the place moves, and the stretch behind it becomes a gap. A gap shrinks only once the
verdicts on what it held are stored. So whatever moment a worker dies at, a span is before a place and judged, or in a
gap, or still ahead.

A row's time stamp is older than the moment at which it can be read: by some milliseconds as a rule, by minutes where
an insert was held up or a replica lags. So what was noticed is looked for once more when LATE has passed, without
those that have a verdict by then (ADR 0049).
"""

from datetime import UTC, datetime, timedelta

from django.db import transaction

from heliograph.evals.models import EvaluationRule, Gap, RuleState
from heliograph.query import completeness
from heliograph.query.filters import to_ns

# A commit takes its time stamp before it is visible, and the retriever's span may come with the next export.
SETTLE = timedelta(seconds=10)
# An insert is given up by whoever sends it, and a replica is taken out of service, long before this.
LATE = timedelta(minutes=15)
# Each look costs a question about the spans of that time, of which the answers that are judged are not read.
SWEEP_EVERY = timedelta(minutes=5)


def microseconds(moment: datetime) -> int:
    """Return a time as the store's `received_at` counts it."""
    return to_ns(moment) // 1_000


def notice(rule: EvaluationRule, state: RuleState) -> None:
    """Take what has settled since the last time into the gaps; `state` is claimed.

    A rule that begins to wait for whole traces goes on where it stopped looking at single spans, and the other way
    round: spans that were judged in the first way are asked for their scores in the second.
    """
    places, stretches = _of_traces(state) if rule.waits else _of_spans(rule, state)
    with transaction.atomic():
        for axis, start_us, end_us, skip_judged in stretches:
            if end_us > start_us:
                _open(rule, axis, start_us, end_us, skip_judged=skip_judged or start_us < state.judged_before_us)
        state.change(**places)


Stretch = tuple[Gap.Axis, int, int, bool]


def _of_traces(state: RuleState) -> tuple[dict[str, int], list[Stretch]]:
    whole, given_up = microseconds(completeness.quiet_since()), microseconds(completeness.given_up_since())
    places = {"complete_us": max(state.complete_us, whole), "given_up_us": max(state.given_up_us, given_up)}
    stretches = [
        (Gap.Axis.COMPLETE, state.complete_us, places["complete_us"], False),
        (Gap.Axis.GIVEN_UP, state.given_up_us, places["given_up_us"], False),
    ]
    seen = places["given_up_us"]
    return places | {"spans_us": seen, "swept_us": seen, "judged_before_us": places["complete_us"]}, stretches


def _of_spans(rule: EvaluationRule, state: RuleState) -> tuple[dict[str, int], list[Stretch]]:
    now = datetime.now(UTC)
    until, late = max(state.spans_us, microseconds(now - SETTLE)), microseconds(now - LATE)
    places = {
        "spans_us": until,
        "complete_us": max(state.complete_us, until),
        "given_up_us": max(state.given_up_us, until),
    }
    stretches = [(Gap.Axis.SPANS, state.spans_us, until, False)]
    if state.swept_us >= state.spans_us:
        # All that was noticed was looked for again; what is noticed now and older than LATE can be read already.
        places["swept_us"] = max(state.swept_us, late)
    else:
        end = min(late, state.spans_us, *_unworked(rule))
        if end - state.swept_us >= SWEEP_EVERY // timedelta(microseconds=1):
            stretches.append((Gap.Axis.SPANS, state.swept_us, end, True))
            places["swept_us"] = end
    return places, stretches


def _unworked(rule: EvaluationRule) -> list[int]:
    """Return where the oldest gap of single spans begins: what lies in it is yet to be looked for the first time."""
    gaps = Gap.objects.filter(rule=rule, axis=Gap.Axis.SPANS)
    return list(gaps.order_by("start_us").values_list("start_us", flat=True)[:1])


def _open(rule: EvaluationRule, axis: Gap.Axis, start_us: int, end_us: int, *, skip_judged: bool) -> None:
    """Add a gap, as the upper part of the one below where nothing of that was worked yet.

    So a rule that stands still has one gap, however long it does.
    """
    below = Gap.objects.filter(rule=rule, axis=axis, skip_judged=skip_judged, place_us=start_us, place_trace="")
    if not below.filter(slice_us=None).update(place_us=end_us):
        Gap.objects.create(rule=rule, axis=axis, start_us=start_us, place_us=end_us, skip_judged=skip_judged)


def next_gap(rule: EvaluationRule) -> Gap | None:
    """Return the gap whose end is the newest."""
    return Gap.objects.filter(rule=rule).first()
