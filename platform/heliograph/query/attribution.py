"""What requests cost of the GPUs: seconds, joules and USD, by request, user, tenant, adapter, model and more.

- `by_dimension(project_id, range, dimension, prices, *, limit=100) -> Attribution`
- `shares(project_id, range, dimension, prices) -> dict[str, Cost]`: the same groups' share of the GPUs alone
- `of_span(project_id, trace_id, span_id, start_ns, end_ns, prices) -> SpanCost | None`

Shares are worked out by the job in `heliograph.evals.attribution`, by the minute; prices are applied when asked, so
that one that is entered late holds for the time from which it is valid. What has no price is null, and counted. Calls
of priced APIs stand beside them with the cost that was worked out at their own time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, get_args

from heliograph.clickhouse import client
from heliograph.query.asking import asking
from heliograph.query.filters import InvalidFilterError, TimeRange, from_ns, put
from heliograph.query.hours import over_hours
from heliograph.query.placement import MODEL_KINDS

Dimension = Literal["user", "tenant", "adapter", "model", "service", "gpu", "host", "request"]
# A month of a request in each second is 2.6 million rows; longer ranges are asked for in parts.
MAX_RANGE = timedelta(days=31)
MAX_GROUPS = 1_000
# Prices change some times a year.
MAX_PRICES = 500
_JOULES_PER_KWH = Decimal(3_600_000)
_SECONDS_PER_HOUR = Decimal(3_600)
_CENT_FRACTION = Decimal("0.000000000001")
_LAST_SECOND = 2**32 - 1

_COLUMNS: Mapping[str, str] = {
    "user": "user_id",
    "tenant": "tenant",
    "adapter": "adapter",
    "model": "model",
    "service": "service",
    "gpu": "gpu_uuid",
    "host": "host",
    "request": "if(span_id = '', '', concat(trace_id, '/', span_id))",
}
# What a priced API's span itself says; it ran on no GPU of ours.
_API_COLUMNS: Mapping[str, str] = {
    "user": "user_id",
    "tenant": "if(attributes[%(tenant_key)s] != '', attributes[%(tenant_key)s], resource[%(tenant_key)s])",
    "adapter": "adapter",
    "model": "model",
    "service": "service",
    "request": "concat(trace_id, '/', span_id)",
}

COMMITTED = """
    project_id = %(project_id)s AND minute >= toDateTime(%(start_s)s, 'UTC') AND minute < toDateTime(%(end_s)s, 'UTC')
    AND (minute, gpu_uuid, version) IN (
        SELECT minute, gpu_uuid, max(version)
        FROM attribution_windows
        WHERE project_id = %(project_id)s
            AND minute >= toDateTime(%(start_s)s, 'UTC') AND minute < toDateTime(%(end_s)s, 'UTC')
        GROUP BY minute, gpu_uuid
    )"""

# Which prices had begun, and which model's may hold: what `cost_of` needs of each row.
PRICED = """
    length(arrayFilter(s -> s <= toUnixTimestamp(minute), %(starts)s)) AS period,
    if(has(%(priced_names)s, toString(a.gpu_name)), toString(a.gpu_name), '') AS priced_name"""

# The shares themselves.
SUMS = """
    sum(a.gpu_seconds) AS gpu_seconds, sum(a.gpu_seconds_low) AS gpu_seconds_low,
    sum(a.gpu_seconds_high) AS gpu_seconds_high, sum(a.joules) AS joules, sum(a.joules_low) AS joules_low,
    sum(a.joules_high) AS joules_high, sum(a.unmetered_seconds) AS unmetered_seconds"""

BY_DIMENSION = """
SELECT
    {key} AS key, span_id = '' AS is_idle, {priced},
    {sums},
    uniqExact(trace_id, span_id) AS requests
FROM attributions AS a
WHERE {committed}
GROUP BY key, is_idle, period, priced_name
ORDER BY gpu_seconds DESC, key
LIMIT %(limit)s
"""

OF_SPAN = """
SELECT
    {priced}, gpu_uuid,
    {sums},
    uniqExact(trace_id, span_id) AS requests
FROM attributions AS a
WHERE {committed} AND trace_id = %(trace_id)s AND has(span_ids, %(span_id)s)
GROUP BY period, priced_name, gpu_uuid
ORDER BY gpu_uuid, period
LIMIT 10000
"""

WINDOWS = """
SELECT sum(w.joules) AS joules, sum(w.covered_seconds) AS covered_seconds, count() AS windows,
    max(minute) AS latest, groupUniqArray(10)(weights) AS weights
