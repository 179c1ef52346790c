"""Engines that serve models, by one canonical set of metrics, worked out of their own names at read time.

- `instances(project_id, range) -> list[EngineInstance]`: which engines reported, with what they serve
- `canonical(project_id, range, *, step_s=None, metrics=(), ...) -> list[InstanceMetrics]`: the canonical metrics of
  each, as one value over the range or as series

What an engine calls its metrics is the table in `collectors.serving`. Rates come from the differences of counters,
never from a gauge that the engine averaged; quantiles from the differences of a histogram's buckets, never from an
average of quantiles. A value that there is not is None, and `reason` says why: the engine does not expose it, no
samples came, nothing was counted, or the counter began again.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate, pairwise
from typing import Any

from collectors import serving as table
from collectors.serving.model import (
    CANONICAL,
    Canonical,
    Engine,
    Level,
    LevelRatio,
    MeanSum,
    Pick,
    Quantiles,
    Rate,
    Ratio,
    Version,
    Way,
)
from heliograph.clickhouse import client
from heliograph.query import serving_sql as statements
from heliograph.query.filters import Clause, InvalidFilterError, TimeRange, put

# Histograms are read from their points: a week of one engine at 15 s is some two million rows.
MAX_RANGE = timedelta(days=7)
# A page shows them side by side; more are narrowed by service.
MAX_INSTANCES = 50
MAX_STEPS = 500
# 50 instances with 30 metrics each and 100 steps.
MAX_ROWS = 150_000
# A counter's first point in the range counts from the one before it, at most this long ago.
_LOOK_BACK = timedelta(minutes=5)
QUANTILES = (0.5, 0.95, 0.99)

NO_SAMPLES = "no samples"
ONE_SAMPLE = "one sample only: a counter needs two"
COUNTER_RESET = "counter reset"
NOTHING_COUNTED = "nothing was counted in this time"
NO_BUCKETS = "no buckets: the histogram came without them, or its series share no bound"

_SPELLED = {
    spelling: name for engine in table.ENGINES for name in sorted(engine.needed) for spelling in table.spellings(name)
}
_TAG_KEYS = sorted(
    {
        key
        for engine in table.ENGINES
        for ways in engine.ways.values()
        for way in ways
        for pick in way.picks
        for key in pick.where
    }
)
_MODEL_KEYS = sorted({key for engine in table.ENGINES for key in engine.model_labels})


@dataclass(frozen=True, slots=True)
class EngineInstance:
    """One process of an engine. `version` is '' where nobody stated it; `models` are those that its metrics name."""

    engine: str
    title: str
    version: str
    service: str
    host: str
    instance: str
    models: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells it from the others."""
        return self.engine, self.service, self.host, self.instance


@dataclass(frozen=True, slots=True)
class Reading:
    """What a metric was from `start_s` (epoch seconds) for one step.

    `value` is the rate, level or ratio, and of a histogram the mean; `p50`, `p95` and `p99` are a histogram's, and
    `count` is how many observations they stand on. `is_beyond` says that a quantile lies in the last, open bucket: then
    it is at least what it says. `reason` is '' where there is a value.
    """

    start_s: int
    value: float | None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    count: float | None = None
    is_beyond: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CanonicalSeries:
    """One canonical metric of an instance. `sources` are the engine's own names that it came from.

    `bound` is `lower` or `upper` where the value is only that; `reason` is '' or why there is no reading at all.
    """

    metric: str
    unit: str
    description: str
    sources: tuple[str, ...]
    bound: str
    note: str
    reason: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class InstanceMetrics:
    """An instance with its canonical metrics, all of them, in the order of the table."""

    instance: EngineInstance
    metrics: tuple[CanonicalSeries, ...]

    def of(self, metric: str) -> CanonicalSeries:
        """Return one metric. Raises KeyError for an unknown one."""
        for each in self.metrics:
            if each.metric == metric:
                return each
        raise KeyError(metric)


def instances(project_id: int, span: TimeRange, *, service: str = "", engine: str = "") -> list[EngineInstance]:
    """Return the engines that reported in the range, at most MAX_INSTANCES."""
    return [instance for instance, _ in _found(project_id, span, service, engine)]


