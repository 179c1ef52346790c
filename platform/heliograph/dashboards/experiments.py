"""Experiments: the list with the form that starts one, one run with its rows, and several side by side."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from evaluators.judges.templates import BUILT_IN
from heliograph.accounts.models import Project, User
from heliograph.accounts.secrets import encrypt
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.finding import found_in
from heliograph.dashboards.wording import so_many_are
from heliograph.datasets import comparisons, experiments, results
from heliograph.datasets.evaluators import OFFERED, InvalidEvaluatorError
from heliograph.datasets.experiments import CannotStartError, Plan
from heliograph.datasets.models import Dataset, Endpoint, Experiment, Result
from heliograph.datasets.targets import InvalidTargetError, text_of
from heliograph.evals.arguments import JUDGE

if TYPE_CHECKING:
    _Form = forms.ModelForm[Endpoint]
else:
    _Form = forms.ModelForm

# A language model as judge is chosen beside these: it needs to be said which.
_CHOICES = {name: summary for name, summary in OFFERED.items() if name != JUDGE}
PER_PAGE = 50
# Side by side on a wide screen.
MAX_RUNS = 6
_CELL = 600


class ExperimentForm(forms.Form):
    """A run against an endpoint."""

    dataset = forms.IntegerField(min_value=1)
    version = forms.IntegerField(min_value=1, required=False)
    split = forms.CharField(max_length=50, required=False)
    name = forms.CharField(max_length=200)
    endpoint = forms.IntegerField(min_value=1)
    model = forms.CharField(max_length=300)
    system = forms.CharField(required=False, max_length=50_000)
    template = forms.CharField(max_length=50_000, initial="{{input}}")
    temperature = forms.FloatField(required=False)
    max_tokens = forms.IntegerField(required=False)
    concurrency = forms.IntegerField(initial=4)
    rate_per_minute = forms.IntegerField(initial=0)
    evaluators = forms.MultipleChoiceField(required=False, choices=list(_CHOICES.items()))
    judge = forms.IntegerField(min_value=1, required=False)
    # The name of a template that comes with the product, or the id of one of the project's.
    judge_template = forms.CharField(max_length=100, required=False)

    def judges(self) -> list[dict[str, Any]]:
        """Return the language model that was chosen as judge, as an evaluator."""
        judge, template = self.cleaned_data["judge"], self.cleaned_data["judge_template"]
        if not judge:
            return []
        entry = {"evaluator": JUDGE, "endpoint": judge}
        if template in BUILT_IN:
            return [entry | {"name": template, "arguments": {"template": template}}]
        return [entry | {"template": int(template)} if template.isdecimal() else entry]

    def plan(self, dataset: Dataset) -> Plan:
        """Return what was asked for."""
        given = self.cleaned_data
        names = (
            "endpoint",
            "model",
            "system",
            "template",
            "temperature",
            "max_tokens",
            "concurrency",
            "rate_per_minute",
        )
        return Plan(
            dataset=dataset,
            name=given["name"],
            kind=Experiment.Kind.ENDPOINT,
            version=given["version"] or 0,
            split=given["split"],
            target={name: given[name] for name in names},
            evaluators=[*given["evaluators"], *self.judges()],
            metadata={"model": given["model"]},
        )


class EndpointForm(_Form):
    """An endpoint and its key, which is encrypted as soon as it comes."""

    key = forms.CharField(required=False, max_length=2_000)

    class Meta:
        model = Endpoint
        fields = ("name", "base_url")

    def clean(self) -> dict[str, Any]:
        """Refuse a second endpoint of a name, and one too many."""
        given = super().clean() or {}
        known = Endpoint.objects.filter(project=self.instance.project_id)
        if known.filter(name=given.get("name")).exists():
            self.add_error("name", "Another endpoint has this name.")
        if known.count() >= Endpoint.MOST:
            raise ValidationError(f"A project has at most {Endpoint.MOST} endpoints.")
        return given


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the list; `?dataset=` narrows it and fills the form."""
    dataset = request.GET.get("dataset", "")
    initial = {"dataset": int(dataset)} if dataset.isdecimal() and len(dataset) < 18 else {}
    return _list(request, project, ExperimentForm(initial=initial))


