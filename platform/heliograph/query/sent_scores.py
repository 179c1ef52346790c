"""Scores that came with telemetry, brought to what they judge.

- `write(project_id, scores, retention_days) -> None`: idempotent; what names an answer that is not stored yet waits
- `place_waiting(project_id) -> int`: brings those to their spans that have come since
"""

from collections.abc import Iterable, Sequence
from typing import Any

from collectors.semconv.evaluations import SentScore
from heliograph.clickhouse import client
from heliograph.query.scores import MAX_WRITE, Score, write_scores

# Response ids of one look-up: its text stays below what the store takes (256 KiB), at 512 characters an id.
_MAX_LOOKUP = 250
# Waiting scores that are looked at in one pass, the longest unseen first.
MAX_WAITING = 1_000

# Of two spans of one response (a gateway and its server) the one whose usage counts is the answer.
ANSWERS = """
SELECT response_id, trace_id, span_id
FROM spans
WHERE project_id = %(project_id)s AND response_id IN %(response_ids)s AND received_at >= %(since)s
ORDER BY usage_counted DESC, start_time, span_id
LIMIT 1 BY response_id
"""
WAITING = """
SELECT response_id, score_id, name, toUnixTimestamp64Nano(time) AS time_ns, value, label, explanation, details, source,
    evaluator, retention_days, updated_at
FROM pending_scores FINAL
WHERE project_id = %(project_id)s AND NOT is_found
ORDER BY updated_at, response_id, score_id
LIMIT %(limit)s
"""
# Spans that were being stored while a score looked for them.
_OVERLAP_SECONDS = 300
_BEGINNING = "1970-01-02 00:00:00"


def write(project_id: int, scores: Sequence[SentScore], retention_days: int) -> None:
    """Store scores where they belong. Raises StoreError."""
    by_response = [score for score in scores if score.response_id and not score.trace_id and not score.session_id]
    answers = _answers(project_id, {score.response_id for score in by_response}, _BEGINNING)
    placed = [_score(score, *answers.get(score.response_id, (score.trace_id, score.span_id))) for score in scores]
    _write(project_id, [score for score in placed if score.trace_id or score.session_id], retention_days)
    _wait(project_id, [score for score in by_response if score.response_id not in answers], retention_days)


def place_waiting(project_id: int) -> int:
    """Bring waiting scores to the spans that have come since; return how many. Raises StoreError."""
    rows = client.query(project_id, WAITING, {"limit": MAX_WAITING}, tag="scores.waiting")
    if not rows:
        return 0
    since = min(row["updated_at"] for row in rows).timestamp() - _OVERLAP_SECONDS
    answers = _answers(project_id, {row["response_id"] for row in rows}, since)
    found = [row for row in rows if row["response_id"] in answers]
    for days in {row["retention_days"] for row in found}:
        mine = [row for row in found if row["retention_days"] == days]
        _write(project_id, [_waited(row, *answers[row["response_id"]]) for row in mine], days)
    # The others are noted as seen, so that the next pass looks among the spans of after this one alone.
    columns: dict[str, list[Any]] = {
        name: [row[name] for row in rows] for name in rows[0] if name not in ("time_ns", "updated_at")
    }
    columns["time"] = [row["time_ns"] for row in rows]
    columns["is_found"] = [row["response_id"] in answers for row in rows]
    client.insert("pending_scores", columns | {"project_id": [project_id] * len(rows)})
    return len(found)


def _answers(project_id: int, response_ids: Iterable[str], since: float | str) -> dict[str, tuple[str, str]]:
    """The span that answered with each response id, of those that were received since a time."""
    found: dict[str, tuple[str, str]] = {}
    wanted = sorted(response_ids)
    for first in range(0, len(wanted), _MAX_LOOKUP):
        given = {"response_ids": tuple(wanted[first : first + _MAX_LOOKUP]), "since": since}
        for row in client.query(project_id, ANSWERS, given, tag="scores.answers"):
            found[row["response_id"]] = (row["trace_id"], row["span_id"])
    return found


def _score(sent: SentScore, trace_id: str, span_id: str) -> Score:
    return Score(
        score_id=sent.score_id,
        trace_id=trace_id,
        span_id=span_id,
        session_id=sent.session_id,
        time_ns=sent.time_ns,
        name=sent.name,
        value=sent.value,
        label=sent.label,
        explanation=sent.explanation,
        details=sent.details,
        source="human" if sent.is_human else "api",
        evaluator=sent.evaluator,
    )


def _waited(row: dict[str, Any], trace_id: str, span_id: str) -> Score:
    kept = ("score_id", "name", "time_ns", "value", "label", "explanation", "details", "source", "evaluator")
    return Score(trace_id=trace_id, span_id=span_id, **{name: row[name] for name in kept})


def _write(project_id: int, scores: Sequence[Score], retention_days: int) -> None:
    for first in range(0, len(scores), MAX_WRITE):
        write_scores(project_id, scores[first : first + MAX_WRITE], retention_days)


def _wait(project_id: int, scores: Sequence[SentScore], retention_days: int) -> None:
    if not scores:
        return
    names = ("response_id", "score_id", "name", "value", "label", "explanation", "details", "evaluator")
    columns: dict[str, list[Any]] = {name: [getattr(score, name) for score in scores] for name in names}
    columns["time"] = [score.time_ns for score in scores]
    columns["source"] = ["human" if score.is_human else "api" for score in scores]
    columns["is_found"] = [False] * len(scores)
    columns["project_id"] = [project_id] * len(scores)
    columns["retention_days"] = [retention_days] * len(scores)
    client.insert("pending_scores", columns)
