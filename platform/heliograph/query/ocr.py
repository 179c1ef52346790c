"""Documents read into text: engines against kinds of documents, with quality, time and cost.

- `grid(project_id, range, *, max_cer=0.1) -> Grid`

A reading is a span that names its `ocr.engine`, or a model call with an image among its messages: then the engine is
its model, as answered. `ocr.document.kind` names the kind of document; pages are `ocr.pages`, else the images of the
call. Character and word error rates are the scores of the span that an evaluator, a person or the API gave under the
names `cer` and `wer`, or as the evaluator `ocr` with that metric. A reading is successful when it did not fail and,
where its CER is known, that is at most `max_cer`: readings without a CER are counted apart, since a typed-in quality
never stands in for a measured one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.filters import InvalidFilterError, TimeRange, put

MAX_RANGE = timedelta(days=31)
# Tens of engines against tens of kinds.
MAX_CELLS = 2_000
MAX_CER = 0.1

# Spans that say something of a reading are told by their keys alone, which are a small part of the attributes.
_SAYS = "(mapContains(attributes, 'ocr.engine') OR mapContains(attributes, 'ocr.pages'))"
_SAID = f"{_SAYS} AND (attributes['ocr.engine'] != '' OR (kind = 'llm' AND usage_counted AND page_count > 0))"
# The others are model calls with an image. The word is in every text that the pattern fits, and the index of words
# keeps the texts of calls without it from being read.
_SHOWN = f"NOT {_SAYS} AND kind = 'llm' AND usage_counted AND hasToken(lower(input), 'modality') AND page_count > 0"
_READINGS = """
        SELECT trace_id, span_id, if(attributes['ocr.engine'] != '', attributes['ocr.engine'], model) AS engine,
            attributes['ocr.document.kind'] AS document, status = 'error' AS is_failed, model_requested AS requested,
            model AS answered, cost AS usd, duration_ns AS duration,
            coalesce(
                toUInt32OrNull(attributes['ocr.pages']),
                toUInt32(countMatches(input, '"modality"\\s*:\\s*"image"'))
            ) AS page_count
        FROM spans
        WHERE project_id = %(project_id)s
            AND start_time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')
            AND start_time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
            AND {readings}"""

GRID = """
SELECT t.engine AS engine, t.document AS kind, count() AS readings, countIf(t.is_failed) AS failed,
    countIf(t.requested != '' AND t.requested != t.answered) AS renamed,
    sum(t.page_count) AS pages, countIf(t.page_count = 0) AS without_pages,
    countIf(t.is_good) AS good, sumIf(t.page_count, t.is_good) AS good_pages,
    countIf(isNotNull(t.cer)) AS judged, avg(t.cer) AS mean_cer,
    countIf(isNotNull(t.wer)) AS wer_judged, avg(t.wer) AS mean_wer,
    sum(t.usd) AS cost, countIf(isNull(t.usd)) AS unpriced,
    quantileExactIf(0.5)(t.duration / t.page_count, t.page_count > 0 AND isNotNull(t.duration)) AS page_ns,
    countIf(t.page_count > 0 AND isNotNull(t.duration)) AS timed
