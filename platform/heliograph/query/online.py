"""What an online evaluation rule reads: the spans that fit it, newest first, and how many wait.

- `newest(project_id, chosen, rate, start_us, before, *, name="", limit=256) -> list[EvaluationSpan]`
- `of_traces(project_id, trace_ids, chosen, rate, name, after, *, limit=256) -> list[EvaluationSpan]`
- `last_arrival(project_id, start_us, end_us) -> int | None`
- `by_id(project_id, keys) -> list[EvaluationSpan]`
- `waiting(project_id, chosen, rate, stretches) -> Waiting`: how many, and since when
- `matching(project_id, chosen, rate) -> Matching`: what a rule would judge of a time range, for a preview

A trace is in the sample by a hash of its id: the same traces always, all spans of a trace or none, and other ones than
a sender keeps that samples by the id itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.evaluation import EvaluationSpan, Watermark, evaluation_spans
from heliograph.query.filters import EPOCH, InvalidFilterError, SpanFilter, put
from heliograph.query.paging import check_limit

# A page and a rule's state say "so many or more" from here on; counting on would read what nobody needs to know.
MAX_COUNTED = 100_000
PREVIEWED = 10

_COLUMNS = """trace_id, span_id, toUnixTimestamp64Nano(start_time) AS start_ns,
    toUnixTimestamp64Micro(received_at) AS received_us, service, environment, release, model, session_id, input,
    output, documents, contents, attributes['gen_ai.tool.definitions'] AS tools"""
# 2^53 places are what a float tells apart.
_SAMPLED = "output != '' AND {in_sample}"
_IN_SAMPLE = "bitShiftRight(sipHash64('evaluate', trace_id), 11) < %(sampled_below)s"
_NOT_JUDGED = """ AND (trace_id, span_id) NOT IN (
        SELECT trace_id, span_id FROM scores
        WHERE project_id = %(project_id)s AND name = %(score)s AND source = 'evaluator' {of_traces}
    )"""

NEWEST = """
SELECT {columns}
FROM spans
WHERE project_id = %(project_id)s
    AND received_at >= fromUnixTimestamp64Micro(%(start_us)s, 'UTC')
    AND received_at <= fromUnixTimestamp64Micro(%(before_us)s, 'UTC')
    AND (received_at, trace_id, span_id)
        < (fromUnixTimestamp64Micro(%(before_us)s, 'UTC'), %(before_trace)s, %(before_span)s)
    AND {sampled} AND {where}{not_judged}
ORDER BY received_at DESC, trace_id DESC, span_id DESC
LIMIT %(limit)s
"""

OF_TRACES = """
SELECT {columns}
FROM spans
WHERE project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN (
        SELECT arrayJoin(minutes) FROM traces WHERE project_id = %(project_id)s AND trace_id IN %(trace_ids)s
    )
    AND trace_id IN %(trace_ids)s AND (trace_id, span_id) > (%(after_trace)s, %(after_span)s)
    AND {sampled} AND {where}{not_judged}
ORDER BY trace_id, span_id
LIMIT %(limit)s
"""

BY_ID = """
SELECT {columns}
FROM spans
WHERE project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN (
        SELECT arrayJoin(minutes) FROM traces WHERE project_id = %(project_id)s AND trace_id IN %(trace_ids)s
    )
    AND trace_id IN %(trace_ids)s AND span_id IN %(span_ids)s
ORDER BY trace_id, span_id
LIMIT %(limit)s
"""

LAST_ARRIVAL = """
SELECT toUnixTimestamp64Micro(max(received_at)) AS last_us, count() AS spans
FROM spans
WHERE project_id = %(project_id)s
    AND received_at >= fromUnixTimestamp64Micro(%(start_us)s, 'UTC')
    AND received_at < fromUnixTimestamp64Micro(%(end_us)s, 'UTC')
"""

# A text with a preview is there, and need not be read; of the others, which are few, the texts are.
_WAITS = """
        SELECT received_at
        FROM spans
        WHERE project_id = %(project_id)s AND output_preview != '' AND {in_sample} AND {where} AND ({stretches})
        UNION ALL
        SELECT received_at
        FROM spans
        WHERE project_id = %(project_id)s AND output_preview = '' AND output != '' AND {in_sample} AND {where}
            AND ({stretches})"""

WAITING = """
SELECT count() AS spans, toUnixTimestamp64Micro(min(received_at)) AS oldest_us
FROM (
    SELECT received_at FROM ({waits}
    )
    LIMIT %(most)s
)
"""

# What came before the oldest of those counted is little, and found by the index of arrival.
OLDEST = """
SELECT toUnixTimestamp64Micro(min(received_at)) AS oldest_us
FROM ({waits}
)
"""

COUNTED = """
SELECT
    countIf(output != '') AS spans, countIf({sampled}) AS sampled,
    sumIf(length(input) + length(output) + length(documents), {sampled}) AS characters
