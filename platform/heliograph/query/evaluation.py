"""What the evaluators read: new spans with their context, and scores of two releases side by side.

- `spans_to_evaluate(project_id, after, until, *, limit=256) -> list[EvaluationSpan]`, oldest received first
- `paired_scores(project_id, range, name, service, baseline, candidate) -> PairedScores`
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from heliograph.clickhouse import client
from heliograph.query import contents
from heliograph.query.filters import InvalidFilterError, TimeRange, put, started_in, to_ns
from heliograph.query.messages import Document, parse_documents, text_of
from heliograph.query.paging import check_limit

_MAX_CONTEXT_SPANS = 20


@dataclass(frozen=True, slots=True, order=True)
class Watermark:
    """A place in the order in which spans were stored. Spans of one insert share their time, so ids break the tie."""

    received_us: int
    trace_id: str = ""
    span_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSpan:
    """An LLM span and the documents that its answer may rest on: its own, else its trace's retrievers' and rerankers'.

    `question` is the last user message, `answer` the last message of the output, `input` everything that was sent.
    """

    trace_id: str
    span_id: str
    start_ns: int
    received_us: int
    service: str
    environment: str
    release: str
    model: str
    session_id: str
    input: str
    output: str
    question: str
    answer: str
    documents: tuple[Document, ...]
    # The definitions of the tools that were offered, as they came: JSON or ''.
    tools: str = ""

    @property
    def watermark(self) -> Watermark:
        """The place to go on from, once this span is judged."""
        return Watermark(self.received_us, self.trace_id, self.span_id)


@dataclass(frozen=True, slots=True)
class ScorePair:
    """The mean values of one prompt (or data set row) under both releases, and a trace of each to look at."""

    key: str
    baseline: float
    candidate: float
    baseline_trace_id: str
    candidate_trace_id: str


@dataclass(frozen=True, slots=True)
class PairedScores:
    """The scores of two releases: pairs over equal prompts, and all values of either side."""

    pairs: tuple[ScorePair, ...]
    baseline: tuple[float, ...]
    candidate: tuple[float, ...]


NEW_SPANS = """
SELECT
    trace_id, span_id, toUnixTimestamp64Nano(start_time) AS start_ns,
    toUnixTimestamp64Micro(received_at) AS received_us, service, environment, release, model, session_id, input,
    output, documents, contents
FROM spans
WHERE project_id = %(project_id)s AND kind = 'llm' AND output != ''
    AND received_at >= fromUnixTimestamp64Micro(%(after_us)s, 'UTC')
    AND received_at < fromUnixTimestamp64Micro(%(until_us)s, 'UTC')
    AND (received_at, trace_id, span_id)
        > (fromUnixTimestamp64Micro(%(after_us)s, 'UTC'), %(after_trace)s, %(after_span)s)
ORDER BY received_at, trace_id, span_id
LIMIT %(limit)s
"""

CONTEXT = """
SELECT trace_id, toUnixTimestamp64Nano(start_time) AS start_ns, documents, contents
FROM spans
WHERE project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN (
        SELECT arrayJoin(minutes) FROM traces WHERE project_id = %(project_id)s AND trace_id IN %(trace_ids)s
    )
    AND trace_id IN %(trace_ids)s AND kind IN ('retriever', 'reranker') AND documents != ''
ORDER BY trace_id, start_time, span_id
LIMIT {most} BY trace_id
"""

# A prompt is the same where its input text is; a data set row is the same where its id is.
SCORES_BY_PROMPT = """
SELECT
    s.release AS release,
    multiIf(
        s.dataset_item_id != '', concat('row ', s.dataset_item_id),
        p.span_id != '', concat('prompt ', toString(p.prompt)),
        concat('score ', s.trace_id, s.span_id, s.score_id)
    ) AS key,
    avg(s.value) AS value,
    any(s.trace_id) AS trace_id
