"""Minutes of GPU time, shared out and stored: what the job of `heliograph.evals.attribution` does with the store.

- `attribute(project_id, start_s, minutes, *, retention_days, tenant_key, weights) -> Outcome`
- `touched(project_id, since_us, until_us, oldest_s, newest_s) -> Touched`: minutes that late spans and readings changed
- `has_gpus(project_id) -> bool`
- `first_reading(project_id, start, end) -> datetime | None`: the minute of a range's first reading of a GPU

A minute is written whole, under a new version that counts from the moment in which its window's row is stored: written
twice, or cut off in between, it counts once.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from heliograph.clickhouse import client
from heliograph.query.gpu_requests import Call, GpuRequest, Requests, requests_of
from heliograph.query.placement import MODEL_KINDS, PLACE_COLUMNS, place_of, processes
from heliograph.query.sharing import DEFAULT_WEIGHTS, MAX_GAP_NS, SECOND, Counter, Shared, Weights, share

ENERGY = "hw.energy"
MINUTE_NS = 60 * SECOND
# A call that ran longer is shared out over its last hour only.
MAX_CALL_NS = 3_600 * SECOND
# A chunk with more spans than this is halved; a minute with more keeps its earliest.
MAX_SPANS = 200_000
# A thousand GPUs at one reading a second for ten minutes are 600,000.
MAX_READINGS = 2_000_000
# A fleet of a thousand hosts with eight GPUs.
MAX_GPUS = 10_000
# Rounding of sums over a million requests stays far below this; more is a fault in the arithmetic, not in the data.
_TOLERANCE = 1e-6

CALLS = """
SELECT
    {columns}, model, adapter, user_id, input_tokens, output_tokens, cache_read_tokens, ttft_ns, queue_ns, prefill_ns,
    cost IS NOT NULL AS has_cost,
    if(attributes[%(tenant_key)s] != '', attributes[%(tenant_key)s], resource[%(tenant_key)s]) AS tenant
FROM spans
WHERE project_id = %(project_id)s
    AND start_time >= fromUnixTimestamp64Nano(%(earliest_ns)s, 'UTC')
    AND start_time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
    AND trace_id IN (
        SELECT trace_id FROM spans
        WHERE project_id = %(project_id)s
            AND start_time >= fromUnixTimestamp64Nano(%(earliest_ns)s, 'UTC')
            AND start_time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
            AND kind IN %(kinds)s AND duration_ns IS NOT NULL
            AND toUnixTimestamp64Nano(start_time) + toInt64(least(duration_ns, %(longest_ns)s)) > %(start_ns)s
    )
ORDER BY start_time, trace_id, span_id
LIMIT %(limit)s
"""

READINGS = """
SELECT gpu_uuid, host, series, toUnixTimestamp64Nano(time) AS at_ns, p.value AS joules
FROM metric_points AS p FINAL
WHERE p.project_id = %(project_id)s AND p.metric = %(metric)s AND p.gpu_uuid != '' AND p.value IS NOT NULL
    AND p.time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC') AND p.time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
ORDER BY gpu_uuid, series, at_ns
LIMIT %(limit)s
"""

TOUCHED = """
SELECT minute * 60 AS start_s, count() AS spans
FROM (
    SELECT arrayJoin(range(
        toUInt64(intDiv(toUnixTimestamp(start_time), 60)),
        toUInt64(intDiv(intDiv(
            toUnixTimestamp64Nano(start_time) + toInt64(least(ifNull(duration_ns, 0), %(longest_ns)s)), 1000000000
        ), 60) + 1)
    )) AS minute
    FROM spans
    WHERE project_id = %(project_id)s AND kind IN %(kinds)s
        AND received_at > fromUnixTimestamp64Micro(%(since_us)s, 'UTC')
        AND received_at <= fromUnixTimestamp64Micro(%(until_us)s, 'UTC')
    UNION ALL
    SELECT toUInt64(intDiv(toUnixTimestamp(time), 60)) AS minute
    FROM metric_points
    WHERE project_id = %(project_id)s AND metric = %(metric)s
        AND time >= toDateTime(%(oldest_s)s, 'UTC') AND time < toDateTime(%(newest_s)s, 'UTC')
        AND received_at > fromUnixTimestamp64Micro(%(since_us)s, 'UTC')
        AND received_at <= fromUnixTimestamp64Micro(%(until_us)s, 'UTC')
)
WHERE start_s < %(newest_s)s
GROUP BY start_s
ORDER BY start_s
LIMIT 100000
"""

NAMES = """
SELECT gpu_uuid, resource['hw.name'] AS name
FROM metric_points
WHERE project_id = %(project_id)s AND metric = %(metric)s AND gpu_uuid != '' AND resource['hw.name'] != ''
    AND time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC') AND time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
