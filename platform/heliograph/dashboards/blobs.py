"""An image, a sound or a file that was cut out of a span, for members of the project that it came to."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from heliograph.accounts.models import Project
from heliograph.blobs import serve
from heliograph.blobs.store import BlobsAwayError
from heliograph.dashboards.access import project_page


@require_safe
@project_page
def show(request: HttpRequest, project: Project, until: str, digest: str) -> HttpResponse:
    """Send a blob."""
    try:
        response = serve.answer(project.pk, until, digest)
    except BlobsAwayError:
        reason = "The blob store does not answer. Load the page again in a minute; the log of the web process says why."
        context = {"project": project, "title": "This file cannot be read now", "reason": reason}
        return render(request, "dashboards/failure.html", context, status=503)
    if response is None:
        raise Http404
    return response  # type: ignore[return-value]  # it streams, and pages are typed as not streaming
