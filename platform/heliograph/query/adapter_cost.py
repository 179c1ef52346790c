"""What a token costs against how many adapters are in use at once: whether serving many on one GPU is worth it.

- `cost_by_active_adapters(project_id, range, prices, *, step_s=3600) -> AdapterCost`

Time is cut into steps. In each, adapters are those that a request named, tokens those of the requests that ran on the
GPUs which served adapters, and the cost is that of these GPUs, idle time included: the deployment pays for it too.
Steps with as many adapters are pooled: their money over their tokens, with the cheapest and the dearest step beside.
That the cost stays level is a claim of one chart about one GPU (LoRAX, 2023); here each deployment sees its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.attribution import (
    COMMITTED,
    MAX_RANGE,
    PRICED,
    SUMS,
    Cost,
    Price,
    between_minutes,
    cost_of,
    prices_in_order,
)
from heliograph.query.filters import InvalidFilterError, TimeRange, put

# The sharing of GPU time knows minutes; a month of five minutes is 9,000 steps.
MIN_STEP_S, MAX_STEPS = 60, 10_000
# Steps of up to this many adapters are told apart one by one, more in bins that double.
_SINGLE = 4

_ON_GPUS = """
    gpu_uuid IN (SELECT gpu_uuid FROM attributions WHERE {committed} AND adapter != '' AND {wanted})"""

COSTS = """
SELECT
    intDiv(toUnixTimestamp(minute), %(step_s)s) * %(step_s)s AS start_s,
    {priced},
    {sums},
    uniqExactIf((trace_id, span_id), span_id != '') AS requests,
    groupUniqArrayIf(adapter, adapter != '') AS adapters
FROM attributions AS a
WHERE {committed} AND {on_gpus}
GROUP BY start_s, period, priced_name
ORDER BY start_s, period
LIMIT 50000
"""

TOKENS = """
SELECT intDiv(toUnixTimestamp(start_time), %(step_s)s) * %(step_s)s AS start_s,
    sum(toUInt64(ifNull(s.input_tokens, 0))) AS input_tokens, sum(toUInt64(ifNull(s.output_tokens, 0))) AS output_tokens
FROM spans AS s
WHERE s.project_id = %(project_id)s AND s.usage_counted
    AND s.start_time >= toDateTime64(%(start_s)s, 9, 'UTC') AND s.start_time < toDateTime64(%(end_s)s, 9, 'UTC')
    AND (s.trace_id, s.span_id) IN (
        SELECT trace_id, arrayJoin(span_ids) FROM attributions WHERE {committed} AND {on_gpus}
    )
GROUP BY start_s
ORDER BY start_s
LIMIT 50000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostStep:
    """One step of time. `usd_per_million` is of input and output tokens, None without tokens or without a price."""

    start_s: int
    step_s: int
    adapters: int
    requests: int
    input_tokens: int
    output_tokens: int
    gpu_seconds: float
    usd: Decimal | None
    usd_per_million: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostGroup:
    """Steps with `fewest` to `most` active adapters, pooled; money in USD a million tokens, with its extremes."""

    fewest: int
    most: int
    steps: int
    tokens: int
    usd_per_million: Decimal
    lowest: Decimal
    highest: Decimal


@dataclass(frozen=True, slots=True)
class AdapterCost:
    """Steps in time order and groups by adapters. `reason` is '' or why there are no groups."""

    steps: tuple[CostStep, ...]
    groups: tuple[CostGroup, ...]
    unpriced_gpu_seconds: float
    reason: str


