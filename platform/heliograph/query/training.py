"""Training jobs: what their ranks report, step by step in time, beside the GPUs of their hosts.

- `jobs(project_id, range) -> list[Job]`
- `job(project_id, range, job_id, *, buckets=120) -> JobDetail | None`: series over the ranks, and which rank is slow
- `stragglers(ranks) -> list[RankTime]`: the rule, a pure function

A job is a sender whose resource has `training.job.id`. The keys that are understood are in `collectors.training`.

The straggler's statistic: in synchronous training every rank ends a step together, so that the slow one shows not in
its step time but in its own work, which is the step without the time in collectives (where these are not reported, the
step). In each bucket of time a rank's work is divided by the median of all ranks; a rank's slowness is the median of
that over the buckets. A rank is a straggler where it is slower than 1.1 and further from the ranks' median than 5 times
their median absolute deviation (scaled to a normal's, at least 1 %), with at least 4 ranks and 8 buckets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from collectors.training import BY_KEY, JOB_KEY, RANK_KEYS
from heliograph.clickhouse import client
from heliograph.query.filters import InvalidFilterError, TimeRange
from heliograph.query.overview import MAX_BUCKETS

MAX_RANGE = timedelta(days=31)
MAX_JOBS, MAX_ROWS = 200, 400_000
SLOW, DEVIATIONS, LEAST_SPREAD = 1.1, 5.0, 0.01
MIN_RANKS, MIN_BUCKETS = 4, 8
_NORMAL = 1.4826

_RANK = (
    "multiIf("
    + ", ".join(
        f"attributes['{k}'] != '', attributes['{k}'], resource['{k}'] != '', resource['{k}']" for k in RANK_KEYS
    )
    + ", '0')"
)

JOBS = (
    """
SELECT resource[%(job_key)s] AS job, anyLast(service) AS service, groupUniqArray(1000)(host) AS hosts,
    uniqExact(("""
    + _RANK
    + """, host)) AS ranks, toUnixTimestamp64Nano(min(time)) AS start_ns, toUnixTimestamp64Nano(max(time)) AS end_ns,
    argMaxIf(value, time, metric IN %(loss)s) AS loss, countIf(metric IN %(loss)s) AS losses
FROM metric_points
WHERE project_id = %(project_id)s AND metric IN %(metrics)s AND value IS NOT NULL AND resource[%(job_key)s] != ''
    AND time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC') AND time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
GROUP BY job
ORDER BY end_ns DESC, job
LIMIT %(limit)s
"""
)

POINTS = (
    """
SELECT metric, host, """
    + _RANK
    + """ AS rank, any(gpu_uuid) AS gpu,
    intDiv(toUnixTimestamp(time), %(step_s)s) * %(step_s)s AS start_s, avg(value) AS mean
FROM metric_points
WHERE project_id = %(project_id)s AND metric IN %(metrics)s AND value IS NOT NULL AND resource[%(job_key)s] = %(job)s
    AND time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC') AND time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
GROUP BY metric, host, rank, start_s
ORDER BY start_s, host, rank
LIMIT %(limit)s
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A training job that reported in the range; `loss` is its last, None where none was reported."""

    job: str
    service: str
    hosts: tuple[str, ...]
    ranks: int
    start_ns: int
    end_ns: int
    loss: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPoint:
    """One bucket of time over the ranks: the median, and the fastest and slowest rank; `total` adds the ranks up."""

    start_s: int
    median: float
    low: float
    high: float
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSeries:
    """One measure of a job over time, in its unit; `ranks` is how many report it."""

    metric: str
    ranks: int
    points: tuple[TrainingPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankTime:
    """How slow a rank is: `slowness` is its work over the median rank's, `deviations` how far out that is.

    `work_s` is the median time of its own work a step. `reason` says why nothing can be judged.
    """

    rank: str
    host: str
    gpu: str
    work_s: float
    slowness: float
    deviations: float
    is_straggler: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetail:
    """A job over time. `is_without_collectives` says that the ranks' work is their whole step."""

    job: Job
    step_s: int
    series: tuple[TrainingSeries, ...]
    ranks: tuple[RankTime, ...]
    is_without_collectives: bool
    collective_share: float | None


@dataclass(frozen=True, slots=True)
class RankWork:
    """What is known of a rank: its own work by bucket of time, in seconds a step."""

    rank: str
    host: str
    gpu: str
    work: Mapping[int, float]


def jobs(project_id: int, span: TimeRange) -> list[Job]:
    """Return the jobs that reported in the range, latest first. Raises InvalidFilterError for one over MAX_RANGE."""
    rows = client.query(project_id, JOBS, _asked(span) | {"limit": MAX_JOBS}, tag="training.jobs")
    return [_job(row) for row in rows]


