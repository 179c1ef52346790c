"""The page of judges: the models that judge, and what they are asked."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from evaluators.judges.templates import BUILT_IN
from heliograph.accounts.models import Project
from heliograph.accounts.secrets import encrypt
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.finding import found_in
from heliograph.evals.models import JudgeEndpoint, JudgeTemplate

if TYPE_CHECKING:
    EndpointBase = forms.ModelForm[JudgeEndpoint]
    TemplateBase = forms.ModelForm[JudgeTemplate]
else:
    EndpointBase = TemplateBase = forms.ModelForm

PAGE = "evaluation-judges"


class EndpointForm(EndpointBase):
    """One judge; `judge` is the id of the one that it changes. An empty `key` keeps the one that is stored."""

    judge = forms.IntegerField(required=False, widget=forms.HiddenInput)
    key = forms.CharField(required=False, max_length=4_000, strip=True)

    class Meta:
        model = JudgeEndpoint
        fields = (
            *("name", "base_url", "model", "input_usd_per_million", "output_usd_per_million", "timeout_seconds"),
            "concurrency",
        )

    def clean(self) -> dict[str, Any]:
        """A stored key goes to no other address by itself."""
        given: dict[str, Any] = super().clean() or {}
        moves = "base_url" in self.changed_data
        if self.instance.pk and moves and self.instance.api_key and not given.get("key"):
            self.add_error("key", "Give the key again: it is not sent to a new address by itself.")
        return given


class TemplateForm(TemplateBase):
    """A new template, or the next version of one."""

    class Meta:
        model = JudgeTemplate
        fields = ("name", "mode", "instruction", "lowest", "highest")


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page; `?judge=` opens a judge, `?template=` a template as the text of its next version."""
    return _page(request, project)


def _endpoint_form(project: Project, judge_id: str, data: Any = None) -> EndpointForm:
    row = JudgeEndpoint(project=project)
    if judge_id:
        row = get_object_or_404(JudgeEndpoint, project=project, pk=int(judge_id) if judge_id.isdecimal() else 0)
    return EndpointForm(data, instance=row, initial={"judge": row.pk})


def _page(request: HttpRequest, project: Project, status: int = 200, **given: forms.Form | Any) -> HttpResponse:
    chosen = request.GET.get("template", "")
    row = None
    if chosen:
        row = get_object_or_404(project.judge_templates, pk=int(chosen) if chosen.isdecimal() else 0)
    shown = {name: getattr(row, name) for name in TemplateForm.Meta.fields} if row else {}
    context = {
        "project": project,
        "tab": "judges",
        "endpoints": found_in(request, project.judge_endpoints.all(), "name", "base_url", "model"),
        "templates": project.judge_templates.all(),
        "built_in": BUILT_IN.items(),
        "endpoint_form": _endpoint_form(project, request.GET.get("judge", "")),
        "template_form": TemplateForm(initial=shown),
        "may_edit": may_edit(request, project),
    }
    return render(request, "dashboards/judges.html", context | given, status=status)


@require_POST
@editor_page
def save(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a judge, or change one."""
    form = _endpoint_form(project, request.POST.get("judge", ""), request.POST)
    if not form.is_valid():
        return _page(request, project, 422, endpoint_form=form)
    row = form.save(commit=False)
    if form.cleaned_data["key"]:
        row.api_key = encrypt(form.cleaned_data["key"])
    row.save()
    messages.success(request, f"The judge “{row}” is saved.")
    return redirect(PAGE, project.slug)


@require_POST
@editor_page
def remove(request: HttpRequest, project: Project, judge_id: int) -> HttpResponse:
    """Remove a judge that no rule uses."""
    row = get_object_or_404(project.judge_endpoints, pk=judge_id)
    try:
        row.delete()
        messages.success(request, f"The judge “{row}” is removed.")
    except ProtectedError:
        messages.error(request, f"A rule uses the judge “{row}”; change the rule first.")
    return redirect(PAGE, project.slug)


@require_POST
@editor_page
def save_template(request: HttpRequest, project: Project) -> HttpResponse:
    """Store a version of a template."""
    form = TemplateForm(request.POST, instance=JudgeTemplate(project=project))
    if not form.is_valid():
        return _page(request, project, 422, template_form=form)
    row = form.save(commit=False)
    row.created_by_id = request.user.pk
    row.append()
    messages.success(request, f"“{row}” is saved; rules use the version that they name.")
    return redirect(PAGE, project.slug)
