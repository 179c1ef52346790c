"""Was a call's adapter in the GPU's memory already, or was it loaded first: cold against warm.

- `residency(project_id, range, *, model=(), adapter=()) -> Residency`
- `classify(calls) -> list[Verdict]`: the rule, a pure function

What a span states goes first: `lora.residency` (`gpu`, `cpu`, `artifact` or `remote`: where the adapter was) and
`lora.load_time` (seconds), on the span or on an event `lora.load`. Else it is inferred, since no engine reports it. Of
a call's time to the first token, what neither the queue nor the prefill took is its overhead. A call that follows
another of the same adapter on the same engine within WARM_WITHIN found it in memory. Any other call is cold where its
overhead is above the 99th percentile of those and above twice their median, since one in a hundred warm calls is above
the first alone; its load time is what it was above their median. An adapter with too few such calls is measured by
those of every adapter on its engine.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from heliograph.clickhouse import client
from heliograph.query.filters import InvalidFilterError, SpanFilter, TimeRange, put
from heliograph.query.placement import MODEL_KINDS

Class = Literal["warm", "cold", "unknown"]
# Where an adapter was, as a span may state it: only in the GPU's memory it is warm.
WARM, COLD = ("gpu", "warm"), ("cpu", "artifact", "disk", "remote", "cold")
# An engine that drops an adapter within so short a time has more adapters in flight than slots.
WARM_WITHIN_NS = 2 * 10**9
# Below this many calls a 99th percentile is their maximum and says little.
MIN_WARM = 20
# A day of a busy deployment; a longer range is asked for in parts, or cut to its latest spans, which is said.
MAX_SPANS = 200_000
MAX_COLD_SHOWN = 20
_MAX_ANCESTORS = 64

NO_TIMES = "no span of these calls has time to first token, queue and prefill: the engine's own spans do"
FEW_WARM = (
    f"fewer than {MIN_WARM} calls on the engine that followed another of their adapter within"
    f" {WARM_WITHIN_NS // 10**9} s: no measure of what is usual"
)

SPANS = """
SELECT
    trace_id, span_id, parent_span_id, adapter, kind, toUnixTimestamp64Nano(start_time) AS start_ns, service, host,
    service_instance_id, ttft_ns, queue_ns, prefill_ns, events.attributes[indexOf(events.name, 'lora.load')] AS loaded,
    if(attributes['lora.residency'] != '', attributes['lora.residency'], loaded['lora.residency']) AS stated,
    toFloat64OrNull(if(attributes['lora.load_time'] != '', attributes['lora.load_time'], loaded['lora.load_time']))
        AS load_s
FROM spans
WHERE project_id = %(project_id)s AND {time} AND trace_id IN (
    SELECT trace_id FROM spans WHERE project_id = %(project_id)s AND {where} AND adapter != ''
)
ORDER BY start_time DESC, trace_id, span_id
LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of an adapter; times in ns. `engine` tells one process from another; `stated` is '' or what a span says.

    `overhead_ns` is the time to the first token without queue and prefill, None where one of them is not known.
    """

    adapter: str
    engine: tuple[str, ...]
    trace_id: str
    span_id: str
    start_ns: int
    ttft_ns: int | None
    overhead_ns: int | None
    stated: str = ""
    load_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a call found its adapter. `load_ns` is None where it is warm, or not known; `is_stated`: a span said it."""

    call: Call
    residency: Class
    load_ns: int | None
    is_stated: bool
    reason: str = ""
    # What the overhead was compared with, None where there is no measure of what is usual.
    bound_ns: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterResidency:
    """The calls of one adapter by class; times in ns, None where there is no such call. `reason` explains `unknown`.

    `warm_overhead_p99_ns` is the bound of the rule. `stated` counts verdicts that a span gave.
    """

    adapter: str
    calls: int
    warm: int
    cold: int
    unknown: int
    stated: int
    warm_ttft_p50_ns: float | None
    warm_ttft_p95_ns: float | None
    cold_ttft_p50_ns: float | None
    cold_ttft_p95_ns: float | None
    load_p50_ns: float | None
    load_p95_ns: float | None
    warm_overhead_p99_ns: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class ColdCall:
    """A call that waited for its adapter."""

    adapter: str
    trace_id: str
    span_id: str
    start_ns: int
    ttft_ns: int | None
    load_ns: int | None
    is_stated: bool


