"""The list of traces."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.money import Money, money
from heliograph.dashboards.project_settings import sending_context
from heliograph.dashboards.timerange import chosen_range
from heliograph.query import attribution_totals, completeness
from heliograph.query.completeness import Completeness
from heliograph.query.facets import FacetValue, facets
from heliograph.query.filters import InvalidFilterError, RollupFilter, ScoreBound, SpanFilter, TimeRange, from_ns
from heliograph.query.prices import gpu_prices
from heliograph.query.scores import Score, of_traces
from heliograph.query.traces import TraceRow, list_traces

PAGE_SIZE = 50
SCORES_SHOWN = 3
# A panel is for the frequent values; the others are found by search.
FACET_VALUES = 12
# Filters that the address carries as they are; each may be repeated.
CHOICES = (
    "service",
    "model",
    "adapter",
    "provider",
    "status",
    "environment",
    "release",
    "kind",
    "session",
    "user",
    "tag",
    "name",
    "host",
)
MS = 1_000_000


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    """One filter in force, and the address without it."""

    field: str
    value: str
    remove_url: str


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show one page of traces; htmx asks for the rows after a cursor only."""
    chosen = chosen_range(request)
    error = chosen.error
    try:
        spans = _filter(request, chosen.range)
    except InvalidFilterError as invalid:
        spans, error = SpanFilter(range=chosen.range), f"That filter cannot be used: {invalid}."
    page = list_traces(project.pk, spans, cursor=request.GET.get("cursor") or None, limit=PAGE_SIZE)
    context = {
        "project": project,
        "chosen": chosen,
        "error": error,
        "page": page,
        "listed": _listed(project, page.items),
        "next_url": _with(request, cursor=page.next_cursor) if page.next_cursor else "",
    }
    if request.GET.get("cursor") and getattr(request, "htmx", False):
        return render(request, "dashboards/_trace_rows.html", context)
    context |= {
        "active": _active(request),
        "facets": _facets(request, project, spans),
        "text": spans.text,
        "min_ms": request.GET.get("min_ms", ""),
        "score_below": request.GET.get("score_below", ""),
        "kept": [(name, value) for name in ("range", "from", "to", *CHOICES) for value in request.GET.getlist(name)],
        **sending_context(project),
    }
    return render(request, "dashboards/traces.html", context)


@dataclass(frozen=True, slots=True)
class ListedTrace:
    """A trace, the scores that its row shows, what it cost, and how far it is, None for an old one."""

    trace: TraceRow
    scores: tuple[Score, ...]
    cost: Money
    completeness: Completeness | None


def _listed(project: Project, items: tuple[TraceRow, ...]) -> list[ListedTrace]:
    if not items:
        return []
    # A score stands at the time of the span that it judges, which lies within its trace.
    start, end = min(row.start_ns for row in items), max(row.end_ns for row in items)
    span = TimeRange(from_ns(start), from_ns(end) + timedelta(seconds=1)).widened(timedelta(0))
    given = of_traces(project.pk, [row.trace_id for row in items], span)
    own = attribution_totals.of_traces(project.pk, items, gpu_prices(project.pk))
    known = completeness.states(project.pk, [row.trace_id for row in items])
    return [
        ListedTrace(
            row,
            tuple(given.get(row.trace_id, ())[:SCORES_SHOWN]),
            money(row.known_cost, row.unpriced_count, own.get(row.trace_id)),
            known.get(row.trace_id),
        )
        for row in items
    ]


def _filter(request: HttpRequest, span: TimeRange) -> SpanFilter:
    bound = _number(request, "score_below")
    minimum = _number(request, "min_ms")
    plain = SpanFilter(
        range=span,
        text=request.GET.get("q", ""),
        min_duration_ns=None if minimum is None else int(minimum * MS),
        scores=() if bound is None else (ScoreBound("groundedness", below=bound),),
    )
    choices: dict[str, Any] = {name: tuple(request.GET.getlist(name)) for name in CHOICES}
    return replace(plain, **choices)


def _number(request: HttpRequest, name: str) -> float | None:
    text = request.GET.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise InvalidFilterError(name, "must be a number") from error
    # NaN compares with nothing and infinity is no bound.
    if not 0 <= value < 1e12:
        raise InvalidFilterError(name, "must be a number from 0 up")
    return value


def _with(request: HttpRequest, **changes: str | None) -> str:
    parameters = request.GET.copy()
    for name, value in changes.items():
        parameters[name] = value or ""
    return "?" + parameters.urlencode()


def _active(request: HttpRequest) -> list[ActiveFilter]:
    pairs = [(key, value) for key, values in request.GET.lists() for value in values if key != "cursor"]
    shown = {*CHOICES, "q", "min_ms", "score_below"}
    return [
        ActiveFilter(field, value, "?" + urlencode([pair for pair in pairs if pair != (field, value)]))
        for field, value in pairs
        if field in shown and value
    ]


@dataclass(frozen=True, slots=True)
class FacetLink:
    """One value of a facet, and the address with that filter switched on or off."""

    value: str
    spans: int
    url: str
    current: bool


@dataclass(frozen=True, slots=True)
class FacetPanel:
    """One field of the filter panel."""

    field: str
    links: tuple[FacetLink, ...]


def _facets(request: HttpRequest, project: Project, spans: SpanFilter) -> list[FacetPanel]:
    found = facets(project.pk, RollupFilter.of(spans), limit=FACET_VALUES)
    return [
        FacetPanel(field, tuple(_link(request, field, value) for value in values)) for field, values in found.items()
    ]


def _link(request: HttpRequest, field: str, entry: FacetValue) -> FacetLink:
    pairs = [(key, value) for key, values in request.GET.lists() for value in values if key != "cursor"]
    current = (field, entry.value) in pairs
    changed = [pair for pair in pairs if pair != (field, entry.value)] if current else [*pairs, (field, entry.value)]
    return FacetLink(entry.value, entry.spans, "?" + urlencode(changed), current)