def cost_by_active_adapters(
    project_id: int, span: TimeRange, prices: Sequence[Price] = (), *, step_s: int = 3_600, model: tuple[str, ...] = ()
) -> AdapterCost:
    """Return the cost of a token by the number of adapters in use; `model` narrows to GPUs that served these models.

    Raises InvalidFilterError for a range over MAX_RANGE, or a step that is no whole minutes or makes too many steps.
    """
    if span.end - span.start > MAX_RANGE:
        raise InvalidFilterError("start", f"may be at most {MAX_RANGE.days} days before end")
    if step_s < MIN_STEP_S or step_s % MIN_STEP_S or span.seconds / step_s > MAX_STEPS:
        raise InvalidFilterError("step", f"must be whole minutes, at most {MAX_STEPS} steps in the range")
    ordered, priced = prices_in_order(prices)
    wanted = "model IN %(models)s" if model else "1"
    asked = between_minutes(span) | priced | {"step_s": step_s, "models": model or ("",)}
    costs, tokens = (
        client.query(project_id, _sql(sql, wanted), asked, tag=tag)
        for sql, tag in ((COSTS, "adapter_cost.costs"), (TOKENS, "adapter_cost.tokens"))
    )
    steps = _steps(costs, {row["start_s"]: row for row in tokens}, ordered, step_s)
    unpriced = cost_of(costs, ordered, requests=False).unpriced_gpu_seconds
    groups = _groups(steps)
    return AdapterCost(steps, groups, unpriced, "" if groups else _why(steps))


def _sql(sql: str, wanted: str) -> str:
    return put(put(put(sql, on_gpus=_ON_GPUS), committed=COMMITTED), wanted=wanted, priced=PRICED, sums=SUMS)


def _steps(
    costs: Sequence[Mapping[str, Any]], tokens: Mapping[int, Mapping[str, Any]], prices: Sequence[Price], step_s: int
) -> tuple[CostStep, ...]:
    by_start: dict[int, list[Mapping[str, Any]]] = {}
    for row in costs:
        by_start.setdefault(row["start_s"], []).append(row)
    return tuple(_step(at, step_s, rows, cost_of(rows, prices), tokens.get(at)) for at, rows in by_start.items())


def _step(
    start_s: int, step_s: int, rows: Sequence[Mapping[str, Any]], cost: Cost, tokens: Mapping[str, Any] | None
) -> CostStep:
    read, written = (tokens["input_tokens"], tokens["output_tokens"]) if tokens else (0, 0)
    # A step that is priced in part would look cheap.
    usd = cost.usd if not cost.unpriced_gpu_seconds else None
    return CostStep(
        start_s=start_s,
        step_s=step_s,
        adapters=len({name for row in rows for name in row["adapters"]}),
        requests=sum(row["requests"] for row in rows),
        input_tokens=read,
        output_tokens=written,
        gpu_seconds=cost.gpu_seconds,
        usd=usd,
        usd_per_million=_per_million(usd, read + written) if usd is not None and read + written else None,
    )


def _groups(steps: Sequence[CostStep]) -> tuple[CostGroup, ...]:
    found: dict[tuple[int, int], list[CostStep]] = {}
    for step in steps:
        if step.usd_per_million is not None:
            found.setdefault(_bin(step.adapters), []).append(step)
    groups = []
    for (fewest, most), members in sorted(found.items()):
        tokens = sum(step.input_tokens + step.output_tokens for step in members)
        each = [step.usd_per_million for step in members if step.usd_per_million is not None]
        money = sum((step.usd for step in members if step.usd is not None), Decimal(0))
        groups.append(
            CostGroup(
                fewest=fewest,
                most=most,
                steps=len(members),
                tokens=tokens,
                usd_per_million=_per_million(money, tokens),
                lowest=min(each),
                highest=max(each),
            )
        )
    return tuple(groups)


def _bin(adapters: int) -> tuple[int, int]:
    """0 to 4 each for itself, then 5-8, 9-16, 17-32, ..."""
    if adapters <= _SINGLE:
        return adapters, adapters
    most = 1 << (adapters - 1).bit_length()
    return most // 2 + 1, most


def _per_million(usd: Decimal, tokens: int) -> Decimal:
    return (usd / tokens * 1_000_000).quantize(Decimal("0.000001"))


def _why(steps: Sequence[CostStep]) -> str:
    if not steps:
        return "No request that names an adapter was joined to a GPU in this time range (docs/attribution.md)."
    if all(step.usd is None for step in steps):
        return "The project has no price per GPU-hour for this time: enter one in its settings."
    return "The requests on these GPUs counted no tokens."
