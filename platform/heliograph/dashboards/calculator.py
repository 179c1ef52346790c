"""The calculator: what a model needs and what GPUs could do with it, beside what the project's engines do."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeVar

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.gpus import TABS
from heliograph.dashboards.timerange import ChosenRange, chosen_range
from heliograph.query import engine_use, serving
from heliograph.query.filters import InvalidFilterError, SpanFilter, TimeRange
from heliograph.query.goodput import TPOT_MS, TTFT_MS, Goodput, Slo, goodput
from heliograph.query.quantities import three_figures
from heliograph.query.roofline import Asked, Figure, estimate
from serving_math import memory
from serving_math.gpus import GPUS

EXAMPLE = {"model": "meta-llama/Llama-3.1-8B-Instruct", "gpu": "H100 SXM", "tokens_per_s": "150"}
# An address of this length passes every proxy; a larger file goes to the API.
MAX_CONFIG_CHARS = 4_000
FormT = TypeVar("FormT", bound=forms.Form)
_PRECISIONS = [(name, name.upper()) for name in ("bf16", "fp16", "fp8", "fp4", "int8")]


class CalculatorForm(forms.Form):
    """A model on GPUs, as a person states it. Fields that are left out take their initial values."""

    model = forms.CharField(max_length=300, initial=EXAMPLE["model"])
    gpu = forms.ChoiceField(label="GPU", choices=[("", "–"), *((gpu.name, gpu.name) for gpu in GPUS)], required=False)
    gpus = forms.IntegerField(label="GPUs", min_value=1, max_value=100_000, initial=1, required=False)
    batch = forms.IntegerField(min_value=1, max_value=10**6, initial=1, required=False)
    context = forms.IntegerField(label="Context, tokens", min_value=1, max_value=10**8, initial=2048, required=False)
    tokens_per_s = forms.FloatField(label="Measured tokens/s", min_value=1e-6, required=False)
    bits = forms.FloatField(label="Bits a weight", min_value=0.1, max_value=64, required=False)
    kv_bits = forms.FloatField(label="Bits a cache entry", min_value=1, max_value=32, initial=16, required=False)
    precision = forms.ChoiceField(label="Arithmetic", choices=_PRECISIONS, initial="bf16", required=False)
    usable = forms.FloatField(label="Usable share", min_value=0.01, max_value=1, initial=0.9, required=False)
    params_b = forms.FloatField(label="Parameters, billions", min_value=1e-6, max_value=10**6, required=False)
    active_params_b = forms.FloatField(label="Active, billions", min_value=1e-6, max_value=10**6, required=False)
    config_json = forms.CharField(
        label="config.json", max_length=MAX_CONFIG_CHARS, required=False, widget=forms.Textarea(attrs={"rows": 4})
    )

    def asked(self) -> Asked:
        """Return what was stated. Call when the form is valid."""
        given = {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}
        return Asked(**given)


class ZeroForm(forms.Form):
    """A model in training."""

    zero_params_b = forms.FloatField(label="Parameters, billions", min_value=1e-6, max_value=10**6, initial=7.5)
    zero_gpus = forms.IntegerField(label="GPUs", min_value=1, max_value=10**6, initial=8)


class SloForm(forms.Form):
    """The limits of a service level, in milliseconds."""

    ttft_ms = forms.FloatField(label="First token, ms", min_value=0, initial=TTFT_MS)
    tpot_ms = forms.FloatField(label="Further token, ms", min_value=0, initial=TPOT_MS)


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure as the page writes it; `exact` is said on hover."""

    figure: Figure
    text: str
    exact: str


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page; htmx asks for the figures alone."""
    form = _bound(CalculatorForm, request, EXAMPLE)
    context: dict[str, Any] = {"project": project, "form": form}
    if form.is_valid():
        found = estimate(form.asked())
        context |= {"figures": [_shown(figure) for figure in found.figures], "estimate": found}
    if getattr(request, "htmx", False):
        return render(request, "dashboards/_calculator_figures.html", context)
    chosen = chosen_range(request)
    zero, slo = _bound(ZeroForm, request, {}), _bound(SloForm, request, {})
    context |= {
        "tabs": TABS,
        "tab": "gpus-calculator",
        "chosen": chosen,
        "error": chosen.error,
        "zero": zero,
        "stages": _stages(zero),
        "slo": slo,
        "level": _level(project.pk, slo, chosen),
        "use": _use(project.pk, chosen.range),
        "use_is_cut": chosen.range.end - chosen.range.start > serving.MAX_RANGE,
    }
    return render(request, "dashboards/calculator.html", context)


def _bound(kind: type[FormT], request: HttpRequest, example: dict[str, str]) -> FormT:
    """Return the form with what the address holds; what it lacks takes the example's or the initial values."""
    names = kind.base_fields
    given = {name: request.GET[name] for name in names if name in request.GET}
    filled = {name: _text(field.initial) for name, field in names.items() if field.initial is not None}
    return kind({**filled, **({} if given else example), **given})


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(figure: Figure) -> Shown:
    if figure.word:
        return Shown(figure, figure.word, figure.formula)
    if figure.value is None:
        return Shown(figure, "", figure.reason)
    text = _written(figure, figure.value)
    if figure.high is not None:
        text += f" to {_written(figure, figure.high)}"
    return Shown(figure, text, f"{figure.value:,.6g} {figure.unit} = {figure.formula}")


def _written(figure: Figure, value: float) -> str:
    if figure.unit == "bytes":
        # The cache's checked values are powers of two; a maker's gigabyte is on hover.
        unit, size = next(((name, size) for name, size in _BINARY if value >= size), ("B", 1))
        return f"{three_figures(value / size)} {unit}"
    if figure.unit == "share":
        return f"{three_figures(value * 100)} %"
    if figure.unit in ("tokens", "count"):
        return f"{value:,.0f}"
    return f"{three_figures(value)} {figure.unit}"


_BINARY = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def _stages(form: ZeroForm) -> list[tuple[int, str, float]]:
    """Each stage with its bytes a GPU, in gigabytes with the one decimal that the method's paper gives, and exactly."""
    if not form.is_valid():
        return []
    params, gpus = form.cleaned_data["zero_params_b"] * 1e9, form.cleaned_data["zero_gpus"]
    sizes = [memory.zero_bytes(params, gpus, stage) for stage in range(4)]
    return [(stage, _gigabytes(size), size) for stage, size in enumerate(sizes)]


def _gigabytes(size: float) -> str:
    # 41.25 is 41.3 in the paper, and would be 41.2 by the rounding of floats.
    return f"{Decimal(repr(size / 1e9)).quantize(Decimal('0.1'), ROUND_HALF_UP):,} GB"


def _level(project_id: int, form: SloForm, chosen: ChosenRange) -> Goodput | None:
    if not form.is_valid():
        return None
    try:
        slo = Slo(form.cleaned_data["ttft_ms"] or None, form.cleaned_data["tpot_ms"] or None)
    except InvalidFilterError as invalid:
        form.add_error(None, invalid.message)
        return None
    return goodput(project_id, SpanFilter(range=chosen.range), slo)


def _use(project_id: int, span: TimeRange) -> list[engine_use.EngineUse]:
    """The engines' use over the end of the range, as far as their samples are read."""
    return engine_use.of_engines(project_id, TimeRange(max(span.start, span.end - serving.MAX_RANGE), span.end))
