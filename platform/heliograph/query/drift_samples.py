"""What a drift monitor looks at: a fixed random sample of the spans of a window, and the texts and scores of it.

- `sample(project_id, chosen, *, attributes=(), limit=...) -> list[SampledSpan]`, in the order of a hash
- `texts(project_id, span, ids, side) -> dict[(trace_id, span_id), str]`
- `score_values(project_id, chosen, score, limit) -> dict[(trace_id, span_id), float]`
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from heliograph.clickhouse import client
from heliograph.query import contents
from heliograph.query.filters import InvalidFilterError, SpanFilter, TimeRange, put, started_in, to_ns
from heliograph.query.messages import text_of

# A test of 10,000 numbers a side sees a change of two points of the distribution; more only costs memory.
MAX_SPANS = 10_000
MAX_TEXTS = 5_000
MAX_ATTRIBUTES = 5
_MAX_TEXT_CHARACTERS = 20_000
# Texts brought back whole before they are cut: as many of the longest (1 MiB) as one question may hold.
_TEXTS_AT_ONCE = 64
Place = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledSpan:
    """One span in what can be counted; `attributes` are the values of the keys asked for, '' where it has none."""

    trace_id: str
    span_id: str
    service: str
    environment: str
    release: str
    model: str
    prompt: str
    kind: str
    status: str
    finish_reason: str
    tool: str
    user: str
    tags: list[str]
    duration_ns: int | None
    ttft_ns: int | None
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    input_preview: str
    output_preview: str
    attributes: list[str]

    @property
    def place(self) -> Place:
        """The ids by which texts and scores are found."""
        return self.trace_id, self.span_id


# Drawn by hash, so that a rerun draws the same.
CHOSEN = """
    SELECT trace_id, span_id
    FROM spans
    WHERE project_id = %(project_id)s AND {where}
    ORDER BY cityHash64(trace_id, span_id)
    LIMIT %(limit)s
"""

SAMPLE = """
SELECT
    trace_id, span_id, service, environment, release, model,
    if(prompt_name = '', '', if(prompt_version = '', prompt_name, concat(prompt_name, '@', prompt_version))) AS prompt,
    kind, status, finish_reason, tool_name AS tool, user_id AS user, tags, duration_ns, ttft_ns, input_tokens,
    output_tokens, toFloat64(cost) AS cost, input_preview, output_preview,
    arrayMap(key -> attributes[key], %(attributes)s) AS attributes
FROM spans
WHERE project_id = %(project_id)s AND {where} AND (trace_id, span_id) IN ({chosen})
ORDER BY cityHash64(trace_id, span_id), start_time
LIMIT %(limit)s
"""

TEXTS = """
SELECT trace_id, span_id, {side} AS text, contents
FROM spans
WHERE project_id = %(project_id)s AND {where} AND (trace_id, span_id) IN %(places)s
LIMIT %(limit)s
"""

SCORES = """
SELECT trace_id, span_id, avg(assumeNotNull(value)) AS mean
FROM scores FINAL
WHERE project_id = %(project_id)s AND name = %(score)s AND value IS NOT NULL AND span_id != ''
    AND time >= fromUnixTimestamp64Nano(%(scored_from)s, 'UTC')
    AND time < fromUnixTimestamp64Nano(%(scored_to)s, 'UTC')
    AND (trace_id, span_id) IN ({chosen})
GROUP BY trace_id, span_id
LIMIT %(limit)s
"""


def sample(
    project_id: int, chosen: SpanFilter, *, attributes: Sequence[str] = (), limit: int = MAX_SPANS
) -> list[SampledSpan]:
    """Return a sample of the spans that a filter picks. Raises InvalidFilterError for too many."""
    _check(limit, MAX_SPANS)
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidFilterError("segments", f"may name at most {MAX_ATTRIBUTES} attributes")
    where, parameters = chosen.where()
    sql = put(SAMPLE, chosen=CHOSEN).replace("{where}", where)
    given = dict(parameters) | {"limit": limit, "attributes": list(attributes)}
    rows = client.query(project_id, sql, given, tag="drift.sample")
    return [SampledSpan(**row) for row in rows]


def texts(
    project_id: int, span: TimeRange, places: Sequence[Place], side: Literal["input", "output"]
) -> dict[Place, str]:
    """Return the last user message, or the answer, of spans that have one."""
    if side not in ("input", "output"):
        raise InvalidFilterError("side", "must be input or output")
    if not places:
        return {}
    _check(len(places), MAX_TEXTS)
    where, parameters = started_in(span)
    given = parameters | {"places": tuple(places), "limit": len(places)}
    rows = client.query(project_id, put(TEXTS, side=side, where=where), given, tag="drift.texts")
    role = "user" if side == "input" else None
    # Of a long conversation only the one message that is compared is brought back whole.
    cut = [(text_of(row["text"], role)[:_MAX_TEXT_CHARACTERS], row["contents"]) for row in rows]
    whole: list[str] = []
    for first in range(0, len(cut), _TEXTS_AT_ONCE):
        whole += contents.restored(project_id, cut[first : first + _TEXTS_AT_ONCE])
    found = zip(rows, whole, strict=True)
    return {(row["trace_id"], row["span_id"]): text[:_MAX_TEXT_CHARACTERS] for row, text in found if text}


def score_values(project_id: int, chosen: SpanFilter, score: str, *, limit: int = MAX_SPANS) -> dict[Place, float]:
    """Return the values of a score of the same sample."""
    _check(limit, MAX_SPANS)
    where, parameters = chosen.where()
    # A score stands at the time of the span that it judges.
    near = chosen.range.widened(timedelta(hours=1))
    given = dict(parameters) | {"limit": limit, "score": score}
    given |= {"scored_from": to_ns(near.start), "scored_to": to_ns(near.end)}
    sql = put(SCORES, chosen=CHOSEN).replace("{where}", where)
    rows = client.query(project_id, sql, given, tag="drift.scores")
    return {(row["trace_id"], row["span_id"]): row["mean"] for row in rows}


def _check(limit: int, most: int) -> None:
    if not 1 <= limit <= most:
        raise InvalidFilterError("limit", f"must be from 1 to {most}")