def job(project_id: int, span: TimeRange, job_id: str, *, buckets: int = 120) -> JobDetail | None:
    """Return a job over time, None where it reported nothing in the range."""
    if not 1 <= buckets <= MAX_BUCKETS:
        raise InvalidFilterError("buckets", f"must be from 1 to {MAX_BUCKETS}")
    found = next((each for each in jobs(project_id, span) if each.job == job_id), None)
    if found is None:
        return None
    # Buckets of the job's own time, so that a job of ten minutes in a day is not one bucket.
    step_s = max(1, -(-(found.end_ns - found.start_ns) // (buckets * 10**9)))
    asked = _asked(span) | {"job": job_id, "step_s": step_s, "limit": MAX_ROWS}
    rows = client.query(project_id, POINTS, asked, tag="training.points")
    values: dict[str, dict[int, dict[tuple[str, str], float]]] = {}
    gpus: dict[tuple[str, str], str] = {}
    for row in rows:
        name, factor = BY_KEY[row["metric"]]
        rank = row["host"], row["rank"]
        values.setdefault(name, {}).setdefault(row["start_s"], {})[rank] = row["mean"] * factor
        gpus[rank] = gpus.get(rank) or row["gpu"]
    steps, waits = values.get("step_time", {}), values.get("collective_time", {})
    return JobDetail(
        job=found,
        step_s=step_s,
        series=tuple(_series(name, by_time) for name, by_time in sorted(values.items())),
        ranks=tuple(stragglers(_work(steps, waits, gpus))),
        is_without_collectives=not waits,
        collective_share=_share(steps, waits),
    )


def _asked(span: TimeRange) -> dict[str, Any]:
    if span.end - span.start > MAX_RANGE:
        raise InvalidFilterError("start", f"may be at most {MAX_RANGE.days} days before end")
    loss = [key for key, (name, _) in BY_KEY.items() if name == "loss"]
    return {
        "metrics": sorted(BY_KEY),
        "loss": loss,
        "job_key": JOB_KEY,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
    }


def _job(row: Mapping[str, Any]) -> Job:
    return Job(
        job=row["job"],
        service=row["service"],
        hosts=tuple(sorted(host for host in row["hosts"] if host)),
        ranks=row["ranks"],
        start_ns=row["start_ns"],
        end_ns=row["end_ns"],
        loss=row["loss"] if row["losses"] else None,
    )


_ByTime = Mapping[int, Mapping[tuple[str, str], float]]


def _series(name: str, by_time: _ByTime) -> TrainingSeries:
    ranks = {rank for values in by_time.values() for rank in values}
    points = []
    for start_s, values in sorted(by_time.items()):
        each = list(values.values())
        points.append(
            TrainingPoint(
                start_s=start_s, median=float(np.median(each)), low=min(each), high=max(each), total=float(sum(each))
            )
        )
    return TrainingSeries(metric=name, ranks=len(ranks), points=tuple(points))


def _work(steps: _ByTime, waits: _ByTime, gpus: Mapping[tuple[str, str], str]) -> list[RankWork]:
    found: dict[tuple[str, str], dict[int, float]] = {}
    for start_s, values in steps.items():
        for rank, step in values.items():
            wait = waits.get(start_s, {}).get(rank, 0.0 if not waits else None)
            # Of a job that reports collectives, a bucket without one says nothing of the rank's own work.
            if wait is not None:
                found.setdefault(rank, {})[start_s] = max(0.0, step - wait)
    return [RankWork(rank, host, gpus.get((host, rank), ""), work) for (host, rank), work in sorted(found.items())]


def _share(steps: _ByTime, waits: _ByTime) -> float | None:
    pairs = [
        (waits[at][rank], step)
        for at, values in steps.items()
        if at in waits
        for rank, step in values.items()
        if rank in waits[at]
    ]
    whole = sum(step for _, step in pairs)
    return sum(wait for wait, _ in pairs) / whole if whole else None


def stragglers(ranks: Sequence[RankWork]) -> list[RankTime]:
    """Return every rank, slowest first, by the statistic above."""
    by_time: dict[int, list[float]] = {}
    for each in ranks:
        for at, work in each.work.items():
            by_time.setdefault(at, []).append(work)
    middle = {at: float(np.median(works)) for at, works in by_time.items()}
    slow = {
        number: float(np.median(ratios))
        for number, each in enumerate(ranks)
        if (ratios := [work / middle[at] for at, work in each.work.items() if middle[at] > 0])
    }
    centre = float(np.median(list(slow.values()))) if slow else 1.0
    spread = (
        max(LEAST_SPREAD, _NORMAL * float(np.median([abs(value - centre) for value in slow.values()]))) if slow else 1.0
    )
    reason = _unjudged(ranks)
    told = []
    for number, slowness in slow.items():
        each, out = ranks[number], (slowness - centre) / spread
        told.append(
            RankTime(
                rank=each.rank,
                host=each.host,
                gpu=each.gpu,
                work_s=float(np.median(list(each.work.values()))),
                slowness=slowness,
                deviations=out,
                is_straggler=not reason and slowness > SLOW and out > DEVIATIONS,
                reason=reason,
            )
        )
    return sorted(told, key=lambda row: -row.slowness)


def _unjudged(ranks: Sequence[RankWork]) -> str:
    if len(ranks) < MIN_RANKS:
        return f"{len(ranks)} ranks report their step times; at least {MIN_RANKS} are compared"
    fewest = min(len(each.work) for each in ranks)
    return (
        f"a rank reported in {fewest} stretches of time only; at least {MIN_BUCKETS} are compared"
        if fewest < MIN_BUCKETS
        else ""
    )
