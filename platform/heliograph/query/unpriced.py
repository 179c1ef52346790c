"""Models whose calls have no price, from the 1-minute rollup.

- `unpriced_models(project_id, range, prices, *, limit=200) -> list[UnpricedModel]`, most calls first
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from collectors.pricing import ModelPrice, price
from heliograph.clickhouse import client
from heliograph.query.filters import TimeRange

# More models without a price than a person prices.
MAX_MODELS = 200


@dataclass(frozen=True, slots=True)
class UnpricedModel:
    """A model as it answers, and its calls without a price.

    `reason` says why a call made now would have none; '' where it would have one: then those calls came before that
    price, or say too little of their tokens.
    """

    provider: str
    model: str
    calls: int
    first_seen: datetime
    last_seen: datetime
    reason: str


UNPRICED = """
SELECT provider, model, sum(unpriced_count) AS calls, min(minute) AS first_seen, max(minute) AS last_seen
FROM span_rollups_1m
WHERE project_id = %(project_id)s AND unpriced_count > 0
    AND minute >= toDateTime(%(start_s)s, 'UTC') AND minute < toDateTime(%(end_s)s, 'UTC')
GROUP BY provider, model
ORDER BY calls DESC, model, provider
LIMIT %(limit)s
"""


def unpriced_models(
    project_id: int, span: TimeRange, prices: Mapping[str, ModelPrice], *, limit: int = MAX_MODELS
) -> list[UnpricedModel]:
    """Return the models with calls that no price is known for; `prices` are the project's own. Raises StoreError."""
    minutes = span.whole_minutes()
    given = {
        "start_s": minutes.start_ns // 10**9,
        "end_s": minutes.end_ns // 10**9,
        "limit": min(limit, MAX_MODELS),
    }
    rows = client.query(project_id, UNPRICED, given, tag="prices.unpriced")
    return [UnpricedModel(**row, reason=_reason(row["model"], row["provider"], prices)) for row in rows]


def _reason(model: str, provider: str, prices: Mapping[str, ModelPrice]) -> str:
    cost = price(model, provider or None, datetime.now(UTC), input_tokens=1, output_tokens=1, overrides=prices or None)
    return cost.reason or ""
