"""Where a trace's calls ran, why they were slow, and what they used of the GPUs: fragments that a page loads by itself.

They read counters around the calls, which the page's first paint need not wait for.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.accounts.models import Project
from heliograph.dashboards import gpu_strip
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.money import money
from heliograph.query import attribution, attribution_totals, diagnosis, gpu
from heliograph.query.agent_clocks import agent_clocks
from heliograph.query.attribution import Cost
from heliograph.query.diagnosis import Diagnosis, TraceDiagnosis
from heliograph.query.filters import TimeRange, from_ns
from heliograph.query.placing import PlacedGpu, Placement
from heliograph.query.prices import gpu_prices, weights_of
from heliograph.query.sharing import policy_name
from heliograph.query.traces import TraceRow, summaries

# The job shares out a minute once it is 150 s old, each half minute.
WORKED_OUT_AFTER = timedelta(minutes=4)
# Colours that a strip tells GPUs apart by.
MAX_NAMED = 8
_BY = {
    "uuid": "named by the span",
    "pid": "by PID",
    "container": "by container",
    "socket": "by socket",
    "host": "by host only",
}
OUTCOMES = {
    "explained": ("warn", "slower than usual, explained"),
    "unexplained": ("warn", "slower than usual, no cause found"),
    "usual": ("ok", "as usual"),
    "unknown": ("", "no verdict"),
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict with how its outcome is shown."""

    found: Diagnosis

    @property
    def pill(self) -> str:
        """The class of the outcome's pill."""
        return OUTCOMES[self.found.verdict.outcome][0]

    @property
    def outcome(self) -> str:
        """The outcome in words."""
        return OUTCOMES[self.found.verdict.outcome][1]


@explained
@project_page
def show(request: HttpRequest, project: Project, trace_id: str) -> HttpResponse:
    """Show the trace's verdicts, and the counters of its GPUs and engines under its own time axis."""
    summary = summaries(project.pk, [trace_id.lower()]).get(trace_id.lower())
    if summary is None:
        raise Http404
    found = diagnosis.of_trace(project.pk, summary.trace_id)
    placed = placed_gpus(found)
    gpus = gpu.of_trace(project.pk, summary, known=[each.uuid for each in placed])
    joined = _joined(found)
    labels = {each.uuid: each.label for each in placed}
    throttled = gpu_strip.throttle_chart(project.pk, gpus, summary, labels)
    lanes = [
        *gpu_strip.charts(gpus, summary, labels),
        *([throttled] if throttled else []),
        *gpu_strip.engine_charts(project.pk, found, summary),
    ]
    context = {
        "project": project,
        "summary": summary,
        "judged": [Judged(each) for each in found.calls] if found else [],
        "unjudged": found.unjudged if found else 0,
        "joined": joined,
        "engines": found.engines if found else (),
        "gpus": gpus,
        "clocks": clock_warnings(project.pk, found, gpus.range),
        "gpu_charts": lanes,
        "legend": gpu_strip.legend(lanes)[:MAX_NAMED],
        **_share(project, attribution_totals.of_traces(project.pk, [summary], gpu_prices(project.pk)), summary, found),
    }
    return render(request, "dashboards/_where.html", context)


@explained
@project_page
def show_span(request: HttpRequest, project: Project, trace_id: str, span_id: str) -> HttpResponse:
    """Show where the time of one model call went, its verdict, its GPUs and its share of them."""
    found = diagnosis.of_span(project.pk, trace_id.lower(), span_id.lower())
    if found is None:
        raise Http404
    call = found.call
    share = attribution.of_span(
        project.pk, call.trace_id, call.span_id, call.start_ns, call.end_ns, gpu_prices(project.pk)
    )
    context = {
        "project": project,
        "judged": Judged(found),
        "found": found,
        "joined": words(found.placement),
        "share": share.cost if share else None,
        # A list price stands in the head already; a share of one's own GPUs takes the place of an unknown one.
        "own_cost": money(None, 0, share.cost if share and not call.has_cost else None),
        "no_share": "" if share else why_no_share(call.end_ns, [found.placement], has_cost=call.has_cost),
        "policy": policy_name(weights_of(project.pk)),
    }
    return render(request, "dashboards/_span_where.html", context)


def words(placement: Placement) -> str:
    """Return the join in words: `GPUs: 4 of one engine, by PID`, or `GPUs: not known`."""
    if placement.strength == "none":
        return "GPUs: not known"
    count = len(placement.gpus)
    engine = " of one engine" if placement.engine and count > 1 else ""
    return f"GPU{'s' if count != 1 else ''}: {count}{engine}, {_BY[placement.strength]}"


def placed_gpus(found: TraceDiagnosis | None) -> list[PlacedGpu]:
    """Return the GPUs that computed calls of a trace, each once; those of a mere host are not among them."""
    if found is None:
        return []
    proven = [each for each in found.placements.values() if each.is_proven]
    return list({one.uuid: one for each in proven for one in each.gpus}.values())


def clock_warnings(project_id: int, found: TraceDiagnosis | None, span: TimeRange) -> list[str]:
    """Return what is wrong with the clocks of the hosts that served a trace, a sentence each."""
    hosts = sorted({each.host for each in placed_gpus(found) if each.host})
    if not hosts:
        return []
    return [each.warning for each in agent_clocks(project_id, span, hosts=hosts) if each.warning]


def _joined(found: TraceDiagnosis | None) -> list[tuple[str, str, int]]:
    """Each way in which the trace's calls were joined, in words: the join, its reason, how many calls."""
    counts: dict[tuple[str, str], int] = {}
    placements = found.placements if found else {}
    repeated = {each.via_span_id for each in placements.values()}
    for each in (each for span_id, each in placements.items() if span_id not in repeated):
        key = (words(each), each.reason)
        counts[key] = counts.get(key, 0) + 1
    return [(join, reason, count) for (join, reason), count in sorted(counts.items(), key=lambda item: -item[1])][:4]


def _share(
    project: Project, shares: dict[str, Cost], summary: TraceRow, found: TraceDiagnosis | None
) -> dict[str, Any]:
    share = shares.get(summary.trace_id)
    if share is not None or found is None:
        return {"share": share, "no_share": "", "policy": policy_name(weights_of(project.pk))}
    has_cost = summary.unpriced_count == 0 and bool(summary.known_cost)
    return {"share": None, "no_share": why_no_share(summary.end_ns, found.placements.values(), has_cost=has_cost)}


def why_no_share(end_ns: int, placements: Any, *, has_cost: bool) -> str:
    """Return why no share of a GPU is shown; '' where a priced API answered, which has none."""
    if any(each.is_proven for each in placements):
        if datetime.now(UTC) - from_ns(end_ns) < WORKED_OUT_AFTER:
            return "Its share of the GPUs is worked out about three minutes after the call."
        return "No share was worked out for it: the job had not run, or the call came more than six hours late."
    if has_cost:
        return ""
    if any(each.strength == "host" for each in placements):
        return "Only the host is known, so no share of a GPU is given to it."
    return "It was joined to no GPU, so no share of one is given to it."