FROM attribution_windows AS w FINAL
WHERE project_id = %(project_id)s
    AND minute >= toDateTime(%(start_s)s, 'UTC') AND minute < toDateTime(%(end_s)s, 'UTC')
"""

UNPLACED = """
SELECT reason, sum(u.spans) AS spans
FROM attribution_unplaced AS u FINAL
WHERE project_id = %(project_id)s
    AND minute >= toDateTime(%(start_s)s, 'UTC') AND minute < toDateTime(%(end_s)s, 'UTC')
GROUP BY reason HAVING spans > 0
ORDER BY spans DESC
"""

API_COSTS = """
SELECT {key} AS key, sum(s.cost) AS usd, count() AS calls, countIf(s.cost IS NULL) AS unpriced
FROM spans AS s
WHERE s.project_id = %(project_id)s AND s.kind IN %(kinds)s AND s.usage_counted
    AND s.start_time >= toDateTime64(%(start_s)s, 9, 'UTC') AND s.start_time < toDateTime64(%(end_s)s, 9, 'UTC')
    AND (s.input_tokens > 0 OR s.output_tokens > 0)
    {not_ours}
GROUP BY key
ORDER BY usd DESC, calls DESC, key
LIMIT %(limit)s
"""
# The same where no call is left out, by what hours of spans are summed by (schema 0067, in the same words).
API_COSTS_OF_HOURS = """
SELECT key, sum(h.usd) AS usd, sum(h.calls) AS calls, sum(h.unpriced) AS unpriced
FROM ({hours}) AS h
GROUP BY key
HAVING calls > 0
ORDER BY usd DESC, calls DESC, key
LIMIT %(limit)s
"""
_USED = f"kind IN {MODEL_KINDS} AND usage_counted AND (input_tokens > 0 OR output_tokens > 0)"
_HOURS = f"""
    SELECT {{key}} AS key, sumIf(cost, {_USED}) AS usd, countIf({_USED}) AS calls,
        countIf({_USED} AND isNull(cost)) AS unpriced
    FROM spans
    WHERE project_id = %(project_id)s AND {{within}}
    GROUP BY key"""  # noqa: S608  (constants)
_BY_HOURS = frozenset({"user", "model", "service", "adapter"})
# Calls that ran on GPUs of ours; their ids are not read where there are none.
NOT_OURS = """AND (s.trace_id, s.span_id) NOT IN (
        SELECT trace_id, arrayJoin(span_ids) FROM attributions WHERE {committed}
    )"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a GPU costs from `valid_from` on, until the next price: USD per GPU-hour, and per kWh times PUE.

    `gpu_name` is the model that it holds for, as the agent names it; '' holds for every model without a price then.
    `usd_per_kwh` is None where the hour's price includes the power; `usd_per_gpu_hour` where it is not known.
    """

    valid_from: datetime
    usd_per_gpu_hour: Decimal | None
    usd_per_kwh: Decimal | None = None
    pue: Decimal = Decimal(1)
    gpu_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A share of the GPUs.

    `joules` is None where no energy was metered at all; the bounds are the estimate's own. `usd` is None where no price
    is known for any of it; `unpriced_gpu_seconds` and `unmetered_gpu_seconds` say how much of it the others leave out.
    """

    gpu_seconds: float
    gpu_seconds_low: float
    gpu_seconds_high: float
    joules: float | None
    joules_low: float | None
    joules_high: float | None
    unmetered_gpu_seconds: float
    usd: Decimal | None
    usd_low: Decimal | None
    usd_high: Decimal | None
    unpriced_gpu_seconds: float
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One value of a dimension ('' where it is not known): its share of the GPUs, and its calls of other models.

    `api_usd` is None where none of these has a price; `api_unpriced` counts those without.
    """

    key: str
    gpu: Cost | None
    api_calls: int
    api_usd: Decimal | None
    api_unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """The answer: groups by GPU-seconds, idle apart, and what they add up to.

    `counter_joules` is what the energy counters rose by; groups and idle add up to it, to rounding, where `is_cut` is
    false. `unplaced` are model calls that were joined to no GPU, by the reason.
    """

    dimension: str
    groups: tuple[Group, ...]
    is_cut: bool
    idle: Cost
    total: Cost
    counter_joules: float | None
    unplaced: dict[str, int]
    weights: tuple[str, ...]
    latest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanCost:
    """One span's request, over its GPUs."""

    cost: Cost
    gpu_uuids: tuple[str, ...]


