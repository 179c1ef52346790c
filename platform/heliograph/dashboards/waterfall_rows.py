"""What the waterfall's own script asks for: all rows of a trace packed, and where a text stands in it."""

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.gzip import gzip_page

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.waterfall import packed, rows
from heliograph.query.trace_search import find
from heliograph.query.traces import get_trace, summaries


# Ids and times repeat themselves: a tenth of the bytes go over the wire. Nothing in them is secret beside the trace.
@gzip_page
@explained
@project_page
def show(_request: HttpRequest, project: Project, trace_id: str) -> HttpResponse:
    """Answer every row of a trace as JSON (see `waterfall.packed`)."""
    trace = get_trace(project.pk, trace_id.lower())
    if trace is None:
        raise Http404
    start, end = trace.summary.start_ns, trace.summary.end_ns
    return JsonResponse(packed(rows(trace.spans, start, end), start, end))


@explained
@project_page
def show_found(request: HttpRequest, project: Project, trace_id: str) -> HttpResponse:
    """Answer the ids of the spans in which the text `find` stands."""
    summary = summaries(project.pk, [trace_id.lower()]).get(trace_id.lower())
    if summary is None:
        raise Http404
    return JsonResponse({"spans": find(project.pk, summary, request.GET.get("find", ""))})
