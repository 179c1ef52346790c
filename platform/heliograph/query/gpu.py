"""The GPUs that served a trace, during its time.

- `of_trace(project_id, trace, *, margin=30 s) -> TraceGpus`, of the trace's first week

A GPU is the trace's where a span names its UUID; else every GPU of a host that a span names is shown, which says less:
the host may have served other requests on it. `join` tells which it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from heliograph.clickhouse import client
from heliograph.query.filters import TimeRange, from_ns, put
from heliograph.query.traces import TraceRow

UTILIZATION = "hw.gpu.utilization"
MEMORY_USAGE = "hw.gpu.memory.usage"
MEMORY_LIMIT = "hw.gpu.memory.limit"
POWER = "hw.power"
POWER_LIMIT = "gpu.power.limit"
TEMPERATURE = "hw.temperature"
CLOCK = "gpu.clock.frequency"
METRICS = (UTILIZATION, MEMORY_USAGE, MEMORY_LIMIT, POWER, POWER_LIMIT, TEMPERATURE, CLOCK)
# The attribute that tells the series of one metric and GPU apart; the strip draws the first of each.
DETAILS = ("hw.gpu.task", "hw.sensor_location", "gpu.clock.type")
# A trace is often shorter than the agent's interval; half a minute on both sides shows what it ran into.
MARGIN = timedelta(seconds=30)
# The strip under a waterfall is about this many pixels wide.
_MAX_BUCKETS = 600
_MAX_GPUS = 64
# Of a longer trace the first week is shown.
_LONGEST = timedelta(days=7)

Join = Literal["gpu_uuid", "host", "none"]


@dataclass(frozen=True, slots=True)
class GpuSeries:
    """One metric of one GPU: (nanoseconds since the epoch, value) in time order; `detail` such as `general`, `sm`."""

    metric: str
    unit: str
    detail: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU and its series."""

    uuid: str
    host: str
    series: tuple[GpuSeries, ...]

    def of(self, metric: str) -> GpuSeries | None:
        """Return the first series of a metric, or None where the GPU did not report it."""
        return next((series for series in self.series if series.metric == metric), None)


@dataclass(frozen=True, slots=True)
class TraceGpus:
    """The GPUs of a trace, how they were found, and in words why, also where there are none."""

    join: Join
    reason: str
    range: TimeRange
    gpus: tuple[Gpu, ...]


GPU_POINTS = """
SELECT
    host, gpu_uuid, metric, any(p.unit) AS unit,
    arrayStringConcat(arrayFilter(v -> v != '', arrayMap(k -> p.attributes[k], %(details)s)), ' ') AS detail,
    intDiv(toUnixTimestamp64Nano(p.time), %(step_ns)s) * %(step_ns)s AS at_ns,
    avg(p.value) AS value
FROM metric_points AS p FINAL
WHERE p.project_id = %(project_id)s AND p.metric IN %(metrics)s AND {gpus}
    AND p.time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC') AND p.time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
    AND p.value IS NOT NULL
GROUP BY host, gpu_uuid, metric, detail, at_ns
ORDER BY host, gpu_uuid, metric, detail, at_ns
LIMIT %(limit)s
"""


def of_trace(project_id: int, trace: TraceRow, *, known: Sequence[str] = (), margin: timedelta = MARGIN) -> TraceGpus:
    """Return the GPUs of a trace with their series from `margin` before it to `margin` after it.

    `known` are the UUIDs to which its calls were joined (`placement`); without them, what the trace itself names.
    """
    start = from_ns(trace.start_ns)
    # A trace of one span without an end lasts no time; one with an absurd duration would last for centuries.
    end = min(from_ns(trace.end_ns) + timedelta(microseconds=1), start + _LONGEST)
    during = TimeRange(start, end)
    span = during.widened(margin)
    if known:
        gpus = _gpus(project_id, span, "p.gpu_uuid IN %(uuids)s", {"uuids": list(known[:_MAX_GPUS])})
        if gpus:
            return TraceGpus("gpu_uuid", "Its model calls ran on these GPUs.", span, gpus)
    if trace.gpu_uuids:
        gpus = _gpus(project_id, span, "p.gpu_uuid IN %(uuids)s", {"uuids": trace.gpu_uuids[:_MAX_GPUS]})
        if gpus:
            return TraceGpus("gpu_uuid", "The trace names these GPUs.", span, gpus)
    if trace.hosts:
        hosts = {"hosts": trace.hosts[:_MAX_GPUS]}
        gpus = _gpus(project_id, span, "p.host IN %(hosts)s AND p.gpu_uuid != ''", hosts)
        if gpus:
            reason = "The trace names the host only: other requests may have used these GPUs too."
            return TraceGpus("host", reason, span, gpus)
        return TraceGpus("none", "No GPU of the trace's hosts reported metrics during its time.", span, ())
    if trace.gpu_uuids:
        return TraceGpus("none", "The trace's GPUs reported no metrics during its time.", span, ())
    return TraceGpus("none", "The trace names neither a host nor a GPU.", span, ())


def _gpus(project_id: int, span: TimeRange, clause: str, parameters: Mapping[str, Sequence[str]]) -> tuple[Gpu, ...]:
    limit = _MAX_GPUS * len(METRICS) * _MAX_BUCKETS
    step_ns = max(1_000_000, (span.end_ns - span.start_ns) // _MAX_BUCKETS)
    rows = client.query(
        project_id,
        put(GPU_POINTS, gpus=clause),
        {
            **parameters,
            "metrics": METRICS,
            "details": list(DETAILS),
            "step_ns": step_ns,
            "start_ns": span.start_ns,
            "end_ns": span.end_ns,
            "limit": limit,
        },
        tag="gpu.trace",
    )
    found: dict[tuple[str, str], dict[tuple[str, str, str], list[tuple[int, float]]]] = {}
    for row in rows:
        series = found.setdefault((row["host"], row["gpu_uuid"]), {})
        series.setdefault((row["metric"], row["unit"], row["detail"]), []).append((row["at_ns"], row["value"]))
    return tuple(Gpu(uuid, host, _series(series)) for (host, uuid), series in found.items())


def _series(found: dict[tuple[str, str, str], list[Any]]) -> tuple[GpuSeries, ...]:
    # `general` and `graphics` describe the whole GPU; `encoder` would come first in the alphabet.
    ordered = sorted(found.items(), key=lambda item: (item[0][0], item[0][2] not in _MAIN_DETAILS, item[0][2]))
    return tuple(GpuSeries(metric, unit, detail, tuple(points)) for (metric, unit, detail), points in ordered)


_MAIN_DETAILS = ("", "general", "gpu", "sm", "graphics")
