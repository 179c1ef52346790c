"""The charts of one GPU and of a node: which metrics answer which question, and how lines become charts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from heliograph.dashboards.alert_marks import GPU_FAILURES
from heliograph.dashboards.charts import Chart, Mark, Series, Unit, Value
from heliograph.query.fleet import GpuEvent
from heliograph.query.gpu_series import Line

MS = 1_000_000
# More marks than these are a wall; the list under the charts has them all.
MAX_MARKS = 40
# Marks of these are trouble; the others only happened.
BAD_EVENTS = ("gpu.xid", "gpu.lost", "gpu.stuck", "gpu.event")
UNTOLD_EVENTS = ("gpu.topology",)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One metric of a chart: how its line is called (`{}` is the series' own label), and whether its rise is meant."""

    metric: str
    name: str = "{}"
    rate: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """One chart: what it asks, of which metrics, in which unit; `about` as of a Chart."""

    id: str
    title: str
    unit: Unit
    wanted: tuple[Wanted, ...]
    maximum: float | None = None
    empty: str = "This GPU, its driver or its sender reports nothing of it."
    about: tuple[str, ...] = ()


# All groups of readings that the agent makes (docs/gpu-agent.md), by what a reader asks.
QUESTIONS = (
    Question(
        "utilization",
        "How busy was it?",
        "share",
        (
            Wanted("hw.gpu.utilization"),
            Wanted("gpu.memory_controller.utilization", "memory controller"),
            Wanted("gpu.graphics.activity", "graphics or compute"),
        ),
        1.0,
        about=("gpu_utilization", *GPU_FAILURES),
    ),
    Question(
        "activity",
        "How much of the chip worked?",
        "share",
        (
            Wanted("gpu.sm.activity", "SM active"),
            Wanted("gpu.sm.occupancy", "SM occupancy"),
            Wanted("gpu.tensor.activity", "tensor {}"),
            Wanted("gpu.dram.bandwidth_utilization", "memory bandwidth"),
            Wanted("gpu.pipe.activity", "pipe {}"),
        ),
        1.0,
        "Activity counters need a Hopper GPU or newer, and the agent's GPM switched on.",
    ),
    Question(
        "memory",
        "How full was its memory?",
        "bytes",
        (
            Wanted("hw.gpu.memory.usage", "used"),
            Wanted("hw.gpu.memory.limit", "total"),
            Wanted("gpu.memory.reserved", "reserved by the driver"),
        ),
        about=("gpu_memory",),
    ),
    Question(
        "bar1",
        "How full was its BAR1 window?",
        "bytes",
        (Wanted("gpu.memory.bar1.usage", "mapped"), Wanted("gpu.memory.bar1.limit", "total")),
    ),
    Question(
        "power",
        "How much power did it draw?",
        "watt",
        (
            Wanted("hw.power", "drawn"),
            Wanted("gpu.power.average", "averaged by the driver"),
            Wanted("hw.energy", "from the energy counter", rate=True),
            Wanted("gpu.power.limit", "limit"),
        ),
        about=("gpu_power",),
    ),
    Question(
        "throttle",
        "What held its clocks down?",
        "share",
        (Wanted("gpu.throttle.time", "{}", rate=True),),
        1.0,
        "No throttle counters came: drivers before 575 and other makers have none.",
        ("gpu_throttled",),
    ),
    Question(
        "clock",
        "Did its clocks hold?",
        "hertz",
        (Wanted("gpu.clock.frequency"), Wanted("gpu.clock.max_frequency", "highest {}")),
    ),
    Question(
        "temperature",
        "How warm was it?",
        "celsius",
        (Wanted("hw.temperature"), Wanted("hw.temperature.limit", "limit {}")),
        about=("gpu_temperature",),
    ),
    Question(
        "heat-margin",
        "How far was it from being slowed by heat (T.limit)?",
        "celsius",
        (Wanted("gpu.temperature.margin", "degrees left"), Wanted("gpu.temperature.limit.margin", "limit {}")),
        None,
        "The driver tells no margin (T.limit): it came with Hopper GPUs and newer drivers.",
    ),
    Question(
        "recovery",
        "Did the driver ask for a reset or a restart?",
        "number",
        (Wanted("gpu.recovery.action", "{}"),),
        1.0,
        "No recovery action was asked for, or the driver does not tell (before 565).",
    ),
    Question(
        "errors",
        "Which errors were counted?",
        "per_s",
        (
            Wanted("hw.errors", "{}", rate=True),
            Wanted("gpu.ecc.volatile.errors", "ECC {}, since the driver was loaded", rate=True),
            Wanted("gpu.rows.remapped", "rows remapped {}", rate=True),
            Wanted("gpu.nvlink.errors", "NVLink {}", rate=True),
        ),
        about=GPU_FAILURES,
    ),
    Question(
        "pcie",
        "How much went over PCIe?",
        "bytes_per_s",
        (Wanted("hw.gpu.io", "{}", rate=True), Wanted("gpu.pcie.throughput", "{} (GPM)")),
    ),
    Question(
        "link",
        "Did its PCIe link keep its width and generation?",
        "count",
        (Wanted("gpu.pcie.link.width", "lanes {}"), Wanted("gpu.pcie.link.generation", "generation {}")),
    ),
    Question(
        "nvlink",
        "How much went over NVLink?",
        "bytes_per_s",
        (Wanted("gpu.nvlink.io", "{}", rate=True), Wanted("gpu.nvlink.throughput", "{} (GPM)")),
        None,
        "This GPU has no NVLink, or its links report no traffic.",
    ),
    Question(
        "processes",
        "Which processes kept it busy?",
        "share",
        (Wanted("gpu.process.utilization", "PID {}"),),
        1.0,
        "No process was seen at work: on MIG instances the driver does not tell.",
    ),
    Question(
        "process-memory",
        "Which processes held its memory?",
        "bytes",
        (Wanted("gpu.process.memory", "PID {}"),),
        None,
        "No process held memory, or the agent may not see processes.",
    ),
)

