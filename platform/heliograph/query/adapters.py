"""LoRA adapters side by side, from the 1-minute rollup: the most used ones, and the others together.

- `by_adapter(project_id, filter, *, top=20) -> list[AdapterRow]`: the range, most calls first
- `over_time(project_id, filter, *, top=8, buckets=120) -> list[AdapterSeries]`

Thousands of adapters may be in use, so that an answer names `top` of them and adds the rest up, as it adds up the calls
that name no adapter. What an adapter costs of the GPUs is `attribution.by_dimension(..., "adapter")`; cold and warm
calls are in `residency`, cost per token against the number of active adapters in `adapter_cost`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from heliograph.clickhouse import client
from heliograph.query.filters import InvalidFilterError, RollupFilter, put
from heliograph.query.overview import Measures, measures_sql, read_measures, step_for
from heliograph.query.placement import MODEL_KINDS

# A page's table; a chart takes fewer.
MAX_TOP = 200
# Models that a row names; an adapter has one base, and several spellings of it.
_MODELS_NAMED = 5

Place = Literal["adapter", "other", "none"]
_PLACES: tuple[Place, ...] = ("none", "adapter", "other")

_TOP = """
    SELECT r.adapter FROM span_rollups_1m AS r
    WHERE r.project_id = %(project_id)s AND {where} AND r.kind IN %(kinds)s AND r.adapter != ''
    GROUP BY r.adapter ORDER BY sum(r.spans) DESC, r.adapter LIMIT %(top)s"""

BY_ADAPTER = """
SELECT multiIf(r.adapter = '', 0, r.adapter IN ({top}), 1, 2) AS place, if(place = 1, r.adapter, '') AS name,
    uniqExact(r.adapter) AS adapters, groupUniqArray({models})(r.model) AS models, {measures}
FROM span_rollups_1m AS r
WHERE r.project_id = %(project_id)s AND {where} AND r.kind IN %(kinds)s
GROUP BY place, name
ORDER BY indexOf([1, 2, 0], place), requests DESC, name
"""

OVER_TIME = """
SELECT multiIf(r.adapter = '', 0, r.adapter IN ({top}), 1, 2) AS place, if(place = 1, r.adapter, '') AS name,
    intDiv(toUnixTimestamp(r.minute), %(step_s)s) * %(step_s)s AS start_s, {measures}
FROM span_rollups_1m AS r
WHERE r.project_id = %(project_id)s AND {where} AND r.kind IN %(kinds)s
GROUP BY place, name, start_s
ORDER BY indexOf([1, 2, 0], place), name, start_s
"""


@dataclass(frozen=True, slots=True)
class AdapterRow:
    """One adapter, all others together (`place` is `other`), or the calls without one (`none`).

    `adapters` is how many adapters the row adds up; `models` are some of the models that they were asked under.
    """

    place: Place
    adapter: str
    adapters: int
    models: tuple[str, ...]
    measures: Measures


@dataclass(frozen=True, slots=True)
class AdapterPoint:
    """One bucket of time; `start_s` in epoch seconds, `measures` None where there was no call."""

    start_s: int
    step_s: int
    measures: Measures | None


@dataclass(frozen=True, slots=True)
class AdapterSeries:
    """The measures of one row of `by_adapter` over time, a point for every bucket."""

    place: Place
    adapter: str
    points: tuple[AdapterPoint, ...]


def by_adapter(project_id: int, chosen: RollupFilter, *, top: int = 20) -> list[AdapterRow]:
    """Return the `top` most called adapters, then the others as one row, then the calls without an adapter.

    Raises InvalidFilterError for a `top` that is not from 1 to MAX_TOP.
    """
    where, parameters = _asked(chosen, top)
    parts = {"measures": measures_sql(calls=True), "models": str(_MODELS_NAMED)}
    sql = put(put(BY_ADAPTER, top=_TOP), where=where, **parts)
    return [
        AdapterRow(
            _PLACES[row.pop("place")],
            row.pop("name"),
            row.pop("adapters"),
            tuple(sorted(model for model in row.pop("models") if model)),
            read_measures(row),
        )
        for row in client.query(project_id, sql, parameters, tag="adapters.by_adapter")
    ]


def over_time(project_id: int, chosen: RollupFilter, *, top: int = 8, buckets: int = 120) -> list[AdapterSeries]:
    """Return a series for each of the `top` adapters, the others and the calls without one, as far as there are calls.

    Raises InvalidFilterError as `by_adapter`, and for too many buckets.
    """
    span = chosen.range.whole_minutes()
    step = step_for(span, buckets)
    where, parameters = _asked(chosen, top)
    sql = put(put(OVER_TIME, top=_TOP), where=where, measures=measures_sql(calls=True))
    found: dict[tuple[Place, str], dict[int, Measures]] = {}
    for row in client.query(project_id, sql, parameters | {"step_s": step}, tag="adapters.over_time"):
        key = _PLACES[row.pop("place")], row.pop("name")
        start_s = row.pop("start_s")
        found.setdefault(key, {})[start_s] = read_measures(row)
    first = span.start_ns // 10**9 // step * step
    starts = range(first, span.end_ns // 10**9, step)
    return [
        AdapterSeries(place, adapter, tuple(AdapterPoint(at, step, points.get(at)) for at in starts))
        for (place, adapter), points in found.items()
    ]


def _asked(chosen: RollupFilter, top: int) -> tuple[str, dict[str, Any]]:
    if not 1 <= top <= MAX_TOP:
        raise InvalidFilterError("top", f"must be from 1 to {MAX_TOP}")
    where, parameters = chosen.where()
    return where, {**parameters, "kinds": MODEL_KINDS, "top": top}
