"""Data sets: the list, one with the rows of a version, what two versions differ by, and adding rows from traces."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import OuterRef, Subquery
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.experiments import kept_query, user_of
from heliograph.dashboards.failures import explained
from heliograph.dashboards.finding import found_in
from heliograph.dashboards.wording import so_many_are
from heliograph.datasets import exports, from_traces, versions
from heliograph.datasets.content import InvalidRowError
from heliograph.datasets.models import Dataset, DatasetVersion, Result, Row
from heliograph.datasets.resplit import split_again
from heliograph.datasets.splits import parse_ratios
from heliograph.datasets.tables import FORMATS
from heliograph.datasets.targets import text_of
from heliograph.datasets.versions import TooManyRowsError

if TYPE_CHECKING:
    _Form = forms.ModelForm[Dataset]
else:
    _Form = forms.ModelForm

PER_PAGE = 50
VERSIONS_SHOWN = 50
RUNS_SHOWN = 10
# A cell of a table; the row's own page has all of it.
CELL_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class RowText:
    """A row as a table shows it."""

    row: Row
    input: str
    expected: str
    context: str
    metadata: str

    @classmethod
    def of(cls, row: Row, most: int = CELL_CHARACTERS) -> "RowText":
        """Return a row with its parts as texts, each cut."""
        content = row.content
        parts = (content.input, content.expected, content.context, content.metadata or None)
        return cls(row, *(_cut(text_of(part), most) for part in parts))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"


class DatasetForm(_Form):
    """A data set's name and what it is for."""

    class Meta:
        model = Dataset
        fields = ("name", "description")

    def clean_name(self) -> str:
        """Refuse a name that another data set of the project has."""
        name: str = self.cleaned_data["name"]
        others = Dataset.objects.filter(project=self.instance.project_id, name=name).exclude(pk=self.instance.pk)
        if others.exists():
            raise forms.ValidationError("Another data set has this name.")
        return name


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the list."""
    return _list(request, project, DatasetForm(instance=Dataset(project=project)))


def _list(request: HttpRequest, project: Project, form: DatasetForm, status: int = 200) -> HttpResponse:
    latest = DatasetVersion.objects.filter(dataset=OuterRef("pk"), number=OuterRef("latest"))
    found = Dataset.objects.filter(project=project).annotate(rows_now=Subquery(latest.values("rows")))
    found = found_in(request, found, "name", "description")
    context = {
        "project": project,
        "page": Paginator(found, PER_PAGE).get_page(request.GET.get("page")),
        "page_query": kept_query(request),
        "form": form,
        "may_edit": may_edit(request, project),
    }
    return render(request, "dashboards/datasets.html", context, status=status)


@require_POST
@editor_page
def create(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a data set without rows."""
    form = DatasetForm(request.POST, instance=Dataset(project=project))
    if not form.is_valid() or _is_full(request, project):
        return _list(request, project, form, status=422)
    dataset = form.save(commit=False)
    dataset.created_by = user_of(request)
    dataset.save()
    return redirect("dataset", project.slug, dataset.pk)


def _is_full(request: HttpRequest, project: Project) -> bool:
    is_full = Dataset.objects.filter(project=project).count() >= Dataset.MOST
    if is_full:
        messages.error(request, f"The project has {Dataset.MOST:,} data sets: delete one that nobody needs.")
    return is_full


@project_page
def show_one(request: HttpRequest, project: Project, dataset_id: int) -> HttpResponse:
    """Show a data set with the rows of a version: `?version=`, `?split=`, `?page=`."""
    dataset = the_dataset(project, dataset_id)
    version = the_version(dataset, request.GET.get("version", ""))
    split = request.GET.get("split", "")
    page = None
    if version:
        page = Paginator(Row.objects.of(version, split), PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "project": project,
        "dataset": dataset,
        "version": version,
        "versions": dataset.versions.select_related("created_by")[:VERSIONS_SHOWN],
        "split": split,
        "page": page,
        "rows": [RowText.of(row) for row in page] if page else [],
        "page_query": kept_query(request),
        "formats": FORMATS,
        "runs": dataset.experiments.all()[:RUNS_SHOWN],
        "may_edit": may_edit(request, project),
    }
    return render(request, "dashboards/dataset.html", context)


