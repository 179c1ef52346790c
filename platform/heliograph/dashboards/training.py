"""Training jobs: a list, and one job's steps beside the memory and the links of its GPUs."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.charts import Chart, Series, Unit, over_range
from heliograph.dashboards.failures import explained
from heliograph.dashboards.finding import is_in
from heliograph.dashboards.gpus import TABS
from heliograph.dashboards.timerange import chosen_range
from heliograph.query import metrics, training
from heliograph.query.filters import TimeRange, from_ns
from heliograph.query.training import JobDetail, TrainingSeries

# A question, the measure, its unit on the chart and the factor to it; whether the ranks are added up.
_CHARTS: tuple[tuple[str, str, Unit, float, bool], ...] = (
    ("loss", "Is the loss falling?", "number", 1.0, False),
    ("step_time", "How long does a step take?", "ns", 1e9, False),
    ("tokens_per_s", "How many tokens a second, over all ranks?", "number", 1.0, True),
    ("collective_time", "How long does a rank wait in collectives?", "ns", 1e9, False),
    ("grad_norm", "How large are the gradients?", "number", 1.0, False),
    ("learning_rate", "What is the learning rate?", "number", 1.0, False),
    ("peak_memory", "How much memory did the trainer reserve?", "bytes", 1.0, False),
)
# What the GPUs of the job's hosts did meanwhile, and how it is added up over a host.
_HARDWARE: tuple[tuple[str, str, Unit, metrics.Aggregate], ...] = (
    ("hw.gpu.memory.usage", "How much memory did the GPUs use, by host?", "bytes", "sum"),
    ("gpu.nvlink.io", "How much went over NVLink, bytes a second by host?", "bytes", "rate"),
)
MAX_HOSTS_SHOWN = 8


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the jobs of the range, or the one that the address names."""
    chosen = chosen_range(request)
    context: dict[str, Any] = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "tabs": TABS,
        "tab": "gpus-training",
    }
    name = request.GET.get("job", "")
    if not name:
        listed = [each for each in training.jobs(project.pk, chosen.range) if is_in(request, each.job, each.service)]
        return render(request, "dashboards/training.html", context | {"jobs": listed})
    found = training.job(project.pk, chosen.range, name)
    if found is None:
        raise Http404
    ends = TimeRange(from_ns(found.job.start_ns), from_ns(found.job.end_ns + found.step_s * 10**9))
    charts = [*_charts(found), *_hardware(project.pk, found, ends)]
    context |= {
        "found": found,
        "slow": [each for each in found.ranks if each.is_straggler],
        "charts": over_range(charts, ends),
        "reason": next((each.reason for each in found.ranks), "no rank reports its step time"),
    }
    return render(request, "dashboards/training_job.html", context)


def _charts(found: JobDetail) -> list[Chart]:
    by_name = {each.metric: each for each in found.series}
    return [
        _chart(by_name[name], title, unit, factor, adds_up)
        for name, title, unit, factor, adds_up in _CHARTS
        if name in by_name
    ]


def _chart(series: TrainingSeries, title: str, unit: Unit, factor: float, adds_up: bool) -> Chart:
    times = [point.start_s * 1000 for point in series.points]
    if adds_up:
        lines = [Series("all ranks", [point.total * factor for point in series.points])]
    else:
        middle = [point.median * factor for point in series.points]
        ends = [[end * factor for end in each] for each in zip(*((p.low, p.high) for p in series.points), strict=True)]
        low, high = ends if series.ranks > 1 else ((), ())
        lines = [Series("median rank", middle, low=low, high=high)]
    return Chart(f"training-{series.metric}", title, unit, times, lines)


def _hardware(project_id: int, found: JobDetail, span: TimeRange) -> list[Chart]:
    charts = []
    for name, title, unit, aggregate in _HARDWARE:
        result = metrics.query_metric(
            project_id, name, span, group_by=("host",), aggregate=aggregate, step_s=max(found.step_s, 10)
        )
        lines = [each for each in (result.series if result else ()) if each.labels.get("host") in found.job.hosts][
            :MAX_HOSTS_SHOWN
        ]
        times = sorted({point.start_s for line in lines for point in line.points})
        values = [{point.start_s: point.value for point in line.points} for line in lines]
        charts.append(
            Chart(
                f"training-{name.replace('.', '-')}",
                title,
                unit,
                [at * 1000 for at in times],
                [
                    Series(line.labels["host"], [known.get(at) for at in times], "strong")
                    for line, known in zip(lines, values, strict=True)
                ],
                empty="No GPU agent on the job's hosts reported this.",
            )
        )
    return charts
