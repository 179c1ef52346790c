"""Mapping rules applied to spans that are stored already: asked for, watched and cancelled on the conventions page."""

from datetime import datetime, timedelta

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project, User
from heliograph.conventions.models import Reapplication, Ruleset
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.failures import explained
from heliograph.remap import queue

# What a person looks back over; all are in the API.
SHOWN_JOBS = 10
PAST = {
    "1h": ("the last hour", timedelta(hours=1)),
    "24h": ("the last 24 hours", timedelta(hours=24)),
    "7d": ("the last 7 days", timedelta(days=7)),
    "30d": ("the last 30 days", timedelta(days=30)),
    "all": ("all that is kept", None),
}


class RangeForm(forms.Form):
    """How far back the rules are applied."""

    past = forms.ChoiceField(choices=[(name, title) for name, (title, _) in PAST.items()])


def context_of(project: Project, revision: int) -> dict[str, object]:
    """Return what the page shows of the jobs; `revision` is that of the rules in force."""
    jobs = list(Reapplication.objects.filter(project=project).select_related("requested_by")[:SHOWN_JOBS])
    return {
        "jobs": jobs,
        "open_job": next((job for job in jobs if job.is_open), None),
        "past": RangeForm.base_fields["past"].choices,  # type: ignore[attr-defined]  # of a ChoiceField
        "can_reapply": revision > 0,
    }


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Return the jobs as a fragment that asks for itself again while one is open."""
    latest = Ruleset.latest(project.pk)
    context = {"project": project, "may_edit": may_edit(request, project)}
    context |= context_of(project, latest.revision if latest else 0)
    return render(request, "dashboards/_reapplications.html", context)


@explained
@require_POST
@editor_page
def start(request: HttpRequest, project: Project) -> HttpResponse:
    """Queue a job over the spans of a past."""
    form = RangeForm(request.POST)
    if not form.is_valid():
        said: dict[str, object] = {"project": project, "title": "Choose how far back", "reason": "Go back and choose."}
        return render(request, "dashboards/failure.html", said, status=422)
    if not isinstance(request.user, User):
        raise TypeError("editor_page lets only signed-in users through")
    try:
        job = queue.start(project, request.user, _begin(project, form.cleaned_data["past"]))
    except queue.CannotStart as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, f"Revision {job.revision} is being re-applied to {job.spans_total:,} stored spans.")
    return redirect("settings-conventions", project.slug)


@require_POST
@editor_page
def cancel(request: HttpRequest, project: Project, job_id: int) -> HttpResponse:
    """Have a job end after the slice at hand."""
    job = get_object_or_404(Reapplication, project=project, pk=job_id)
    queue.cancel(job)
    messages.success(request, "It ends after the spans at hand. What is done stays done.")
    return redirect("settings-conventions", project.slug)


def _begin(project: Project, past: str) -> datetime:
    length = PAST[past][1]
    # A span lives one partition's week longer than its days, at most.
    return timezone.now() - (length or timedelta(days=project.effective_retention_days + 7))
