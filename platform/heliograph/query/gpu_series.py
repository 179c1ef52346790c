"""Many metrics of one GPU, or of all GPUs of a host, over time: what a page of synchronised charts is drawn from.

- `levels(project_id, range, metrics, *, gpu_uuid="", host=None, buckets=240) -> list[Line]`: gauges, as means
- `rates(project_id, range, metrics, ...) -> list[Line]`: counters, as what they rose by a second

One question each for all metrics of a page. Short ranges are answered from the points, long ones from the 1-minute
rollup, where a mean is over each minute's last value. Series of a metric that share a label are averaged (levels) or
added (rates), so that the links of a GPU become its traffic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from heliograph.clickhouse import client
from heliograph.query import gpu_series_sql as statements
from heliograph.query.filters import Clause, InvalidFilterError, TimeRange, put
from heliograph.query.overview import step_for

# Of one GPU some fifty series a second; of a host as many times its GPUs.
RAW_RANGE = timedelta(hours=6, minutes=1)
RAW_RANGE_OF_HOST = timedelta(hours=1, minutes=1)
MAX_METRICS = 60
# 60 metrics of a GPU, some in a dozen series, in 240 buckets.
MAX_ROWS = 200_000
_LOOK_BACK = timedelta(minutes=5)
# Attributes that tell the series of a metric apart; a link's number does not, so that links are added.
LABELS = (
    "hw.gpu.task",
    "hw.sensor_location",
    "hw.limit_type",
    "gpu.pipe",
    "gpu.clock.type",
    "gpu.throttle.reason",
    "error.type",
    "gpu.xid",
    "network.io.direction",
    "gpu.link.bound",
    "gpu.recovery.action",
    "process.pid",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One metric, label and GPU: (epoch seconds of the bucket, value) in time order."""

    gpu_uuid: str
    metric: str
    label: str
    unit: str
    step_s: int
    points: tuple[tuple[int, float], ...]


def levels(
    project_id: int,
    span: TimeRange,
    metrics: Sequence[str],
    *,
    gpu_uuid: str = "",
    host: str | None = None,
    buckets: int = 240,
) -> list[Line]:
    """Return gauges as means. One of `gpu_uuid` and `host` narrows; raises InvalidFilterError beyond MAX_ROWS."""
    is_raw = _is_raw(span, gpu_uuid)
    sql = statements.LEVEL_POINTS if is_raw else statements.LEVEL_MINUTES
    return _ask(project_id, span, span, sql, metrics, gpu_uuid, host, buckets, "gpu_series.levels")


def rates(
    project_id: int,
    span: TimeRange,
    metrics: Sequence[str],
    *,
    gpu_uuid: str = "",
    host: str | None = None,
    buckets: int = 240,
) -> list[Line]:
    """Return counters as their rise a second; a step over a reset counts what was counted since."""
    is_raw = _is_raw(span, gpu_uuid)
    sql = statements.RATE_POINTS if is_raw else statements.RATE_MINUTES
    reading = TimeRange(span.start - _LOOK_BACK, span.end)
    return _ask(project_id, span, reading, sql, metrics, gpu_uuid, host, buckets, "gpu_series.rates")


def _ask(
    project_id: int,
    span: TimeRange,
    reading: TimeRange,
    sql: str,
    metrics: Sequence[str],
    gpu_uuid: str,
    host: str | None,
    buckets: int,
    tag: str,
) -> list[Line]:
    if not 1 <= len(metrics) <= MAX_METRICS:
        raise InvalidFilterError("metric", f"may be given 1 to {MAX_METRICS} times")
    step = step_of(span, gpu_uuid, buckets)
    where, parameters = _narrowed(gpu_uuid, host)
    column = "time" if "metric_points" in sql else "minute"
    time = (
        f"{column} >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')"
        f" AND {column} < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')"
    )
    asked = parameters | {
        "metrics": tuple(metrics),
        "labels": list(LABELS),
        "step_s": step,
        "from_s": span.start_ns // 10**9 // step * step,
        "start_ns": reading.start_ns,
        "end_ns": reading.end_ns,
        "limit": MAX_ROWS + 1,
    }
    rows = client.query(project_id, put(sql, time=time, where=where), asked, tag=tag)
    if len(rows) > MAX_ROWS:
        raise InvalidFilterError("start", "spans too much for this host's series: take a shorter range")
    return _lines(rows, step)


def step_of(span: TimeRange, gpu_uuid: str, buckets: int) -> int:
    """Return the step in seconds: finer than a minute where the points themselves are read."""
    if _is_raw(span, gpu_uuid) and span.seconds / buckets < 60:
        return next(step for step in (1, 2, 5, 10, 15, 30, 60) if span.seconds / step <= buckets or step == 60)
    return step_for(span, buckets)


def _is_raw(span: TimeRange, gpu_uuid: str) -> bool:
    return span.end - span.start <= (RAW_RANGE if gpu_uuid else RAW_RANGE_OF_HOST)


def _narrowed(gpu_uuid: str, host: str | None) -> Clause:
    if not gpu_uuid and host is None:
        raise InvalidFilterError("gpu_uuid", "or a host must be given")
    # Both stand in the order of storage, the host before the GPU.
    sql, parameters = ["gpu_uuid != ''"], dict[str, object]()
    if host is not None:
        sql.append("host = %(host)s")
        parameters["host"] = host
    if gpu_uuid:
        sql.append("gpu_uuid = %(gpu_uuid)s")
        parameters["gpu_uuid"] = gpu_uuid
    return " AND ".join(sql), parameters


def _lines(rows: Sequence[dict[str, Any]], step: int) -> list[Line]:
    found: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    units: dict[str, str] = {}
    for row in rows:
        units[row["metric"]] = row["unit"]
        found.setdefault((row["gpu_uuid"], row["metric"], row["label"]), []).append((row["at_s"], row["value"]))
    return [
        Line(gpu_uuid, metric, label, units[metric], step, tuple(points))
        for (gpu_uuid, metric, label), points in found.items()
    ]
