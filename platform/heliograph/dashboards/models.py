"""Models by family, side by side; one family compared; one model with its adapters; one adapter."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.dashboards import alert_marks
from heliograph.dashboards.access import project_page
from heliograph.dashboards.charts import Chart, Series, Unit, over_range
from heliograph.dashboards.failures import explained
from heliograph.dashboards.project_settings import sending_context
from heliograph.dashboards.timerange import ChosenRange, chosen_range
from heliograph.query import adapters, overview, residency, scores
from heliograph.query import models as queries
from heliograph.query.asking import asking
from heliograph.query.filters import InvalidFilterError, RollupFilter
from heliograph.query.models import ModelRow
from heliograph.query.overview import Measures, Point
from heliograph.query.placement import MODEL_KINDS
from heliograph.query.prices import gpu_prices
from heliograph.query.scores import ScoreFilter

# Lines that a chart can tell apart.
MAX_COMPARED = 8
ADAPTERS_SHOWN = 50
# What a model's name says, in the order of its page.
FIELDS = (
    ("org", "Organisation"),
    ("family", "Family"),
    ("version", "Version"),
    ("tier", "Tier"),
    ("params_total", "Parameters, billions"),
    ("params_active", "Active parameters, billions"),
    ("experts", "Experts"),
    ("quantization", "Quantization"),
    ("bits", "Bits"),
    ("format", "Format"),
    ("provider", "Provider by its name"),
    ("date", "Date"),
    ("region", "Region"),
    ("base_model", "Base model"),
)


@dataclass(frozen=True, slots=True)
class Family:
    """The models of one family and version; `key` is '' for those whose names say neither."""

    key: str
    rows: tuple[ModelRow, ...]

    @property
    def title(self) -> str:
        """Such as `llama 3.1`."""
        return self.key.replace("-", " ") if self.key else "Other names"

    @property
    def quantized(self) -> list[tuple[str, str]]:
        """What one size is compared by that runs in several quantizations: in words, and as an address carries it."""
        sizes: dict[float | None, list[ModelRow]] = {}
        for row in self.rows if self.key else ():
            if row.name.quantization:
                sizes.setdefault(row.name.params_total, []).append(row)
        found = []
        for size, rows in sizes.items():
            names = list(dict.fromkeys(row.name.quantization or "" for row in rows))
            if len(names) > 1:
                of = "" if size is None or len(sizes) == 1 else f"{size:g} B: "
                compared = [("model", row.model) for row in rows[:MAX_COMPARED]]
                found.append((of + " against ".join(names), urlencode(compared)))
        return found


@dataclass(frozen=True, slots=True)
class Best:
    """The lowest of each measure among models that are compared, where at least two tell it; quality's highest."""

    latency: float | None
    ttft: float | None
    tpot: float | None
    usd: Decimal | None
    joules: float | None
    quality: float | None


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show every model that answered, by family."""
    chosen = chosen_range(request)
    names, score = _score(request, project, chosen)
    rows = queries.by_model(project.pk, chosen.range, score=score, prices=gpu_prices(project.pk))
    families: dict[str, list[ModelRow]] = {}
    for row in rows:
        families.setdefault(row.family, []).append(row)
    context = {
        **_frame(project, chosen, names, score),
        "families": [Family(key, tuple(of)) for key, of in families.items()],
        **sending_context(project),
    }
    return render(request, "dashboards/models.html", context)


@explained
@project_page
def compare(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the models of one family, or those that the address names, on common charts."""
    chosen = chosen_range(request)
    names, score = _score(request, project, chosen)
    family, named = request.GET.get("family", ""), request.GET.getlist("model")[:MAX_COMPARED]
    rows = queries.by_model(project.pk, chosen.range, score=score, prices=gpu_prices(project.pk), models=named)
    if not named:
        rows = [row for row in rows if row.family == family]
    compared = rows[:MAX_COMPARED]
    filters = {row.model: RollupFilter(range=chosen.range, kind=MODEL_KINDS, model=(row.model,)) for row in compared}
    with asking() as ask:
        asked = {name: ask(overview.series, project.pk, each, buckets=60) for name, each in filters.items()}
    series = {name: points.result() for name, points in asked.items()}
    slow = f"{reverse('gpus-slow', args=[project.slug])}?{urlencode({'model': list(series)}, doseq=True)}"
    charts = over_range(_compared_charts(series), chosen.range, (), slow) if compared else []
    context = {
        **_frame(project, chosen, names, score),
        "title": Family(family, ()).title if not named else "Chosen models",
        "rows": compared,
        "is_cut": len(rows) > MAX_COMPARED,
        "best": _best(compared),
        "charts": alert_marks.with_alerts(project, charts, chosen.range, model=list(series), kind=MODEL_KINDS),
        "slow_url": f"{slow}&{chosen.query}",
    }
    return render(request, "dashboards/models_compare.html", context)


