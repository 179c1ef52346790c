"""Erasing what is stored of one user: what there is, asking for it, and the receipts."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from heliograph.accounts.models import Project
from heliograph.accounts.roles import Capability
from heliograph.dashboards.access import page_for, reader_of
from heliograph.dashboards.failures import explained
from heliograph.dashboards.ingest_limits import limits_page
from heliograph.erasure import asking, stored
from heliograph.erasure.asking import CannotErase
from heliograph.erasure.models import Erasure

# Receipts on the page, newest first; all of them are in the API.
SHOWN = 100


@require_safe
@page_for(Capability.AUDIT)
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the erasures with their receipts, and ask whose data it is about."""
    return _page(request, project)


@require_POST
@explained
@limits_page
def look(request: HttpRequest, project: Project) -> HttpResponse:
    """Say how much there is of a user, before anything is removed."""
    try:
        user = asking.checked(request.POST.get("user_id", ""))
    except CannotErase as error:
        return _page(request, project, status=422, failure=str(error))
    return _page(request, project, user=user, found=stored.preview(project.pk, user))


@require_POST
@limits_page
def start(request: HttpRequest, project: Project) -> HttpResponse:
    """Have it erased, where the id was written a second time."""
    user = request.POST.get("user_id", "")
    if user != request.POST.get("confirmed"):
        messages.error(request, "Nothing is erased: write the same id again to confirm it.")
        return redirect("settings-erasures", project.slug)
    try:
        asking.ask(project, user, reader_of(request))
    except CannotErase as error:
        messages.error(request, f"Nothing is erased. {error}")
    else:
        messages.success(request, "It is being erased; the receipt appears here.")
    return redirect("settings-erasures", project.slug)


def _page(request: HttpRequest, project: Project, *, status: int = 200, **more: object) -> HttpResponse:
    found = Erasure.objects.filter(project=project).select_related("requested_by")[:SHOWN]
    context = {"project": project, "tab": "erasures", "erasures": found, **more}
    return render(request, "dashboards/erasures.html", context, status=status)
