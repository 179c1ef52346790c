"""The lanes under a waterfall: what GPUs and engines did during the trace, on the waterfall's own time axis."""

import math
from collections.abc import Mapping, Sequence

from heliograph.dashboards.charts import Chart, Series, Unit, Value
from heliograph.query import gpu, gpu_series, serving
from heliograph.query.diagnosis import TraceDiagnosis
from heliograph.query.filters import InvalidFilterError, TimeRange, from_ns
from heliograph.query.gpu import Gpu, TraceGpus
from heliograph.query.traces import TraceRow

MS = 1_000_000
_GPU_LANES: tuple[tuple[str, str, str, Unit, float | None], ...] = (
    ("utilization", "GPU busy", gpu.UTILIZATION, "share", 1.0),
    ("memory", "GPU memory", gpu.MEMORY_USAGE, "bytes", None),
    ("power", "GPU power", gpu.POWER, "watt", None),
    ("temperature", "GPU temperature", gpu.TEMPERATURE, "celsius", None),
    ("clock", "GPU clock", gpu.CLOCK, "hertz", None),
)
_ENGINE_LANES: tuple[tuple[str, str, Unit, float | None], ...] = (
    ("waiting", "Requests waiting", "count", None),
    ("running", "Requests running", "count", None),
    ("kv_usage", "KV cache full", "share", 1.0),
)
# The lanes of one page; a trace over more engines shows those of its longest calls.
MAX_ENGINES = 4
# A trace over more hosts shows the throttling of the first ones.
MAX_HOSTS = 4
THROTTLE_TIME = "gpu.throttle.time"
# A lane is about as many pixels wide.
MAX_STEPS = 240


def charts(found: TraceGpus, trace: TraceRow, labels: Mapping[str, str] | None = None) -> list[Chart]:
    """Return one lane a metric with a line for every GPU; none where no GPU was found. `labels` are by UUID."""
    names = {one.uuid: (labels or {}).get(one.uuid) or _label(one, found.gpus) for one in found.gpus}
    drawn = []
    for name, title, metric, unit, maximum in _GPU_LANES:
        values = {
            names[one.uuid]: {at // MS: value for at, value in series.points}
            for one in found.gpus
            if (series := one.of(metric)) is not None
        }
        drawn.append(_lane(f"gpu-{name}", title, unit, maximum, values, trace))
    return [chart for chart in drawn if not chart.is_empty]


def throttle_chart(
    project_id: int, found: TraceGpus, trace: TraceRow, labels: Mapping[str, str] | None = None
) -> Chart | None:
    """Return the lane of the share of time for which something held a GPU's clocks down; None where nothing did."""
    names = {one.uuid: (labels or {}).get(one.uuid) or _label(one, found.gpus) for one in found.gpus}
    values: dict[str, dict[int, float]] = {name: {} for name in names.values()}
    # A counter read each few seconds: one reading before and one after the trace tell its rise.
    hosts = sorted({one.host for one in found.gpus})[:MAX_HOSTS]
    for host in hosts:
        for line in gpu_series.rates(project_id, found.range, [THROTTLE_TIME], host=host, buckets=MAX_STEPS):
            if line.gpu_uuid not in names:
                continue
            held = values[names[line.gpu_uuid]]
            # Reasons overlap: the strongest at each moment stands for all.
            for at, share in line.points:
                held[at * 1_000] = max(held.get(at * 1_000, 0.0), min(share, 1.0))
    if not any(share for held in values.values() for share in held.values()):
        return None
    chart = _lane("gpu-throttle", "Clocks held down", "share", 1.0, values, trace)
    return None if chart.is_empty else chart


def engine_charts(project_id: int, found: TraceDiagnosis | None, trace: TraceRow) -> list[Chart]:
    """Return one lane a counter of the engines that served the trace, with a line for every engine."""
    matched = [each.instance for each in found.engines if each.instance] if found else []
    start = from_ns(trace.start_ns)
    # An engine's samples are kept for months, a lane of a longer trace is read for its first week only.
    end = min(max(from_ns(trace.end_ns), start), start + serving.MAX_RANGE - 3 * gpu.MARGIN)
    span = TimeRange(start - gpu.MARGIN, end + gpu.MARGIN)
    step = math.ceil(span.seconds / MAX_STEPS)
    values: dict[str, dict[str, dict[int, float]]] = {name: {} for name, *_ in _ENGINE_LANES}
    for engine in matched[:MAX_ENGINES]:
        try:
            read = serving.canonical(
                project_id, span, step_s=step, metrics=list(values), service=engine.service, engine=engine.engine
            )
        except InvalidFilterError:  # more engines of one service than an answer names
            continue
        for one in read:
            if one.instance.key != engine.key:
                continue
            label = f"{engine.title} {engine.instance or engine.host or engine.service}"
            for name, lines in values.items():
                # A sample speaks of the middle of its step.
                lines[label] = {
                    (each.start_s * 2 + step) * 500: each.value
                    for each in one.of(name).readings
                    if each.value is not None
                }
    drawn = [
        _lane(f"engine-{name}", title, unit, most, values[name], trace) for name, title, unit, most in _ENGINE_LANES
    ]
    return [chart for chart in drawn if not chart.is_empty]


def legend(lanes: Sequence[Chart]) -> list[tuple[int, str]]:
    """Return the names of the lines with their colours' numbers, where some lane has more than one line."""
    longest = max((lane.series for lane in lanes), key=len, default=())
    return [(at % 8 + 1, line.name) for at, line in enumerate(longest)] if len(longest) > 1 else []


def _lane(
    name: str, title: str, unit: Unit, maximum: float | None, values: Mapping[str, Mapping[int, float]], trace: TraceRow
) -> Chart:
    times = sorted({at for points in values.values() for at in points})
    lines = [Series(label, _filled(times, points)) for label, points in values.items() if points]
    # Lanes share the waterfall's axis to the nanosecond: a trace may last less than one millisecond.
    ends = (trace.start_ns / MS, max(trace.end_ns, trace.start_ns + 1_000) / MS)
    return Chart(name, title, unit, times, lines, window_ms=ends, range_ms=ends, maximum=maximum)


def _label(one: Gpu, gpus: tuple[Gpu, ...]) -> str:
    """Return the beginning of the UUID, or all of it where two GPUs begin alike."""
    short = one.uuid[:12]
    return short if sum(other.uuid[:12] == short for other in gpus) == 1 else f"{one.uuid} {one.host}"


def _filled(times: list[int], points: Mapping[int, float]) -> list[Value]:
    """Hold each line's last reading where only another was read: they are sampled at slightly different moments."""
    held: list[Value] = []
    last: float | None = None
    for at in times:
        last = points.get(at, last)
        held.append(last)
    return held
