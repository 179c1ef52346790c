"""The page of scheduled jobs: when, what, and how each run went."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project, User
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.finding import found_in
from heliograph.evals import jobs, schedules
from heliograph.evals.models import Run, Schedule
from heliograph.evals.queue import wake_worker

if TYPE_CHECKING:
    Form = forms.ModelForm[Schedule]
else:
    Form = forms.ModelForm

PAGE = "evaluation-schedules"
RUNS_SHOWN = 50


class ScheduleForm(Form):
    """One schedule; `schedule` is the id of the one that it changes."""

    schedule = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Schedule
        fields = ("name", "kind", "arguments", "every_seconds", "cron", "timezone", "missed", "retries")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["arguments"].required = False

    def clean_arguments(self) -> Any:
        """No text is no argument."""
        return self.cleaned_data.get("arguments") or {}

    def clean_timezone(self) -> str:
        """No time zone is UTC."""
        return self.cleaned_data.get("timezone") or "UTC"


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page; `?schedule=` opens one in the form, with its runs."""
    return _page(request, project, _form(project, request.GET.get("schedule", "")))


def _form(project: Project, schedule_id: str, data: Any = None) -> ScheduleForm:
    row = Schedule(project=project)
    if schedule_id:
        row = get_object_or_404(Schedule, project=project, pk=int(schedule_id) if schedule_id.isdecimal() else 0)
    return ScheduleForm(data, instance=row, initial={"schedule": row.pk})


def _page(request: HttpRequest, project: Project, form: ScheduleForm, status: int = 200) -> HttpResponse:
    rows = found_in(request, project.schedules.all(), "name", "kind")
    opened = form.instance if form.instance.pk else None
    context = {
        "project": project,
        "tab": "schedules",
        "form": form,
        "schedules": [(row, row.runs.first()) for row in rows],
        "kinds": jobs.kinds(),
        "opened": opened,
        "runs": opened.runs.all()[:RUNS_SHOWN] if opened else [],
        "may_edit": may_edit(request, project),
    }
    return render(request, "dashboards/schedules.html", context, status=status)


@require_POST
@editor_page
def save(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a schedule, or change one."""
    form = _form(project, request.POST.get("schedule", ""), request.POST)
    if form.is_valid():
        for field, said in schedules.faults(form.instance).items():
            form.add_error(field, said)
    if not form.is_valid():
        return _page(request, project, form, 422)
    row = form.save(commit=False)
    if row.pk is None:
        row.created_by_id = request.user.pk
    row.store()
    messages.success(request, f"“{row}” is next due at {row.next_at:%Y-%m-%d %H:%M} UTC.")
    return redirect(PAGE, project.slug)


@require_POST
@editor_page
def switch(request: HttpRequest, project: Project, schedule_id: int) -> HttpResponse:
    """Pause a schedule, or let it go on."""
    row = get_object_or_404(project.schedules, pk=schedule_id)
    row.enabled = not row.enabled
    row.store()
    messages.success(request, f"“{row}” {'goes on from now' if row.enabled else 'is paused'}.")
    return redirect(PAGE, project.slug)


@require_POST
@editor_page
def remove(request: HttpRequest, project: Project, schedule_id: int) -> HttpResponse:
    """Remove a schedule with its runs."""
    row = get_object_or_404(project.schedules, pk=schedule_id)
    row.delete()
    messages.success(request, f"“{row}” is removed.")
    return redirect(PAGE, project.slug)


@require_POST
@editor_page
def run(request: HttpRequest, project: Project, schedule_id: int) -> HttpResponse:
    """Run a schedule now."""
    row = get_object_or_404(project.schedules, pk=schedule_id)
    made = schedules.run_now(row, _person(request))
    wake_worker()
    return redirect("evaluations-run", project.slug, made.pk)


@require_POST
@editor_page
def again(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    """Try a run that ended once more."""
    ended = [Run.Status.DONE, Run.Status.FAILED]
    made = schedules.again(get_object_or_404(project.runs, pk=run_id, status__in=ended), _person(request))
    wake_worker()
    return redirect("evaluations-run", project.slug, made.pk)


def _person(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None
