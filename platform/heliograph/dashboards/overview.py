"""The overview: how much, how fast, how dear, how good, and whether that changed."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.charts import Chart, Mark, Series, Value, over_range
from heliograph.dashboards.failures import explained
from heliograph.dashboards.money import Money, OwnCosts, money, own_costs
from heliograph.dashboards.project_settings import sending_context
from heliograph.dashboards.timerange import chosen_range
from heliograph.query import model_changes, overview, scores
from heliograph.query.filters import RollupFilter
from heliograph.query.overview import Measures, Point, Summary
from heliograph.query.scores import ScoreFilter

# Below this probability an answer counts as badly grounded on the overview.
SCORE_BOUND = 0.5
# More lines than this on a chart say nothing.
MAX_MARKS = 20
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
    totals = overview.summary(project.pk, rollup)
    given = replace(ScoreFilter(range=chosen.range, name="groundedness"), **of_spans)
    points = overview.series(project.pk, rollup)
    own = own_costs(project.pk, rollup, points)
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "is_empty": not totals.current.requests and not totals.current.llm_calls,
        "tiles": _tiles(totals, own),
        "unpriced": totals.current.unpriced_count,
        "charts": over_range(
            [*_charts(points, own), _score_chart(project, given)], chosen.range, _model_marks(project, rollup)
        ),
        "services": overview.breakdown(project.pk, rollup, "service", limit=10),
        "models": overview.breakdown(project.pk, rollup, "model", limit=10),
        "adapters": overview.breakdown(project.pk, rollup, "adapter", limit=10),
        "narrowed": [(name, value) for name, values in narrowed.items() for value in values],
        **sending_context(project),
    }
    return render(request, "dashboards/overview.html", context)


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
        Tile("First token p50", now.ttft_p50_ns, "ns", change("ttft_p50_ns"), "bad"),
        Tile("Model calls", now.llm_calls, "count", change("llm_calls"), "neutral"),
        Tile("Tokens in", now.input_tokens, "count", change("input_tokens"), "neutral"),
        Tile("Tokens out", now.output_tokens, "count", change("output_tokens"), "neutral"),
        Tile("Cost", _float(cost.usd), "usd", cost_change, "bad", cost),
    ]


def _charts(points: list[Point], own: OwnCosts) -> list[Chart]:
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
            ],
        ),
        Chart(
            "ttft",
            "How long until the first token?",
            "ns",
            times,
            [
                Series("p50", [row.ttft_p50_ns for row in every]),
                Series("p95", [row.ttft_p95_ns for row in every], "light"),
            ],
            empty="No span reported a first token. Streaming calls do.",
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
        ),
        Chart("cost", "What did it cost?", "usd", times, _cost_series(points, own), kind="bar"),
    ]


def _score_chart(project: Project, given: ScoreFilter) -> Chart:
    points = scores.series(project.pk, given, bound=SCORE_BOUND)
    stats = [point.stats for point in points]
    line = Series(
        "mean groundedness",
        [row.mean for row in stats],
        low=[row.mean_low for row in stats],
        high=[row.mean_high for row in stats],
    )
    return Chart(
        "groundedness",
        "How well were answers grounded in their documents?",
        "number",
        [point.start_s * 1000 for point in points],
        [line],
        empty="No answer with documents was judged in this time range. The evaluator looks every half minute.",
        maximum=1.0,
    )


def _model_marks(project: Project, rollup: RollupFilter) -> list[Mark]:
    """What began to answer in the range instead of something else; the latest, where there are many."""
    found = model_changes.changes(project.pk, rollup.range, service=rollup.service)
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
