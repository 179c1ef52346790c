"""Fragments beside the list of traces: what may follow in the filter box, and what arrived since the last look."""

from datetime import UTC, datetime, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django_htmx.http import trigger_client_event

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.timerange import chosen_range
from heliograph.dashboards.trace_columns import chosen_columns
from heliograph.dashboards.trace_filter import text_of
from heliograph.dashboards.trace_rows import listed
from heliograph.query import language
from heliograph.query.completion import suggest
from heliograph.query.filters import InvalidFilterError, TimeRange
from heliograph.query.live import arrived

# Rows of one look; who follows more traffic than that reads no rows.
ARRIVALS = 30
# By their own clocks: what began before is no news, what is ahead comes from a fast clock.
BEGAN_WITHIN = timedelta(hours=1)


@explained
@project_page
def complete(request: HttpRequest, project: Project) -> HttpResponse:
    """Show what may follow at the caret (`at`) of a filter (`q`)."""
    at = _whole(request, "at")
    found = suggest(project.pk, request.GET.get("q", ""), at, chosen_range(request).range)
    return render(request, "dashboards/_completions.html", {"suggestions": found})


@explained
@project_page
def live(request: HttpRequest, project: Project) -> HttpResponse:
    """Show traces that arrived since `since`, and tell the browser from when to ask next."""
    now = datetime.now(UTC)
    spans = language.parse(text_of(request.GET), TimeRange(now - BEGAN_WITHIN, now + timedelta(minutes=5)))
    found = arrived(project.pk, spans, _whole(request, "since"), limit=ARRIVALS)
    context = {"project": project, "listed": listed(project, found.traces), "columns": chosen_columns(request)}
    answer = render(request, "dashboards/_trace_rows.html", context)
    return trigger_client_event(answer, "heliograph:live", {"since": str(found.next_us)}, after="swap")


def _whole(request: HttpRequest, name: str) -> int:
    text = request.GET.get(name, "") or "0"
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise InvalidFilterError(name, "must be a whole number from 0 up")
    return int(text)
