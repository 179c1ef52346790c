"""Costs: who used how much of the GPUs, in joules, GPU-seconds and USD, and that it adds up to the counter."""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.money import Money, money
from heliograph.dashboards.project_settings import sending_context
from heliograph.dashboards.timerange import chosen_range
from heliograph.evals.attribution import pending
from heliograph.query import attribution
from heliograph.query.attribution import Attribution, Group
from heliograph.query.filters import InvalidFilterError, TimeRange
from heliograph.query.prices import gpu_prices, weights_of
from heliograph.query.sharing import policy_name
from heliograph.query.terms import written

DIMENSIONS = {
    "user": "User",
    "tenant": "Tenant",
    "adapter": "Adapter",
    "model": "Model",
    "service": "Service",
    "gpu": "GPU",
    "host": "Host",
    "request": "Request",
}
SHOWN = 100
# The field of the filter language that says the same; of the others, a trace says nothing by one field.
_FIELDS = {"user": "user", "adapter": "adapter", "model": "model", "service": "service", "gpu": "gpu"}


@dataclass(frozen=True, slots=True)
class Row:
    """One value of the dimension, its share of all GPU-seconds, its cost of GPUs and APIs, the filter of its traces."""

    group: Group
    share: float
    cost: Money
    trace_id: str
    span_id: str
    filter: str


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page."""
    chosen = chosen_range(request)
    dimension = request.GET.get("by", "user")
    error = chosen.error
    if dimension not in DIMENSIONS:
        dimension, error = "user", f"There is no dimension “{dimension}”. Here are the users."
    span = chosen.range
    if span.end - span.start > attribution.MAX_RANGE:
        span = replace(span, start=span.end - attribution.MAX_RANGE)
        error = f"Costs are worked out for {attribution.MAX_RANGE.days} days at a time. Here are the last of them."
    try:
        found = attribution.by_dimension(
            project.pk,
            span,
            dimension,
            gpu_prices(project.pk),
            tenant_key=settings.TENANT_ATTRIBUTE,
            limit=SHOWN,
        )
    except InvalidFilterError as invalid:
        found, error = None, str(invalid)
    weights = weights_of(project.pk)
    context = {
        "project": project,
        "chosen": chosen,
        "error": error,
        "dimension": dimension,
        "dimension_name": DIMENSIONS[dimension],
        "choices": [
            (label, "?" + urlencode({"by": name}) + "&" + chosen.query, name == dimension)
            for name, label in DIMENSIONS.items()
        ],
        "found": found,
        "pending": pending(project, span.start, span.end),
        "rows": _rows(found) if found else [],
        "balance": _balance(found) if found else None,
        "unplaced": sum(found.unplaced.values()) if found else 0,
        "api_unpriced": sum(group.api_unpriced for group in found.groups) if found else 0,
        "policy": policy_name(weights),
        "weights": weights,
        "tenant_key": settings.TENANT_ATTRIBUTE,
        "api_url": _api_url(project, dimension, span),
        **sending_context(project),
    }
    return render(request, "dashboards/attribution.html", context)


def _api_url(project: Project, dimension: str, span: TimeRange) -> str:
    ends = {"start": span.start.isoformat(), "end": span.end.isoformat()}
    return "/api/v1/attribution?" + urlencode({"group_by": dimension, **ends, "project": project.slug})


def _rows(found: Attribution) -> list[Row]:
    total = found.total.gpu_seconds or 1.0
    rows = []
    for group in found.groups:
        trace_id, _, span_id = group.key.partition("/") if found.dimension == "request" else ("", "", "")
        share = group.gpu.gpu_seconds / total if group.gpu else 0.0
        cost = money(group.api_usd, group.api_unpriced, group.gpu)
        rows.append(Row(group, share, cost, trace_id, span_id, _filter(found.dimension, group.key)))
    return rows


def _filter(dimension: str, key: str) -> str:
    """Return the filter that finds the group's traces, '' where the language has none."""
    if not key:
        return ""
    if dimension == "tenant":
        name = settings.TENANT_ATTRIBUTE
        # A sender says it on the span or on its resource; a filter holds one of the two.
        return f"attributes.{name}:{written(key)}" if re.fullmatch(r"[\w.]+", name) else ""
    return f"{_FIELDS[dimension]}:{written(key)}" if dimension in _FIELDS else ""


@dataclass(frozen=True, slots=True)
class Balance:
    """Whether it adds up: joules of requests and idle against the counter, and what they cost."""

    requests_joules: float | None
    idle_joules: float | None
    counter_joules: float | None
    requests_usd: Decimal | None
    idle_usd: Decimal | None

    @property
    def residue(self) -> float | None:
        """What the sums miss of the counter, as a share of it; None without a counter."""
        if not self.counter_joules or self.requests_joules is None or self.idle_joules is None:
            return None
        return abs(self.requests_joules + self.idle_joules - self.counter_joules) / self.counter_joules

    @property
    def is_even(self) -> bool:
        """Whether they add up to rounding."""
        return self.residue is not None and self.residue < 1e-6

    @property
    def busy(self) -> float:
        """The requests' share of the joules, from 0 to 1."""
        return (self.requests_joules or 0.0) / self.counter_joules if self.counter_joules else 0.0


def _balance(found: Attribution) -> Balance:
    total, idle = found.total, found.idle
    return Balance(
        requests_joules=None if total.joules is None else total.joules - (idle.joules or 0.0),
        idle_joules=idle.joules if total.joules is not None else None,
        counter_joules=found.counter_joules,
        requests_usd=None if total.usd is None else total.usd - (idle.usd or Decimal(0)),
        idle_usd=idle.usd,
    )
