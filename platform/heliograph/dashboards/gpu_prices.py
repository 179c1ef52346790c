"""The prices of GPUs and the weights by which they are shared out, on the settings page."""

from contextlib import suppress
from typing import TYPE_CHECKING

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from heliograph.accounts.models import AttributionPolicy, GpuPrice, Project
from heliograph.clickhouse.errors import StoreError
from heliograph.dashboards.access import editor_page
from heliograph.query.prices import gpu_models, weights_of
from heliograph.query.sharing import POLICIES, policy_name

if TYPE_CHECKING:
    _PriceForm = forms.ModelForm[GpuPrice]
    _PolicyForm = forms.ModelForm[AttributionPolicy]
else:
    _PriceForm = _PolicyForm = forms.ModelForm


class GpuPriceForm(_PriceForm):
    """One price, from a moment on."""

    class Meta:
        model = GpuPrice
        fields = ("gpu_name", "valid_from", "usd_per_gpu_hour", "usd_per_kwh", "pue")
        widgets = {"valid_from": forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")}

    usd_per_gpu_hour = forms.DecimalField(min_value=0, max_digits=12, decimal_places=6)
    usd_per_kwh = forms.DecimalField(min_value=0, max_digits=12, decimal_places=6, required=False)
    # A hall uses at least what its machines use; beyond 5 somebody typed per cent.
    pue = forms.DecimalField(min_value=1, max_value=5, max_digits=5, decimal_places=3)


class PolicyForm(_PolicyForm):
    """The weights of prompt and answer."""

    class Meta:
        model = AttributionPolicy
        fields = ("prefill", "decode", "per")

    prefill = forms.FloatField(min_value=AttributionPolicy.LEAST, max_value=AttributionPolicy.MOST)
    decode = forms.FloatField(min_value=AttributionPolicy.LEAST, max_value=AttributionPolicy.MOST)


@require_POST
@editor_page
def create(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a price; it holds from its time on, also for what was shared out already."""
    form = GpuPriceForm(request.POST, instance=GpuPrice(project=project))
    if not form.is_valid():
        return _refused(request, project, "This price cannot be used", form)
    given = form.cleaned_data
    if project.gpu_prices.filter(gpu_name=given["gpu_name"], valid_from=given["valid_from"]).exists():
        form.add_error("valid_from", "there is a price from this moment on already; delete it first")
        return _refused(request, project, "This price cannot be used", form)
    if project.gpu_prices.count() >= GpuPrice.MOST:
        form.add_error(None, f"this project has {GpuPrice.MOST} prices; delete one that is no longer needed")
        return _refused(request, project, "This price cannot be used", form)
    form.save()
    messages.success(request, f"{given['gpu_name'] or 'Every other GPU'} costs ${given['usd_per_gpu_hour']} an hour.")
    return redirect("settings", project.slug)


@require_POST
@editor_page
def delete(request: HttpRequest, project: Project, price_id: int) -> HttpResponse:
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
        return _refused(request, project, "These weights cannot be used", form)
    form.save()
    messages.success(request, f"GPUs are shared out by “{policy_name(weights_of(project.pk))}” from now on.")
    return redirect("settings", project.slug)


def prices_context(project: Project) -> dict[str, object]:
    """Return what the settings page says of GPU prices and weights."""
    models: list[str] = []
    # The names are a help for typing; without the store the form works as well.
    with suppress(StoreError):
        models = gpu_models(project.pk)
    weights = weights_of(project.pk)
    return {
        "gpu_prices": project.gpu_prices.all()[: GpuPrice.MOST],
        "gpu_models": models,
        "gpu_price_form": GpuPriceForm(
            initial={"valid_from": timezone.now().replace(second=0, microsecond=0), "pue": 1}
        ),
        "weights": weights,
        "policy": policy_name(weights),
        "policies": [(name, known) for name, known in POLICIES.items()],
    }


def _refused(request: HttpRequest, project: Project, title: str, form: forms.BaseForm) -> HttpResponse:
    said = "; ".join(
        f"{form.fields[name].label or name if name in form.fields else 'It'}: {' '.join(map(str, errors))}"
        for name, errors in form.errors.items()
    )
    context = {"project": project, "title": title, "reason": said}
    return render(request, "dashboards/failure.html", context, status=422)
