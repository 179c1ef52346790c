"""The GPUs of a project: how each is over a range, what is wrong with it, and what happened to it.

- `fleet(project_id, range, *, host=None, after=("", ""), limit=MAX_GPUS) -> Fleet`
- `device(project_id, gpu_uuid, range) -> Device | None`: what one GPU is
- `events(project_id, range, *, host=None, gpu_uuid="", limit=200) -> list[GpuEvent]`, newest first

A fleet is read from a row a GPU and minute (`gpu_rollups_1m`): its cost grows with GPUs and time, not with samples.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from heliograph.clickhouse import client
from heliograph.query import fleet_sql as statements
from heliograph.query.filters import Clause, InvalidFilterError, TimeRange, put
from heliograph.query.gpu_problems import GpuProblem, held_back_s, problems_of
from heliograph.query.overview import step_for

# A page shows as many cells; a project with more narrows by host or pages through the API.
MAX_GPUS = 4_000
MAX_EVENTS = 1_000
# A counter's growth is known from bucket to bucket; more buckets than this say nothing more of a whole range.
_BUCKETS = 48
# What the first bucket's counters are compared with.
_LOOK_BACK_S = 300
_WEEK_S = 7 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetGpu:
    """One GPU or MIG instance over a range; None where it did not report.

    `utilization` (0 to 1) and `power` (W) are means, memory (bytes) and `temperature` (degrees Celsius) the highest;
    `held_back_s` is how long heat or the hardware held its clocks down, `throttled_s` all reasons, which overlap.
    """

    host: str
    gpu_uuid: str
    name: str
    index: str
    parent: str
    mig_profile: str
    last_seen_ns: int
    utilization: float | None
    power: float | None
    power_limit: float | None
    memory_used: float | None
    memory_limit: float | None
    temperature: float | None
    held_back_s: float
    throttled_s: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    xids: dict[str, int] = field(default_factory=dict)
    problems: tuple[GpuProblem, ...] = ()

    @property
    def memory_share(self) -> float | None:
        """The highest used share of the memory, 0 to 1."""
        return self.memory_used / self.memory_limit if self.memory_used is not None and self.memory_limit else None

    @property
    def power_share(self) -> float | None:
        """Mean power over its limit."""
        return self.power / self.power_limit if self.power is not None and self.power_limit else None

    @property
    def label(self) -> str:
        """What people call it: its index, or the beginning of its UUID where the sender told none."""
        return f"GPU {self.index}" if self.index else self.gpu_uuid[:12]

    @property
    def rank(self) -> tuple[int, int, str, int, str]:
        """Order of a list with problems first."""
        bad = sum(problem.severity == "bad" for problem in self.problems)
        return -bad, -len(self.problems), self.host, int(self.index) if self.index.isdigit() else 0, self.gpu_uuid


@dataclass(frozen=True, slots=True)
class Fleet:
    """GPUs by host and UUID; `is_cut` where there are more after `last`, the last (host, UUID) that was looked at."""

    gpus: tuple[FleetGpu, ...]
    is_cut: bool
    last: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Device:
    """What one GPU is: its resource attributes as its agent told them last."""

    gpu_uuid: str
    host: str
    first_seen_ns: int
    last_seen_ns: int
    resource: dict[str, str]


@dataclass(frozen=True, slots=True)
class GpuEvent:
    """Something that happened to a GPU, or to its host where `gpu_uuid` is ''."""

    time_ns: int
    host: str
    gpu_uuid: str
    name: str
    body: str
    attributes: dict[str, str]

    @property
    def words(self) -> str:
        """A few words, for a mark on a chart."""
        if self.name == "gpu.xid":
            return f"XID {self.attributes.get('gpu.xid', '?')}"
        return _WORDS.get(self.name, self.name.removeprefix("gpu."))


_WORDS = {
    "gpu.lost": "lost",
    "gpu.found": "back",
    "gpu.stuck": "stuck",
    "gpu.driver.reloaded": "driver reloaded",
    "gpu.counter.reset": "counter reset",
    "gpu.event": "critical event",
    "gpu.topology": "agent started",
}


def fleet(
    project_id: int,
    span: TimeRange,
    *,
    host: str | None = None,
    after: tuple[str, str] = ("", ""),
    limit: int = MAX_GPUS,
) -> Fleet:
    """Return the GPUs that reported in the range or in the week before it, after (host, UUID), by host and UUID."""
    if not 1 <= limit <= MAX_GPUS:
        raise InvalidFilterError("limit", f"must be from 1 to {MAX_GPUS}")
    whole = span.whole_minutes()
    start_s, end_s = whole.start_ns // 10**9, whole.end_ns // 10**9
    where, narrowed = _of_host(host)
    asked = narrowed | {
        "start_s": start_s,
        "before_s": start_s - _LOOK_BACK_S,
        "end_s": end_s,
        "since_s": start_s - 2 * _WEEK_S,
        "step_s": step_for(whole, _BUCKETS),
        "after_host": after[0],
        "after_uuid": after[1],
        "limit": limit + 1,
    }
    devices = client.query(project_id, put(statements.DEVICES, where=where), asked, tag="fleet.devices")
    conditions = client.query(project_id, put(statements.CONDITIONS, where=where), asked, tag="fleet.conditions")
    found = {(row["host"], row["gpu_uuid"]): row for row in conditions}
    xids = _xids(project_id, span, where, narrowed)
    looked_at = devices[:limit]
    recent = [row for row in looked_at if (row["host"], row["gpu_uuid"]) in found or _was_near(row, start_s)]
    gpus = [_gpu(row, found.get((row["host"], row["gpu_uuid"])), xids, start_s, end_s) for row in recent]
    last = (looked_at[-1]["host"], looked_at[-1]["gpu_uuid"]) if looked_at else None
    return Fleet(tuple(gpus), len(devices) > limit, last)


def device(project_id: int, gpu_uuid: str, span: TimeRange) -> Device | None:
    """Return what a GPU is, None where the project has none of that UUID before the end of the range."""
    asked = {"gpu_uuid": gpu_uuid, "end_s": span.whole_minutes().end_ns // 10**9}
    rows = client.query(project_id, statements.DEVICE, asked, tag="fleet.device")
    return next(
        (
            Device(gpu_uuid, row["host"], row["first_seen_ns"], row["last_seen_ns"], dict(row["resource"]))
            for row in rows
        ),
        None,
    )


def events(
    project_id: int, span: TimeRange, *, host: str | None = None, gpu_uuid: str = "", limit: int = 200
) -> list[GpuEvent]:
    """Return what happened in the range, newest first; of one GPU also what happened to its host as a whole."""
    if not 1 <= limit <= MAX_EVENTS:
        raise InvalidFilterError("limit", f"must be from 1 to {MAX_EVENTS}")
    where, parameters = _of_host(host)
    if gpu_uuid:
        where, parameters = f"{where} AND gpu_uuid IN (%(gpu_uuid)s, '')", parameters | {"gpu_uuid": gpu_uuid}
    time, between = _between(span)
    sql = put(statements.EVENTS, time=time, where=where)
    rows = client.query(project_id, sql, parameters | between | {"limit": limit}, tag="fleet.events")
    return [GpuEvent(**row) for row in rows]


def _gpu(
    row: dict[str, Any],
    condition: dict[str, Any] | None,
    xids: dict[tuple[str, str], dict[str, int]],
    start_s: int,
    end_s: int,
) -> FleetGpu:
    key = row["host"], row["gpu_uuid"]
    told = condition or {}
    grown = told.get("grown", {})
    last_s = told["last_minute_s"] + 60 if condition else row["last_seen_ns"] / 1e9
    # The minute of now is not over; a range in the past ended when it ended.
    silent_s = max(0.0, min(end_s, datetime.now(UTC).timestamp()) - last_s)
    return FleetGpu(
        host=key[0],
        gpu_uuid=key[1],
        name=row["name"],
        index=row["gpu_index"],
        parent=row["parent"],
        mig_profile=row["mig_profile"],
        last_seen_ns=min(row["last_seen_ns"], end_s * 10**9),
        **{
            name: told.get(name)
            for name in ("utilization", "power", "power_limit", "memory_used", "memory_limit", "temperature")
        },
        held_back_s=held_back_s(grown),
        throttled_s=_named(grown, "throttle:"),
        errors=_named(grown, "error:"),
        xids=xids.get(key, {}),
        problems=problems_of(
            seconds=end_s - start_s,
            silent_s=silent_s,
            grown=grown,
            states=told.get("states", {}),
            states_now=told.get("states_now", {}),
            xids=xids.get(key, {}),
        ),
    )


def _xids(
    project_id: int, span: TimeRange, where: str, narrowed: dict[str, object]
) -> dict[tuple[str, str], dict[str, int]]:
    time, between = _between(span)
    sql = put(statements.XIDS, time=time, where=where)
    found: dict[tuple[str, str], dict[str, int]] = {}
    for row in client.query(project_id, sql, narrowed | between | {"limit": 4 * MAX_GPUS}, tag="fleet.xids"):
        found.setdefault((row["host"], row["gpu_uuid"]), {})[row["code"]] = row["times"]
    return found


def _named(grown: dict[str, float], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): value for name, value in grown.items() if name.startswith(prefix) and value}


def _of_host(host: str | None) -> Clause:
    return ("1", {}) if host is None else ("host = %(host)s", {"host": host})


def _between(span: TimeRange) -> Clause:
    return (
        "time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC') AND time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')",
        {"start_ns": span.start_ns, "end_ns": span.end_ns},
    )


def _was_near(row: dict[str, Any], start_s: int) -> bool:
    """Whether a GPU without a reading in the range was heard of in the week before it."""
    return start_s - _WEEK_S <= int(row["last_seen_ns"]) // 10**9


def hosts_of(gpus: Iterable[FleetGpu]) -> dict[str, list[FleetGpu]]:
    """Return the GPUs by host, each host's by index."""
    grouped: dict[str, list[FleetGpu]] = {}
    for gpu in gpus:
        grouped.setdefault(gpu.host, []).append(gpu)
    for found in grouped.values():
        found.sort(key=lambda gpu: (int(gpu.index) if gpu.index.isdigit() else 0, gpu.gpu_uuid))
    return grouped