@dataclass(frozen=True, slots=True)
class Residency:
    """Adapters by cold calls, the slowest loads, and `is_cut` where only the latest MAX_SPANS spans were looked at."""

    adapters: tuple[AdapterResidency, ...]
    slowest: tuple[ColdCall, ...]
    is_cut: bool


def residency(
    project_id: int, span: TimeRange, *, model: tuple[str, ...] = (), adapter: tuple[str, ...] = (), limit: int = 200
) -> Residency:
    """Return how the adapters' calls found them. Raises InvalidFilterError for a limit that is not from 1 to 1,000."""
    if not 1 <= limit <= 1_000:
        raise InvalidFilterError("limit", "must be from 1 to 1000")
    time, parameters = SpanFilter(range=span).where()
    where, more = SpanFilter(range=span, model=model, adapter=adapter).where()
    rows = client.query(
        project_id,
        put(SPANS, time=time, where=where),
        {**parameters, **more, "limit": MAX_SPANS},
        tag="residency.spans",
    )
    found = [call for call in calls_of(rows) if not adapter or call.adapter in adapter]
    verdicts = classify(found)
    by_adapter: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_adapter.setdefault(verdict.call.adapter, []).append(verdict)
    told = sorted((_told(name, each) for name, each in by_adapter.items()), key=lambda row: (-row.cold, -row.calls))
    cold = sorted((each for each in verdicts if each.residency == "cold"), key=lambda each: -(each.load_ns or 0))
    return Residency(
        tuple(told[:limit]), tuple(_cold_call(each) for each in cold[:MAX_COLD_SHOWN]), len(rows) >= MAX_SPANS
    )


def calls_of(rows: Sequence[Mapping[str, Any]]) -> list[Call]:
    """Return the calls of adapters among the spans of some traces, each once.

    An engine's span names no adapter where the engine is vLLM: it is the one of the nearest span above that does. Of
    spans within each other that speak of one call, the one furthest down that has times is it.
    """
    by_id = {(row["trace_id"], row["span_id"]): row for row in rows}
    below: set[tuple[str, str]] = set()
    calls = []
    models = [row for row in rows if row["kind"] in MODEL_KINDS]
    timed = [row for row in models if _is_timed(row)]
    untimed = [row for row in models if row["adapter"] and not _is_timed(row)]
    for group in (timed, untimed):
        # The latest of nested spans is the inner one.
        for row in sorted(group, key=lambda each: -each["start_ns"]):
            key = row["trace_id"], row["span_id"]
            if key in below:
                continue
            above = list(_ancestors(row, by_id))
            named = next((each["adapter"] for each in (row, *above) if each["adapter"]), "")
            if named:
                below.update((each["trace_id"], each["span_id"]) for each in above)
                calls.append(_call(row, named))
    return calls


def _is_timed(row: Mapping[str, Any]) -> bool:
    return _overhead(row) is not None or bool(row["stated"]) or row["load_s"] is not None


