"""What the pages of redaction and of sampling share: rules in an order, saved, switched, moved and removed."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project
from heliograph.dashboards.access import editor_page
from heliograph.rules.models import Ordered
from heliograph.rules.project import CACHE_SECONDS, forget

if TYPE_CHECKING:
    RuleForm = forms.ModelForm[Any]
else:
    RuleForm = forms.ModelForm

Page = Callable[[HttpRequest, Project, RuleForm, int], HttpResponse]
HOLDS = f"It holds for what arrives from within {CACHE_SECONDS:.0f} seconds on."


class Views(NamedTuple):
    """The views that change rules of one kind."""

    save: Callable[..., HttpResponse]
    switch: Callable[..., HttpResponse]
    move: Callable[..., HttpResponse]
    remove: Callable[..., HttpResponse]


def form_of(kind: type[RuleForm], project: Project, rule_id: str, data: Any = None, **options: Any) -> RuleForm:
    """Return the form of a rule of the project, or of a new one; raises Http404 for one that there is not."""
    model: type[Ordered] = kind._meta.model  # where Django keeps a form's model
    rule = model(project=project)
    if rule_id:
        rule = get_object_or_404(model, project=project, pk=int(rule_id) if rule_id.isdecimal() else 0)
    return kind(data, instance=rule, **options)


def views_of(form: type[RuleForm], page: Page, page_name: str) -> Views:
    """Return the views for rules that `form` makes; `page` shows a form that is at fault."""
    model: type[Ordered] = form._meta.model  # see form_of

    @require_POST
    @editor_page
    def save(request: HttpRequest, project: Project) -> HttpResponse:
        """Add a rule behind the others, or change one in its place."""
        given = form_of(form, project, request.POST.get("rule", ""), request.POST)
        if not given.is_valid():
            return page(request, project, given, 422)
        rule = given.save(commit=False)
        if rule.pk:
            rule.save()
        else:
            rule.append()
        forget()
        messages.success(request, f"The rule “{rule}” is saved. {HOLDS}")
        return redirect(page_name, project.slug)

    @require_POST
    @editor_page
    def switch(request: HttpRequest, project: Project, rule_id: int) -> HttpResponse:
        """Switch a rule on or off."""
        rule = get_object_or_404(model, project=project, pk=rule_id)
        rule.enabled = not rule.enabled
        rule.save(update_fields=["enabled"])
        forget()
        messages.success(request, f"The rule “{rule}” is {'on' if rule.enabled else 'off'}. {HOLDS}")
        return redirect(page_name, project.slug)

    @require_POST
    @editor_page
    def move(request: HttpRequest, project: Project, rule_id: int) -> HttpResponse:
        """Have a rule asked earlier (`step` up), or later."""
        rule = get_object_or_404(model, project=project, pk=rule_id)
        rule.move(-1 if request.POST.get("step") == "up" else 1)
        forget()
        return redirect(page_name, project.slug)

    @require_POST
    @editor_page
    def remove(request: HttpRequest, project: Project, rule_id: int) -> HttpResponse:
        """Take a rule out."""
        rule = get_object_or_404(model, project=project, pk=rule_id)
        rule.delete()
        forget()
        messages.success(request, f"The rule “{rule}” is removed. {HOLDS}")
        return redirect(page_name, project.slug)

    return Views(save, switch, move, remove)