def canonical(
    project_id: int,
    span: TimeRange,
    *,
    step_s: int | None = None,
    metrics: Sequence[str] = (),
    service: str = "",
    engine: str = "",
) -> list[InstanceMetrics]:
    """Return the canonical metrics of each instance: one reading over the whole range, or one a step.

    `metrics` narrows to some of the canonical names. Raises InvalidFilterError for an unknown one, a range beyond
    MAX_RANGE, or more than MAX_STEPS steps.
    """
    asked = _asked(metrics)
    step = _step(step_s, span)
    found = _found(project_id, span, service, engine)
    chosen = {
        instance.key: {
            each.name: _way(table.BY_NAME[instance.engine], each.name, instance.version, names) for each in asked
        }
        for instance, names in found
    }
    needed = {pick.name for ways in chosen.values() for way in ways.values() if way is not None for pick in way.picks}
    rows = _rows(project_id, span, step, needed, service) if needed else {}
    return [
        InstanceMetrics(
            instance,
            tuple(
                _series(each, instance, chosen[instance.key][each.name], rows.get(instance.key, {}), span, step)
                for each in asked
            ),
        )
        for instance, _ in found
    ]


def _asked(metrics: Sequence[str]) -> list[Canonical]:
    known = {each.name for each in CANONICAL}
    unknown = next((name for name in metrics if name not in known), None)
    if unknown is not None:
        raise InvalidFilterError("metric", f"{unknown!r} is none of {', '.join(sorted(known))}")
    return [each for each in CANONICAL if not metrics or each.name in metrics]


def _step(step_s: int | None, span: TimeRange) -> int:
    if span.end - span.start > MAX_RANGE:
        raise InvalidFilterError("start", f"may be at most {MAX_RANGE.days} days before end")
    if step_s is None:
        return math.ceil(span.seconds) + 1
    if step_s < 1 or span.seconds / step_s > MAX_STEPS:
        raise InvalidFilterError("step", f"must cut the range into at most {MAX_STEPS} parts")
    return step_s


def _between(span: TimeRange) -> Clause:
    return (
        "time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC') AND time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')",
        {"start_ns": span.start_ns, "end_ns": span.end_ns},
    )


def _service(service: str) -> Clause:
    return ("service = %(service)s", {"service": service}) if service else ("1", {})


def _found(project_id: int, span: TimeRange, service: str, engine: str) -> list[tuple[EngineInstance, set[str]]]:
    """Return each instance with the names, as the table spells them, that it reported."""
    time, parameters = _between(span)
    where, more = _service(service)
    parameters |= more | {
        "metrics": sorted(_SPELLED),
        "engine_key": table.ENGINE_KEY,
        "version_key": table.VERSION_KEY,
        "model_keys": _MODEL_KEYS,
        "limit": MAX_ROWS,
    }
    sql = put(statements.SERVING_INSTANCES, instance=statements.INSTANCE, time=f"{time} AND {where}")
    names: defaultdict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    versions: dict[tuple[str, str, str, str], str] = {}
    models: defaultdict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for row in client.query(project_id, sql, parameters, tag="serving.instances"):
        name = _SPELLED[row["metric"]]
        of = _engine(row["engine"], name)
        if of is None or (engine and of.name != engine):
            continue
        key = of.name, row["service"], row["host"], row["instance"]
        names[key].add(name)
        versions[key] = versions.get(key) or row["version"]
        models[key].update(row["models"])
    if len(names) > MAX_INSTANCES:
        raise InvalidFilterError("service", f"must narrow the engines: more than {MAX_INSTANCES} reported")
    return [
        (
            EngineInstance(
                key[0], table.BY_NAME[key[0]].title, versions[key], *key[1:], models=tuple(sorted(models[key])[:20])
            ),
            names[key],
        )
        for key in sorted(names)
    ]


def _engine(stated: str, name: str) -> Engine | None:
    """Return the engine that a target's label states, where it knows the name; else the one that the name tells."""
    engine = table.BY_NAME.get(stated)
    return engine if engine is not None and name in engine.needed else table.engine_of(name)


def _way(engine: Engine, metric: str, version: str, names: set[str]) -> Way | None:
    """Return the first way whose names are there and whose versions hold."""
    number: Version | None = table.version_of(version)
    return next(
        (
            way
            for way in engine.ways.get(metric, ())
            if way.serves(number) and all(pick.name in names for pick in way.picks[:2])
        ),
        None,
    )