def _list(
    request: HttpRequest,
    project: Project,
    form: ExperimentForm,
    endpoint_form: EndpointForm | None = None,
    status: int = 200,
) -> HttpResponse:
    found = Experiment.objects.filter(project=project).select_related("dataset", "requested_by")
    found = found_in(request, found, "name", "dataset__name")
    chosen = form.initial.get("dataset")
    page = Paginator(found.filter(dataset=chosen) if chosen else found, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "project": project,
        "page": page,
        "form": form,
        "endpoint_form": endpoint_form or EndpointForm(instance=Endpoint(project=project)),
        "datasets": Dataset.objects.filter(project=project, latest__gt=0)[:200],
        "endpoints": Endpoint.objects.filter(project=project),
        "may_edit": may_edit(request, project),
        "evaluators_offered": _CHOICES.items(),
        "judges": project.judge_endpoints.all(),
        "judge_templates": project.judge_templates.all(),
        "built_in_templates": list(BUILT_IN),
        "page_query": kept_query(request),
    }
    return render(request, "dashboards/experiments.html", context, status=status)


@require_POST
@editor_page
def start(request: HttpRequest, project: Project) -> HttpResponse:
    """Start a run against an endpoint."""
    form = ExperimentForm(request.POST)
    if not form.is_valid():
        return _list(request, project, form, status=422)
    dataset = get_object_or_404(Dataset, project=project, pk=form.cleaned_data["dataset"])
    try:
        experiment = experiments.start(project, form.plan(dataset), user_of(request))
    except InvalidTargetError as error:
        form.add_error(error.field if error.field in form.fields else None, error.message)
    except (CannotStartError, InvalidEvaluatorError) as error:
        form.add_error(None, str(error))
    else:
        return redirect("experiment", project.slug, experiment.pk)
    return _list(request, project, form, status=422)


@require_POST
@editor_page
def add_endpoint(request: HttpRequest, project: Project) -> HttpResponse:
    """Add an endpoint."""
    form = EndpointForm(request.POST, instance=Endpoint(project=project))
    if not form.is_valid():
        return _list(request, project, ExperimentForm(), form, status=422)
    endpoint = form.save(commit=False)
    endpoint.api_key = encrypt(form.cleaned_data["key"]) if form.cleaned_data["key"] else ""
    endpoint.save()
    messages.success(request, f"{endpoint.name} is added; its key cannot be shown again.")
    return redirect("experiments", project.slug)


@require_POST
@editor_page
def remove_endpoint(request: HttpRequest, project: Project, endpoint_id: int) -> HttpResponse:
    """Remove an endpoint with its key."""
    get_object_or_404(Endpoint, project=project, pk=endpoint_id).delete()
    return redirect("experiments", project.slug)


@project_page
def show_one(request: HttpRequest, project: Project, experiment_id: int) -> HttpResponse:
    """Show a run; while it is open, htmx asks for the head again. `?score=` puts its lowest values first."""
    run = the_experiment(project, experiment_id)
    head = {"project": project, "run": run, "may_edit": may_edit(request, project)}
    if getattr(request, "htmx", False):
        fragment = render(request, "dashboards/_experiment.html", head)
        if not run.is_open:
            # Its rows and the names of its scores stand outside of the head.
            fragment.headers["HX-Refresh"] = "true"
        return fragment
    names = results.score_names([run])
    score = request.GET.get("score", "")
    wanted = request.GET.get("status", "")
    if score in names:
        ids: Sequence[int] | models.QuerySet[Result, int] = results.lowest_first(run, score)
    else:
        rows = run.results.order_by("position")
        rows = rows.filter(status=wanted) if wanted in Result.Status.values else rows
        ids = rows.values_list("pk", flat=True)
    page = Paginator(ids, PER_PAGE).get_page(request.GET.get("page"))
    found = results.in_order(run, list(page))
    others = Experiment.objects.filter(project=project, dataset=run.dataset_id).exclude(pk=run.pk)[:20]
    context = head | {
        "page": page,
        "page_query": kept_query(request),
        "results": [(each, _cells(each)) for each in found],
        "names": names,
        "score": score if score in names else "",
        "wanted": wanted,
        "others": others,
        "target": json.dumps(run.target, indent=2, ensure_ascii=False) if run.target else "",
    }
    return render(request, "dashboards/experiment.html", context)


