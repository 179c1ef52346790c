"""Changes of limits, GPU prices, weights and retention on the settings page; what is refused stays in its form."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from heliograph.accounts.models import AttributionPolicy, GpuPrice, Project
from heliograph.dashboards.access import editor_page
from heliograph.dashboards.gpu_prices import GpuPriceForm, PolicyForm
from heliograph.dashboards.ingest_limits import KeyLimitsForm, ProjectLimitsForm, key_rows, limits_page
from heliograph.dashboards.project_settings import settings_page
from heliograph.dashboards.retention import RetentionForm
from heliograph.query.prices import weights_of
from heliograph.query.sharing import policy_name
from heliograph.rules.models import RetentionRule
from heliograph.rules.project import forget


@require_POST
@limits_page
def change_project_limits(request: HttpRequest, project: Project) -> HttpResponse:
    """Set the project's limits."""
    # A row of its own: a form that is refused leaves what was typed in it, and the page shows what holds.
    form = ProjectLimitsForm(request.POST, instance=Project.objects.get(pk=project.pk), auto_id="id_project_%s")
    if not form.is_valid():
        return _refused(request, project, "limits", "These limits cannot be used", form, project_limits=form)
    form.save()
    return _limited(request, project, "Each key of this project")


@require_POST
@limits_page
def change_key_limits(request: HttpRequest, project: Project, key_id: int) -> HttpResponse:
    """Set one key's limits."""
    key = get_object_or_404(project.api_keys, pk=key_id, revoked_at=None)
    form = KeyLimitsForm(request.POST, instance=key, auto_id=f"id_{key.pk}_%s")
    if not form.is_valid():
        rows = key_rows(project, form)
        return _refused(request, project, "limits", f"These limits of “{key.name}” cannot be used", form, **rows)
    form.save()
    return _limited(request, project, f"The key “{key.name}”")


@require_POST
@editor_page
def create_gpu_price(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a price; it holds from its time on, also for what was shared out already."""
    form = GpuPriceForm(request.POST, instance=GpuPrice(project=project))
    if form.is_valid():
        given = form.cleaned_data
        if project.gpu_prices.filter(gpu_name=given["gpu_name"], valid_from=given["valid_from"]).exists():
            form.add_error("valid_from", "There is a price from this moment on already; delete it first.")
        elif project.gpu_prices.count() >= GpuPrice.MOST:
            form.add_error(None, f"This project has {GpuPrice.MOST} prices; delete one that is no longer needed.")
    if not form.is_valid():
        return _refused(request, project, "gpu-prices", "This price cannot be used", form, gpu_price_form=form)
    form.save()
    messages.success(request, f"{given['gpu_name'] or 'Every other GPU'} costs ${given['usd_per_gpu_hour']} an hour.")
    return redirect("settings", project.slug)


@require_POST
@editor_page
def delete_gpu_price(request: HttpRequest, project: Project, price_id: int) -> HttpResponse:
    """Take a price away; what it held for falls to the one before it."""
    price = get_object_or_404(project.gpu_prices, pk=price_id)
    price.delete()
    messages.success(request, f"The price of {price} is deleted.")
    return redirect("settings", project.slug)


@require_POST
@editor_page
def change_policy(request: HttpRequest, project: Project) -> HttpResponse:
    """Set the weights, for the minutes that are shared out from now on."""
    current = AttributionPolicy.objects.filter(project=project).first()
    form = PolicyForm(request.POST, instance=current or AttributionPolicy(project=project))
    if not form.is_valid():
        return _refused(request, project, "weights", "These weights cannot be used", form, policy_form=form)
    form.save()
    messages.success(request, f"GPUs are shared out by “{policy_name(weights_of(project.pk))}” from now on.")
    return redirect("settings", project.slug)


@require_POST
@limits_page
def add_retention_rule(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a rule for how long telemetry is kept."""
    form = RetentionForm(request.POST, instance=RetentionRule(project=project), auto_id="id_retention_%s")
    if form.is_valid():
        try:
            # What holds among the project's rules: a form does not check it, having no field for the project.
            form.instance.full_clean()
        except ValidationError as error:
            form.add_error("environment", error.messages)
    if not form.is_valid():
        return _refused(request, project, "retention", "This rule cannot be used", form, retention_form=form)
    rule = form.save()
    forget()
    messages.success(request, f"{rule}. It holds within ten seconds, for what arrives from then on.")
    return redirect("settings", project.slug)


@require_POST
@limits_page
def remove_retention_rule(request: HttpRequest, project: Project, rule_id: int) -> HttpResponse:
    """Take a rule out."""
    get_object_or_404(RetentionRule, project=project, pk=rule_id).delete()
    forget()
    messages.success(request, "The rule is removed. What is stored keeps the days that it came with.")
    return redirect("settings", project.slug)


def _limited(request: HttpRequest, project: Project, who: str) -> HttpResponse:
    messages.success(request, f"{who} is limited as you said within ten seconds.")
    return redirect("settings", project.slug)


def _refused(
    request: HttpRequest, project: Project, section: str, title: str, form: forms.BaseForm, **changed: Any
) -> HttpResponse:
    """Show the page with what was typed, and on top what is wrong with it, with a link to where it stands."""
    said = " ".join(str(error) for errors in form.errors.values() for error in errors)
    refused = {"section": section, "title": title, "reason": said}
    return settings_page(request, project, status=422, refused=refused, **changed)