FROM spans
WHERE project_id = %(project_id)s AND {where}
"""

EXAMPLES = """
SELECT trace_id, span_id, toUnixTimestamp64Nano(start_time) AS start_ns, service, name, input_preview, output_preview
FROM spans
WHERE project_id = %(project_id)s AND {sampled} AND {where}
ORDER BY start_time DESC, trace_id, span_id
LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Spans that fit and are not judged: how many (MAX_COUNTED at most), and when the oldest was stored."""

    spans: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Example:
    """A span that a rule would judge."""

    trace_id: str
    span_id: str
    start_ns: int
    service: str
    name: str
    input_preview: str
    output_preview: str


@dataclass(frozen=True, slots=True)
class Matching:
    """Spans with an answer that fit, those of them in the sample, and how long their texts are together."""

    spans: int
    sampled: int
    characters: int
    examples: tuple[Example, ...]


def newest(
    project_id: int,
    chosen: SpanFilter,
    rate: float,
    start_us: int,
    before: Watermark,
    *,
    name: str = "",
    limit: int = 256,
) -> list[EvaluationSpan]:
    """Return spans with an answer that were stored from `start_us` on and lie before a place, newest first.

    With `name`, those are left out that an evaluator gave a score of this name.
    """
    check_limit(limit)
    where, parameters = _fitting(chosen, rate)
    parameters |= {
        "start_us": start_us,
        "before_us": before.received_us,
        "before_trace": before.trace_id,
        "before_span": before.span_id,
        "limit": limit,
        "score": name,
    }
    not_judged = put(_NOT_JUDGED, of_traces="") if name else ""
    sql = put(NEWEST, columns=_COLUMNS, not_judged=not_judged, **where)
    return evaluation_spans(project_id, client.query(project_id, sql, parameters, tag="online.newest"))


def of_traces(
    project_id: int,
    trace_ids: Iterable[str],
    chosen: SpanFilter,
    rate: float,
    name: str,
    after: tuple[str, str] = ("", ""),
    *,
    limit: int = 256,
) -> list[EvaluationSpan]:
    """Return spans with an answer of some traces that have no score `name` of an evaluator, in the order of their ids.

    A trace that got more since it was judged is not judged a second time, but for what is new.
    """
    check_limit(limit)
    wanted = tuple(trace_ids)
    if not wanted:
        return []
    where, parameters = _fitting(chosen, rate)
    parameters |= {
        "trace_ids": wanted,
        "score": name,
        "after_trace": after[0],
        "after_span": after[1],
        "limit": limit,
    }
    not_judged = put(_NOT_JUDGED, of_traces="AND trace_id IN %(trace_ids)s")
    sql = put(OF_TRACES, columns=_COLUMNS, not_judged=not_judged, **where)
    return evaluation_spans(project_id, client.query(project_id, sql, parameters, tag="online.of_traces"))


def last_arrival(project_id: int, start_us: int, end_us: int) -> int | None:
    """Return when the last span was stored within [start, end) of microseconds; None where none was."""
    given = {"start_us": start_us, "end_us": end_us}
    (row,) = client.query(project_id, LAST_ARRIVAL, given, tag="online.last_arrival")
    return row["last_us"] if row["spans"] else None


def by_id(project_id: int, keys: Sequence[tuple[str, str]]) -> list[EvaluationSpan]:
    """Return the spans of these ids (trace, span) that are stored; raises InvalidFilterError for too many."""
    check_limit(max(1, len(keys)))
    if not keys:
        return []
    parameters = {
        "trace_ids": tuple({trace for trace, _ in keys}),
        "span_ids": tuple({span for _, span in keys}),
        "limit": 10 * len(keys),
    }
    wanted = set(keys)
    found = evaluation_spans(
        project_id, client.query(project_id, put(BY_ID, columns=_COLUMNS), parameters, tag="online.by_id")
    )
    return [span for span in found if (span.trace_id, span.span_id) in wanted]


def waiting(project_id: int, chosen: SpanFilter, rate: float, stretches: Sequence[tuple[int, int]]) -> Waiting:
    """Return how much of what fits was stored within some stretches [start, end) of microseconds."""
    if not stretches:
        return Waiting(0, None)
    where, parameters = _fitting(chosen, rate)
    each = []
    for number, (start_us, end_us) in enumerate(stretches):
        each.append(
            f"received_at >= fromUnixTimestamp64Micro(%(start_{number})s, 'UTC')"
            f" AND received_at < fromUnixTimestamp64Micro(%(end_{number})s, 'UTC')"
        )
        parameters |= {f"start_{number}": start_us, f"end_{number}": end_us}
    within = " OR ".join(f"({one})" for one in each)
    counted = put(WAITING, waits=put(_WAITS, stretches=within, **where))
    (row,) = client.query(project_id, counted, parameters | {"most": MAX_COUNTED}, tag="online.waiting")
    spans, oldest_us = row["spans"], row["oldest_us"]
    if spans == MAX_COUNTED:
        # Those counted are any, and the oldest need not be among them.
        within = f"({within}) AND received_at <= fromUnixTimestamp64Micro(%(until_us)s, 'UTC')"
        oldest = put(OLDEST, waits=put(_WAITS, stretches=within, **where))
        rows = client.query(project_id, oldest, parameters | {"until_us": oldest_us}, tag="online.oldest")
        oldest_us = rows[0]["oldest_us"]
    return Waiting(spans, EPOCH + timedelta(microseconds=oldest_us) if spans else None)


def matching(project_id: int, chosen: SpanFilter, rate: float) -> Matching:
    """Return what a rule would judge within the time range of its filter, with the newest as examples."""
    where, parameters = _fitting(chosen, rate)
    (row,) = client.query(project_id, put(COUNTED, **where), parameters, tag="online.counted")
    shown = client.query(project_id, put(EXAMPLES, **where), parameters | {"limit": PREVIEWED}, tag="online.examples")
    return Matching(row["spans"], row["sampled"], row["characters"], tuple(Example(**one) for one in shown))


def _fitting(chosen: SpanFilter, rate: float) -> tuple[dict[str, str], dict[str, Any]]:
    if not 0 <= rate <= 1:
        raise InvalidFilterError("rate", "must be from 0 to 1")
    where, parameters = chosen.where()
    # Of a rule that judges every answer, the hashes of all traces need not be worked out.
    in_sample = _IN_SAMPLE if rate < 1 else "1"
    sampled = put(_SAMPLED, in_sample=in_sample)
    return (
        {"sampled": sampled, "in_sample": in_sample, "where": where},
        {**parameters, "sampled_below": round(rate * 2**53)},
    )
