"""The evaluations page: how good answers are, the worst of them, drift checks and comparisons of releases."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.charts import Chart, Series, over_range
from heliograph.dashboards.failures import explained
from heliograph.dashboards.timerange import chosen_range
from heliograph.evals.models import Run
from heliograph.evals.queue import wake_worker
from heliograph.query import scores
from heliograph.query.facets import facets
from heliograph.query.filters import RollupFilter
from heliograph.query.scores import ScoreFilter

RUNS_SHOWN = 30
WORST_SHOWN = 10
# One person who clicks in anger must not fill the queue.
MAX_WAITING = 20
SCORE = "groundedness"


class DriftForm(forms.Form):
    """What a drift check looks at."""

    service = forms.CharField(required=False, max_length=200)
    side = forms.ChoiceField(choices=[("input", "what users ask"), ("output", "what models answer")])
    current_hours = forms.FloatField(initial=24, min_value=0.1, max_value=24 * 90)
    reference_hours = forms.FloatField(initial=24 * 7, min_value=0.1, max_value=24 * 365)


class RegressionForm(forms.Form):
    """Which releases are compared."""

    service = forms.CharField(max_length=200)
    baseline = forms.CharField(max_length=200)
    candidate = forms.CharField(max_length=200)
    margin = forms.FloatField(initial=0.02, min_value=0, max_value=1)

    def clean(self) -> dict[str, Any]:
        """Refuse to compare a release with itself."""
        given = super().clean() or {}
        if given.get("baseline") and given.get("baseline") == given.get("candidate"):
            self.add_error("candidate", "Choose another release than the baseline.")
        return given


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page."""
    return _page(request, project)


@require_POST
@explained
@editor_page
def request_drift(request: HttpRequest, project: Project) -> HttpResponse:
    """Queue a drift check."""
    return _queue(request, project, Run.Kind.DRIFT, DriftForm(request.POST), "drift_form")


@require_POST
@explained
@editor_page
def request_regression(request: HttpRequest, project: Project) -> HttpResponse:
    """Queue a comparison of two releases."""
    return _queue(request, project, Run.Kind.REGRESSION, RegressionForm(request.POST), "regression_form")


@explained
@project_page
def show_run(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    """Show one job; while it runs, htmx asks for the fragment again."""
    run = get_object_or_404(project.runs, pk=run_id)
    template = "dashboards/_run.html" if getattr(request, "htmx", False) else "dashboards/run.html"
    return render(request, template, {"project": project, "run": run})


def _queue(request: HttpRequest, project: Project, kind: Run.Kind, form: forms.Form, form_name: str) -> HttpResponse:
    if not form.is_valid():
        return _page(request, project, status=422, **{form_name: form})
    waiting = project.runs.filter(status__in=[Run.Status.QUEUED, Run.Status.RUNNING]).count()
    if waiting >= MAX_WAITING:
        messages.error(request, f"{waiting} checks are waiting already. Try again when some are done.")
        return redirect("evaluations", project.slug)
    run = Run.objects.create(
        project=project,
        kind=kind,
        arguments={name: value for name, value in form.cleaned_data.items() if value not in ("", None)},
        requested_by_id=request.user.pk,
    )
    wake_worker()
    return redirect("evaluations-run", project.slug, run.pk)


def _page(request: HttpRequest, project: Project, *, status: int = 200, **given_forms: forms.Form) -> HttpResponse:
    chosen = chosen_range(request)
    given = ScoreFilter(range=chosen.range, name=SCORE)
    seen = facets(project.pk, RollupFilter(range=chosen.range), limit=50)
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "names": scores.names(project.pk, chosen.range),
        "total": scores.total(project.pk, given, bound=0.5),
        "charts": over_range(_charts(project, given), chosen.range),
        "releases": scores.by_group(project.pk, given, "release", bound=0.5),
        "models": scores.by_group(project.pk, given, "model", bound=0.5),
        "worst": scores.worst(project.pk, given, limit=WORST_SHOWN),
        "runs": project.runs.exclude(kind=Run.Kind.GROUNDEDNESS).select_related("requested_by")[:RUNS_SHOWN],
        "passes": project.runs.filter(kind=Run.Kind.GROUNDEDNESS)[:5],
        "services": [entry.value for entry in seen["service"]],
        "release_names": [entry.value for entry in seen["release"]],
        "may_edit": may_edit(request, project),
        "drift_form": DriftForm(),
        "regression_form": RegressionForm(),
    }
    return render(request, "dashboards/evaluations.html", context | given_forms, status=status)


def _charts(project: Project, given: ScoreFilter) -> list[Chart]:
    points = scores.series(project.pk, given, bound=0.5)
    stats = [point.stats for point in points]
    times = [point.start_s * 1000 for point in points]
    mean = Series(
        "mean", [row.mean for row in stats], low=[row.mean_low for row in stats], high=[row.mean_high for row in stats]
    )
    share = Series(
        "share under 0.5",
        [row.share_below for row in stats],
        "bad",
        low=[row.share_low for row in stats],
        high=[row.share_high for row in stats],
    )
    empty = "No answer with documents was judged in this time range. The evaluator looks every half minute."
    return [
        Chart("mean", "How well were answers grounded?", "number", times, [mean], empty=empty, maximum=1.0),
        Chart(
            "share", "How many answers were probably not grounded?", "share", times, [share], empty=empty, maximum=1.0
        ),
    ]