def by_dimension(
    project_id: int,
    span: TimeRange,
    dimension: str,
    prices: Sequence[Price] = (),
    *,
    tenant_key: str = "tenant.id",
    limit: int = 100,
) -> Attribution:
    """Return what each value of a dimension used in whole minutes of the range.

    Raises InvalidFilterError for a dimension that there is not, a range over MAX_RANGE or a limit over MAX_GROUPS.
    """
    _check(span, dimension)
    if not 1 <= limit <= MAX_GROUPS:
        raise InvalidFilterError("limit", f"must lie between 1 and {MAX_GROUPS}")
    between = between_minutes(span)
    with asking() as ask:
        window = ask(client.query, project_id, WINDOWS, between, tag="attribution.windows")
        reasons = ask(client.query, project_id, UNPLACED, between, tag="attribution.unplaced")
        rows, ordered = _shares(project_id, dimension, between, prices)
        api = _api(project_id, dimension, span, tenant_key, any_ours=any(not row["is_idle"] for row in rows))
    (windows,), unplaced = window.result(), reasons.result()
    by_key = _by_key(rows)
    idle = [row for row in rows if row["is_idle"]]
    groups = []
    for key in [*by_key, *(key for key in api if key not in by_key)]:
        other = api.get(key)
        groups.append(
            Group(
                key=key,
                gpu=cost_of(by_key[key], ordered) if key in by_key else None,
                api_calls=other["calls"] if other else 0,
                api_usd=other["usd"] if other else None,
                api_unpriced=other["unpriced"] if other else 0,
            )
        )
    return Attribution(
        dimension=dimension,
        groups=tuple(groups[:limit]),
        is_cut=len(groups) > limit,
        idle=cost_of(idle, ordered, requests=False),
        total=cost_of(rows, ordered, requests=False),
        counter_joules=windows["joules"],
        unplaced={row["reason"]: row["spans"] for row in unplaced},
        weights=tuple(sorted(windows["weights"])),
        latest=windows["latest"] if windows["windows"] else None,
    )


def shares(project_id: int, span: TimeRange, dimension: Dimension, prices: Sequence[Price] = ()) -> dict[str, Cost]:
    """Return what the values of a dimension used of the GPUs, as `by_dimension` does, at most MAX_GROUPS of them.

    It reads no span, so it does not cost what the calls of priced APIs do. Raises InvalidFilterError as that does.
    """
    _check(span, dimension)
    rows, ordered = _shares(project_id, dimension, between_minutes(span), prices)
    by_key = _by_key(rows)
    return {key: cost_of(by_key[key], ordered) for key in list(by_key)[:MAX_GROUPS]}


def of_span(
    project_id: int, trace_id: str, span_id: str, start_ns: int, end_ns: int, prices: Sequence[Price] = ()
) -> SpanCost | None:
    """Return what the request of a span used, None where it is not worked out (yet) or was joined to no GPU."""
    ordered, priced = prices_in_order(prices)
    # A span without a sane end is looked for in its first day.
    until = min(end_ns, start_ns + 86_400 * 10**9) + 1_000
    asked = between_minutes(TimeRange(from_ns(start_ns), from_ns(until)))
    asked |= priced | {"trace_id": trace_id, "span_id": span_id}
    rows = client.query(
        project_id, put(OF_SPAN, committed=COMMITTED, priced=PRICED, sums=SUMS), asked, tag="attribution.of_span"
    )
    if not rows:
        return None
    return SpanCost(cost=cost_of(rows, ordered), gpu_uuids=tuple(dict.fromkeys(row["gpu_uuid"] for row in rows)))


def _check(span: TimeRange, dimension: str) -> None:
    if dimension not in get_args(Dimension):
        raise InvalidFilterError("group_by", f"must be one of {', '.join(get_args(Dimension))}")
    if span.end - span.start > MAX_RANGE:
        raise InvalidFilterError("start", f"may be at most {MAX_RANGE.days} days before end")


def _shares(
    project_id: int, dimension: str, between: Mapping[str, Any], prices: Sequence[Price]
) -> tuple[list[dict[str, Any]], list[Price]]:
    """Return the rows of BY_DIMENSION, idle ones among them, and the prices in the order that they count in."""
    ordered, priced = prices_in_order(prices)
    asked = {**between, **priced, "limit": (MAX_GROUPS + 1) * (len(ordered) + 1)}
    sql = put(put(BY_DIMENSION, committed=COMMITTED, priced=PRICED, sums=SUMS), key=_COLUMNS[dimension])
    return client.query(project_id, sql, asked, tag="attribution.by_dimension"), ordered


