"""Documents read into text: a grid of engines against kinds of documents."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.timerange import chosen_range
from heliograph.query import ocr
from heliograph.query.filters import InvalidFilterError


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page."""
    chosen = chosen_range(request)
    error, bound = chosen.error, ocr.MAX_CER
    try:
        bound = float(request.GET.get("max_cer") or ocr.MAX_CER)
        found = ocr.grid(project.pk, chosen.range, max_cer=bound)
    except (ValueError, InvalidFilterError) as invalid:
        error = f"That bound cannot be used: {invalid}."
        found = ocr.grid(project.pk, chosen.range)
    cells = {(cell.engine, cell.kind): cell for cell in found.cells}
    rows = [(total, [cells.get((total.engine, kind)) for kind in found.kinds]) for total in found.totals]
    context = {
        "project": project,
        "chosen": chosen,
        "error": error,
        "grid": found,
        "rows": rows,
        "renamed": sum(total.renamed for total in found.totals),
    }
    return render(request, "dashboards/ocr.html", context)
