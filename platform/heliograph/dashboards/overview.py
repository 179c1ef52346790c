"""The overview: how much, how fast, how dear, how good, and whether that changed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.dashboards import alert_marks, latency_cells
from heliograph.dashboards.access import project_page
from heliograph.dashboards.charts import Chart, Mark, Series, Value, over_range
from heliograph.dashboards.failures import explained
from heliograph.dashboards.money import Money, OwnCosts, money, own_costs
from heliograph.dashboards.project_settings import sending_context
from heliograph.dashboards.timerange import chosen_range
from heliograph.gates.models import Finding, Look
from heliograph.query import ledger, model_changes, overview, scores
from heliograph.query.asking import Ask, asking
from heliograph.query.filters import RollupFilter, from_ns
from heliograph.query.model_changes import ModelChange
from heliograph.query.overview import Dimension, Measures, Point, Summary
from heliograph.query.scores import ScoreFilter, ScorePoint

# Below this probability an answer counts as badly grounded on the overview.
SCORE_BOUND = 0.5
# More lines than this on a chart say nothing.
MAX_MARKS = 20
# Of many scores, those that are given most.
MAX_SCORES = 4
# Of many looks of drift monitors, the latest: an hourly monitor over a month.
MAX_LOOKS = 750
BROKEN_DOWN: tuple[Dimension, ...] = ("service", "model", "adapter", "environment", "release")
NARROWING = ("service", "environment", "release", "model", "adapter")


@dataclass(frozen=True, slots=True)
class Tile:
    """One number of the head: how it is written, its change against the period before, and whether up is good."""

    label: str
    value: float | int | None
    unit: Literal["count", "ns", "usd", "share"]
    change: float | None
    up_is: Literal["good", "bad", "neutral"]
    money: Money | None = None

    @property
    def verdict(self) -> str:
        """The word for the colour of the change: ok, bad or nothing."""
        if self.change is None or abs(self.change) < 0.005 or self.up_is == "neutral":
            return ""
        return "ok" if (self.change > 0) == (self.up_is == "good") else "bad"


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page."""
    chosen = chosen_range(request)
    narrowed = {name: tuple(request.GET.getlist(name)) for name in NARROWING}
    of_spans: dict[str, Any] = {name: narrowed[name] for name in ("service", "release", "model")}
    rollup = RollupFilter(range=chosen.range, **narrowed)
    given = replace(ScoreFilter(range=chosen.range, name="groundedness", live_only=True), **of_spans)
    compares = request.GET.get("compare") == "1"
    with asking() as ask:
        glance = ask(overview.glance, project.pk, rollup, BROKEN_DOWN, limit=10)
        series = ask(overview.series, project.pk, rollup)
        # Both have the same step, and the one before is as long: its points stand under those of now, in order.
        series_before = ask(overview.series, project.pk, rollup.previous()) if compares else None
        changes = ask(model_changes.changes, project.pk, rollup.range, service=rollup.service)
        sampling = ask(ledger.sampling, project.pk, chosen.range)
        score_charts = _score_charts(ask, project, given)
    seen, points, decided = glance.result(), series.result(), sampling.result()
    before = series_before.result() if series_before else []
    totals = seen.summary
    own = own_costs(project.pk, rollup, points)
    marks = _model_marks(changes.result(), rollup)
    slow = f"{reverse('gpus-slow', args=[project.slug])}?{urlencode(narrowed, doseq=True)}"
    figures = latency_cells.with_views(request, project, rollup, narrowed, _charts(points, own, before))
    charts = [
        *over_range(figures, chosen.range, marks, slow),
        *over_range([*score_charts, _drift_chart(project, points)], chosen.range, marks),
    ]
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "is_empty": not totals.current.requests and not totals.current.llm_calls,
        "tiles": _tiles(totals, own),
        "unpriced": totals.current.unpriced_count,
        "sampled": _sampled(totals.current),
        "decided": decided,
        "charts": alert_marks.with_alerts(project, charts, chosen.range, **narrowed),
        "services": seen.groups["service"],
        "models": seen.groups["model"],
        "adapters": seen.groups["adapter"],
        "environments": seen.groups["environment"],
        "releases": seen.groups["release"],
        "compares": compares,
        "compare_url": _compare_url(request, compares),
        "slow_url": f"{slow}&{chosen.query}",
        "narrowed": [(name, value) for name, values in narrowed.items() for value in values],
        **sending_context(project),
    }
    return render(request, "dashboards/overview.html", context)


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the stored requests stand for, as estimated from their adjusted counts; `cost` in USD."""

    share: float
    stored: int
    requests: int
    tokens: int
    cost: float


def _sampled(now: Measures) -> Sampled | None:
    if now.sampled_share is None:
        return None
    return Sampled(
        now.sampled_share,
        now.requests,
        round(now.requests + now.unseen_requests),
        round(now.input_tokens + now.unseen_input_tokens + now.output_tokens + now.unseen_output_tokens),
        float(now.cost) + now.unseen_cost,
    )


def _tiles(totals: Summary, own: OwnCosts) -> list[Tile]:
    now = totals.current
    change = totals.change
    cost = money(now.known_cost, now.unpriced_count, own.total)
    before = money(totals.previous.known_cost, totals.previous.unpriced_count, own.before).usd
    cost_change = float(cost.usd / before) - 1 if cost.usd is not None and before else None
    return [
        Tile("Requests", now.requests, "count", change("requests"), "neutral"),
        Tile("Error rate", now.error_rate, "share", change("error_rate"), "bad"),
        Tile("Latency p50", now.latency_p50_ns, "ns", change("latency_p50_ns"), "bad"),
        Tile("Latency p95", now.latency_p95_ns, "ns", change("latency_p95_ns"), "bad"),
        Tile("Latency p99", now.latency_p99_ns, "ns", change("latency_p99_ns"), "bad"),
        Tile("First token p50", now.ttft_p50_ns, "ns", change("ttft_p50_ns"), "bad"),
        Tile("First token p95", now.ttft_p95_ns, "ns", change("ttft_p95_ns"), "bad"),
        Tile("Per token p50", now.tpot_p50_ns, "ns", change("tpot_p50_ns"), "bad"),
        Tile("Model calls", now.llm_calls, "count", change("llm_calls"), "neutral"),
        Tile("Tokens in", now.input_tokens, "count", change("input_tokens"), "neutral"),
        Tile("Tokens out", now.output_tokens, "count", change("output_tokens"), "neutral"),
        Tile("Cached", now.cache_read_tokens, "count", change("cache_read_tokens"), "neutral"),
        Tile("Reasoning", now.reasoning_tokens, "count", change("reasoning_tokens"), "neutral"),
        Tile("Cost", _float(cost.usd), "usd", cost_change, "bad", cost),
    ]


def _compare_url(request: HttpRequest, compares: bool) -> str:
    parameters = request.GET.copy()
    parameters.pop("compare", None)
    if not compares:
        parameters["compare"] = "1"
    return "?" + parameters.urlencode()


def _earlier(before: list[Point], points: list[Point], measure: str) -> list[Series]:
    """The line of the period before, under the times of now; none where it is not compared."""
    if not before:
        return []
    values: list[Value] = [getattr(point.measures, measure) for point in before[-len(points) :]]
    values += [None] * (len(points) - len(values))
    return [Series("p50 before", values, "faint")]


def _charts(points: list[Point], own: OwnCosts, before: list[Point]) -> list[Chart]:
    times = [point.start_s * 1000 for point in points]
    every = [point.measures for point in points]
    return [
        Chart(
            "requests",
            "How many requests, and how many failed?",
            "count",
            times,
            [
                Series("succeeded", [row.requests - row.errors for row in every], "light"),
                Series("failed", [row.errors for row in every], "bad"),
            ],
            kind="bar",
            about=alert_marks.REQUESTS,
        ),
        Chart(
            "latency",
            "How long did requests take?",
            "ns",
            times,
            [
                Series("p50", [row.latency_p50_ns for row in every]),
                Series("p95", [row.latency_p95_ns for row in every], "light"),
                Series("p99", [row.latency_p99_ns for row in every], "faint"),
                *_earlier(before, points, "latency_p50_ns"),
            ],
            about=alert_marks.LATENCY,
        ),
        Chart(
            "ttft",
            "How long until the first token?",
            "ns",
            times,
            [
                Series("p50", [row.ttft_p50_ns for row in every]),
                Series("p95", [row.ttft_p95_ns for row in every], "light"),
                *_earlier(before, points, "ttft_p50_ns"),
            ],
            empty="No span reported a first token. Streaming calls do.",
            about=alert_marks.TTFT,
        ),
        Chart(
            "tpot",
            "How long did each further token take?",
            "ns",
            times,
            [
                Series("p50", [row.tpot_p50_ns for row in every]),
                Series("p95", [row.tpot_p95_ns for row in every], "light"),
                *_earlier(before, points, "tpot_p50_ns"),
            ],
            empty="No call reported its first token and two or more tokens.",
            about=alert_marks.TPOT,
        ),
        Chart(
            "tokens",
            "How many tokens went in and out?",
            "count",
            times,
            [
                Series("in", [row.input_tokens for row in every], "light"),
                Series("out", [row.output_tokens for row in every]),
            ],
            kind="bar",
            about=alert_marks.TOKENS,
        ),
        Chart(
            "cost",
            "What did it cost?",
            "usd",
            times,
            _cost_series(points, own),
            kind="bar",
            about=alert_marks.COST,
        ),
    ]


def _score_charts(ask: Ask, project: Project, given: ScoreFilter) -> list[Chart]:
    """The groundedness of answers, and the other scores with the most verdicts."""
    first = ask(scores.series, project.pk, given, bound=SCORE_BOUND)
    named = sorted(ask(scores.names, project.pk, given.range).result(), key=lambda one: (-one.scored, one.name))
    others = [replace(given, name=one.name) for one in named if one.name != given.name and one.scored]
    asked = [(one, ask(scores.series, project.pk, one, bound=SCORE_BOUND)) for one in others[: MAX_SCORES - 1]]
    return [_score_chart(one, points.result()) for one, points in [(given, first), *asked]]


def _score_chart(given: ScoreFilter, points: list[ScorePoint]) -> Chart:
    is_first = given.name == "groundedness"
    stats = [point.stats for point in points]
    line = Series(
        f"mean {given.name}",
        [row.mean for row in stats],
        low=[row.mean_low for row in stats],
        high=[row.mean_high for row in stats],
    )
    return Chart(
        "groundedness" if is_first else f"score-{given.name}",
        "How well were answers grounded in their documents?" if is_first else f"What was the mean {given.name}?",
        "number",
        [point.start_s * 1000 for point in points],
        [line],
        empty="No answer with documents was judged in this time range. The evaluator looks every half minute."
        if is_first
        else f"No answer of live traffic has a score {given.name} in this time range.",
        maximum=1.0 if is_first else None,
        about=alert_marks.of_score(given.name),
    )


def _drift_chart(project: Project, points: list[Point]) -> Chart:
    """How many changes drift monitors found, by what changed; a time in which none looked is a gap.

    Monitors look at traffic of their own choice, so the page's other filters do not hold here.
    """
    step = points[0].step_s if points else 1
    starts = {point.start_s: at for at, point in enumerate(points)}
    looked = Look.objects.filter(monitor__project=project, status=Look.Status.DONE)
    if points:
        first, last = from_ns(points[0].start_s * 10**9), from_ns((points[-1].start_s + step) * 10**9)
        looked = looked.filter(until__gte=first, until__lt=last)
    untils = dict(looked.order_by("-until").values_list("pk", "until")[:MAX_LOOKS]) if points else {}
    places = {pk: starts[int(until.timestamp()) // step * step] for pk, until in untils.items()}
    found = Finding.objects.filter(look_id__in=list(untils)).values_list("look_id", "signal")
    counted = Counter((signal, places[look_id]) for look_id, signal in found)
    seen = set(places.values())
    signals = sorted({signal for signal, _ in counted}) or ["changes"]
    return Chart(
        "drift",
        "How many changes did drift monitors find?",
        "count",
        [point.start_s * 1000 for point in points],
        [
            Series(signal, [counted[signal, at] if at in seen else None for at in range(len(points))])
            for signal in signals
        ],
        kind="bar",
        empty="No drift monitor looked in this time range. Each project has one that looks once a day.",
        is_named=True,
        about=("drift",),
    )


def _model_marks(found: Sequence[ModelChange], rollup: RollupFilter) -> list[Mark]:
    """What began to answer in the range instead of something else; the latest, where there are many."""
    # A filter by model names what answered, on either side of a change.
    wanted = [each for each in found if not rollup.model or {each.before, each.after} & set(rollup.model)]
    return [Mark(each.time_ns // 1_000_000, each.words) for each in wanted[-MAX_MARKS:]]


def _cost_series(points: list[Point], own: OwnCosts) -> list[Series]:
    listed = Series("list prices" if own.by_start else "cost", [_cost(point.measures) for point in points])
    if not own.by_start:
        return [listed]
    shares = [own.by_start.get(point.start_s) for point in points]
    return [listed, Series("own GPUs (estimate)", [_float(each.usd) if each else None for each in shares], "light")]


def _cost(row: Measures) -> Value:
    return _float(row.known_cost)


def _float(value: object) -> float | None:
    return None if value is None else float(str(value))