FROM (
    SELECT release, dataset_item_id, trace_id, span_id, score_id, assumeNotNull(value) AS value
    FROM scores FINAL
    WHERE project_id = %(project_id)s AND name = %(name)s AND service = %(service)s AND release IN %(releases)s
        AND value IS NOT NULL
        AND time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC') AND time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
) AS s
LEFT JOIN (
    SELECT trace_id, span_id, sipHash64(input) AS prompt
    FROM spans
    WHERE project_id = %(project_id)s AND service = %(service)s AND release IN %(releases)s AND input != '' AND {where}
        AND (trace_id, span_id) IN (
            SELECT trace_id, span_id FROM scores
            WHERE project_id = %(project_id)s AND name = %(name)s AND service = %(service)s AND release IN %(releases)s
                AND time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')
                AND time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
        )
) AS p ON p.trace_id = s.trace_id AND p.span_id = s.span_id
GROUP BY release, key
ORDER BY key, release
LIMIT {most}
"""
_MAX_PROMPTS = 100_000


def spans_to_evaluate(project_id: int, after: Watermark, until: datetime, *, limit: int = 256) -> list[EvaluationSpan]:
    """Return LLM spans with an answer that were stored after `after` and before `until`, oldest first.

    `until` should lie some seconds back, so that a trace's retrievers have come too. Every such span is returned, with
    or without context: the evaluator says that one without cannot be judged.
    """
    check_limit(limit)
    parameters = {
        "after_us": after.received_us,
        "after_trace": after.trace_id,
        "after_span": after.span_id,
        "until_us": to_ns(until) // 1_000,
        "limit": limit,
    }
    return evaluation_spans(project_id, client.query(project_id, NEW_SPANS, parameters, tag="evaluation.new_spans"))


def evaluation_spans(project_id: int, rows: list[dict[str, Any]]) -> list[EvaluationSpan]:
    """Return rows of spans with their texts brought back whole and their documents, those of their trace included."""
    contents.restore(project_id, rows, ("input", "output", "documents"))
    context = _context(project_id, {row["trace_id"] for row in rows if not row["documents"]})
    return [_evaluation_span(row, context.get(row["trace_id"], [])) for row in rows]


def paired_scores(
    project_id: int, span: TimeRange, name: str, service: str, baseline: str, candidate: str
) -> PairedScores:
    """Return the values of a score under two releases of a service, paired where both answered the same prompt.

    Several answers of a release to one prompt count as their mean, so that a frequent prompt weighs as one. A score
    whose prompt is not stored stands in the values only.
    """
    if baseline == candidate:
        raise InvalidFilterError("candidate", "must be another release than the baseline")
    where, parameters = started_in(span)
    parameters |= {"name": name, "service": service, "releases": (baseline, candidate)}
    sql = put(SCORES_BY_PROMPT, where=where, most=str(2 * _MAX_PROMPTS))
    rows = client.query(project_id, sql, parameters, tag="evaluation.paired_scores")
    sides = {
        release: {row["key"]: row for row in rows if row["release"] == release} for release in (baseline, candidate)
    }
    before, after = sides[baseline], sides[candidate]
    pairs = (
        ScorePair(key, row["value"], after[key]["value"], row["trace_id"], after[key]["trace_id"])
        for key, row in before.items()
        if key in after
    )
    return PairedScores(tuple(pairs), _values(before.values()), _values(after.values()))


def _context(project_id: int, trace_ids: set[str]) -> dict[str, list[dict[str, Any]]]:
    if not trace_ids:
        return {}
    sql = put(CONTEXT, most=str(_MAX_CONTEXT_SPANS))
    rows = client.query(project_id, sql, {"trace_ids": tuple(sorted(trace_ids))}, tag="evaluation.context")
    contents.restore(project_id, rows, ("documents",))
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["trace_id"], []).append(row)
    return found


def _evaluation_span(row: dict[str, Any], context: Sequence[dict[str, Any]]) -> EvaluationSpan:
    own = row.pop("documents")
    # What was retrieved after the model was asked cannot have been its context.
    earlier = (found["documents"] for found in context if found["start_ns"] <= row["start_ns"])
    stored = [own] if own else earlier
    documents = tuple(document for text in stored for document in parse_documents(text))
    question, answer = text_of(row["input"], "user"), text_of(row["output"])
    return EvaluationSpan(**row, question=question, answer=answer, documents=documents)


def _values(rows: Iterable[dict[str, Any]]) -> tuple[float, ...]:
    return tuple(row["value"] for row in rows)