# A line a GPU: what a node's GPUs are compared by.
NODE_QUESTIONS = (
    Question(
        "node-utilization",
        "How busy was each?",
        "share",
        (Wanted("hw.gpu.utilization"),),
        1.0,
        about=("gpu_utilization", *GPU_FAILURES),
    ),
    Question(
        "node-memory",
        "How full was each one's memory?",
        "bytes",
        (Wanted("hw.gpu.memory.usage"),),
        about=("gpu_memory",),
    ),
    Question("node-power", "How much power did each draw?", "watt", (Wanted("hw.power"),), about=("gpu_power",)),
    Question(
        "node-temperature", "How warm was each?", "celsius", (Wanted("hw.temperature"),), about=("gpu_temperature",)
    ),
    Question("node-clock", "Did the clocks hold?", "hertz", (Wanted("gpu.clock.frequency"),)),
    Question(
        "node-throttle",
        "Which was held back by heat or hardware?",
        "share",
        (Wanted("gpu.throttle.time", rate=True),),
        1.0,
        about=("gpu_throttled",),
    ),
)
_WHOLE_GPU = ("", "general", "gpu", "sm", "graphics")
_HELD = ("thermal", "hw_thermal_slowdown", "sw_thermal_slowdown", "hw_slowdown", "hw_power_brake_slowdown")


def metrics_of(questions: Iterable[Question], *, rate: bool) -> list[str]:
    """Return the metrics that questions read as levels, or as rates."""
    return list(dict.fromkeys(want.metric for one in questions for want in one.wanted if want.rate == rate))


def gpu_charts(lines: Sequence[Line], questions: Sequence[Question] = QUESTIONS) -> list[Chart]:
    """Return a chart a question, each with the lines of its metrics."""
    by_metric: dict[str, list[Line]] = {}
    for line in lines:
        by_metric.setdefault(line.metric, []).append(line)
    return [
        _chart(
            question,
            [
                (_called(want.name, line.label), line)
                for want in question.wanted
                for line in by_metric.get(want.metric, ())
                if _is_told(line)
            ],
        )
        for question in questions
    ]


def node_charts(lines: Sequence[Line], labels: dict[str, str]) -> list[Chart]:
    """Return a chart a question with a line a GPU; `labels` name the GPUs by UUID."""
    charts = []
    for question in NODE_QUESTIONS:
        (want,) = question.wanted
        chosen: dict[str, Line] = {}
        for line in lines:
            if line.metric != want.metric or line.gpu_uuid not in labels:
                continue
            if want.metric == "gpu.throttle.time":
                if line.label in _HELD:
                    before = chosen.get(line.gpu_uuid)
                    chosen[line.gpu_uuid] = line if before is None else _higher(before, line)
            elif line.label in _WHOLE_GPU:
                chosen.setdefault(line.gpu_uuid, line)
        named = [(labels[uuid], chosen[uuid]) for uuid in labels if uuid in chosen]
        charts.append(_chart(question, named))
    return charts


