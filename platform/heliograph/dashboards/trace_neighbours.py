"""The links to the next and the previous trace of the list that the reader came from, as a fragment of a trace's page.

The page's address carries the list's as `list`, so that the links stay right when it is shared.
"""

from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.timerange import chosen_range
from heliograph.dashboards.trace_filter import text_of
from heliograph.query import language, neighbours

# A list's own address: longer than its filter may be.
MAX_CHARACTERS = 4_000


@explained
@project_page
def show(request: HttpRequest, project: Project, trace_id: str) -> HttpResponse:
    """Show the links; without a list, the neighbours among all traces of the last 24 hours."""
    listed = HttpRequest()
    listed.GET = QueryDict(request.GET.get("list", "")[:MAX_CHARACTERS])
    chosen = language.parse(text_of(listed.GET), chosen_range(listed).range)
    found = neighbours.of_trace(project.pk, chosen, trace_id.lower())
    context = {
        "list_url": f"{reverse('traces', args=[project.slug])}?{listed.GET.urlencode()}",
        "is_listed": found is not None,
        "newer": _url(project, found.newer, listed.GET) if found else "",
        "older": _url(project, found.older, listed.GET) if found else "",
    }
    return render(request, "dashboards/_trace_neighbours.html", context)


def list_of(request: HttpRequest, project: Project) -> str:
    """Return the address of the list that leads here: as `list` says, else the list that the reader has just left."""
    if "list" in request.GET:
        return request.GET["list"][:MAX_CHARACTERS]
    came_from = urlsplit(request.headers.get("referer", ""))
    is_list = came_from.netloc == request.get_host() and came_from.path == reverse("traces", args=[project.slug])
    return came_from.query[:MAX_CHARACTERS] if is_list else ""


def _url(project: Project, trace_id: str | None, listed: QueryDict) -> str:
    if trace_id is None:
        return ""
    query = f"?{urlencode({'list': listed.urlencode()})}" if listed else ""
    return reverse("trace", args=[project.slug, trace_id]) + query
