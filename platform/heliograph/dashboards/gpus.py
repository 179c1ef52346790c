"""The fleet: every GPU as a cell by how it is, those with problems first; and one node with its GPUs compared."""

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.dashboards import alert_marks, gpu_charts
from heliograph.dashboards.access import project_page
from heliograph.dashboards.charts import over_range
from heliograph.dashboards.failures import explained
from heliograph.dashboards.project_settings import sending_context
from heliograph.dashboards.timerange import ChosenRange, chosen_range
from heliograph.query import fleet, gpu_series
from heliograph.query.fleet import FleetGpu
from heliograph.query.quantities import scaled, three_figures

By = Literal["utilization", "memory", "power", "temperature", "throttle"]
# What the cells can be coloured by: the word on the switch, and the question it answers.
COLOURINGS: tuple[tuple[By, str], ...] = (
    ("utilization", "Utilization"),
    ("memory", "Memory"),
    ("power", "Power"),
    ("temperature", "Temperature"),
    ("throttle", "Throttling"),
)
# A screen of cells; a fleet beyond it is narrowed by node, and its problems are listed all the same.
MAX_CELLS = 2_000
# The list is read from the top; what stands below is found through its node.
MAX_PROBLEMS = 100
STEPS = 5
# Between a room and the point where drivers begin to slow down.
COLD_C, HOT_C = 30.0, 90.0
# The parts of this page: each has an address of its own.
TABS = (
    ("gpus", "Fleet"),
    ("gpus-engines", "Serving engines"),
    ("gpus-training", "Training"),
    ("gpus-calculator", "Calculator"),
)
_TIMES = ((3_600e9, "h"), (60e9, "min"), (1e9, "s"))
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))


@dataclass(frozen=True, slots=True)
class Cell:
    """One GPU of the map: its text, how strong its colour is (0 to STEPS, None without a reading), and its words."""

    gpu: FleetGpu
    text: str
    heat: int | None
    words: str

    @property
    def state(self) -> str:
        """`bad`, `warn` or '' by its worst problem."""
        return self.gpu.problems[0].severity if self.gpu.problems else ""


@dataclass(frozen=True, slots=True)
class Node:
    """A host and its cells."""

    host: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Trouble:
    """GPUs of one host with the same problems: a host that goes silent is one row, not eight."""

    gpus: tuple[FleetGpu, ...]

    @property
    def first(self) -> FleetGpu:
        """The GPU whose readings the row shows where it is the only one."""
        return self.gpus[0]


