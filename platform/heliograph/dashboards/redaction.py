"""The redaction page: what is blanked before telemetry is stored, and a place to try it."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project
from heliograph.clickhouse.errors import StoreError
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.ordered_rules import RuleForm, form_of, views_of
from heliograph.dashboards.timerange import chosen_range
from heliograph.ingest.redaction_trial import redactor_with, try_stored
from heliograph.query.filters import SpanFilter
from heliograph.query.spans import SpanRow, list_spans
from heliograph.rules.finders import BUILT_IN, DEFAULT_KINDS, UnusableRuleError, has_presidio
from heliograph.rules.models import MAX_RULES, RedactionRule
from heliograph.rules.redaction import Redactor
from heliograph.rules.trial import MAX_CHARACTERS, try_text

# Spans of the range that can be picked for a trial.
RECENT_SPANS = 20
PAGE = "settings-redaction"


class RedactionForm(RuleForm):
    """One redaction rule; `rule` is the id of the one that it changes."""

    rule = forms.CharField(required=False, max_length=20, widget=forms.HiddenInput)
    kinds = forms.MultipleChoiceField(required=False, choices=list(BUILT_IN.items()))

    class Meta:
        model = RedactionRule
        fields = ("name", "kind", "kinds", "pattern", "action")

    def clean(self) -> dict[str, Any]:
        """Keep only what a rule of this kind uses, so that a hidden field refuses nothing."""
        given: dict[str, Any] = super().clean() or {}
        if given.get("kind") == RedactionRule.Kind.BUILT_IN:
            given["pattern"] = ""
        else:
            given["kinds"] = []
        return given


class TrialForm(forms.Form):
    """A text, or a span as `trace:span`."""

    text = forms.CharField(required=False, max_length=MAX_CHARACTERS, strip=False)
    span = forms.RegexField(r"^[0-9a-f]{32}:[0-9a-f]{16}$", required=False)
    with_draft = forms.BooleanField(required=False)


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page; `?rule=` opens a rule in the form."""
    rule_id = request.GET.get("rule", "")
    initial = {"rule": rule_id} if rule_id else {"kinds": DEFAULT_KINDS}
    return _page(request, project, form_of(RedactionForm, project, rule_id, initial=initial))


def _page(request: HttpRequest, project: Project, form: RuleForm, status: int = 200) -> HttpResponse:
    chosen = chosen_range(request)
    context = {
        "project": project,
        "chosen": chosen,
        "form": form,
        "rules": RedactionRule.objects.filter(project=project),
        "built_in": BUILT_IN,
        "most_rules": MAX_RULES,
        "has_presidio": has_presidio(),
        "recent": _recent(project, chosen.range),
        "most_characters": MAX_CHARACTERS,
        "may_edit": may_edit(request, project),
    }
    return render(request, "dashboards/redaction.html", context, status=status)


def _recent(project: Project, span: Any) -> tuple[SpanRow, ...]:
    try:
        return list_spans(project.pk, SpanFilter(range=span), limit=RECENT_SPANS).items
    except StoreError:  # rules are changed and tried on pasted texts without the store too
        return ()


save, switch, move, remove = views_of(RedactionForm, _page, PAGE)


@require_POST
@editor_page
def trial(request: HttpRequest, project: Project) -> HttpResponse:
    """Return what the rules, and the one in the form where it is asked for, would blank, as a fragment."""
    form = TrialForm(request.POST)
    context: dict[str, object] = {"project": project}
    if form.is_valid():
        try:
            context |= _tried(project, form, _redactor(request, project, form))
        except UnusableRuleError as error:
            context["fault"] = str(error)
        except StoreError as error:
            context["fault"] = f"The store could not answer. {error.user_text}"
    else:
        context["fault"] = f"Paste at most {MAX_CHARACTERS:,} characters, or pick a span."
    return render(request, "dashboards/_redaction_trial.html", context)


def _redactor(request: HttpRequest, project: Project, form: TrialForm) -> Redactor:
    if not form.cleaned_data["with_draft"]:
        return redactor_with(project.pk, None)
    draft = form_of(RedactionForm, project, request.POST.get("rule", ""), request.POST)
    if not draft.is_valid():
        faults = (f"{draft[name].label}: {said}" for name, each in draft.errors.items() for said in each)
        raise UnusableRuleError("The rule in the form cannot be used. " + " ".join(faults))
    return redactor_with(project.pk, draft.save(commit=False))


def _tried(project: Project, form: TrialForm, redactor: Redactor) -> dict[str, object]:
    if form.cleaned_data["text"]:
        return {"tried": try_text(redactor, form.cleaned_data["text"])}
    trace_id, _, span_id = form.cleaned_data["span"].partition(":")
    if not trace_id:
        return {"fault": "Paste a text, or pick a span."}
    found = try_stored(project.pk, redactor, trace_id, span_id)
    return {"span": found} if found else {"fault": "This span is no longer stored."}
