"""What a row of the list of traces shows beside the summary of its trace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from heliograph.accounts.models import Project
from heliograph.dashboards.money import Money, money
from heliograph.query import attribution_totals, completeness
from heliograph.query.asking import asking
from heliograph.query.completeness import Completeness
from heliograph.query.filters import TimeRange, from_ns
from heliograph.query.prices import gpu_prices
from heliograph.query.scores import Score, of_traces
from heliograph.query.traces import TraceRow
from heliograph.rules.pins import pinned_of

SCORES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ListedTrace:
    """A trace, the scores that its row shows, what it cost, and how far it is, None for an old one."""

    trace: TraceRow
    scores: tuple[Score, ...]
    cost: Money
    completeness: Completeness | None
    is_pinned: bool


def listed(project: Project, items: Sequence[TraceRow]) -> list[ListedTrace]:
    """Return the rows of traces, in their order."""
    if not items:
        return []
    # A score stands at the time of the span that it judges, which lies within its trace.
    start, end = min(row.start_ns for row in items), max(row.end_ns for row in items)
    span = TimeRange(from_ns(start), from_ns(end) + timedelta(seconds=1)).widened(timedelta(0))
    trace_ids, prices = [row.trace_id for row in items], gpu_prices(project.pk)
    with asking() as ask:
        judging = ask(of_traces, project.pk, trace_ids, span)
        sharing = ask(attribution_totals.of_traces, project.pk, items, prices)
        known = completeness.states(project.pk, trace_ids)
    given, own = judging.result(), sharing.result()
    pinned = pinned_of(project.pk, trace_ids)
    return [
        ListedTrace(
            row,
            tuple(given.get(row.trace_id, ())[:SCORES_SHOWN]),
            money(row.known_cost, row.unpriced_count, own.get(row.trace_id)),
            known.get(row.trace_id),
            row.trace_id in pinned,
        )
        for row in items
    ]
