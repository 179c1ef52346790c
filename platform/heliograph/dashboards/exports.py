"""Exports that are made in the background: the list with its files, and asking for one."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from heliograph.accounts.models import Project
from heliograph.blobs.store import BlobsAwayError
from heliograph.dashboards.access import editor_page, may_edit, project_page, reader_of
from heliograph.dashboards.timerange import chosen_range
from heliograph.exports import asking, files
from heliograph.exports.making import MAX_ROWS
from heliograph.exports.models import KEPT, Export

PER_PAGE = 50


@require_safe
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the exports, newest first, and a form for one over the time and the filter of the address."""
    found = Export.objects.filter(project=project).select_related("requested_by", "project")
    page = Paginator(found.order_by("-pk"), PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "project": project,
        "page": page,
        "is_waiting": any(export.is_open for export in page),
        "chosen": chosen_range(request),
        "text": request.GET.get("q", "")[:4_000],
        "formats": Export.Format.choices,
        "max_rows": MAX_ROWS,
        "days": KEPT.days,
        "may_edit": may_edit(request, project),
    }
    return render(request, "exports/list.html", context)


@require_POST
@editor_page
def create(request: HttpRequest, project: Project) -> HttpResponse:
    """Have a file made over the time range of the address."""
    span = chosen_range(request).range
    export = Export(project=project, requested_by=reader_of(request), start=span.start, end=span.end)
    export.what, export.format = request.POST.get("what", ""), request.POST.get("format", "")
    export.filter = request.POST.get("q", "").strip()
    try:
        asking.ask(export)
    except ValidationError as error:
        messages.error(request, f"No file is made. {' '.join(error.messages)}")
    except asking.TooManyExportsError as error:
        messages.error(request, f"No file is made. {error}")
    else:
        messages.success(request, "The file is being made; it appears here, and the event export.ready tells of it.")
    return redirect("traces-exports", project.slug)


@require_safe
@project_page
def download(request: HttpRequest, project: Project, export_id: int) -> HttpResponse:
    """Send the file of an export."""
    export = get_object_or_404(Export.objects.select_related("project"), project=project, pk=export_id)
    if not export.is_ready:
        raise Http404
    try:
        return files.answer(export)  # type: ignore[return-value]  # it streams, and pages are typed as not streaming
    except BlobsAwayError:
        reason = "The blob store does not answer. Load the page again in a minute; the log of the web process says why."
        context = {"project": project, "title": "This file cannot be read now", "reason": reason}
        return render(request, "dashboards/failure.html", context, status=503)


@require_POST
@editor_page
def delete(request: HttpRequest, project: Project, export_id: int) -> HttpResponse:
    """Remove an export with its file."""
    export = get_object_or_404(Export.objects.select_related("project"), project=project, pk=export_id)
    try:
        files.remove(export)
    except BlobsAwayError:
        messages.error(request, "The file stays for now: the blob store does not answer.")
    else:
        messages.success(request, "The export is deleted, and its file with it.")
    return redirect("traces-exports", project.slug)
