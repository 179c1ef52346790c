"""The strip under a waterfall: what the GPUs did during the trace, on one time axis."""

from heliograph.dashboards.charts import Chart, Series, Unit, Value
from heliograph.query import gpu
from heliograph.query.gpu import Gpu, TraceGpus
from heliograph.query.traces import TraceRow

MS = 1_000_000


def charts(found: TraceGpus, trace: TraceRow) -> list[Chart]:
    """Return one chart a metric with a line for every GPU; none where no GPU was found."""
    wanted: tuple[tuple[str, str, str, Unit, float | None], ...] = (
        ("utilization", "How busy were its GPUs?", gpu.UTILIZATION, "share", 1.0),
        ("memory", "How full was their memory?", gpu.MEMORY_USAGE, "bytes", None),
        ("power", "How much power did they draw?", gpu.POWER, "watt", None),
        ("temperature", "How warm were they?", gpu.TEMPERATURE, "celsius", None),
        ("clock", "Did their clocks hold?", gpu.CLOCK, "hertz", None),
    )
    window = (trace.start_ns // MS, max(trace.end_ns // MS, trace.start_ns // MS + 1))
    drawn = [
        _chart(name, title, found.gpus, metric, unit, maximum, window) for name, title, metric, unit, maximum in wanted
    ]
    return [chart for chart in drawn if not chart.is_empty]


def _chart(
    name: str,
    title: str,
    gpus: tuple[Gpu, ...],
    metric: str,
    unit: Unit,
    maximum: float | None,
    window: tuple[int, int],
) -> Chart:
    values: dict[str, dict[int, float]] = {}
    for one in gpus:
        series = one.of(metric)
        if series:
            values[_label(one, gpus)] = {at // MS: value for at, value in series.points}
    times = sorted({at for points in values.values() for at in points})
    lines = [Series(label, _filled(times, points)) for label, points in values.items()]
    return Chart(f"gpu-{name}", title, unit, times, lines, window_ms=window, maximum=maximum)


def _label(one: Gpu, gpus: tuple[Gpu, ...]) -> str:
    """Return the beginning of the UUID, or all of it where two GPUs begin alike."""
    short = one.uuid[:12]
    return short if sum(other.uuid[:12] == short for other in gpus) == 1 else f"{one.uuid} {one.host}"


def _filled(times: list[int], points: dict[int, float]) -> list[Value]:
    """Hold each GPU's last reading where only another GPU was read: they are sampled at slightly different moments."""
    held: list[Value] = []
    last: float | None = None
    for at in times:
        last = points.get(at, last)
        held.append(last)
    return held
