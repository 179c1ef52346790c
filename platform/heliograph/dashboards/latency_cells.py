"""The overview's latency as lines or, where the address says `latency=map`, as cells that lead to their traces."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.dashboards.charts import Chart, Heat, Series, View
from heliograph.query.filters import RollupFilter
from heliograph.query.latency_map import EXACT, Band, latency_map
from heliograph.query.quantities import DURATIONS, scaled, write

LATENCY = "latency"
MAP = "map"


def with_views(
    request: HttpRequest,
    project: Project,
    rollup: RollupFilter,
    narrowed: Mapping[str, Sequence[str]],
    charts: Sequence[Chart],
) -> list[Chart]:
    """Return the charts, that of the latency in the way that the address says and with links to both ways."""
    is_map = request.GET.get(LATENCY) == MAP
    views = (
        View("Lines", _with(request, None), not is_map),
        View("Heat map", _with(request, MAP), is_map),
    )
    return [
        replace(_map(project, rollup, narrowed, chart) if is_map else chart, views=views)
        if chart.id == LATENCY
        else chart
        for chart in charts
    ]


def _map(project: Project, rollup: RollupFilter, narrowed: Mapping[str, Sequence[str]], lines: Chart) -> Chart:
    found = latency_map(project.pk, rollup)
    span = rollup.range.whole_minutes()
    # A request is a root; a condition on the latency alone would hold those that other services sent on too.
    of_roots = {} if rollup.picks_calls else {"q": "-has:parent"}
    listed = urlencode({**narrowed, **of_roots}, doseq=True)
    last = found.bands[-1] if found.bands else None
    edges = [band.low_ns for band in found.bands]
    return replace(
        lines,
        unit="count",
        times_ms=[start * 1000 for start in found.starts_s],
        series=[Series(_name(band), counts) for band, counts in zip(found.bands, found.counts, strict=True)],
        kind="heat",
        heat=Heat(
            "ns",
            # The last band may have no end; it is drawn as high as others of its kind.
            [*edges, (last.high_ns or 2 * last.low_ns)] if last else edges,
            [_terms(band) for band in found.bands],
            f"{reverse('traces', args=[project.slug])}?{listed}",
            found.step_s * 1000,
            (span.start_ns // 1_000_000, span.end_ns // 1_000_000),
            EXACT,
        ),
    )


def _name(band: Band) -> str:
    low = scaled(band.low_ns, DURATIONS)
    if band.high_ns is None:
        return f"{low} or more"
    return f"{low} – {scaled(band.high_ns, DURATIONS)}" if band.low_ns else f"under {scaled(band.high_ns, DURATIONS)}"


def _terms(band: Band) -> tuple[str, str]:
    return (
        f"latency>={write(band.low_ns, 'duration')}" if band.low_ns else "",
        f"latency<{write(band.high_ns, 'duration')}" if band.high_ns is not None else "",
    )


def _with(request: HttpRequest, view: str | None) -> str:
    parameters = request.GET.copy()
    parameters.pop(LATENCY, None)
    if view:
        parameters[LATENCY] = view
    return "?" + parameters.urlencode()
