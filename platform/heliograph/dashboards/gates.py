"""Regression gates: the list with a form, one gate with its verdicts, its runs and its watch."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project, User
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.finding import found_in
from heliograph.dashboards.intervals import drawing
from heliograph.dashboards.ordered_rules import RuleForm
from heliograph.datasets.models import Experiment
from heliograph.gates import checks, metrics, watches
from heliograph.gates.models import Gate, Watch
from heliograph.gates.requests import QueueFullError, run_soon

RUNS_SHOWN = 20
RUNS_TO_CHOOSE = 200


class GateForm(RuleForm):
    """A gate; metrics are a line each: a name, and a margin where the usual one is not meant."""

    metrics = forms.CharField(widget=forms.Textarea, max_length=5_000)

    class Meta:
        model = Gate
        fields = ("name", "source", "scope", "baseline", "candidate", "hours", "baseline_run", "candidate_run", "alpha")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        runs = Experiment.objects.filter(project=self.instance.project)
        for field in ("baseline_run", "candidate_run"):
            choices: Any = self.fields[field]
            choices.queryset = runs

    def clean(self) -> dict[str, Any]:
        """Read the metrics, and say at its field what keeps the gate from being used."""
        given: dict[str, Any] = super().clean() or {}
        try:
            self.instance.metrics = metrics.as_json(metrics.metrics(_metric_lines(given.get("metrics", ""))))
        except metrics.InvalidMetricError as error:
            self.add_error("metrics", str(error))
        for name, value in given.items():
            if name != "metrics":
                setattr(self.instance, name, value)
        if not self.errors:
            for field, text in checks.gate_errors(self.instance).items():
                self.add_error(field, text)
        return given


def _metric_lines(text: str) -> list[dict[str, Any]]:
    found = []
    for line in text.splitlines():
        name, _, margin = line.strip().partition(" ")
        if not name:
            continue
        try:
            found.append({"name": name} | ({"margin": float(margin)} if margin.strip() else {}))
        except ValueError as error:
            raise metrics.InvalidMetricError(f"{margin.strip()!r} behind {name} is no number.") from error
    return found


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the gates, and a form that keeps what an address fills in."""
    form = GateForm(instance=Gate(project=project), initial=_initial(request))
    return _list(request, project, form)


@require_POST
@explained
@editor_page
def add(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a gate and run it."""
    form = GateForm(request.POST, instance=Gate(project=project))
    if not form.is_valid():
        return _list(request, project, form, status=422)
    gate = form.save()
    return _run(request, project, gate)


@project_page
def show_one(request: HttpRequest, project: Project, gate_id: int) -> HttpResponse:
    """Show a gate with its latest run, or the one of `?run=`; while it runs, htmx asks for the fragment again."""
    gate = get_object_or_404(project.gates, pk=gate_id)
    runs = list(gate.runs.select_related("requested_by")[:RUNS_SHOWN])
    wanted = request.GET.get("run", "")
    run = get_object_or_404(gate.runs, pk=wanted) if wanted.isdecimal() else (runs[0] if runs else None)
    watch = Watch.objects.filter(gate=gate).first()
    context = {
        "project": project,
        "gate": gate,
        "run": run,
        "runs": runs,
        "watch": watch,
        "compared": [drawing(name, row) for name, row in run.result.get("metrics", {}).items()] if run else [],
        "watched": [drawing(name, row) for name, row in watch.result.get("metrics", {}).items()] if watch else [],
        "may_edit": may_edit(request, project),
        "tab": "evaluations-gates",
    }
    template = "dashboards/_gate.html" if getattr(request, "htmx", False) else "dashboards/gate.html"
    return render(request, template, context)


@require_POST
@editor_page
def run(request: HttpRequest, project: Project, gate_id: int) -> HttpResponse:
    """Run a gate."""
    return _run(request, project, get_object_or_404(project.gates, pk=gate_id))


@require_POST
@editor_page
def watch(request: HttpRequest, project: Project, gate_id: int) -> HttpResponse:
    """Start or stop the watch of a gate."""
    gate = get_object_or_404(project.gates, pk=gate_id, source=Gate.Source.LIVE)
    if request.POST.get("watch") == "stop":
        watches.stop(gate)
    else:
        try:
            watches.start(gate, timezone.now())
        except watches.NotWatchableError as error:
            messages.error(request, str(error))
    return redirect("evaluations-gate", project.slug, gate.pk)


@require_POST
@editor_page
def remove(request: HttpRequest, project: Project, gate_id: int) -> HttpResponse:
    """Remove a gate with its runs."""
    gate = get_object_or_404(project.gates, pk=gate_id)
    gate.delete()
    messages.success(request, f"The gate {gate.name} and its runs were removed.")
    return redirect("evaluations-gates", project.slug)


def _run(request: HttpRequest, project: Project, gate: Gate) -> HttpResponse:
    try:
        run_soon(gate, request.user if isinstance(request.user, User) else None)
    except QueueFullError as error:
        messages.error(request, str(error))
    return redirect("evaluations-gate", project.slug, gate.pk)


def _initial(request: HttpRequest) -> dict[str, Any]:
    given = {"metrics": "errors\nlatency\ncost\nscore.groundedness"}
    names = ("name", "source", "scope", "baseline", "candidate", "metrics", "baseline_run", "candidate_run")
    return given | {name: request.GET[name] for name in names if request.GET.get(name)}


def _list(request: HttpRequest, project: Project, form: GateForm, status: int = 200) -> HttpResponse:
    gates = found_in(request, project.gates.select_related("watch", "baseline_run", "candidate_run"), "name", "scope")
    context = {
        "project": project,
        "gates": [(gate, gate.latest, getattr(gate, "watch", None)) for gate in gates],
        "form": form,
        "experiments": Experiment.objects.filter(project=project)[:RUNS_TO_CHOOSE],
        "metric_names": [*metrics.NAMES, "score.NAME"],
        "may_edit": may_edit(request, project),
        "tab": "evaluations-gates",
    }
    return render(request, "dashboards/gates.html", context, status=status)
