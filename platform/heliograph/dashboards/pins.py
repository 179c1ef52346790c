"""The pin of a trace: a button on its page."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project, User
from heliograph.dashboards.access import editor_page
from heliograph.dashboards.failures import explained
from heliograph.query.completeness import removed
from heliograph.query.traces import summaries
from heliograph.rules import pins


@require_POST
@explained
@editor_page
def change(request: HttpRequest, project: Project, trace_id: str) -> HttpResponse:
    """Pin a trace, or with `off` unpin it."""
    trace_id = trace_id.lower()
    if request.POST.get("off"):
        pins.unpin(project, trace_id)
    elif trace_id not in summaries(project.pk, [trace_id]):
        raise Http404
    elif removed(project.pk, [trace_id]):
        messages.error(request, "Sampling has removed this trace: there is nothing left to keep.")
    else:
        try:
            pins.pin(project, trace_id, request.user if isinstance(request.user, User) else None)
        except pins.UnpinnableError as error:
            messages.error(request, str(error))
    return redirect("trace", project.slug, trace_id)