def _ancestors(
    row: Mapping[str, Any], by_id: Mapping[tuple[str, str], Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    for _ in range(_MAX_ANCESTORS):
        above = by_id.get((row["trace_id"], row["parent_span_id"]))
        if above is None:
            return
        yield above
        row = above


def _overhead(row: Mapping[str, Any]) -> int | None:
    parts = row["ttft_ns"], row["queue_ns"], row["prefill_ns"]
    return None if None in parts else max(0, parts[0] - parts[1] - parts[2])


def _call(row: Mapping[str, Any], adapter: str) -> Call:
    load_s = row["load_s"]
    return Call(
        adapter=adapter,
        engine=(row["service"], row["host"], row["service_instance_id"]),
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        start_ns=row["start_ns"],
        ttft_ns=row["ttft_ns"],
        overhead_ns=_overhead(row),
        stated=row["stated"],
        load_ns=round(load_s * 1e9) if load_s is not None and 0 <= load_s < 86_400 else None,
    )


def classify(calls: Sequence[Call]) -> list[Verdict]:
    """Return a verdict for each call, in the order of their times."""
    ordered = sorted(calls, key=lambda call: call.start_ns)
    followed = _followers(ordered)
    overheads: dict[str | tuple[str, ...], list[int]] = {}
    for call, is_warm in zip(ordered, followed, strict=True):
        if is_warm and call.overhead_ns is not None:
            overheads.setdefault(call.adapter, []).append(call.overhead_ns)
            overheads.setdefault(call.engine, []).append(call.overhead_ns)
    usual = {key: _usual(values) for key, values in overheads.items() if len(values) >= MIN_WARM}
    return [
        _verdict(call, is_warm, usual.get(call.adapter) or usual.get(call.engine))
        for call, is_warm in zip(ordered, followed, strict=True)
    ]


def _usual(warm: Sequence[int]) -> tuple[float, float]:
    """Median and bound of the overhead of warm calls, in ns."""
    median = float(np.median(warm))
    return median, max(float(np.quantile(warm, 0.99, method="higher")), 2 * median)


def _followers(ordered: Sequence[Call]) -> list[bool]:
    last: dict[tuple[str, tuple[str, ...]], int] = {}
    found = []
    for call in ordered:
        key = call.adapter, call.engine
        found.append(key in last and call.start_ns - last[key] <= WARM_WITHIN_NS)
        last[key] = call.start_ns
    return found


def _verdict(call: Call, is_warm: bool, usual: tuple[float, float] | None) -> Verdict:
    median, bound = usual or (None, None)
    if call.stated in WARM:
        return Verdict(call, "warm", None, is_stated=True, bound_ns=bound)
    if call.stated in COLD or call.load_ns:
        return Verdict(call, "cold", call.load_ns, is_stated=True, bound_ns=bound)
    reason = NO_TIMES if call.overhead_ns is None else "" if usual or is_warm else FEW_WARM
    if reason:
        return Verdict(call, "unknown", None, is_stated=False, reason=reason, bound_ns=bound)
    if is_warm or call.overhead_ns is None or median is None or bound is None or call.overhead_ns <= bound:
        return Verdict(call, "warm", None, is_stated=False, bound_ns=bound)
    return Verdict(call, "cold", round(call.overhead_ns - median), is_stated=False, bound_ns=bound)


def _told(adapter: str, verdicts: Sequence[Verdict]) -> AdapterResidency:
    of = {name: [each for each in verdicts if each.residency == name] for name in ("warm", "cold", "unknown")}
    ttft = {name: [each.call.ttft_ns for each in found if each.call.ttft_ns is not None] for name, found in of.items()}
    loads = [each.load_ns for each in of["cold"] if each.load_ns is not None]
    return AdapterResidency(
        adapter=adapter,
        calls=len(verdicts),
        warm=len(of["warm"]),
        cold=len(of["cold"]),
        unknown=len(of["unknown"]),
        stated=sum(each.is_stated for each in verdicts),
        warm_ttft_p50_ns=_quantile(ttft["warm"], 0.5),
        warm_ttft_p95_ns=_quantile(ttft["warm"], 0.95),
        cold_ttft_p50_ns=_quantile(ttft["cold"], 0.5),
        cold_ttft_p95_ns=_quantile(ttft["cold"], 0.95),
        load_p50_ns=_quantile(loads, 0.5),
        load_p95_ns=_quantile(loads, 0.95),
        warm_overhead_p99_ns=next((each.bound_ns for each in verdicts), None),
        reason=next((each.reason for each in of["unknown"]), ""),
    )


def _quantile(values: Sequence[int], share: float) -> float | None:
    return float(np.quantile(values, share)) if values else None


def _cold_call(verdict: Verdict) -> ColdCall:
    call = verdict.call
    return ColdCall(
        call.adapter, call.trace_id, call.span_id, call.start_ns, call.ttft_ns, verdict.load_ns, verdict.is_stated
    )
