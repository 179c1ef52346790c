"""The prices page: the project's own prices of models, and the models whose calls have none."""

from typing import TYPE_CHECKING

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project, TokenPrice, User
from heliograph.clickhouse.errors import StoreError
from heliograph.conventions import prices
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.timerange import chosen_range
from heliograph.dashboards.wording import so_many_are
from heliograph.query.unpriced import UnpricedModel, unpriced_models
from heliograph.remap import queue

if TYPE_CHECKING:
    _Form = forms.ModelForm[TokenPrice]
else:
    _Form = forms.ModelForm


class PriceForm(_Form):
    """A model's price; the one that the project has for it already is replaced."""

    class Meta:
        model = TokenPrice
        fields = (
            "model",
            "input_per_million",
            "output_per_million",
            "cache_read_per_million",
            "cache_write_per_million",
        )


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page; `?model=` opens a model in the form."""
    name = request.GET.get("model", "")[:300]
    return _page(request, project, PriceForm(initial={"model": name} | _as_written(project, name)))


@require_POST
@editor_page
def save(request: HttpRequest, project: Project) -> HttpResponse:
    """Set a price."""
    form = PriceForm(request.POST)
    if not form.is_valid():
        return _page(request, project, form, status=422)
    try:
        price = prices.set_price(project, _user(request), form.save(commit=False))
    except prices.TooManyPrices as error:
        form.add_error("model", str(error))
        return _page(request, project, form, status=422)
    messages.success(
        request,
        f"{price.model} has your price for calls that come from now on. Stored calls wait until you apply it.",
    )
    return redirect("settings-prices", project.slug)


@require_POST
@editor_page
def remove(request: HttpRequest, project: Project, price_id: int) -> HttpResponse:
    """Go back to the price list for a model."""
    price = get_object_or_404(project.token_prices, pk=price_id)
    prices.remove_price(project, _user(request), price)
    messages.success(request, f"{price.model} is priced by the list again, for calls that come from now on.")
    return redirect("settings-prices", project.slug)


@require_POST
@editor_page
def apply(request: HttpRequest, project: Project) -> HttpResponse:
    """Price the stored calls of the shown range by the prices of now."""
    span = chosen_range(request).range
    try:
        job = queue.start(project, _user(request), span.start, span.end)
    except queue.CannotStart as reason:
        messages.error(request, str(reason))
    except StoreError as error:
        messages.error(request, f"The store could not say which calls are concerned: {error.user_text}")
    else:
        messages.success(
            request,
            f"{so_many_are(job.spans_total, 'span')} read and priced again in the background.",
        )
    return redirect("settings-prices", project.slug)


def _as_written(project: Project, model: str) -> dict[str, str]:
    """Return the project's price of a model as a person writes it: without the zeros that a database adds."""
    known = project.token_prices.filter(model=model).values(*PriceForm.Meta.fields[1:]).first() or {}
    return {name: f"{price.normalize():f}" for name, price in known.items() if price is not None}


def _user(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise TypeError("project_page lets only signed-in users through")
    return request.user


def _page(request: HttpRequest, project: Project, form: PriceForm, status: int = 200) -> HttpResponse:
    chosen = chosen_range(request)
    unpriced: list[UnpricedModel] | None = None
    failure = ""
    try:
        unpriced = unpriced_models(project.pk, chosen.range, prices.prices_of(project.pk))
    except StoreError as error:
        failure = error.user_text
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "form": form,
        "own": project.token_prices.all(),
        "unpriced": unpriced,
        "failure": failure,
        "may_edit": may_edit(request, project),
        "job": project.reapplications.first(),
    }
    return render(request, "dashboards/prices.html", context, status=status)