_Row = dict[str, Any]
_Rows = dict[str, list[_Row]]


def _rows(
    project_id: int, span: TimeRange, step: int, needed: Iterable[str], service: str
) -> dict[tuple[str, str, str, str], _Rows]:
    """Return the bucket rows by instance and metric."""
    time, parameters = _between(TimeRange(span.start - _LOOK_BACK, span.end))
    where, more = _service(service)
    spelled = sorted(spelling for name in needed for spelling in table.spellings(name))
    parameters |= more | {
        "metrics": spelled,
        "tag_keys": _TAG_KEYS,
        "from_s": span.start_ns // 10**9,
        "step_s": step,
        "limit": MAX_ROWS + 1,
    }
    sql = put(statements.SERVING_BUCKETS, instance=statements.INSTANCE, time=time, where=where)
    rows = client.query(project_id, sql, parameters, tag="serving.buckets")
    if len(rows) > MAX_ROWS:
        raise InvalidFilterError("step", f"would give more than {MAX_ROWS} rows: take a longer step or one service")
    found: dict[tuple[str, str, str, str], _Rows] = {}
    for row in rows:
        name = _SPELLED[row["metric"]]
        row["tags"] = dict(zip(_TAG_KEYS, row["tags"], strict=True))
        # Of an instance that states its engine the name alone may belong to another: both are offered the row.
        for engine in table.ENGINES:
            if name in engine.needed:
                key = engine.name, row["service"], row["host"], row["instance"]
                found.setdefault(key, {}).setdefault(name, []).append(row)
    return found


def _series(
    metric: Canonical, instance: EngineInstance, way: Way | None, rows: _Rows, span: TimeRange, step: int
) -> CanonicalSeries:
    engine = table.BY_NAME[instance.engine]
    if way is None:
        reason = _absent(engine, metric.name)
        return CanonicalSeries(metric.name, metric.unit, metric.description, (), "", "", reason, ())
    from_s = span.start_ns // 10**9
    starts = range(from_s, math.ceil(span.end_ns / 10**9), step)
    by_pick = [_by_start(rows.get(pick.name, ()), pick) for pick in way.picks]
    readings = tuple(_read(way, [found.get(start, []) for found in by_pick], start) for start in starts)
    return CanonicalSeries(
        metric.name,
        metric.unit,
        metric.description,
        tuple(dict.fromkeys(pick.name for pick in way.picks)),
        way.bound,
        way.note,
        "",
        readings,
    )


def _absent(engine: Engine, metric: str) -> str:
    ways = engine.ways.get(metric, ())
    stated = engine.absent.get(metric, "").format(title=engine.title)
    if stated or not ways:
        return stated or f"{engine.title} does not expose this."
    names = ", ".join(dict.fromkeys(pick.name for way in ways for pick in way.picks))
    return f"{NO_SAMPLES} of {names}: another version of {engine.title}, or it runs without them"


def _by_start(rows: Iterable[_Row], pick: Pick) -> dict[int, list[_Row]]:
    found: dict[int, list[_Row]] = {}
    for row in rows:
        if all(row["tags"].get(key) == value for key, value in pick.where.items()):
            found.setdefault(row["start_s"], []).append(row)
    return found


def _read(way: Way, picked: list[list[_Row]], start: int) -> Reading:
    if not picked[0]:
        return Reading(start, None, reason=NO_SAMPLES)
    if isinstance(way, Level):
        return _level(way, picked[0], start)
    if isinstance(way, LevelRatio):
        part, whole = (sum(row["level_sum"] or 0.0 for row in rows) for rows in picked)
        return Reading(start, part / whole * way.factor) if whole else Reading(start, None, reason=NOTHING_COUNTED)
    if not any(row["steps"] for row in picked[0]):
        return Reading(start, None, reason=ONE_SAMPLE)
    return _of_steps(way, picked, start)


