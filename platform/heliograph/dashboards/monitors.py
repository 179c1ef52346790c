"""Drift: the monitors of a project and what they found, one monitor with its looks, one look with every test."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project, User
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.finding import found_in
from heliograph.dashboards.ordered_rules import RuleForm
from heliograph.gates import checks
from heliograph.gates.drift import schedule
from heliograph.gates.drift.segments import FIELDS, FURTHER
from heliograph.gates.drift.signals import KINDS
from heliograph.gates.models import Finding, Monitor
from heliograph.gates.queue import wake_worker

FINDINGS_SHOWN = 50
LOOKS_SHOWN = 30


class Words(forms.CharField):
    """Names with spaces or commas between them, as a list."""

    def clean(self, value: Any) -> list[str]:
        """Return the names."""
        text: str = super().clean(value)
        return text.replace(",", " ").split()

    def prepare_value(self, value: Any) -> Any:
        """Show a list as it is typed."""
        return " ".join(value) if isinstance(value, list) else value


class MonitorForm(RuleForm):
    """A monitor."""

    signals = Words(max_length=3_000)
    segments = Words(max_length=1_500, required=False)

    class Meta:
        model = Monitor
        fields = (
            *("name", "scope", "signals", "segments", "reference", "reference_hours", "pinned_from", "pinned_to"),
            *("current_hours", "every_hours", "alpha", "min_effect"),
        )

    def clean(self) -> dict[str, Any]:
        """Say at its field what keeps the monitor from being used."""
        given: dict[str, Any] = super().clean() or {}
        for name, value in given.items():
            setattr(self.instance, name, value)
        if not self.errors:
            for field, text in checks.monitor_errors(self.instance).items():
                self.add_error(field, text)
        return given


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the monitors and what they found."""
    schedule.default_monitor(project)
    initial = {"signals": ["input", "output", "latency", "output_tokens", "finish_reason"], "segments": ["model"]}
    return _list(request, project, MonitorForm(instance=Monitor(project=project), initial=initial))


@require_POST
@editor_page
def save(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a monitor, or change the one that `monitor` names."""
    wanted = request.POST.get("monitor", "")
    instance = get_object_or_404(project.drift_monitors, pk=wanted) if wanted.isdecimal() else Monitor(project=project)
    form = MonitorForm(request.POST, instance=instance)
    if not form.is_valid():
        return _list(request, project, form, status=422)
    monitor = form.save()
    return redirect("evaluations-monitor", project.slug, monitor.pk)


@project_page
def show_one(request: HttpRequest, project: Project, monitor_id: int) -> HttpResponse:
    """Show a monitor with its latest look, or the one that `?look=` names; while it looks, htmx asks again."""
    monitor = get_object_or_404(project.drift_monitors, pk=monitor_id)
    looks = list(monitor.looks.select_related("requested_by")[:LOOKS_SHOWN])
    wanted = request.GET.get("look", "")
    look = get_object_or_404(monitor.looks, pk=wanted) if wanted.isdecimal() else (looks[0] if looks else None)
    context = {
        "project": project,
        "monitor": monitor,
        "look": look,
        "looks": looks,
        "findings": look.findings.order_by("pk") if look else [],
        "form": MonitorForm(instance=monitor),
        "alpha_of_a_look": schedule.alpha_of_a_look(monitor),
        "may_edit": may_edit(request, project),
        "tab": "evaluations-monitors",
        **_choices(),
    }
    template = "dashboards/_look.html" if getattr(request, "htmx", False) else "dashboards/monitor.html"
    return render(request, template, context)


@require_POST
@editor_page
def look(request: HttpRequest, project: Project, monitor_id: int) -> HttpResponse:
    """Look now."""
    monitor = get_object_or_404(project.drift_monitors, pk=monitor_id)
    person = request.user if isinstance(request.user, User) else None
    if schedule.queue_look(monitor, timezone.now(), requested_by=person) is None:
        messages.info(request, "A look is waiting or under way already.")
    wake_worker()
    return redirect("evaluations-monitor", project.slug, monitor.pk)


@require_POST
@editor_page
def switch(request: HttpRequest, project: Project, monitor_id: int) -> HttpResponse:
    """Switch a monitor on or off."""
    monitor = get_object_or_404(project.drift_monitors, pk=monitor_id)
    Monitor.objects.filter(pk=monitor.pk).update(is_on=not monitor.is_on)
    return redirect("evaluations-monitors", project.slug)


@require_POST
@editor_page
def remove(request: HttpRequest, project: Project, monitor_id: int) -> HttpResponse:
    """Remove a monitor with its looks and findings; not the one that comes with the project."""
    monitor = get_object_or_404(project.drift_monitors, pk=monitor_id, is_default=False)
    monitor.delete()
    messages.success(request, f"The monitor {monitor.name} and what it found were removed.")
    return redirect("evaluations-monitors", project.slug)


def _list(request: HttpRequest, project: Project, form: MonitorForm, status: int = 200) -> HttpResponse:
    monitors = found_in(request, project.drift_monitors.all(), "name", "scope")
    context = {
        "project": project,
        "monitors": [(monitor, monitor.looks.first()) for monitor in monitors],
        "findings": Finding.objects.filter(project=project).select_related("monitor")[:FINDINGS_SHOWN],
        "form": form,
        "may_edit": may_edit(request, project),
        "tab": "evaluations-monitors",
        **_choices(),
    }
    return render(request, "dashboards/monitors.html", context, status=status)


def _choices() -> dict[str, Any]:
    return {
        "signal_names": [*KINDS, "score.NAME"],
        "segment_names": [*FIELDS, *FURTHER, "attribute.KEY"],
    }
