"""The conventions page: keys that nobody maps, the project's own mapping rules, and their re-application."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from collectors.semconv.rules import MAX_RULES, TARGETS, Rule
from heliograph.accounts.models import Project, User
from heliograph.clickhouse.errors import StoreError
from heliograph.conventions import rulesets
from heliograph.conventions.mapping import BUILT_IN, ProjectMapping
from heliograph.conventions.models import Ruleset
from heliograph.dashboards import reapplications
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.timerange import chosen_range
from heliograph.query.filters import TimeRange
from heliograph.remap.preview import PREVIEW_SPANS, preview
from heliograph.remap.unmapped import Unmapped, unmapped_keys

# What a person looks back over; older revisions are in the API.
SHOWN_REVISIONS = 20
MAX_SEARCH_CHARACTERS = 100

FIELD_CHOICES = [(name, f"{target.title} ({name})") for name, target in TARGETS.items()]
CONVERSION_CHOICES = {
    name: [(key, conversion.title) for key, conversion in target.conversions.items()]
    for name, target in TARGETS.items()
}


class RuleForm(forms.Form):
    """One mapping rule; `rule` is the id of the one that it takes the place of."""

    rule = forms.CharField(required=False, max_length=12, widget=forms.HiddenInput)
    source = forms.CharField(max_length=256)
    match = forms.ChoiceField(choices=[("exact", "is exactly"), ("prefix", "begins with")])
    field = forms.ChoiceField(choices=FIELD_CHOICES)
    conversion = forms.CharField(required=False, max_length=40)
    order = forms.ChoiceField(choices=[("before", "before"), ("after", "after")], required=False)

    def clean(self) -> dict[str, Any]:
        """Refuse what no rule may be."""
        given: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                self.asked = rulesets.rule_of(given)
            except rulesets.InvalidRule as invalid:
                self.add_error(invalid.field, invalid.message)
        return given

    @property
    def conversions(self) -> list[tuple[str, str]]:
        """How the chosen field may be read."""
        chosen = self["field"].value() or FIELD_CHOICES[0][0]
        return CONVERSION_CHOICES.get(str(chosen), [])


@dataclass(frozen=True, slots=True)
class ShownRule:
    """A rule as the table shows it."""

    id: str
    enabled: bool
    rule: Rule
    field: str
    conversion: str


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page; `?rule=` opens a rule in the form, `?source=` a new one for a key."""
    return _page(request, project, _form_of(request, project))


@project_page
def conversions(request: HttpRequest, project: Project) -> HttpResponse:
    """Return the ways to read the field that is chosen in the form, as a fragment."""
    return render(request, "dashboards/_conversions.html", {"form": RuleForm(initial=request.GET.dict())})


@project_page
def show_preview(request: HttpRequest, project: Project) -> HttpResponse:
    """Return what the rule in the form would change, as a fragment."""
    form = RuleForm(request.GET)
    context: dict[str, object] = {"project": project, "form": form, "most": PREVIEW_SPANS}
    if form.is_valid():
        try:
            draft = rulesets.drafted(project, form.asked, form.cleaned_data["rule"])
            context["preview"] = preview(project.pk, chosen_range(request).range, form.asked, draft)
        except rulesets.InvalidRule as invalid:
            form.add_error(invalid.field, invalid.message)
        except rulesets.UnknownRule:
            form.add_error(None, "This rule was removed meanwhile.")
        except StoreError as error:
            context["failure"] = error.user_text
    return render(request, "dashboards/_preview.html", context)


@require_POST
@editor_page
def save(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a rule, or change one."""
    form = RuleForm(request.POST)
    if not form.is_valid():
        return _page(request, project, form, status=422)
    try:
        if form.cleaned_data["rule"]:
            rulesets.change_rule(project, _user(request), form.cleaned_data["rule"], form.asked)
        else:
            rulesets.add_rule(project, _user(request), form.asked)
    except rulesets.InvalidRule as invalid:
        form.add_error(invalid.field, invalid.message)
        return _page(request, project, form, status=422)
    except rulesets.UnknownRule:
        messages.error(request, "This rule was removed meanwhile, so nothing was changed. Add it as a new one.")
        return redirect("settings-conventions", project.slug)
    messages.success(
        request, "The rule is saved. New spans are read by it within 15 seconds; stored ones when it is re-applied."
    )
    return redirect("settings-conventions", project.slug)


@require_POST
@editor_page
def switch(request: HttpRequest, project: Project, rule_id: str) -> HttpResponse:
    """Switch a rule on or off."""
    try:
        is_on = rulesets.get_rule(project, rule_id)["enabled"]
        rulesets.change_rule(project, _user(request), rule_id, enabled=not is_on)
    except rulesets.UnknownRule as error:
        raise Http404 from error
    messages.success(request, f"The rule is {'off' if is_on else 'on'} for spans that come from now on.")
    return redirect("settings-conventions", project.slug)


@require_POST
@editor_page
def remove(request: HttpRequest, project: Project, rule_id: str) -> HttpResponse:
    """Take a rule out; earlier revisions keep it."""
    try:
        rulesets.remove_rule(project, _user(request), rule_id)
    except rulesets.UnknownRule as error:
        raise Http404 from error
    messages.success(request, "The rule is removed. Spans keep what it filled until rules are re-applied.")
    return redirect("settings-conventions", project.slug)


def _user(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise TypeError("project_page lets only signed-in users through")
    return request.user


def _form_of(request: HttpRequest, project: Project) -> RuleForm:
    rule_id = request.GET.get("rule", "")
    if rule_id:
        try:
            rule = rulesets.get_rule(project, rule_id)
        except rulesets.UnknownRule:
            return RuleForm()
        return RuleForm(initial=rule | {"rule": rule_id})
    return RuleForm(initial={"source": request.GET.get("source", "")[:256]})


def _page(request: HttpRequest, project: Project, form: RuleForm, status: int = 200) -> HttpResponse:
    chosen = chosen_range(request)
    latest = Ruleset.latest(project.pk)
    mapping = ProjectMapping(latest.revision, latest.index) if latest else BUILT_IN
    search = request.GET.get("key", "")[:MAX_SEARCH_CHARACTERS]
    found, failure = _unmapped(project, chosen.range, mapping, search)
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "form": form,
        "rules": [_shown(rule) for rule in latest.rules] if latest else [],
        "most_rules": MAX_RULES,
        "revision": mapping.revision,
        "revisions": Ruleset.objects.filter(project=project).select_related("created_by")[:SHOWN_REVISIONS],
        "unmapped": found,
        "failure": failure,
        "search": search,
        "may_edit": may_edit(request, project),
        **reapplications.context_of(project, mapping.revision),
    }
    return render(request, "dashboards/conventions.html", context, status=status)


def _unmapped(project: Project, span: TimeRange, mapping: ProjectMapping, search: str) -> tuple[Unmapped | None, str]:
    try:
        return unmapped_keys(project.pk, span, mapping.index, search), ""
    except StoreError as error:
        return None, error.user_text


def _shown(stored: Mapping[str, Any]) -> ShownRule:
    rule = Rule(**{name: stored[name] for name in rulesets.NAMES})
    target = TARGETS[rule.field]
    name = rule.conversion or next(iter(target.conversions))
    return ShownRule(stored["id"], stored["enabled"], rule, target.title, target.conversions[name].title)