@project_page
def show_row(request: HttpRequest, project: Project, dataset_id: int, row_id: int) -> HttpResponse:
    """Show one row in full, with what runs answered to it."""
    dataset = the_dataset(project, dataset_id)
    row = get_object_or_404(Row.objects.select_related("content"), dataset=dataset, pk=row_id)
    answers = Result.objects.filter(experiment__dataset=dataset, key=row.key).select_related("experiment")
    context = {
        "project": project,
        "dataset": dataset,
        "row": RowText.of(row, most=200_000),
        "answers": answers.order_by("-pk")[:PER_PAGE],
    }
    return render(request, "dashboards/dataset_row.html", context)


@project_page
def show_diff(request: HttpRequest, project: Project, dataset_id: int) -> HttpResponse:
    """Show what version `?new=` differs by from `?old=`; the latest two without them."""
    dataset = the_dataset(project, dataset_id)
    new = the_version(dataset, request.GET.get("new", ""))
    if new is None:
        raise Http404("no version yet")
    given = request.GET.get("old", "")
    old = int(given) if given.isdecimal() and len(given) < 9 else max(new.number - 1, 0)
    after = request.GET.get("after", "")
    found = versions.differences(
        dataset, old, new.number, after=int(after) if after.isdecimal() and len(after) < 18 else 0, limit=PER_PAGE + 1
    )
    shown = [
        (each, RowText.of(each.old) if each.old else None, RowText.of(each.new) if each.new else None)
        for each in found[:PER_PAGE]
    ]
    last = found[PER_PAGE - 1] if len(found) > PER_PAGE else None
    context = {
        "project": project,
        "dataset": dataset,
        "old": old,
        "new": new,
        "differences": shown,
        "after_place": last.position if last else None,
        "versions": dataset.versions.all()[:VERSIONS_SHOWN],
    }
    return render(request, "dashboards/dataset_diff.html", context)


@project_page
def download(request: HttpRequest, project: Project, dataset_id: int, number: int) -> HttpResponse:
    """Send a version as a file: `?kind=csv|jsonl|parquet`, `?split=`."""
    dataset = the_dataset(project, dataset_id)
    kind = next((each for each in FORMATS if each == request.GET.get("kind", "jsonl")), None)
    if kind is None:
        raise Http404("no such form of a file")
    version = get_object_or_404(DatasetVersion, dataset=dataset, number=number)
    file = exports.export(version, kind, request.GET.get("split", ""))
    name = f"dataset-{dataset.pk}-v{number}.{kind}"
    answer = FileResponse(file, as_attachment=True, filename=name, content_type=exports.CONTENT_TYPES[kind])
    return cast("HttpResponse", answer)


@require_POST
@editor_page
def split(request: HttpRequest, project: Project, dataset_id: int) -> HttpResponse:
    """Give rows without a split one by shares; with `all_rows`, every row."""
    dataset = the_dataset(project, dataset_id)
    seed = request.POST.get("seed", "0")
    try:
        made = split_again(
            dataset,
            parse_ratios(request.POST.get("splits", "")),
            int(seed) if seed.isdecimal() and len(seed) < 10 else 0,
            only_new=request.POST.get("all_rows") != "on",
            author=user_of(request),
        )
    except (InvalidRowError, TooManyRowsError) as error:
        messages.error(request, str(error))
    else:
        said = (
            f"Version {made.number}: {so_many_are(made.changed, 'row')} split."
            if made
            else "No row was without a split."
        )
        messages.success(request, said)
    return redirect("dataset", project.slug, dataset.pk)


