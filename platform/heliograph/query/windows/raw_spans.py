"""Windows over the spans themselves, for what the rollup does not keep: a filter's words, who was slower than a bound.

A read costs as much as the spans of its windows, where the rollup costs as much as their minutes; so who lets people
ask this again and again bounds how many may.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from heliograph.clickhouse import client
from heliograph.clickhouse.errors import CapacityError
from heliograph.query import language
from heliograph.query.filters import InvalidFilterError, SpanFilter, TimeRange, from_ns, put
from heliograph.query.windows.question import MAX_ROWS, Ends, Labels, Question, Shape, check_rows, ends_of
from heliograph.query.windows.spans import CALL_DIMENSIONS, COLUMNS, DIGEST, READ

# As in the rollup, states are made for a minute and merged for each window that it lies in.
WINDOWS = """
SELECT labels, end, sum(requests) AS requests, sum(errors) AS errors, sum(llm_calls) AS llm_calls,
    sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, toFloat64(sum(cost)) AS cost,
    sum(with_ttft) AS with_ttft, sumForEach(slow) AS slow, sumForEach(late) AS late{merged}
FROM (
    SELECT [{labels}]::Array(String) AS labels, intDiv(toUnixTimestamp(toDateTime(r.start_time)), 60) AS m,
        countIf({counted}) AS requests, countIf(r.status = 'error' AND {counted}) AS errors,
        countIf(r.kind = 'llm') AS llm_calls, countIf(r.ttft_ns IS NOT NULL) AS with_ttft,
        sumIf(toUInt64(ifNull(r.input_tokens, 0)), r.usage_counted) AS input_tokens,
        sumIf(toUInt64(ifNull(r.output_tokens, 0)), r.usage_counted) AS output_tokens,
        sumIf(ifNull(r.cost, 0)::Decimal(38, 12), r.usage_counted) AS cost,
        sumForEach(arrayMap(b -> toUInt64({counted} AND r.duration_ns > b), %(bounds)s::Array(Float64))) AS slow,
        sumForEach(arrayMap(b -> toUInt64(ifNull(r.ttft_ns > b, 0)), %(bounds)s::Array(Float64))) AS late{states}
    FROM spans AS r
    WHERE r.project_id = %(project_id)s AND {rows} AND {where} AND {chosen_spans}
    GROUP BY labels, m
)
ARRAY JOIN {join} AS end
WHERE {chosen}
GROUP BY labels, end
LIMIT %(limit)s
"""
_STATES = {
    "latency": ", quantilesTDigestStateIf(0.5, 0.95, 0.99)(r.duration_ns, {counted}) AS latency_state",
    "ttft_p": ", quantilesTDigestState(0.5, 0.95, 0.99)(r.ttft_ns) AS ttft_state",
    "tpot": """, quantilesTDigestState(0.5, 0.95, 0.99)(if(
            r.usage_counted AND r.output_tokens > 1 AND r.duration_ns >= r.ttft_ns,
            (r.duration_ns - r.ttft_ns) / (r.output_tokens - 1), NULL)::Nullable(Float64)) AS tpot_state""",
}
Asked = tuple[str, str, float | None]


def answer(
    project_id: int, shape: Shape, questions: Collection[Question], wanted: Collection[int]
) -> Mapping[Asked, Mapping[Labels, Mapping[int, float]]]:
    """Return the measures of all groups of a shape. Raises InvalidFilterError for what takes longer than it may."""
    ends = ends_of(shape.window, wanted)
    bounds = sorted({question.bound for question in questions if question.bound is not None})
    sql, parameters = _statement(shape, questions, ends)
    parameters |= {"bounds": [bound * 1e9 for bound in bounds], "limit": MAX_ROWS + 1}
    try:
        rows = client.query(project_id, sql, parameters, tag="windows.raw_spans")
    except CapacityError as error:
        raise InvalidFilterError(
            "filter", "reads more spans than it may: narrow it, or take shorter windows"
        ) from error
    check_rows(len(rows))
    asked = {(question.measure, "", question.bound) for question in questions}
    found: dict[Asked, defaultdict[Labels, dict[int, float]]] = {each: defaultdict(dict) for each in asked}
    for row in rows:
        for measure, name, bound in asked:
            value = _value(row, measure, bounds.index(bound) if bound is not None else 0, shape.window)
            if value is not None:
                found[measure, name, bound][tuple(row["labels"])][row["end"]] = value
    return found


def _statement(shape: Shape, questions: Collection[Question], ends: Ends) -> tuple[str, dict[str, Any]]:
    start, end = (ends.ends[0] - shape.window) * 60 * 10**9, ends.ends[-1] * 60 * 10**9
    chosen = language.parse(shape.filter, TimeRange(from_ns(start), from_ns(end)))
    where, parameters = shape.narrowed(questions, COLUMNS)
    chosen_spans, further = chosen.where()
    measures = {question.measure for question in questions}
    states = [name for name in _STATES if any(measure.startswith(name) for measure in measures)]
    names = [name.removesuffix("_p") for name in states]
    sql = put(
        WINDOWS,
        labels=", ".join(COLUMNS[name] for name in shape.dimensions),
        merged="".join(f", {DIGEST}({name}_state) AS {name}" for name in names),
        states="".join(_STATES[name] for name in states),
        rows=ends.rows("r.start_time"),
        join=ends.join("m"),
        chosen=ends.chosen(),
        where=where,
        chosen_spans=chosen_spans,
    )
    named = {*shape.dimensions, *(name for name, _ in shape.several)}
    of_calls = bool(CALL_DIMENSIONS & named) or _is_of_calls(chosen)
    return put(sql, counted="1" if of_calls else "(r.parent_span_id = '')"), {**parameters, **further}


def _is_of_calls(chosen: SpanFilter) -> bool:
    """Whether a filter speaks of what roots lack, so that every matching span counts and not requests alone."""
    named = (chosen.kind, chosen.name, chosen.model, chosen.adapter, chosen.provider)
    return any(named) or any(each.is_of_calls for each in chosen.conditions)


def _value(row: dict[str, Any], measure: str, place: int, window: int) -> float | None:
    if measure == "slow_rate":
        return row["slow"][place] / row["requests"] if row["requests"] else None
    if measure == "ttft_slow_rate":
        return row["late"][place] / row["with_ttft"] if row["with_ttft"] else None
    return READ[measure](row, window)
