"""Scores that an export carries beside its spans and records: found before long texts are taken out, stored after."""

from collections.abc import Sequence

from collectors.otlp.logs import DecodedLogs
from collectors.otlp.traces import DecodedSpans
from collectors.semconv.evaluations import (
    RESULT,
    SentScore,
    SpanOfScores,
    mentions_scores,
    score_of_record,
    scores_of_span,
)
from heliograph.ingest.signals import Decoded
from heliograph.query import sent_scores

# What an export may carry: a data set's worth of evaluations; the rest stays in the attributes alone.
MAX_SCORES = 10_000


def scores_in(decoded: Decoded, body: bytes) -> tuple[SentScore, ...]:
    """Return the scores that an export carries."""
    if not mentions_scores(body) or not decoded.accepted:
        return ()
    if isinstance(decoded, DecodedSpans):
        return tuple(_of_spans(decoded)[:MAX_SCORES])
    return tuple(_of_records(decoded)[:MAX_SCORES]) if isinstance(decoded, DecodedLogs) else ()


def store_scores(batches: Sequence[tuple[int, int, tuple[SentScore, ...]]]) -> None:
    """Store the scores of (project, retention days, scores). Raises StoreError."""
    for project_id, retention_days, scores in batches:
        if scores:
            sent_scores.write(project_id, scores, retention_days)


def _of_spans(decoded: DecodedSpans) -> list[SentScore]:
    columns = decoded.columns
    found: list[SentScore] = []
    names = ("trace_id", "span_id", "parent_span_id", "kind", "session_id", "start_time")
    for row in range(decoded.accepted):
        links = list(zip(columns["links.trace_id"][row], columns["links.span_id"][row], strict=True))
        events = zip(*(columns[f"events.{name}"][row] for name in ("time", "name", "attributes")), strict=True)
        span = SpanOfScores(**{name: columns[name][row] for name in names}, links=links)
        found += scores_of_span(span, columns["attributes"][row], list(events))
    return found


def _of_records(decoded: DecodedLogs) -> list[SentScore]:
    columns = decoded.columns
    names = ("time", "record_id", "trace_id", "span_id", "body", "attributes")
    rows = zip(columns["event_name"], *(columns[name] for name in names), strict=True)
    said = (score_of_record(*values) for name, *values in rows if name == RESULT)
    return [score for score in said if score is not None]