LIMIT 1 BY gpu_uuid
LIMIT %(limit)s
"""

HAS_GPUS = """
SELECT
    (SELECT count() FROM (SELECT 1 FROM gpu_processes WHERE project_id = %(project_id)s LIMIT 1)) + (
        SELECT count()
        FROM (SELECT 1 FROM metric_points WHERE project_id = %(project_id)s AND metric = %(metric)s LIMIT 1)
    ) AS found
"""

FIRST_READING = """
SELECT min(minute) AS first, count() AS readings
FROM metric_rollups_1m
WHERE project_id = %(project_id)s AND metric IN (%(metric)s, 'gpu.process.info') AND gpu_uuid != ''
    AND minute >= toDateTime(%(start_s)s, 'UTC') AND minute < toDateTime(%(end_s)s, 'UTC')
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was shared out: minutes times GPUs, requests, calls without a place."""

    windows: int
    requests: int
    unplaced: int


@dataclass(frozen=True, slots=True)
class Touched:
    """Minutes to share out again (epoch seconds), and how many spans came too late for that."""

    minutes: tuple[int, ...]
    too_late: int


def has_gpus(project_id: int) -> bool:
    """Return whether a project has any GPU that could be shared out."""
    rows = client.query(project_id, HAS_GPUS, {"metric": ENERGY}, tag="attribution.has_gpus")
    return bool(rows[0]["found"])


def first_reading(project_id: int, start: datetime, end: datetime) -> datetime | None:
    """Return the minute of the first reading in [start, end) from which GPU use could be shared out, None without."""
    # The minute in which the end lies belongs to the range.
    asked = {"metric": ENERGY, "start_s": int(start.timestamp()), "end_s": math.ceil(end.timestamp())}
    row = client.query(project_id, FIRST_READING, asked, tag="attribution.first_reading")[0]
    return row["first"].replace(tzinfo=UTC) if row["readings"] else None


def touched(project_id: int, since_us: int, until_us: int, oldest_s: int, newest_s: int) -> Touched:
    """Return the minutes before `newest_s` that spans and readings stored in (since, until] belong to."""
    rows = client.query(
        project_id,
        TOUCHED,
        {
            "since_us": since_us,
            "until_us": until_us,
            "oldest_s": oldest_s,
            "newest_s": newest_s,
            "kinds": MODEL_KINDS,
            "metric": ENERGY,
            "longest_ns": MAX_CALL_NS,
        },
        tag="attribution.touched",
    )
    minutes = tuple(row["start_s"] for row in rows if row["start_s"] >= oldest_s)
    return Touched(minutes, sum(row["spans"] for row in rows if row["start_s"] < oldest_s))


def attribute(
    project_id: int,
    start_s: int,
    minutes: int,
    *,
    retention_days: int,
    tenant_key: str,
    weights: Weights = DEFAULT_WEIGHTS,
) -> Outcome:
    """Share out `minutes` minutes from `start_s` (a whole minute, epoch seconds) by `weights` and store them.

    Raises StoreError; then nothing of the failed minutes counts, or all of it.
    """
    start_ns, end_ns = start_s * SECOND, (start_s + 60 * minutes) * SECOND
    rows = _calls(project_id, start_ns, end_ns, tenant_key)
    if len(rows) >= MAX_SPANS and minutes > 1:
        half = minutes // 2
        parts = [(start_s, half), (start_s + 60 * half, minutes - half)]
        outcomes = [
            attribute(project_id, first, count, retention_days=retention_days, tenant_key=tenant_key, weights=weights)
            for first, count in parts
        ]
        return Outcome(
            sum(each.windows for each in outcomes),
            sum(each.requests for each in outcomes),
            sum(each.unplaced for each in outcomes),
        )
    calls = [_call(row) for row in rows]
    earliest = min((call.place.start_ns for call in calls), default=start_ns)
    holding = processes(project_id, earliest, end_ns) if calls else []
    found = requests_of(calls, holding)
    counters, hosts = _counters(project_id, start_ns, end_ns)
    windows = [(start_ns + at * MINUTE_NS, start_ns + (at + 1) * MINUTE_NS) for at in range(minutes)]
    version = time.time_ns()
    names = {each.gpu_uuid: each.gpu_name for each in holding} | _names(project_id, start_ns, end_ns)
    written = _Rows(version, retention_days, names, str(weights))
    by_gpu: dict[str, list[GpuRequest]] = {uuid: [] for uuid in counters}
    for request in found.placed:
        for gpu in request.placement.gpus:
            by_gpu.setdefault(gpu.uuid, []).append(request)
            hosts.setdefault(gpu.uuid, gpu.host)
    nothing = Counter(np.array([], dtype=np.int64), np.array([]))
    for uuid, requests in by_gpu.items():
        work = [request.call.work for request in requests]
        for window, shared in zip(windows, share(counters.get(uuid, nothing), work, windows, weights), strict=True):
            if shared.residue > _TOLERANCE:
                raise ArithmeticError(f"requests and idle miss the counter of {uuid} by a share of {shared.residue:g}")
            written.window(uuid, hosts.get(uuid, ""), window[0], requests, shared)
    unplaced = written.unplaced_in(found, start_ns, end_ns)
    written.store(project_id)
    return Outcome(len(written.windows), len(found.placed), unplaced)


def _calls(project_id: int, start_ns: int, end_ns: int, tenant_key: str) -> list[dict[str, Any]]:
    parameters = {
        # A reading that crosses the ends of the chunk is spread over what ran in all of it.
        "start_ns": start_ns - MAX_GAP_NS,
        "end_ns": end_ns + MAX_GAP_NS,
        "earliest_ns": max(0, start_ns - MAX_GAP_NS - MAX_CALL_NS),
        "longest_ns": MAX_CALL_NS,
        "kinds": MODEL_KINDS,
        "tenant_key": tenant_key,
        "limit": MAX_SPANS,
    }
    return client.query(project_id, CALLS.replace("{columns}", PLACE_COLUMNS), parameters, tag="attribution.calls")


_OWN = (
    "model",
    "adapter",
    "user_id",
    "tenant",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "ttft_ns",
    "queue_ns",
    "prefill_ns",
)


def _call(row: Mapping[str, Any]) -> Call:
    return Call(place=place_of(row), has_cost=bool(row["has_cost"]), **{name: row[name] for name in _OWN})


def _counters(project_id: int, start_ns: int, end_ns: int) -> tuple[dict[str, Counter], dict[str, str]]:
    """The energy counter of each GPU with its host. Of several agents' counters, the one that was read most often."""
    parameters = {
        "metric": ENERGY,
        "start_ns": start_ns - MAX_GAP_NS,
        "end_ns": end_ns + MAX_GAP_NS,
        "limit": MAX_READINGS,
    }
    columns = client.query_columns(project_id, READINGS, parameters, tag="attribution.readings")
    series: dict[tuple[str, int], tuple[list[int], list[float]]] = {}
    hosts: dict[str, str] = {}
    for uuid, host, number, at_ns, joules in zip(*columns.values(), strict=True):
        times, values = series.setdefault((uuid, number), ([], []))
        if times and times[-1] == at_ns:
            continue
        times.append(at_ns)
        values.append(joules)
        hosts[uuid] = host
    best: dict[str, tuple[list[int], list[float]]] = {}
    for (uuid, _), points in series.items():
        if uuid not in best or len(points[0]) > len(best[uuid][0]):
            best[uuid] = points
    counters = {
        uuid: Counter(np.array(times, dtype=np.int64), np.array(values, dtype=np.float64))
        for uuid, (times, values) in best.items()
    }
    return counters, hosts


