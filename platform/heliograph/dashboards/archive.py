"""Whole days as Parquet: the schedule of a project, and its days with what was written."""

from datetime import date
from typing import TYPE_CHECKING

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from heliograph.accounts.models import Project
from heliograph.accounts.roles import Capability
from heliograph.dashboards.access import page_for, project_page
from heliograph.dashboards.ingest_limits import may_limit
from heliograph.exports import archive as days
from heliograph.exports.asking import wake_archive
from heliograph.exports.models import Archive, ArchivedDay

if TYPE_CHECKING:
    _ArchiveForm = forms.ModelForm[Archive]
else:
    _ArchiveForm = forms.ModelForm

PER_PAGE = 50
# Days are copies beyond the project's retention.
admin_page = page_for(Capability.LIMIT)


class ArchiveForm(_ArchiveForm):
    """The schedule."""

    signals = forms.MultipleChoiceField(choices=Archive.Signal.choices, widget=forms.CheckboxSelectMultiple)
    # The page says which one it was opened with: left alone, a page of yesterday does not wind the schedule back.
    next_day = forms.DateField(show_hidden_initial=True)

    class Meta:
        model = Archive
        fields = ("is_on", "signals", "hours", "next_day")


@require_safe
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the schedule and the days, newest first."""
    archive = Archive.of(project)
    found = ArchivedDay.objects.filter(project=project).defer("files").order_by("-day")
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "project": project,
        "archive": archive,
        "signals": Archive.Signal.choices,
        "today": timezone.now().date(),
        "place": days.place(project),
        "page": page,
        "kept_since": days.kept_since(project, archive.signals),
        "is_waiting": any(day.is_open for day in page),
        "may_change": may_limit(request, project),
    }
    return render(request, "exports/archive.html", context)


@require_POST
@admin_page
def save(request: HttpRequest, project: Project) -> HttpResponse:
    """Store the schedule."""
    archive = Archive.of(project)
    form = ArchiveForm(request.POST, instance=archive)
    if form.is_valid():
        archive.save(update_fields=form.changed_data if archive.pk else None)
        messages.success(request, "The schedule is stored." if archive.is_on else "No further day is written.")
    else:
        reasons = "; ".join(f"{name}: {' '.join(map(str, found))}" for name, found in form.errors.items())
        messages.error(request, f"The schedule stays as it was. {reasons}")
    return redirect("traces-archive", project.slug)


@require_POST
@admin_page
def again(request: HttpRequest, project: Project) -> HttpResponse:
    """Have one day written, by the schedule's signals."""
    try:
        day = date.fromisoformat(request.POST.get("day", ""))
        days.again(project, day, Archive.of(project).signals, may_lose=request.POST.get("may_lose") == "on")
    except (ValueError, days.CannotArchiveError) as error:
        reason = "Give a day as 2026-11-28." if isinstance(error, ValueError) else error
        messages.error(request, f"No day is written. {reason}")
    else:
        wake_archive()
        messages.success(request, f"{day} is being written.")
    return redirect("traces-archive", project.slug)
