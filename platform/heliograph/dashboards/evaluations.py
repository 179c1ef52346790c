"""The evaluations page: how good answers are by one score, its spread, the worst, what moved, and comparisons."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project
from heliograph.dashboards import alert_marks
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.charts import Chart, Series, over_range
from heliograph.dashboards.failures import explained
from heliograph.dashboards.score_spread import EDGE, SIDE, bars, places
from heliograph.dashboards.timerange import ChosenRange, chosen_range
from heliograph.evals.models import Run
from heliograph.evals.queue import wake_worker
from heliograph.gates.models import Finding
from heliograph.query import language, reliability, scores
from heliograph.query.asking import asking
from heliograph.query.facets import facets
from heliograph.query.filters import InvalidFilterError, RollupFilter, ScoreBound, SpanFilter
from heliograph.query.reliability import ReliabilityBin
from heliograph.query.scores import ScoreFilter, ScoreName, ScorePoint

RUNS_SHOWN = 30
WORST_SHOWN = 10
FINDINGS_SHOWN = 5
# One person who clicks in anger must not fill the queue.
MAX_WAITING = 20
# Shown unless another one is asked for, where answers have it.
SCORE = "groundedness"
# Of a score from 0 to 1; below it an answer is probably not good.
BOUND = 0.5


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
    highest_first = request.GET.get("worst") == "highest"
    with asking() as ask:
        values = ask(facets, project.pk, RollupFilter(range=chosen.range), limit=50)
        named = scores.names(project.pk, chosen.range)
        name = _chosen_score(request, named)
        given = ScoreFilter(range=chosen.range, name=name, live_only=True)
        worst = ask(scores.worst, project.pk, given, limit=WORST_SHOWN, lowest=not highest_first)
        calibration = ask(reliability.reliability, project.pk, given)
        spread = scores.distribution(project.pk, given)
        # A share under a half says something of scores from 0 to 1 alone.
        bound = BOUND if not spread or (spread[0].low >= 0 and spread[-1].high <= 1) else None
        summary = scores.summary(project.pk, given, bound=bound)
    seen, charts = values.result(), _charts(summary.series, given, bound)
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "score": name,
        "score_names": [each.name for each in named if each.scored] or [name],
        "is_groundedness": name == SCORE,
        "bound": bound,
        "total": summary.total,
        "charts": alert_marks.with_alerts(project, over_range(charts, chosen.range), chosen.range),
        "judged": language.format(SpanFilter(range=chosen.range, scores=(ScoreBound(name, exists=True),))),
        "releases": summary.releases,
        "models": summary.models,
        "worst": worst.result(),
        "highest_first": highest_first,
        "other_order": _query(request, "worst", "" if highest_first else "highest"),
        "bars": bars(name, spread),
        **_reliability(calibration.result()),
        "moved": _moved(project, chosen),
        "runs": project.runs.exclude(kind=Run.Kind.GROUNDEDNESS).select_related("requested_by")[:RUNS_SHOWN],
        "services": [entry.value for entry in seen["service"]],
        "release_names": [entry.value for entry in seen["release"]],
        "may_edit": may_edit(request, project),
        "regression_form": RegressionForm(),
    }
    return render(request, "dashboards/evaluations.html", context | given_forms, status=status)


def _chosen_score(request: HttpRequest, named: list[ScoreName]) -> str:
    """Return the name asked for, else groundedness, else the score with the most verdicts."""
    asked = request.GET.get("score", "")
    if len(asked) > 200:
        raise InvalidFilterError("score", "may have at most 200 characters")
    if asked:
        return asked
    scored = {each.name: each.scored for each in named if each.scored}
    return SCORE if SCORE in scored or not scored else max(scored, key=lambda name: (scored[name], name))


def _query(request: HttpRequest, name: str, value: str) -> str:
    """Return the page's query with one parameter of another value, or without it."""
    parameters = request.GET.copy()
    parameters.pop(name, None)
    if value:
        parameters[name] = value
    return "?" + parameters.urlencode()


def _reliability(found: list[ReliabilityBin]) -> dict[str, Any]:
    return {
        "places": places(found),
        "side": SIDE,
        "edge": EDGE,
        "labelled": sum(each.labelled for each in found),
        "calibration_error": reliability.calibration_error(found),
    }


def _moved(project: Project, chosen: ChosenRange) -> list[Finding]:
    """The latest findings of drift monitors in the range, with the clusters that grew or shrank."""
    found = Finding.objects.filter(project=project, created_at__gte=chosen.range.start, created_at__lt=chosen.range.end)
    return list(found.select_related("monitor")[:FINDINGS_SHOWN])


def _charts(points: list[ScorePoint], given: ScoreFilter, bound: float | None) -> list[Chart]:
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
    is_first = given.name == SCORE
    empty = "No answer with documents was judged in this time range. The evaluator looks every half minute."
    if not is_first:
        empty = f"Nothing has a score {given.name} in this time range."
    about = alert_marks.of_score(given.name)
    title = "How well were answers grounded?" if is_first else f"What was the mean {given.name}?"
    charts = [Chart("mean", title, "number", times, [mean], empty=empty, maximum=1.0 if bound else None, about=about)]
    if bound is not None:
        title = "How many answers were probably not grounded?" if is_first else f"How many had {given.name} under 0.5?"
        charts.append(Chart("share", title, "share", times, [share], empty=empty, maximum=1.0, about=about))
    return charts
