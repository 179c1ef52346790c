"""The values that a project's spans have, with counts, for the filter panel and for completion.

- `facets(project_id, filter, *, limit=20) -> dict[str, tuple[FacetValue, ...]]`, by field of `RollupFilter`
"""

from dataclasses import dataclass

from heliograph.clickhouse import client
from heliograph.query.filters import RollupFilter, put
from heliograph.query.paging import check_limit
from heliograph.query.rollup import summed

FIELDS = ("service", "environment", "release", "kind", "provider", "model", "adapter")


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A value of a field, and how many spans in the range have it."""

    value: str
    spans: int
    errors: int


# Each combination of values once, which are few, before they are taken apart into fields.
FACETS = """
SELECT field, value, sum(r.spans) AS span_count, sum(r.errors) AS error_count
FROM ({summed}) AS r
ARRAY JOIN {fields} AS field, {columns} AS value
WHERE value != ''
GROUP BY field, value
ORDER BY field, span_count DESC, value
LIMIT %(limit)s BY field
"""


def facets(project_id: int, chosen: RollupFilter, *, limit: int = 20) -> dict[str, tuple[FacetValue, ...]]:
    """Return the most frequent values of every field, most frequent first.

    A field that the filter narrows is counted without its own condition, so that the panel shows what else could be
    picked; the other conditions hold.
    """
    check_limit(limit)
    narrowed = [field for field in FIELDS if getattr(chosen, field)]
    open_fields = [field for field in FIELDS if field not in narrowed]
    found = _count(project_id, chosen, open_fields, limit) if open_fields else {}
    for field in narrowed:
        found |= _count(project_id, chosen.without(field), [field], limit)
    return {field: found.get(field, ()) for field in FIELDS}


def _count(project_id: int, chosen: RollupFilter, names: list[str], limit: int) -> dict[str, tuple[FacetValue, ...]]:
    rows_of_each, parameters = summed(chosen, names, sums=("spans", "errors"), digests=())
    sql = put(
        FACETS,
        summed=rows_of_each,
        fields="[" + ", ".join(f"'{name}'" for name in names) + "]",
        columns="[" + ", ".join(f"toString(r.{name})" for name in names) + "]",
    )
    rows = client.query(project_id, sql, parameters | {"limit": limit}, tag="facets")
    found: dict[str, tuple[FacetValue, ...]] = {}
    for row in rows:
        value = FacetValue(row["value"], row["span_count"], row["error_count"])
        found[row["field"]] = (*found.get(row["field"], ()), value)
    return found
