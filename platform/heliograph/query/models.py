"""Models side by side: what each is by its name, how fast, how dear and how good it was.

- `by_model(project_id, range, *, score="", prices=(), models=(), limit=200) -> list[ModelRow]`, most calls first
- `requested_as(project_id, model, range) -> list[RequestedName]`: what was asked for where this model answered
- `tpot(project_id, range, models) -> dict[str, Tpot]`: time per output token, of the newest calls

Calls, latency, tokens and cost come from the 1-minute rollup. Time per token is no sum of anything in it, so it is
worked out over the newest calls; what a model took of the GPUs comes from the attribution.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from collectors import model_names
from collectors.model_names.fields import ModelName
from heliograph.clickhouse import client
from heliograph.query import attribution, scores
from heliograph.query.attribution import Cost, Price
from heliograph.query.filters import RollupFilter, SpanFilter, TimeRange, put
from heliograph.query.overview import Measures, measures_sql, read_measures
from heliograph.query.paging import check_limit
from heliograph.query.placement import MODEL_KINDS
from heliograph.query.scores import ScoreFilter, ScoreStats

# A quantile of this many calls moves little with more; reading them is some tenths of a second.
MAX_CALLS = 50_000
MAX_NAMES = 50
MILLION = Decimal(1_000_000)

BY_MODEL = """
SELECT r.model AS model, groupUniqArray(5)(r.provider) AS providers,
    uniqExactIf(r.adapter, r.adapter != '') AS adapters,
    {measures}
FROM span_rollups_1m AS r
WHERE r.project_id = %(project_id)s AND {where} AND r.model != ''
GROUP BY model
ORDER BY requests DESC, model
LIMIT %(limit)s
"""

# The newest calls with both times: in the order of storage, so that the limit ends the reading.
_NEWEST = """
    SELECT {columns}
    FROM spans
    WHERE project_id = %(project_id)s AND {where}
    ORDER BY toStartOfMinute(start_time) DESC
    LIMIT %(calls)s"""

TPOT = """
SELECT model, count() AS calls, quantilesTDigest(0.5, 0.95)(tpot) AS found
FROM ({newest})
GROUP BY model
"""

REQUESTED = """
SELECT requested, count() AS calls, toUnixTimestamp64Nano(min(start_time)) AS first_ns,
    toUnixTimestamp64Nano(max(start_time)) AS last_ns
FROM ({newest})
GROUP BY requested
ORDER BY calls DESC, requested
LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Tpot:
    """Time per output token after the first, in ns, over so many calls that tell it."""

    calls: int
    p50_ns: float
    p95_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model as it answers. `name` is what its name says; what nobody measured is None.

    `quality` are the statistics of the chosen score, `gpu` what the model took of the project's GPUs.
    """

    model: str
    name: ModelName
    providers: tuple[str, ...]
    adapters: int
    measures: Measures
    tpot: Tpot | None
    quality: ScoreStats | None
    gpu: Cost | None

    @property
    def family(self) -> str:
        """Family and version in one word that an address can carry, '' where the name says neither."""
        return family_of(self.name)

    @property
    def usd_per_million(self) -> Decimal | None:
        """USD for a million tokens in and out: the list price's, else the GPUs'. None where neither is known."""
        tokens = self.measures.input_tokens + self.measures.output_tokens
        known = self.measures.known_cost or (self.gpu.usd if self.gpu else None)
        return known / tokens * MILLION if known and tokens else None

    @property
    def joules_per_token(self) -> float | None:
        """Joules for each token that came out, None where no energy was metered."""
        joules, tokens = (self.gpu.joules if self.gpu else None), self.measures.output_tokens
        return joules / tokens if joules is not None and tokens else None


@dataclass(frozen=True, slots=True)
class RequestedName:
    """A name that was asked for, and the calls that this model answered."""

    requested: str
    calls: int
    first_ns: int
    last_ns: int


def family_of(name: ModelName) -> str:
    """Return family and version, such as `llama-3.1`."""
    return "-".join(part for part in (name.family, name.version) if part)


def by_model(
    project_id: int,
    span: TimeRange,
    *,
    score: str = "",
    prices: Sequence[Price] = (),
    models: Sequence[str] = (),
    limit: int = 200,
) -> list[ModelRow]:
    """Return the models that answered in the range; `models` narrows, `score` names the quality that is shown."""
    check_limit(limit)
    where, parameters = RollupFilter(range=span, kind=MODEL_KINDS, model=tuple(models)).where()
    sql = put(BY_MODEL, measures=measures_sql(calls=True), where=where)
    rows = client.query(project_id, sql, parameters | {"limit": limit}, tag="models.by_model")
    found = [row.pop("model") for row in rows]
    per_token = tpot(project_id, span, found) if found else {}
    quality = _quality(project_id, span, score, found)
    gpu = _gpu(project_id, span, prices)
    return [
        ModelRow(
            model=model,
            name=model_names.parse(model),
            providers=tuple(sorted(provider for provider in row.pop("providers") if provider)),
            adapters=row.pop("adapters"),
            measures=read_measures(row),
            tpot=per_token.get(model),
            quality=quality.get(model),
            gpu=gpu.get(model),
        )
        for model, row in zip(found, rows, strict=True)
    ]


def tpot(project_id: int, span: TimeRange, models: Sequence[str], adapter: Sequence[str] = ()) -> dict[str, Tpot]:
    """Return the time per output token by model, over the newest MAX_CALLS calls that tell it."""
    chosen = SpanFilter(range=span, kind=MODEL_KINDS, model=tuple(models[:MAX_NAMES]), adapter=tuple(adapter))
    rows = _of_newest(
        project_id,
        TPOT,
        "model, (duration_ns - ttft_ns) / (output_tokens - 1) AS tpot",
        chosen,
        " AND ttft_ns IS NOT NULL AND output_tokens > 1 AND duration_ns >= ttft_ns",
        "models.tpot",
    )
    return {row["model"]: Tpot(row["calls"], *row["found"]) for row in rows}


def requested_as(project_id: int, model: str, span: TimeRange) -> list[RequestedName]:
    """Return the names under which a model was asked for, over the newest MAX_CALLS calls."""
    columns = "model_requested AS requested, start_time"
    chosen = SpanFilter(range=span, kind=MODEL_KINDS, model=(model,))
    rows = _of_newest(project_id, REQUESTED, columns, chosen, "", "models.requested_as")
    return [RequestedName(**row) for row in rows]


def _of_newest(
    project_id: int, sql: str, columns: str, chosen: SpanFilter, further: str, tag: str
) -> list[dict[str, Any]]:
    where, parameters = chosen.where()
    newest = put(_NEWEST, columns=columns, where=where + further)
    asked = parameters | {"calls": MAX_CALLS, "limit": MAX_NAMES}
    return client.query(project_id, put(sql, newest=newest), asked, tag=tag)


def _quality(project_id: int, span: TimeRange, score: str, models: Sequence[str]) -> Mapping[str, ScoreStats]:
    if not score or not models:
        return {}
    found = scores.by_group(project_id, ScoreFilter(range=span, name=score), "model")
    return {group.value: group.stats for group in found}


def _gpu(project_id: int, span: TimeRange, prices: Sequence[Price]) -> Mapping[str, Cost]:
    if span.end - span.start > attribution.MAX_RANGE:
        return {}
    found = attribution.by_dimension(project_id, span, "model", prices, limit=attribution.MAX_GROUPS)
    return {group.key: group.gpu for group in found.groups if group.gpu is not None}
