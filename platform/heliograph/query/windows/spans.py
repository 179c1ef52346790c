"""Windows over the 1-minute rollup of spans.

As on the overview, a request is a root span; where the question picks or groups by what roots lack (a model, a kind),
every matching span counts.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.filters import put
from heliograph.query.measures import SPAN_DIMENSIONS
from heliograph.query.windows.question import MAX_ROWS, Labels, Question, Shape, check_rows, ends_of

COLUMNS = {name: f"toString(r.{name})" for name in SPAN_DIMENSIONS}
CALL_DIMENSIONS = frozenset({"provider", "model", "adapter", "kind", "operation"})

# A minute's states are merged once, then once for each window that the minute lies in.
WINDOWS = """
SELECT labels, end, sum(requests) AS requests, sum(errors) AS errors, sum(llm_calls) AS llm_calls,
    sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, toFloat64(sum(cost)) AS cost{merged}
FROM (
    SELECT [{labels}]::Array(String) AS labels, intDiv(toUnixTimestamp(r.minute), 60) AS m,
        sumIf(r.spans, {counted}) AS requests, sumIf(r.errors, {counted}) AS errors,
        sumIf(r.spans, r.kind = 'llm') AS llm_calls, sum(r.input_tokens) AS input_tokens,
        sum(r.output_tokens) AS output_tokens, sum(r.cost) AS cost{states}
    FROM span_rollups_1m AS r
    WHERE r.project_id = %(project_id)s AND {rows} AND {where}
    GROUP BY labels, m
)
ARRAY JOIN {join} AS end
WHERE {chosen}
GROUP BY labels, end
LIMIT %(limit)s
"""
DIGEST = "quantilesTDigestMerge(0.5, 0.95, 0.99)"
_STATES = {
    "latency": ", quantilesTDigestMergeStateIf(0.5, 0.95, 0.99)(r.duration, {counted}) AS latency_state",
    "ttft": ", quantilesTDigestMergeState(0.5, 0.95, 0.99)(r.ttft) AS ttft_state",
    "tpot": ", quantilesTDigestMergeState(0.5, 0.95, 0.99)(r.tpot) AS tpot_state",
}
_QUANTILES = {"p50": 0, "p95": 1, "p99": 2}


def answer(
    project_id: int, shape: Shape, questions: Collection[Question], wanted: Collection[int]
) -> Mapping[tuple[str, str, float | None], Mapping[Labels, Mapping[int, float]]]:
    """Return the measures of all groups of a shape."""
    ends = ends_of(shape.window, wanted)
    measures = {question.measure for question in questions}
    digests = [name for name in _STATES if any(measure.startswith(name) for measure in measures)]
    where, parameters = shape.narrowed(questions, COLUMNS)
    calls = bool(CALL_DIMENSIONS & {*shape.dimensions, *(name for name, _ in shape.several)})
    sql = put(
        WINDOWS,
        labels=", ".join(COLUMNS[name] for name in shape.dimensions),
        merged="".join(f", {DIGEST}({name}_state) AS {name}" for name in digests),
        states="".join(_STATES[name] for name in digests),
        rows=ends.rows("r.minute"),
        join=ends.join("m"),
        chosen=ends.chosen(),
        where=where,
    )
    sql = put(sql, counted="1" if calls else "r.is_root")
    rows = client.query(project_id, sql, parameters | {"limit": MAX_ROWS + 1}, tag="windows.spans")
    check_rows(len(rows))
    found: dict[tuple[str, str, float | None], defaultdict[Labels, dict[int, float]]] = {
        (measure, "", None): defaultdict(dict) for measure in measures
    }
    for row in rows:
        labels = tuple(row["labels"])
        for measure in measures:
            value = READ[measure](row, shape.window)
            if value is not None:
                found[measure, "", None][labels][row["end"]] = value
    return found


def _quantile(digest: str, name: str) -> Callable[[dict[str, Any], int], float | None]:
    place = _QUANTILES[name]

    def read(row: dict[str, Any], window: int) -> float | None:
        value = row[digest][place]
        # The quantile of nothing is NaN in the store.
        return None if value is None or value != value else float(value) / 1e9  # noqa: PLR0124  # the test for NaN

    return read


READ: Mapping[str, Callable[[dict[str, Any], int], float | None]] = {
    **{f"{digest}_{name}": _quantile(digest, name) for digest in _STATES for name in _QUANTILES},
    "error_rate": lambda row, _: row["errors"] / row["requests"] if row["requests"] else None,
    "errors": lambda row, _: float(row["errors"]),
    "requests": lambda row, _: float(row["requests"]),
    "request_rate": lambda row, window: row["requests"] / (window * 60),
    "llm_calls": lambda row, _: float(row["llm_calls"]),
    "input_tokens": lambda row, _: float(row["input_tokens"]),
    "output_tokens": lambda row, _: float(row["output_tokens"]),
    "tokens": lambda row, _: float(row["input_tokens"] + row["output_tokens"]),
    "cost": lambda row, _: float(row["cost"]),
}
