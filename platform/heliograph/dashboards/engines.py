"""Serving engines: what each is doing, side by side, and one engine's queue, batch and cache beside its latency."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.dashboards import alert_marks
from heliograph.dashboards.access import project_page
from heliograph.dashboards.charts import Chart, Mark, Series, Unit, over_range
from heliograph.dashboards.failures import explained
from heliograph.dashboards.gpus import TABS
from heliograph.dashboards.project_settings import sending_context
from heliograph.dashboards.timerange import ChosenRange, chosen_range
from heliograph.query import fleet, serving
from heliograph.query.filters import TimeRange
from heliograph.query.serving import CanonicalSeries, EngineInstance, InstanceMetrics

# An engine's samples are read as they came, so the list shows the last hour of a longer range and says so.
LISTED_RANGE = timedelta(hours=1)
# 15 s of samples give a point each minute of two hours.
BUCKETS = 120
LISTED = ("ttft", "tpot", "e2e", "queue", "running", "waiting", "kv_usage", "preemptions", "out_tok_s")


@dataclass(frozen=True, slots=True)
class Shown:
    """A canonical metric on a page: its chart's question, how its value is turned into the chart's unit.

    Alert rules call those that they watch by the same names.
    """

    metric: str
    title: str
    unit: Unit
    factor: float = 1.0
    maximum: float | None = None


SHOWN = (
    Shown("ttft", "How long until the first token?", "ns", 1e9),
    Shown("tpot", "How long for each further token?", "ns", 1e9),
    Shown("queue", "How long did requests wait in the queue?", "ns", 1e9),
    Shown("e2e", "How long did whole requests take?", "ns", 1e9),
    Shown("waiting", "How many requests waited?", "count"),
    Shown("running", "How many requests ran together?", "count"),
    Shown("kv_usage", "How full was the KV cache?", "share", 1.0, 1.0),
    Shown("preemptions", "How often were requests preempted?", "per_s"),
    Shown("out_tok_s", "How many tokens came out?", "per_s"),
    Shown("prefix_hit", "How much of the prompts was cached?", "share", 1.0, 1.0),
    Shown("spec_accept", "How many draft tokens were accepted?", "share", 1.0, 1.0),
    Shown("batch", "How large were the batches?", "count"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """An engine in the list with its readings by canonical name, and the address of its page."""

    metrics: InstanceMetrics
    url: str

    @property
    def readings(self) -> dict[str, Any]:
        """The one reading of each metric over the range, with the reason where there is none."""
        return {
            each.metric: {
                "value": each.readings[0].value if each.readings else None,
                "p50": each.readings[0].p50 if each.readings else None,
                "p95": each.readings[0].p95 if each.readings else None,
                "reason": each.reason or (each.readings[0].reason if each.readings else "no samples"),
                "bound": each.bound,
            }
            for each in self.metrics.metrics
        }


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the engines that reported in the range, with what they did in its last hour."""
    chosen = chosen_range(request)
    span = chosen.range
    shortened = span.end - span.start > LISTED_RANGE
    listed = TimeRange(span.end - LISTED_RANGE, span.end) if shortened else span
    found = serving.canonical(project.pk, listed, metrics=LISTED)
    known = {each.instance.key for each in found}
    silent = (
        [each for each in serving.instances(project.pk, _bounded(span)) if each.key not in known] if shortened else []
    )
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "tabs": TABS,
        "tab": "gpus-engines",
        "shortened": shortened,
        "rows": [Row(each, address(project, each.instance, chosen)) for each in found],
        "silent": [(each, address(project, each, chosen)) for each in silent],
        **sending_context(project),
    }
    return render(request, "dashboards/engines.html", context)


