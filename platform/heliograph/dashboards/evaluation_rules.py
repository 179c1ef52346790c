"""The page of evaluation rules: what is judged as it comes, how far behind, at which cost, and what was set aside."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from evaluators.registry import EVALUATORS, names
from evaluators.signatures import argument_schema
from heliograph.accounts.models import Project
from heliograph.clickhouse.errors import StoreError
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.finding import found_in
from heliograph.evals.models import EvaluationRule, JudgeEndpoint, JudgeTemplate
from heliograph.evals.online import report
from heliograph.evals.online.report import Standing
from heliograph.evals.queue import wake_judges
from heliograph.query.filters import InvalidFilterError

if TYPE_CHECKING:
    Form = forms.ModelForm[EvaluationRule]
else:
    Form = forms.ModelForm

PAGE = "evaluation-rules"
ASIDE_SHOWN = 50
DAYS_SHOWN = 14


class RuleForm(Form):
    """One rule; `rule` is the id of the one that it changes, `past_hours` how far a new one looks back."""

    rule = forms.IntegerField(required=False, widget=forms.HiddenInput)
    past_hours = forms.FloatField(required=False, min_value=0, max_value=24 * 365)

    class Meta:
        model = EvaluationRule
        fields = (
            *("name", "evaluator", "arguments", "endpoint", "template", "filter", "rate", "device_seconds_a_day"),
            *("usd_a_day", "wait"),
        )

    def __init__(self, project: Project, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field, model in (("endpoint", JudgeEndpoint), ("template", JudgeTemplate)):
            chosen: Any = self.fields[field]
            chosen.queryset = model._default_manager.filter(project=project)
        self.fields["arguments"].required = False

    def clean_arguments(self) -> Any:
        """No text is no argument."""
        return self.cleaned_data.get("arguments") or {}


@dataclass(frozen=True, slots=True)
class Shown:
    """A rule as the page lists it; `failure` instead of its standing where the store did not answer."""

    rule: EvaluationRule
    standing: Standing | None
    failure: str


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page; `?rule=` opens a rule in the form, with its history and what it set aside."""
    return _page(request, project, _form(project, request.GET.get("rule", "")))


def _form(project: Project, rule_id: str, data: Any = None) -> RuleForm:
    rule = EvaluationRule(project=project)
    if rule_id:
        rule = get_object_or_404(EvaluationRule, project=project, pk=int(rule_id) if rule_id.isdecimal() else 0)
    return RuleForm(project, data, instance=rule, initial={"rule": rule.pk})


def _page(request: HttpRequest, project: Project, form: RuleForm, status: int = 200) -> HttpResponse:
    rules = project.evaluation_rules.select_related("endpoint", "template", "project")
    rules = found_in(request, rules, "name", "evaluator", "filter")
    opened = form.instance if form.instance.pk else None
    settings = {name: argument_schema(name)["properties"] for name in names()}
    context = {
        "project": project,
        "tab": "rules",
        "form": form,
        "rules": [_shown(rule) for rule in rules],
        "evaluators": [(name, EVALUATORS[name].summary, settings[name]) for name in names()],
        "endpoints": project.judge_endpoints.all(),
        "templates": project.judge_templates.exclude(mode="pairwise"),
        "opened": opened,
        "aside": opened.set_aside.all()[:ASIDE_SHOWN] if opened else [],
        "days": opened.days.all()[:DAYS_SHOWN] if opened else [],
        "may_edit": may_edit(request, project),
    }
    return render(request, "dashboards/evaluation_rules.html", context, status=status)


def _shown(rule: EvaluationRule) -> Shown:
    try:
        return Shown(rule, report.standing(rule), "")
    except StoreError as error:
        return Shown(rule, None, error.user_text)
    except InvalidFilterError as error:  # the language may have lost a field since
        return Shown(rule, None, str(error))


@require_POST
@editor_page
def save(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a rule, or change one."""
    form = _form(project, request.POST.get("rule", ""), request.POST)
    if not form.is_valid():
        return _page(request, project, form, 422)
    rule = form.save(commit=False)
    if rule.pk:
        rule.save()
    else:
        rule.created_by_id = request.user.pk
        rule.begin(timezone.now() - timedelta(hours=form.cleaned_data["past_hours"] or 0))
    wake_judges()
    messages.success(request, f"The rule “{rule}” is saved. It holds from its next turn on, within a minute or so.")
    return redirect(PAGE, project.slug)


@require_POST
@editor_page
def switch(request: HttpRequest, project: Project, rule_id: int) -> HttpResponse:
    """Pause a rule, or let it go on where it stopped."""
    rule = get_object_or_404(project.evaluation_rules, pk=rule_id)
    rule.enabled = not rule.enabled
    rule.save(update_fields=["enabled", "updated_at"])
    said = "goes on where it stopped" if rule.enabled else "is paused; what comes meanwhile waits for it"
    messages.success(request, f"The rule “{rule}” {said}.")
    return redirect(PAGE, project.slug)


@require_POST
@editor_page
def remove(request: HttpRequest, project: Project, rule_id: int) -> HttpResponse:
    """Remove a rule."""
    rule = get_object_or_404(project.evaluation_rules, pk=rule_id)
    rule.delete()
    messages.success(request, f"The rule “{rule}” is removed; its scores stay.")
    return redirect(PAGE, project.slug)


@require_POST
@editor_page
def retry(request: HttpRequest, project: Project, rule_id: int) -> HttpResponse:
    """Have the spans that a rule set aside tried again; `span` names one of them."""
    rule = get_object_or_404(project.evaluation_rules, pk=rule_id)
    rows = rule.set_aside.all()
    if chosen := request.POST.get("span", ""):
        rows = rows.filter(pk=int(chosen) if chosen.isdecimal() else 0)
    changed = rows.update(retry_wanted=True)
    wake_judges()
    messages.success(
        request, f"{changed} span{'s are' if changed != 1 else ' is'} tried again at the rule's next turn."
    )
    return redirect(PAGE, project.slug)


@require_POST
@editor_page
def skip(request: HttpRequest, project: Project, rule_id: int) -> HttpResponse:
    """Give up what waits for a rule."""
    rule = get_object_or_404(project.evaluation_rules, pk=rule_id)
    report.skip_backlog(rule)
    messages.success(request, f"“{rule}” judges what comes from now on; what waited is not judged.")
    return redirect(PAGE, project.slug)


@project_page
def show_preview(request: HttpRequest, project: Project) -> HttpResponse:
    """Return which spans of the last day the rule in the form would judge, and what a day would cost."""
    form = _form(project, request.GET.get("rule", ""), request.GET or None)
    context: dict[str, Any] = {"project": project, "form": form}
    if form.is_valid():
        try:
            context["preview"] = report.preview(form.instance)
        except StoreError as error:
            context["failure"] = error.user_text
    return render(request, "dashboards/_evaluation_preview.html", context)
