"""The prices of GPUs and the weights by which they are shared out, on the settings page."""

from contextlib import suppress
from typing import TYPE_CHECKING

from django import forms
from django.utils import timezone

from heliograph.accounts.models import AttributionPolicy, GpuPrice, Project
from heliograph.clickhouse.errors import StoreError
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
        "policy_form": PolicyForm(initial={name: getattr(weights, name) for name in PolicyForm.Meta.fields}),
        "policy": policy_name(weights),
        "policies": [(name, known) for name, known in POLICIES.items()],
    }
