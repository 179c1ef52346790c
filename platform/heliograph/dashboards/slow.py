"""What was slow then: from a moment on a chart to the requests behind it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.timerange import chosen_range
from heliograph.query import gpu_served
from heliograph.query.filters import SpanFilter, TimeRange
from heliograph.query.placement import MODEL_KINDS

SHOWN = 20
CHOICES = ("host", "service", "environment", "release", "model", "adapter", "provider")


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the slowest model calls of a stretch of time; htmx gets the list alone, a link the page around it."""
    chosen = chosen_range(request)
    span = chosen.range
    shortened = span.end - span.start > gpu_served.MAX_SLOW_RANGE
    if shortened:
        span = TimeRange(span.end - gpu_served.MAX_SLOW_RANGE + timedelta(seconds=1), span.end)
    gpu_uuid = request.GET.get("gpu", "")
    picked: dict[str, Any] = {name: tuple(request.GET.getlist(name)) for name in CHOICES}
    served = gpu_served.slowest_on(project.pk, gpu_uuid, span, limit=SHOWN) if gpu_uuid else []
    # A call that is not shared out yet, or was joined by its host alone, may have run on another GPU of it.
    calls = served or gpu_served.slowest(
        project.pk, replace(SpanFilter(range=span, kind=MODEL_KINDS), **picked), limit=SHOWN
    )
    listed = {name: picked[name] for name in CHOICES if picked[name]}
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "span": span,
        "shortened": shortened,
        "calls": calls,
        "gpu_uuid": gpu_uuid,
        "by_host_only": bool(gpu_uuid) and not served,
        "picked": [(name, value) for name in CHOICES for value in picked[name]],
        "traces_query": urlencode({**listed, "from": span.start.isoformat(), "to": span.end.isoformat()}, doseq=True),
    }
    part = bool(getattr(request, "htmx", False))
    return render(request, "dashboards/_slow.html" if part else "dashboards/slow.html", context)