def _by_key(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return what requests used, by the value of the dimension; idle time is nobody's."""
    by_key: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if not row["is_idle"]:
            by_key.setdefault(row["key"], []).append(row)
    return by_key


def _api(
    project_id: int, dimension: str, span: TimeRange, tenant_key: str, *, any_ours: bool
) -> dict[str, dict[str, Any]]:
    between = between_minutes(span)
    if dimension not in _API_COLUMNS:
        return {}
    asked: dict[str, Any] = {"limit": MAX_GROUPS + 1}
    if dimension in _BY_HOURS and not any_ours:
        hours, given = over_hours(put(_HOURS, key=_API_COLUMNS[dimension]), span.whole_minutes())
        sql, asked = put(API_COSTS_OF_HOURS, hours=hours), asked | given
    else:
        not_ours = put(NOT_OURS, committed=COMMITTED) if any_ours else ""
        sql = put(API_COSTS, not_ours=not_ours, key=_API_COLUMNS[dimension])
        asked |= {**between, "kinds": MODEL_KINDS, "tenant_key": tenant_key}
    rows = client.query(project_id, sql, asked, tag="attribution.api_costs")
    return {row["key"]: row for row in rows}


def prices_in_order(prices: Sequence[Price]) -> tuple[list[Price], dict[str, Any]]:
    """Return the prices by time, and the parameters of PRICED: a row's `period` counts those that had begun."""
    ordered = sorted(prices, key=lambda price: price.valid_from)[-MAX_PRICES:]
    # The last of each is none: it keeps the list from being empty, which has no type.
    starts = [*(int(price.valid_from.timestamp()) for price in ordered), _LAST_SECOND]
    return ordered, {"starts": starts, "priced_names": sorted({"", *(price.gpu_name for price in ordered)})}


def price_at(prices: Sequence[Price], period: int, gpu_name: str) -> Price | None:
    """Return the price of a model when `period` of the ordered prices had begun: its own, else everyone's, or None."""
    begun = prices[:period]
    own = (price for price in reversed(begun) if price.gpu_name == gpu_name)
    return next(own, None) or next((price for price in reversed(begun) if not price.gpu_name), None)


def between_minutes(span: TimeRange) -> dict[str, Any]:
    """Return the whole minutes of a range as the parameters of COMMITTED."""
    whole = span.whole_minutes()
    return {"start_s": whole.start_ns // 10**9, "end_s": whole.end_ns // 10**9}


def cost_of(rows: Iterable[Mapping[str, Any]], prices: Sequence[Price], *, requests: bool = True) -> Cost:
    """Add up rows of PRICED, each at its own price."""
    rows = list(rows)
    metered = [row for row in rows if row["joules"] is not None]
    usd: dict[str, Decimal | None] = {"": None, "_low": None, "_high": None}
    unpriced = 0.0
    for row in rows:
        price = price_at(prices, row["period"], row["priced_name"])
        if price is None or price.usd_per_gpu_hour is None:
            unpriced += row["gpu_seconds"]
            continue
        for end, before in usd.items():
            usd[end] = (before or Decimal(0)) + _usd(row[f"gpu_seconds{end}"], row[f"joules{end}"], price)
    return Cost(
        gpu_seconds=sum(row["gpu_seconds"] for row in rows),
        gpu_seconds_low=sum(row["gpu_seconds_low"] for row in rows),
        gpu_seconds_high=sum(row["gpu_seconds_high"] for row in rows),
        joules=sum(row["joules"] for row in metered) if metered else None,
        joules_low=sum(row["joules_low"] for row in metered) if metered else None,
        joules_high=sum(row["joules_high"] for row in metered) if metered else None,
        unmetered_gpu_seconds=sum(row["unmetered_seconds"] for row in rows),
        usd=usd[""],
        usd_low=usd["_low"],
        usd_high=usd["_high"],
        unpriced_gpu_seconds=unpriced,
        requests=max((row["requests"] for row in rows), default=0) if requests else 0,
    )


def _usd(gpu_seconds: float, joules: float | None, price: Price) -> Decimal:
    """Hours at their price, and the power where it is billed apart; unmetered power is left out, and said elsewhere."""
    assert price.usd_per_gpu_hour is not None
    hours = Decimal(repr(gpu_seconds)) / _SECONDS_PER_HOUR * price.usd_per_gpu_hour
    if price.usd_per_kwh is None or joules is None:
        return hours.quantize(_CENT_FRACTION)
    energy = Decimal(repr(joules)) / _JOULES_PER_KWH * price.usd_per_kwh * price.pue
    return (hours + energy).quantize(_CENT_FRACTION)


def added(costs: Iterable[Cost]) -> Cost | None:
    """Return several costs as one, None for none; a part that is not known is left out, as in each of them."""
    given = list(costs)
    if not given:
        return None
    return Cost(**{name: _sum([getattr(each, name) for each in given]) for name in Cost.__dataclass_fields__})


def _sum(values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None