@explained
@project_page
def show_one(request: HttpRequest, project: Project) -> HttpResponse:
    """Show one model: what its name says, its numbers over time, what was asked for, and its adapters."""
    return _one(request, project, request.GET.get("model", ""), None)


@explained
@project_page
def show_adapter(request: HttpRequest, project: Project) -> HttpResponse:
    """Show one LoRA adapter, of one model where the address names it."""
    return _one(request, project, request.GET.get("model", ""), request.GET.get("adapter", ""))


def _one(request: HttpRequest, project: Project, model: str, adapter: str | None) -> HttpResponse:
    chosen = chosen_range(request)
    narrowed = RollupFilter(
        range=chosen.range,
        kind=MODEL_KINDS,
        model=(model,) if model else (),
        adapter=(adapter,) if adapter is not None else (),
    )
    prices, named = gpu_prices(project.pk), [model] if model else []
    with asking() as ask:
        series = ask(overview.series, project.pk, narrowed)
        requested = ask(queries.requested_as, project.pk, model, chosen.range) if adapter is None else None
        names, score = _score(request, project, chosen)
        by_model = ask(queries.by_model, project.pk, chosen.range, score=score, prices=prices, models=named)
    points, rows = series.result(), by_model.result()
    row = rows[0] if model and rows else None
    if not any(point.measures.requests for point in points):
        raise Http404("no call of it in this time range")
    picked = {"model": model} if model else {}
    if adapter is not None:
        picked["adapter"] = adapter
    slow = f"{reverse('gpus-slow', args=[project.slug])}?{urlencode(picked)}"
    charts = _charts(points)
    if score and adapter is None:
        charts.append(_quality_chart(project, chosen, score, model))
    context = {
        **_frame(project, chosen, names, score),
        "model": model,
        "adapter": adapter,
        "row": row,
        "fields": _fields(row),
        "now": row.measures if row and adapter is None else overview.totals(project.pk, narrowed),
        "charts": alert_marks.with_alerts(
            project,
            over_range(charts, chosen.range, (), slow),
            chosen.range,
            model=narrowed.model,
            adapter=narrowed.adapter,
            kind=MODEL_KINDS,
        ),
        "slow_url": f"{slow}&{chosen.query}",
        "picked": urlencode(picked),
    }
    if adapter is None:
        context |= {
            # A model that is known to have none needs no question for them.
            "adapters": adapters.by_adapter(project.pk, narrowed, top=ADAPTERS_SHOWN)
            if row is None or row.adapters
            else [],
            "requested": requested.result() if requested else [],
        }
    else:
        loaded = residency.residency(project.pk, chosen.range, adapter=(adapter,))
        context["residency"] = next((one for one in loaded.adapters if one.adapter == adapter), None)
    return render(request, "dashboards/model.html", context)


def _frame(project: Project, chosen: ChosenRange, names: Sequence[str], score: str) -> dict[str, Any]:
    return {"project": project, "chosen": chosen, "error": chosen.error, "score": score, "score_names": names}


def _score(request: HttpRequest, project: Project, chosen: ChosenRange) -> tuple[list[str], str]:
    """Return the names of scores in the range, and the one that is shown as quality: the most frequent unless asked."""
    found = sorted(scores.names(project.pk, chosen.range), key=lambda each: -each.scored)
    names = [each.name for each in found[:20]]
    asked = request.GET.get("score", "")
    if asked and asked not in names and len(asked) > 200:
        raise InvalidFilterError("score", "may have at most 200 characters")
    return names, asked or (names[0] if names else "")


def _fields(row: ModelRow | None) -> list[tuple[str, Any]]:
    if row is None:
        return []
    said = [(word, getattr(row.name, field)) for field, word in FIELDS]
    said = [(word, f"{value:g}" if isinstance(value, float) else value) for word, value in said]
    said.append(("Variant", ", ".join(row.name.variant)))
    return [(word, value) for word, value in said if value not in (None, "")]