@explained
@project_page
def show_one(request: HttpRequest, project: Project) -> HttpResponse:
    """Show one engine over the range: the last week of a longer one."""
    chosen = chosen_range(request)
    span = _bounded(chosen.range)
    asked = {name: request.GET.get(name, "") for name in ("engine", "service", "host", "instance")}
    step = max(15, -(-int(span.seconds) // BUCKETS))
    found = serving.canonical(
        project.pk,
        span,
        step_s=step,
        service=asked["service"],
        engine=asked["engine"],
        metrics=[one.metric for one in SHOWN],
    )
    one = next(
        (each for each in found if (each.instance.host, each.instance.instance) == (asked["host"], asked["instance"])),
        None,
    )
    if one is None:
        raise Http404("no such engine reported in this time range")
    drawn = [(shown, one.of(shown.metric)) for shown in SHOWN]
    slow = f"{reverse('gpus-slow', args=[project.slug])}?{urlencode(_calls_of(one.instance), doseq=True)}"
    charts = [_chart(shown, series) for shown, series in drawn if not series.reason]
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "shortened": span.start != chosen.range.start,
        "engine": one.instance,
        "charts": alert_marks.with_alerts(
            project,
            over_range([chart for chart in charts if not chart.is_empty], span, _marks(project, span, one), slow),
            span,
            **{name: [value] for name, value in asked.items()},
        ),
        "absent": [
            (shown.title, series.reason or "no samples")
            for (shown, series) in drawn
            if series.reason or _chart(shown, series).is_empty
        ],
        "sources": [(series, shown) for shown, series in drawn if series.sources],
        "slow_url": f"{slow}&{chosen.query}",
        "gpus": fleet.fleet(project.pk, chosen.range, host=one.instance.host).gpus if one.instance.host else (),
    }
    return render(request, "dashboards/engine.html", context)


def address(project: Project, instance: EngineInstance, chosen: ChosenRange) -> str:
    """Return the address of an engine's page."""
    parts = {
        "engine": instance.engine,
        "service": instance.service,
        "host": instance.host,
        "instance": instance.instance,
    }
    return f"{reverse('gpus-engine', args=[project.slug])}?{urlencode(parts)}&{chosen.query}"


def _calls_of(instance: EngineInstance) -> dict[str, Any]:
    """What narrows spans to this engine's: the models that it serves, else its host."""
    if instance.models:
        return {"model": instance.models}
    return {"host": instance.host} if instance.host else {"service": instance.service}


def _bounded(span: TimeRange) -> TimeRange:
    return span if span.end - span.start <= serving.MAX_RANGE else TimeRange(span.end - serving.MAX_RANGE, span.end)


def _chart(shown: Shown, series: CanonicalSeries) -> Chart:
    readings = series.readings
    times = [reading.start_s * 1000 for reading in readings]

    def of(name: str) -> list[float | None]:
        values = [getattr(reading, name) for reading in readings]
        return [None if value is None else value * shown.factor for value in values]

    lines = [Series("p50", of("p50")), Series("p95", of("p95"), "light"), Series("p99", of("p99"), "faint")]
    if all(value is None for line in lines for value in line.values):
        word = {"lower": "at least", "upper": "at most"}.get(series.bound, "mean" if shown.unit == "ns" else "value")
        lines = [Series(word, of("value"))]
    return Chart(
        f"engine-{shown.metric}", shown.title, shown.unit, times, lines, maximum=shown.maximum, about=(shown.metric,)
    )


def _marks(project: Project, span: TimeRange, one: InstanceMetrics) -> list[Mark]:
    """Where the engine began again, and what happened to the GPUs of its host."""
    resets = sorted(
        {
            reading.start_s
            for series in one.metrics
            for reading in series.readings
            if reading.reason == serving.COUNTER_RESET
        }
    )
    marks = [Mark(at * 1000, "restart") for at in resets[:20]]
    if one.instance.host:
        from_gpus = fleet.events(project.pk, span, host=one.instance.host)
        marks += [
            Mark(event.time_ns // 1_000_000, event.words, event.name in ("gpu.xid", "gpu.lost"))
            for event in from_gpus
            if event.name in ("gpu.xid", "gpu.lost", "gpu.found", "gpu.driver.reloaded")
        ][:20]
    return sorted(marks, key=lambda mark: mark.at_ms)