FROM (
    SELECT r.engine AS engine, r.document AS document, r.is_failed AS is_failed, r.requested AS requested,
        r.answered AS answered, r.page_count AS page_count, r.usd AS usd, r.duration AS duration, q.cer AS cer,
        q.wer AS wer, NOT r.is_failed AND (isNull(q.cer) OR q.cer <= %(max_cer)s) AS is_good
    FROM (
        {said}
        UNION ALL
        {shown}
    ) AS r
    LEFT JOIN (
        SELECT trace_id, span_id, avgOrNullIf(rate, metric = 'cer') AS cer, avgOrNullIf(rate, metric = 'wer') AS wer
        FROM (
            SELECT trace_id, span_id, assumeNotNull(s.value) AS rate,
                multiIf(
                    lower(name) IN ('cer', 'wer'), lower(name),
                    evaluator = 'ocr', JSONExtractString(evaluator_arguments, 'metric'),
                    ''
                ) AS metric
            FROM scores AS s FINAL
            WHERE project_id = %(project_id)s AND isNotNull(s.value) AND span_id != ''
                AND time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')
                AND time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
        )
        WHERE metric IN ('cer', 'wer')
        GROUP BY trace_id, span_id
    ) AS q ON r.trace_id = q.trace_id AND r.span_id = q.span_id
    SETTINGS join_use_nulls = 1
) AS t
WHERE t.engine != ''
GROUP BY engine, kind
ORDER BY engine, kind
LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """An engine on one kind of document ('' where none was named), or on all of them.

    `mean_cer` and `mean_wer` are over the `judged` and `wer_judged` readings. `cost` is in USD, a lower bound where
    `unpriced` readings have none, and `cost_per_good_page` None then; `page_ns` is the median time a page.
    `renamed` counts readings that another model answered than was asked for.
    """

    engine: str
    kind: str
    readings: int
    failed: int
    good: int
    judged: int
    wer_judged: int
    pages: int
    without_pages: int
    good_pages: int
    mean_cer: float | None
    mean_wer: float | None
    page_ns: float | None
    cost: Decimal | None
    unpriced: int
    cost_per_good_page: Decimal | None
    renamed: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Engines and kinds by name, a cell for each pair that occurs, and each engine over all kinds."""

    engines: tuple[str, ...]
    kinds: tuple[str, ...]
    cells: tuple[Cell, ...]
    totals: tuple[Cell, ...]
    max_cer: float


def grid(project_id: int, span: TimeRange, *, max_cer: float = MAX_CER) -> Grid:
    """Return the grid. Raises InvalidFilterError for a range over MAX_RANGE or a bound that is no error rate."""
    if span.end - span.start > MAX_RANGE:
        raise InvalidFilterError("start", f"may be at most {MAX_RANGE.days} days before end")
    if not 0 <= max_cer <= 10:
        raise InvalidFilterError("max_cer", "must be from 0 to 10")
    asked = {"start_ns": span.start_ns, "end_ns": span.end_ns, "max_cer": max_cer, "limit": MAX_CELLS}
    sql = put(GRID, said=put(_READINGS, readings=_SAID), shown=put(_READINGS, readings=_SHOWN))
    rows = client.query(project_id, sql, asked, tag="ocr.grid")
    engines = tuple(dict.fromkeys(row["engine"] for row in rows))
    return Grid(
        engines=engines,
        kinds=tuple(sorted({row["kind"] for row in rows})),
        cells=tuple(_cell(row["engine"], row["kind"], [row]) for row in rows),
        totals=tuple(_cell(engine, "", [row for row in rows if row["engine"] == engine]) for engine in engines),
        max_cer=max_cer,
    )


_SUMS = (
    *("readings", "failed", "good", "judged", "wer_judged", "pages", "without_pages", "good_pages", "unpriced"),
    "renamed",
)


def _cell(engine: str, kind: str, rows: list[dict[str, Any]]) -> Cell:
    sums = {name: sum(row[name] for row in rows) for name in _SUMS}
    priced = [row["cost"] for row in rows if row["cost"] is not None]
    cost = sum(priced, Decimal(0)) if priced and sums["unpriced"] < sums["readings"] else None
    per_page = cost / sums["good_pages"] if cost is not None and sums["good_pages"] and not sums["unpriced"] else None
    return Cell(
        engine=engine,
        kind=kind,
        mean_cer=_mean(rows, "mean_cer", "judged"),
        mean_wer=_mean(rows, "mean_wer", "wer_judged"),
        # A median of medians is none: over several kinds it is left out.
        page_ns=float(rows[0]["page_ns"]) if len(rows) == 1 and rows[0]["timed"] else None,
        cost=cost,
        cost_per_good_page=per_page.quantize(Decimal("0.000000000001")) if per_page is not None else None,
        **sums,
    )


def _mean(rows: Iterable[Mapping[str, Any]], name: str, count: str) -> float | None:
    known = [(row[name], row[count]) for row in rows if row[count]]
    total = sum(number for _, number in known)
    return sum(value * number for value, number in known) / total if total else None