def _names(project_id: int, start_ns: int, end_ns: int) -> dict[str, str]:
    """The model of each GPU, by its UUID, as the agent gave it in this time."""
    parameters = {"metric": ENERGY, "start_ns": start_ns, "end_ns": end_ns, "limit": MAX_GPUS}
    rows = client.query(project_id, NAMES, parameters, tag="attribution.names")
    return {row["gpu_uuid"]: row["name"] for row in rows}


class _Rows:
    """The rows of one chunk, stored so that a window's row comes last."""

    def __init__(self, version: int, retention_days: int, names: Mapping[str, str], weights: str) -> None:
        self._names, self._weights = names, weights
        self._common = {"version": version, "retention_days": retention_days}
        self.shares: list[dict[str, Any]] = []
        self.windows: list[dict[str, Any]] = []
        self.unplaced: list[dict[str, Any]] = []

    def window(self, uuid: str, host: str, start_ns: int, requests: Sequence[GpuRequest], shared: Shared) -> None:
        minute = datetime.fromtimestamp(start_ns // SECOND, UTC)
        place_and_time = self._common | {"minute": minute, "gpu_uuid": uuid, "gpu_name": self._names.get(uuid, "")}
        count = 0
        for position, request in enumerate(requests):
            seconds = float(shared.gpu_seconds[position])
            if seconds <= 0:
                continue
            count += 1
            unmetered = float(shared.unmetered_seconds[position])
            is_metered = unmetered < seconds * (1 - 1e-9)
            joules = {
                name: float(getattr(shared, name)[position]) if is_metered else None
                for name in ("joules", "joules_low", "joules_high")
            }
            span = request.call.place
            self.shares.append(
                place_and_time
                | joules
                | {
                    "trace_id": span.trace_id,
                    "span_id": span.span_id,
                    "span_ids": list(request.span_ids),
                    "host": host,
                    "strength": request.placement.strength,
                    "service": span.service,
                    "model": request.model,
                    "adapter": request.adapter,
                    "user_id": request.user_id,
                    "tenant": request.tenant,
                    "gpu_seconds": seconds,
                    "gpu_seconds_low": float(shared.gpu_seconds_low[position]),
                    "gpu_seconds_high": float(shared.gpu_seconds_high[position]),
                    "unmetered_seconds": unmetered,
                }
            )
        if not count and not shared.covered_seconds:
            return  # nothing is known of this GPU in this minute
        self._idle(place_and_time, host, shared)
        self.windows.append(
            place_and_time
            | {
                "joules": shared.counter_joules if shared.covered_seconds else None,
                "covered_seconds": shared.covered_seconds,
                "requests": count,
                "weights": self._weights,
                **_of_requests(shared),
            }
        )

    def _idle(self, place_and_time: dict[str, Any], host: str, shared: Shared) -> None:
        is_metered = shared.idle_unmetered_seconds < shared.idle_seconds * (1 - 1e-9) or shared.covered_seconds >= 60
        joules = shared.idle_joules if is_metered else None
        texts = ("trace_id", "span_id", "strength", "service", "model", "adapter", "user_id", "tenant")
        self.shares.append(
            place_and_time
            | dict.fromkeys(texts, "")
            | {
                "span_ids": [],
                "host": host,
                "gpu_seconds": shared.idle_seconds,
                "gpu_seconds_low": shared.idle_seconds,
                "gpu_seconds_high": shared.idle_seconds,
                "joules": joules,
                "joules_low": joules,
                "joules_high": joules,
                "unmetered_seconds": shared.idle_unmetered_seconds,
            }
        )

    def unplaced_in(self, found: Requests, start_ns: int, end_ns: int) -> int:
        """Count the calls without a place by minute and reason; 0 where there are none, so that an old count goes."""
        counts = {
            (at, reason): 0
            for at in range(start_ns, end_ns, MINUTE_NS)
            for reason in ("host only", "several engines fit", "no GPU found")
        }
        for each in found.unplaced:
            key = (each.start_ns // MINUTE_NS * MINUTE_NS, each.reason)
            if key in counts:
                counts[key] += 1
        self.unplaced = [
            self._common | {"minute": datetime.fromtimestamp(at // SECOND, UTC), "reason": reason, "spans": count}
            for (at, reason), count in counts.items()
        ]
        return sum(counts.values())

    def store(self, project_id: int) -> None:
        """Store everything; the windows' rows, which make the others count, last."""
        for table, rows in (
            ("attributions", self.shares),
            ("attribution_unplaced", self.unplaced),
            ("attribution_windows", self.windows),
        ):
            if rows:
                columns = {name: [row[name] for row in rows] for name in rows[0]}
                client.insert(table, columns | {"project_id": [project_id] * len(rows)})


def _of_requests(shared: Shared) -> dict[str, float | None]:
    """What the requests of a window used together; joules are None where none of it was metered."""
    seconds, unmetered = float(shared.gpu_seconds.sum()), float(shared.unmetered_seconds.sum())
    is_metered = unmetered < seconds * (1 - 1e-9)
    joules = {
        f"request_{name}": float(getattr(shared, name).sum()) if is_metered else None
        for name in ("joules", "joules_low", "joules_high")
    }
    bounds = {f"request_seconds_{end}": float(getattr(shared, f"gpu_seconds_{end}").sum()) for end in ("low", "high")}
    return {"request_seconds": seconds, "request_unmetered_seconds": unmetered, **bounds, **joules}