@require_POST
@editor_page
def delete(request: HttpRequest, project: Project, dataset_id: int) -> HttpResponse:
    """Delete a data set with its versions and experiments, once its name was typed."""
    dataset = the_dataset(project, dataset_id)
    if request.POST.get("name", "") != dataset.name:
        messages.error(request, "Nothing was deleted: type the name of the data set to the letter.")
        return redirect("dataset", project.slug, dataset.pk)
    dataset.delete()
    messages.success(request, f"{dataset.name} is deleted.")
    return redirect("datasets", project.slug)


@project_page
def choose(request: HttpRequest, project: Project) -> HttpResponse:
    """Return the form that adds the span `?item=` to a data set, as a fragment that a trace's page asks for."""
    try:
        (trace_id, span_id), *_ = from_traces.parse_items([request.GET.get("item", "")])
    except InvalidRowError as error:
        raise Http404 from error
    context = {
        "project": project,
        "trace_id": trace_id,
        "span_id": span_id,
        "known": Dataset.objects.filter(project=project).only("pk", "name")[:PER_PAGE],
        "may_edit": may_edit(request, project),
    }
    return render(request, "dashboards/_dataset_add.html", context)


@require_POST
@explained
@editor_page
def add(request: HttpRequest, project: Project) -> HttpResponse:
    """Copy spans or traces (`item`, repeated) into `dataset`, or a new one named `new_name`; then go to `next`."""
    try:
        items = from_traces.parse_items(request.POST.getlist("item"))
        dataset = _chosen(request, project)
        copied = from_traces.copied(project.pk, items)
        made = versions.change(
            dataset,
            copied.rows,
            source=DatasetVersion.Source.TRACES,
            author=user_of(request),
            note=f"{len(copied.rows)} from traces",
        )
    except (InvalidRowError, TooManyRowsError) as error:
        messages.error(request, f"Nothing was added. {error}")
        return _back(request, project, None)
    said = (
        f"{made.added} row{'' if made.added == 1 else 's'} added and {made.changed} changed in {dataset.name},"
        f" version {made.number}."
        if made
        else ""
    )
    messages.success(request, said or f"{dataset.name} has these rows already.")
    for item, reason in copied.refused[:3]:
        messages.warning(request, f"{item} was left out: {reason}")
    return _back(request, project, dataset)


def _chosen(request: HttpRequest, project: Project) -> Dataset:
    new_name = request.POST.get("new_name", "").strip()
    if not new_name:
        given = request.POST.get("dataset", "")
        if not given.isdecimal() or len(given) > 18:
            raise InvalidRowError("dataset", "choose one, or name a new one")
        return the_dataset(project, int(given))
    form = DatasetForm({"name": new_name, "description": ""}, instance=Dataset(project=project))
    if known := Dataset.objects.filter(project=project, name=new_name).first():
        return known
    if not form.is_valid() or _is_full(request, project):
        raise InvalidRowError("new_name", "cannot be a name of a data set")
    return form.save()


def _back(request: HttpRequest, project: Project, dataset: Dataset | None) -> HttpResponse:
    following = request.POST.get("next", "")
    if following and url_has_allowed_host_and_scheme(following, allowed_hosts={request.get_host()}):
        return redirect(following)
    return redirect("dataset", project.slug, dataset.pk) if dataset else redirect("datasets", project.slug)


def the_dataset(project: Project, dataset_id: int) -> Dataset:
    """Return a data set of the project; 404 for any other."""
    return get_object_or_404(Dataset, project=project, pk=dataset_id)


def the_version(dataset: Dataset, given: str) -> DatasetVersion | None:
    """Return the version that an address names, else the latest; None before there is one, 404 for another."""
    if not given:
        return dataset.versions.filter(number=dataset.latest).first()
    if not given.isdecimal() or len(given) > 9:
        raise Http404("no such version")
    return get_object_or_404(DatasetVersion, dataset=dataset, number=int(given))
