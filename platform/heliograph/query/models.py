"""Models side by side: what each is by its name, how fast, how dear and how good it was.

- `by_model(project_id, range, *, score="", prices=(), models=(), limit=200) -> list[ModelRow]`, most calls first
- `requested_as(project_id, model, range) -> list[RequestedName]`: what was asked for where this model answered

Calls, latency, time per token, tokens and cost come from the 1-minute rollup; what a model took of the GPUs comes from
the attribution.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from collectors import model_names
from collectors.model_names.fields import ModelName
from heliograph.clickhouse import client
from heliograph.query import attribution, scores
from heliograph.query.asking import asking
from heliograph.query.attribution import Cost, Price
from heliograph.query.filters import RollupFilter, TimeRange, put
from heliograph.query.hours import over_hours
from heliograph.query.overview import Measures, measures_sql, read_measures
from heliograph.query.paging import check_limit
from heliograph.query.placement import MODEL_KINDS
from heliograph.query.rollup import summed
from heliograph.query.scores import ScoreFilter, ScoreStats

MAX_NAMES = 50
MILLION = Decimal(1_000_000)

BY_MODEL = """
SELECT r.model AS model, groupUniqArray(5)(r.provider) AS providers,
    uniqExactIf(r.adapter, r.adapter != '') AS adapters,
    {measures}
FROM ({summed}) AS r
WHERE r.model != ''
GROUP BY model
ORDER BY requests DESC, model
LIMIT %(limit)s
"""

REQUESTED = """
SELECT requested, sum(h.calls) AS calls, toUnixTimestamp64Nano(min(h.first)) AS first_ns,
    toUnixTimestamp64Nano(max(h.last)) AS last_ns
FROM ({hours}) AS h
GROUP BY requested
ORDER BY calls DESC, requested
LIMIT %(limit)s
"""
_HOURS = """
    SELECT model_requested AS requested, count() AS calls, min(start_time) AS first, max(start_time) AS last
    FROM spans
    WHERE project_id = %(project_id)s AND kind IN %(kinds)s AND model = %(model)s AND {within}
    GROUP BY requested"""


@dataclass(frozen=True, slots=True)
class Tpot:
    """Time per output token after the first, in ns, of the calls that tell it."""

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
    quality: ScoreStats | None
    gpu: Cost | None

    @property
    def family(self) -> str:
        """Family and version in one word that an address can carry, '' where the name says neither."""
        return family_of(self.name)

    @property
    def tpot(self) -> Tpot | None:
        """Time per output token, None where no call tells both of its times."""
        p50, p95 = self.measures.tpot_p50_ns, self.measures.tpot_p95_ns
        return None if p50 is None or p95 is None else Tpot(p50, p95)

    @property
    def usd_per_million(self) -> Decimal | None:
        """USD for a million tokens in and out, by list prices and GPUs together. None where neither is known."""
        tokens = self.measures.input_tokens + self.measures.output_tokens
        own = self.gpu.usd if self.gpu else None
        known = (self.measures.known_cost or Decimal(0)) + (own or Decimal(0))
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
    chosen = RollupFilter(range=span, kind=MODEL_KINDS, model=tuple(models))
    summed_rows, parameters = summed(chosen, ("kind", "model", "provider", "adapter"))
    sql = put(BY_MODEL, measures=measures_sql(calls=True), summed=summed_rows)
    with asking() as ask:
        judged = ask(_quality, project_id, span, score)
        shared = ask(_gpu, project_id, span, prices)
        rows = client.query(project_id, sql, parameters | {"limit": limit}, tag="models.by_model")
    found, quality, gpu = [row.pop("model") for row in rows], judged.result(), shared.result()
    return [
        ModelRow(
            model=model,
            name=model_names.parse(model),
            providers=tuple(sorted(provider for provider in row.pop("providers") if provider)),
            adapters=row.pop("adapters"),
            measures=read_measures(row),
            quality=quality.get(model),
            gpu=gpu.get(model),
        )
        for model, row in zip(found, rows, strict=True)
    ]


def requested_as(project_id: int, model: str, span: TimeRange) -> list[RequestedName]:
    """Return the names under which a model was asked for, at most MAX_NAMES, most calls first."""
    hours, within = over_hours(_HOURS, span)
    asked = within | {"kinds": MODEL_KINDS, "model": model, "limit": MAX_NAMES}
    rows = client.query(project_id, put(REQUESTED, hours=hours), asked, tag="models.requested_as")
    return [RequestedName(**row) for row in rows]


def _quality(project_id: int, span: TimeRange, score: str) -> Mapping[str, ScoreStats]:
    if not score:
        return {}
    found = scores.by_group(project_id, ScoreFilter(range=span, name=score, live_only=True), "model")
    return {group.value: group.stats for group in found}


def _gpu(project_id: int, span: TimeRange, prices: Sequence[Price]) -> Mapping[str, Cost]:
    if span.end - span.start > attribution.MAX_RANGE:
        return {}
    return attribution.shares(project_id, span, "model", prices)