def _best(rows: Sequence[ModelRow]) -> Best:
    def lowest(values: Sequence[Any], best: Any = min) -> Any:
        known = [value for value in values if value is not None]
        return best(known) if len(known) > 1 else None

    return Best(
        latency=lowest([row.measures.latency_p50_ns for row in rows]),
        ttft=lowest([row.measures.ttft_p50_ns for row in rows]),
        tpot=lowest([row.tpot.p50_ns if row.tpot else None for row in rows]),
        usd=lowest([row.usd_per_million for row in rows]),
        joules=lowest([row.joules_per_token for row in rows]),
        quality=lowest([row.quality.mean if row.quality else None for row in rows], max),
    )


def _compared_charts(series: dict[str, list[Point]]) -> list[Chart]:
    times = [point.start_s * 1000 for point in next(iter(series.values()))]

    def chart(name: str, title: str, unit: Unit, about: tuple[str, ...], read: Any) -> Chart:
        lines = [Series(model, [read(point.measures) for point in points]) for model, points in series.items()]
        return Chart(f"compare-{name}", title, unit, times, lines, is_named=True, by_name=True, about=about)

    return [
        chart("latency", "How long did calls take (p50)?", "ns", alert_marks.LATENCY, lambda one: one.latency_p50_ns),
        chart("ttft", "How long until the first token (p50)?", "ns", alert_marks.TTFT, lambda one: one.ttft_p50_ns),
        chart("calls", "How many calls?", "count", alert_marks.CALLS, lambda one: one.requests),
        chart("errors", "Which share failed?", "share", alert_marks.CALLS, lambda one: one.error_rate),
    ]


def _charts(points: list[Point]) -> list[Chart]:
    times = [point.start_s * 1000 for point in points]
    every: list[Measures] = [point.measures for point in points]
    return [
        Chart(
            "model-calls",
            "How many calls, and how many failed?",
            "count",
            times,
            [
                Series("succeeded", [one.requests - one.errors for one in every], "light"),
                Series("failed", [one.errors for one in every], "bad"),
            ],
            kind="bar",
            about=alert_marks.CALLS,
        ),
        Chart(
            "model-latency",
            "How long did calls take?",
            "ns",
            times,
            [
                Series("p50", [one.latency_p50_ns for one in every]),
                Series("p95", [one.latency_p95_ns for one in every], "light"),
                Series("p99", [one.latency_p99_ns for one in every], "faint"),
            ],
            about=alert_marks.LATENCY,
        ),
        Chart(
            "model-ttft",
            "How long until the first token?",
            "ns",
            times,
            [
                Series("p50", [one.ttft_p50_ns for one in every]),
                Series("p95", [one.ttft_p95_ns for one in every], "light"),
            ],
            empty="No call reported a first token. Streaming calls do.",
            about=alert_marks.TTFT,
        ),
        Chart(
            "model-tokens",
            "How many tokens went in and out?",
            "count",
            times,
            [
                Series("in", [one.input_tokens for one in every], "light"),
                Series("out", [one.output_tokens for one in every]),
            ],
            kind="bar",
            about=alert_marks.TOKENS,
        ),
        Chart(
            "model-cost",
            "What did it cost by its list price?",
            "usd",
            times,
            [Series("cost", [float(one.known_cost) if one.requests and one.known_cost else None for one in every])],
            kind="bar",
            empty="No call of it has a list price. Settings, Prices takes one of yours.",
            about=alert_marks.COST,
        ),
    ]


def _quality_chart(project: Project, chosen: ChosenRange, score: str, model: str) -> Chart:
    found = scores.series(project.pk, ScoreFilter(range=chosen.range, name=score, model=(model,), live_only=True))
    stats = [point.stats for point in found]
    line = Series(
        f"mean {score}",
        [one.mean for one in stats],
        low=[one.mean_low for one in stats],
        high=[one.mean_high for one in stats],
    )
    times = [point.start_s * 1000 for point in found]
    return Chart(
        "model-quality",
        f"How good was it ({score})?",
        "number",
        times,
        [line],
        empty="None was judged.",
        about=alert_marks.of_score(score),
    )