def marks_of(events: Sequence[GpuEvent], labels: dict[str, str] | None = None) -> list[Mark]:
    """Return the events as marks, earliest first; with `labels`, each names its GPU."""
    told = [event for event in events if event.name not in UNTOLD_EVENTS]
    # An XID and the loss that it brings come within a second: bad ones go first where there are too many.
    chosen = sorted(told, key=lambda event: (event.name not in BAD_EVENTS, -event.time_ns))[:MAX_MARKS]
    return sorted(
        (
            Mark(
                event.time_ns // MS,
                f"{labels[event.gpu_uuid]}: {event.words}" if labels and event.gpu_uuid in labels else event.words,
                event.name in BAD_EVENTS,
            )
            for event in chosen
        ),
        key=lambda mark: mark.at_ms,
    )


def _chart(question: Question, named: Sequence[tuple[str, Line]]) -> Chart:
    times = sorted({at for _, line in named for at, _ in line.points})
    # A limit is told at start and every ten minutes: it holds in between.
    series = [Series(name, _held(times, line) if _is_limit(line) else _at(times, line)) for name, line in named]
    step = named[0][1].step_s if named else 0
    times, series = _with_gaps(times, series, step)
    return Chart(
        question.id,
        question.title,
        question.unit,
        [at * 1000 for at in times],
        series,
        empty=question.empty,
        maximum=question.maximum,
        is_named=True,
        about=question.about,
    )


def _with_gaps(times: list[int], series: list[Series], step: int) -> tuple[list[int], list[Series]]:
    """Put a moment without a value where nothing was measured for more than two buckets, so that the line breaks."""
    at = 0
    while at < len(times) - 1:
        # The slowest class of readings comes every ten seconds.
        if times[at + 1] - times[at] > max(2 * step, 30):
            times = [*times[: at + 1], times[at] + step, *times[at + 1 :]]
            series = [
                Series(one.name, [*one.values[: at + 1], None, *one.values[at + 1 :]], one.strength) for one in series
            ]
            at += 1
        at += 1
    return times, series


def _at(times: Sequence[int], line: Line) -> list[Value]:
    """The values, held over one missing reading: classes of readings come at different intervals."""
    known = dict(line.points)
    held_s = max(2 * line.step_s, 15)
    values: list[Value] = []
    last_at, last = None, None
    for at in times:
        if at in known:
            last_at, last = at, known[at]
        values.append(last if last_at is not None and at - last_at <= held_s else None)
    return values


def _held(times: Sequence[int], line: Line) -> list[Value]:
    known = dict(line.points)
    values: list[Value] = []
    last: float | None = next(iter(known.values()), None)
    for at in times:
        last = known.get(at, last)
        values.append(last)
    return values


def _higher(one: Line, other: Line) -> Line:
    """Reasons overlap, so that of two the higher share at each moment stands for both."""
    points = dict(one.points)
    for at, value in other.points:
        points[at] = max(points.get(at, 0.0), value)
    return Line(one.gpu_uuid, one.metric, one.label, one.unit, one.step_s, tuple(sorted(points.items())))


def _called(name: str, label: str) -> str:
    return name.format(_REASONS.get(label, label or "all")).strip()


# Reasons of gpu.throttle.time as people say them.
_REASONS = {
    "thermal": "heat, all kinds",
    "hw_thermal_slowdown": "heat, slowed by the hardware",
    "sw_thermal_slowdown": "heat, slowed by the driver",
    "hw_slowdown": "hardware",
    "hw_power_brake_slowdown": "power brake",
    "sw_power_cap": "power cap",
    "power": "power limit",
}


_COUNTED = (
    *("gpu.throttle.time", "hw.errors", "gpu.nvlink.errors", "gpu.rows.remapped", "gpu.ecc.volatile.errors"),
    "gpu.recovery.action",
)


def _is_told(line: Line) -> bool:
    """Whether a line says something: an error or a reason that never happened would only fill the legend."""
    if line.metric in _COUNTED:
        return any(value for _, value in line.points)
    return True


def _is_limit(line: Line) -> bool:
    return "limit" in line.metric or line.metric == "gpu.clock.max_frequency"