@dataclass(frozen=True, slots=True)
class Totals:
    """The numbers of the head; None where no GPU reported it."""

    gpus: int
    nodes: int
    troubled: int
    utilization: float | None
    power: float | None
    memory_used: float | None
    memory_limit: float | None
    held_back: int


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the fleet; htmx asks for the map and list alone."""
    chosen = chosen_range(request)
    by = _colouring(request)
    found = fleet.fleet(project.pk, chosen.range)
    context = _fleet_context(project, chosen, by, found) | {"tabs": TABS, "tab": "gpus"}
    if getattr(request, "htmx", False):
        return render(request, "dashboards/_fleet.html", context)
    return render(request, "dashboards/gpus.html", context | sending_context(project))


@explained
@project_page
def show_node(request: HttpRequest, project: Project) -> HttpResponse:
    """Show one host: its GPUs as cells and on common charts."""
    chosen = chosen_range(request)
    host = request.GET.get("host", "")
    found = fleet.fleet(project.pk, chosen.range, host=host)
    if not found.gpus:
        raise Http404("no GPU of this host reported")
    context = _fleet_context(project, chosen, _colouring(request), found)
    labels = {gpu.gpu_uuid: _long_label(gpu) for gpu in fleet.hosts_of(found.gpus)[host]}
    events = fleet.events(project.pk, chosen.range, host=host)
    questions = gpu_charts.NODE_QUESTIONS
    lines = [
        *gpu_series.levels(
            project.pk, chosen.range, gpu_charts.metrics_of(questions, rate=False), host=host, buckets=120
        ),
        *gpu_series.rates(
            project.pk, chosen.range, gpu_charts.metrics_of(questions, rate=True), host=host, buckets=120
        ),
    ]
    slow = f"{reverse('gpus-slow', args=[project.slug])}?{urlencode({'host': host})}"
    charts = over_range(gpu_charts.node_charts(lines, labels), chosen.range, gpu_charts.marks_of(events, labels), slow)
    context |= {
        "host": host,
        "charts": alert_marks.with_alerts(project, charts, chosen.range, host=[host], gpu=list(labels)),
        "events": [event for event in events if event.name not in gpu_charts.UNTOLD_EVENTS][:50],
        "labels": labels,
        "slow_url": f"{slow}&{chosen.query}",
    }
    return render(request, "dashboards/gpu_node.html", context)


def _fleet_context(project: Project, chosen: ChosenRange, by: By, found: fleet.Fleet) -> dict[str, Any]:
    gpus = found.gpus
    seconds = chosen.range.seconds
    hosts = sorted(fleet.hosts_of(gpus[:MAX_CELLS]).items(), key=lambda item: _worst(item[1]))
    troubled = _troubles(gpus)
    return {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "by": by,
        "colourings": COLOURINGS,
        "nodes": [Node(host, tuple(_cell(gpu, by, seconds) for gpu in of)) for host, of in hosts],
        "is_cut": found.is_cut or len(gpus) > MAX_CELLS,
        "shown": min(len(gpus), MAX_CELLS),
        "totals": _totals(gpus),
        "troubled": troubled[:MAX_PROBLEMS],
        "more_troubled": max(0, len(troubled) - MAX_PROBLEMS),
    }


def _troubles(gpus: tuple[FleetGpu, ...]) -> list[Trouble]:
    found: dict[tuple[str, tuple[str, ...]], list[FleetGpu]] = {}
    for gpu in sorted((gpu for gpu in gpus if gpu.problems), key=lambda gpu: gpu.rank):
        found.setdefault((gpu.host, tuple(problem.sentence for problem in gpu.problems)), []).append(gpu)
    return [Trouble(tuple(of)) for of in found.values()]


def _worst(gpus: list[FleetGpu]) -> tuple[int, int, str]:
    bad = sum(problem.severity == "bad" for gpu in gpus for problem in gpu.problems)
    return -bad, -sum(len(gpu.problems) for gpu in gpus), gpus[0].host


def _colouring(request: HttpRequest) -> By:
    asked = request.GET.get("by", "")
    return next((by for by, _ in COLOURINGS if by == asked), "utilization")


def _cell(gpu: FleetGpu, by: By, seconds: float) -> Cell:
    share, text = _reading(gpu, by, seconds)
    heat = None if share is None else round(min(max(share, 0.0), 1.0) * STEPS)
    said = "; ".join(problem.sentence for problem in gpu.problems)
    words = f"{_long_label(gpu)} on {gpu.host or 'an unnamed host'}: {text}" + (f". {said}" if said else "")
    return Cell(gpu, text, heat, words)


def _reading(gpu: FleetGpu, by: By, seconds: float) -> tuple[float | None, str]:
    """Return how strong the colour is, 0 to 1 (None without a reading), and the number that stands in the cell."""
    if by == "temperature":
        known = gpu.temperature is not None
        return ((gpu.temperature or 0.0) - COLD_C) / (HOT_C - COLD_C) if known else None, _text(gpu.temperature, " °C")
    if by == "power":
        return None if gpu.power is None else gpu.power_share or 0.0, _text(gpu.power, " W")
    if by == "throttle":
        # Of a GPU that reports nothing at all it is not known; one part in twenty is enough for the strongest colour.
        is_known = bool(gpu.throttled_s) or gpu.utilization is not None
        text = scaled(gpu.held_back_s * 1e9, _TIMES) if gpu.held_back_s else "0 s"
        return (20 * gpu.held_back_s / seconds, text) if is_known else (None, "–")
    share = gpu.utilization if by == "utilization" else gpu.memory_share
    if share is None and by == "memory" and gpu.memory_used is not None:
        return None, scaled(gpu.memory_used, _BYTES)
    return share, _text(None if share is None else 100 * share, " %")


def _text(value: float | None, unit: str) -> str:
    """A whole number, or one with a decimal where it is small."""
    if value is None:
        return "–"
    return f"{value:.0f}{unit}" if value >= 10 or value == 0 else f"{three_figures(round(value, 1))}{unit}"


def _long_label(gpu: FleetGpu) -> str:
    return f"{gpu.label} {gpu.mig_profile} {gpu.gpu_uuid[:8]}" if gpu.parent else gpu.label


def _totals(gpus: tuple[FleetGpu, ...]) -> Totals:
    def known(name: str) -> list[float]:
        # A MIG instance is a part of a GPU that is counted itself.
        return [value for gpu in gpus if not gpu.parent and (value := getattr(gpu, name)) is not None]

    busy, power = known("utilization"), known("power")
    used, limit = known("memory_used"), known("memory_limit")
    return Totals(
        gpus=sum(not gpu.parent for gpu in gpus),
        nodes=len({gpu.host for gpu in gpus}),
        troubled=sum(bool(gpu.problems) for gpu in gpus),
        utilization=sum(busy) / len(busy) if busy else None,
        power=sum(power) if power else None,
        memory_used=sum(used) if used else None,
        memory_limit=sum(limit) if limit else None,
        held_back=sum(gpu.held_back_s >= 1 for gpu in gpus),
    )