def _of_steps(way: Way, picked: list[list[_Row]], start: int) -> Reading:
    """Return what counters and histograms counted from point to point."""
    rows = picked[0]
    if isinstance(way, Quantiles):
        return _quantiles(way, rows, start)
    if isinstance(way, Rate):
        rates = [row[f"rate_{way.of.field}"] for row in rows if row[f"rate_{way.of.field}"] is not None]
        return Reading(start, sum(rates) * way.factor) if rates else Reading(start, None, reason=COUNTER_RESET)
    if isinstance(way, Ratio):
        part = _counted(rows, way.part)
        whole = sum(_counted(others, pick) for others, pick in zip(picked[1:], way.whole, strict=True))
        return Reading(start, part / whole * way.factor, count=whole) if whole else _nothing(start, rows)
    if isinstance(way, MeanSum):
        means = [_mean(each) for each in picked]
        known = [mean for mean in means if mean is not None]
        return Reading(start, sum(known) * way.factor) if len(known) == len(means) else _nothing(start, rows)
    raise TypeError(f"{type(way).__name__} has no computation")


def _nothing(start: int, rows: Sequence[_Row]) -> Reading:
    """Return a reading without a value: nothing happened, or what happened before a restart is not known."""
    return Reading(start, None, reason=COUNTER_RESET if any(row["resets"] for row in rows) else NOTHING_COUNTED)


def _level(way: Level, rows: Sequence[_Row], start: int) -> Reading:
    levels = [row[f"level_{way.across}"] for row in rows if row[f"level_{way.across}"] is not None]
    if not levels:
        return Reading(start, None, reason=NO_SAMPLES)
    total = {"sum": sum(levels), "avg": sum(levels) / len(levels), "max": max(levels)}[way.across]
    return Reading(start, total * way.factor)


def _counted(rows: Iterable[_Row], pick: Pick) -> float:
    return sum(row[pick.field] or 0.0 for row in rows)


def _mean(rows: Sequence[_Row]) -> float | None:
    count = sum(row["count"] or 0.0 for row in rows)
    return sum(row["sum"] or 0.0 for row in rows) / count if count else None


def _quantiles(way: Quantiles, rows: Sequence[_Row], start: int) -> Reading:
    count = sum(row["count"] or 0.0 for row in rows)
    if not count:
        return _nothing(start, rows)
    sums = [row["sum"] for row in rows if row["count"]]
    mean = None if None in sums else sum(sums) / count * way.factor
    merged = merge_buckets([(row["bounds"], row["buckets"]) for row in rows if row["count"]])
    if merged is None:
        return Reading(start, mean, count=count, reason="" if mean is not None else NO_BUCKETS)
    found = [quantile(share, *merged) for share in QUANTILES]
    p50, p95, p99 = (each * way.factor for each, _ in found)
    is_beyond = any(beyond for _, beyond in found)
    return Reading(start, mean, p50, p95, p99, count=count, is_beyond=is_beyond)


def merge_buckets(
    histograms: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> tuple[list[float], list[float]] | None:
    """Return bounds and counts of several histograms as one, over the bounds that all share; None where none is."""
    if not histograms or any(len(counts) != len(bounds) + 1 for bounds, counts in histograms):
        return None
    shared = sorted(set.intersection(*(set(bounds) for bounds, _ in histograms)))
    if not shared:
        return None
    totals = dict.fromkeys(shared, 0.0)
    everything = 0.0
    for bounds, counts in histograms:
        running = dict(zip(bounds, accumulate(counts), strict=False))
        everything += sum(counts)
        for bound in shared:
            totals[bound] += running[bound]
    cumulative = [*(totals[bound] for bound in shared), everything]
    return shared, [later - earlier for earlier, later in pairwise([0.0, *cumulative])]


def quantile(share: float, bounds: Sequence[float], counts: Sequence[float]) -> tuple[float, bool]:
    """Return a quantile by linear interpolation inside its bucket, and whether it lies beyond the last bound.

    The first bucket is taken to begin at 0 where its bound is positive, as Prometheus' `histogram_quantile` does.
    """
    rank = share * sum(counts)
    reached = 0.0
    for place, (bound, count) in enumerate(zip(bounds, counts, strict=False)):
        if count > 0 and reached + count >= rank:
            lower = bounds[place - 1] if place else min(0.0, bound)
            return lower + (bound - lower) * max(rank - reached, 0.0) / count, False
        reached += count
    return bounds[-1], True
