"""What the store says of spans that people annotate.

- `candidates(project_id, filter, *, score="", lowest=True, limit=100) -> list[Candidate]`: spans to ask people about
- `previews(project_id, spans) -> dict[(trace, span), Preview]`: the beginnings of their texts, for a list
- `verdicts(project_id, name, spans) -> dict[(trace, span), EvaluatorVerdict]`: what an evaluator said of them
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from heliograph.clickhouse import client
from heliograph.query import comparison
from heliograph.query.filters import SpanFilter, put
from heliograph.query.paging import check_limit

# (trace, span, start in nanoseconds since the epoch)
SpanKey = tuple[str, str, int]
# Ids of so many spans fit into one query's text, which the store caps at 256 KiB.
_MAX_LOOKUP = 1_000
_MARGIN_NS = 3_600 * 10**9


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span to ask about. `value` is the score by which it was chosen, None where it was not."""

    trace_id: str
    span_id: str
    start_ns: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Preview:
    """The beginnings of a span's texts."""

    name: str
    input_preview: str
    output_preview: str


@dataclass(frozen=True, slots=True)
class EvaluatorVerdict:
    """The value that an evaluator gave, before any calibration, and its label."""

    value: float
    label: str


NEWEST = """
SELECT trace_id, span_id, toUnixTimestamp64Nano(start_time) AS start_ns, NULL AS value
FROM spans
WHERE project_id = %(project_id)s AND {where} AND output_preview != ''
ORDER BY start_time DESC, trace_id DESC, span_id DESC
LIMIT 1 BY trace_id, span_id
LIMIT %(limit)s
"""

PREVIEWS = """
SELECT trace_id, span_id, name, input_preview, output_preview
FROM spans
WHERE project_id = %(project_id)s AND toStartOfMinute(start_time) IN %(minutes)s
    AND trace_id IN %(trace_ids)s AND span_id IN %(span_ids)s
LIMIT %(limit)s
"""

# Of a rule with a curve, what its evaluator said itself: thresholds are of those values.
VERDICTS = """
SELECT trace_id, span_id, argMax(own_value, updated_at) AS value, argMax(label, updated_at) AS label
FROM (
    SELECT
        trace_id, span_id, label, updated_at,
        if(JSONHas(details, 'uncalibrated'), JSONExtractFloat(details, 'uncalibrated'), assumeNotNull(value))
            AS own_value
    FROM scores FINAL
    WHERE project_id = %(project_id)s AND name = %(name)s AND source = 'evaluator' AND value IS NOT NULL
        AND time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC') AND time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
        AND trace_id IN %(trace_ids)s AND span_id IN %(span_ids)s
)
GROUP BY trace_id, span_id
"""


def candidates(
    project_id: int, chosen: SpanFilter, *, score: str = "", lowest: bool = True, limit: int = 100
) -> list[Candidate]:
    """Return spans with an answer that a filter finds, the newest first; with `score`, those with the lowest values.

    Without a kind in the filter, model calls: they are what evaluators judge.
    """
    check_limit(limit)
    if score:
        worst = comparison.worst(project_id, chosen, f"score.{score}", higher_is_better=lowest, limit=limit)
        return [Candidate(span.trace_id, span.span_id, span.start_ns, span.value) for span in worst]
    chosen = chosen if chosen.kind else replace(chosen, kind=("llm",))
    where, parameters = chosen.where()
    rows = client.query(project_id, put(NEWEST, where=where), parameters | {"limit": limit}, tag="annotated.candidates")
    return [Candidate(**row) for row in rows]


def previews(project_id: int, spans: Sequence[SpanKey]) -> dict[tuple[str, str], Preview]:
    """Return the beginnings of the texts of a page's spans, of those that are still stored."""
    if not spans:
        return {}
    check_limit(len(spans))
    parameters = _named(spans) | {
        "minutes": tuple({start_ns // (60 * 10**9) * 60 for _, _, start_ns in spans}),
        "limit": 10 * len(spans),
    }
    rows = client.query(project_id, PREVIEWS, parameters, tag="annotated.previews")
    return {(row.pop("trace_id"), row.pop("span_id")): Preview(**row) for row in rows}


def verdicts(project_id: int, name: str, spans: Sequence[SpanKey]) -> dict[tuple[str, str], EvaluatorVerdict]:
    """Return the newest value that evaluators gave each span under a name; a span without one is absent."""
    found: dict[tuple[str, str], EvaluatorVerdict] = {}
    for begin in range(0, len(spans), _MAX_LOOKUP):
        part = spans[begin : begin + _MAX_LOOKUP]
        starts = [start_ns for _, _, start_ns in part]
        # A score stands at the time of the span that it judges, and of some before their span was stored.
        near = {"start_ns": max(0, min(starts) - _MARGIN_NS), "end_ns": max(starts) + _MARGIN_NS}
        parameters = _named(part) | {"name": name} | near
        rows = client.query(project_id, VERDICTS, parameters, tag="annotated.verdicts")
        found |= {(row["trace_id"], row["span_id"]): EvaluatorVerdict(row["value"], row["label"]) for row in rows}
    wanted = {(trace_id, span_id) for trace_id, span_id, _ in spans}
    return {key: verdict for key, verdict in found.items() if key in wanted}


def _named(spans: Sequence[SpanKey]) -> dict[str, object]:
    return {"trace_ids": tuple({trace for trace, _, _ in spans}), "span_ids": tuple({span for _, span, _ in spans})}
