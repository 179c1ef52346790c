"""The list of traces."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.accounts.models import Project
from heliograph.annotation.models import Queue
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.project_settings import sending_context
from heliograph.dashboards.saved_views import address, reader
from heliograph.dashboards.timerange import chosen_range
from heliograph.dashboards.trace_columns import COLUMNS, chosen_columns
from heliograph.dashboards.trace_filter import asked_for, begin_panels, panels, with_text
from heliograph.dashboards.trace_rows import listed
from heliograph.datasets.models import Dataset
from heliograph.query.asking import asking
from heliograph.query.fields import FIELDS
from heliograph.query.traces import list_traces
from heliograph.saved.models import views_for

PAGE_SIZE = 50
QUEUES_SHOWN = 50
# Names that the box of the bulk bar offers; any other is typed.
DATASETS_OFFERED = 50


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show one page of traces; htmx asks for the rows after a cursor only."""
    chosen = chosen_range(request)
    asked = asked_for(request, chosen.range)
    columns = chosen_columns(request)
    is_further = bool(request.GET.get("cursor") and getattr(request, "htmx", False))
    with asking() as ask:
        counted = None if is_further else begin_panels(ask, project, asked)
        page = list_traces(project.pk, asked.spans, cursor=request.GET.get("cursor") or None, limit=PAGE_SIZE)
        rows = listed(project, page.items)
    context = {
        "project": project,
        "chosen": chosen,
        "error": asked.error or chosen.error,
        "page": page,
        "columns": columns,
        "listed": rows,
        "next_url": _after(request, page.next_cursor) if page.next_cursor else "",
    }
    if counted is None:
        return render(request, "dashboards/_trace_rows.html", context)
    context |= {
        "text": asked.text,
        "facets": panels(request, asked, counted),
        # Counts come from sums per minute, which know no more than these fields.
        "counts_are_wider": bool(asked.spans.conditions or asked.spans.text or asked.spans.scores),
        "all_url": with_text(request.GET, ""),
        "kept": [
            (name, value)
            for name, values in request.GET.lists()
            for value in values
            if name in {"range", "from", "to", "cols"}
        ],
        "ranged": [(name, request.GET[name]) for name in ("range", "from", "to") if request.GET.get(name)],
        "all_columns": [(column, column in columns) for column in COLUMNS],
        "views": [(view, address(project, view)) for view in views_for(project, reader(request))],
        "query": with_text(request.GET, asked.text)[1:],
        "fields": FIELDS,
        "queues": Queue.objects.filter(project=project, is_open=True).only("pk", "name")[:QUEUES_SHOWN],
        "dataset_names": Dataset.objects.filter(project=project).values_list("name", flat=True)[:DATASETS_OFFERED],
        **sending_context(project),
    }
    return render(request, "dashboards/traces.html", context)


def _after(request: HttpRequest, cursor: str) -> str:
    parameters = request.GET.copy()
    parameters["cursor"] = cursor
    return "?" + parameters.urlencode()