def _cells(result: Result) -> dict[str, Any]:
    content = result.row.content
    parts = {"input": content.input, "expected": content.expected, "output": result.output}
    return {name: text_of(value)[:_CELL] for name, value in parts.items()}


@require_POST
@editor_page
def cancel(request: HttpRequest, project: Project, experiment_id: int) -> HttpResponse:
    """Have a run end after the rows under way."""
    experiments.cancel(the_experiment(project, experiment_id))
    messages.success(request, "It ends after the rows that are under way; what is answered stays.")
    return redirect("experiment", project.slug, experiment_id)


@require_POST
@editor_page
def retry(request: HttpRequest, project: Project, experiment_id: int) -> HttpResponse:
    """Ask the rows again that ended with an error or were not asked."""
    try:
        missing = experiments.retry_failed(the_experiment(project, experiment_id))
    except CannotStartError as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request,
            f"{so_many_are(missing, 'row')} asked again." if missing else "Every row has its answer.",
        )
    return redirect("experiment", project.slug, experiment_id)


@require_POST
@editor_page
def delete(request: HttpRequest, project: Project, experiment_id: int) -> HttpResponse:
    """Delete a run with its results; its traces stay."""
    the_experiment(project, experiment_id).delete()
    messages.success(request, "The experiment is deleted; its traces stay.")
    return redirect("experiments", project.slug)


@project_page
def compare(request: HttpRequest, project: Project) -> HttpResponse:
    """Show runs side by side: `?run=`, repeated, the baseline first; `?score=`, `?order=`, `?page=`."""
    runs = _runs(request, project)
    names = results.score_names(runs)
    score = request.GET.get("score") or (names[0] if names else "")
    order = request.GET.get("order", "change")
    order = order if order in results.ORDERS else "change"
    given = request.GET.get("page", "")
    number = max(int(given) if given.isdecimal() and len(given) < 7 else 1, 1)
    if not runs:
        return render(request, "dashboards/experiments_compare.html", {"project": project})
    rows, total = results.compared(runs, score, order=order, offset=(number - 1) * PER_PAGE, limit=PER_PAGE)
    found = comparisons.wanted(runs, score) if score and len(runs) > 1 else []
    shown = [
        (
            row,
            _cells(first),
            [(run.name, value, each, text_of(each.output)[:_CELL] if each else "") for run, value, each in answers],
        )
        for row in rows
        if (answers := list(zip(runs, row.values, row.results, strict=True)))
        and (first := next((each for each in row.results if each), None))
    ]
    context = {
        "project": project,
        "runs": runs,
        "names": names,
        "score": score,
        "order": order,
        "page_query": kept_query(request),
        "orders": ORDER_TITLES.items(),
        "rows": shown,
        "total": total,
        "number": number,
        "has_next": number * PER_PAGE < total,
        "statistics": list(zip(runs[1:], found, strict=False)),
        "is_waiting": any(not each.result and not each.error for each in found),
    }
    return render(request, "dashboards/experiments_compare.html", context)


ORDER_TITLES = {
    "change": "what differs most",
    "worse": "what got worse",
    "better": "what got better",
    "position": "as in the data set",
}


def _runs(request: HttpRequest, project: Project) -> list[Experiment]:
    ids = [int(given) for given in request.GET.getlist("run") if given.isdecimal() and len(given) < 18]
    if request.GET.get("first") == "oldest":
        ids.sort()
    ids = list(dict.fromkeys(ids))[:MAX_RUNS]
    known = {run.pk: run for run in Experiment.objects.filter(project=project, pk__in=ids).select_related("dataset")}
    if set(ids) - set(known):
        raise Http404("no such experiment")
    return [known[each] for each in ids]


def the_experiment(project: Project, experiment_id: int) -> Experiment:
    """Return an experiment of the project; 404 for any other."""
    found = Experiment.objects.select_related("dataset", "requested_by", "project")
    return get_object_or_404(found, project=project, pk=experiment_id)


def user_of(request: HttpRequest) -> User | None:
    """Return who is signed in."""
    return request.user if isinstance(request.user, User) else None


def kept_query(request: HttpRequest) -> str:
    """Return the parameters of the address but for the page, to put another page's number behind."""
    kept = request.GET.copy()
    kept.pop("page", None)
    return f"{kept.urlencode()}&" if kept else ""
