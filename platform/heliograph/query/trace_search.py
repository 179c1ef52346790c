"""Which spans of one trace something stands in.

- `find(project_id, summary, text) -> list[str]`, earliest first
"""

from datetime import timedelta

from heliograph.clickhouse import client
from heliograph.query.filters import MAX_VALUE_CHARACTERS, InvalidFilterError, SpanFilter, TimeRange, from_ns, put
from heliograph.query.traces import MAX_MINUTES, MAX_SPANS, TraceRow

FIND = """
SELECT span_id
FROM spans
WHERE project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN %(minutes)s
    AND trace_id = %(trace_id)s
    AND (
        positionCaseInsensitiveUTF8(name, %(part)s) > 0
        OR positionCaseInsensitiveUTF8(model, %(part)s) > 0
        OR positionCaseInsensitiveUTF8(tool_name, %(part)s) > 0
        OR positionCaseInsensitiveUTF8(status_message, %(part)s) > 0
        OR positionCaseInsensitiveUTF8(error_type, %(part)s) > 0
        OR lower(%(part)s) IN (span_id, kind, status)
        OR {text}
    )
ORDER BY start_time, span_id
LIMIT %(limit)s
"""


def find(project_id: int, summary: TraceRow, text: str) -> list[str]:
    """Return the spans whose name, model, tool or error holds the text, or whose input or output all of its words.

    A kind (`tool`), a status (`error`) or a span's id finds what is of it. Raises InvalidFilterError for a text that
    is too long.
    """
    part = text.strip()
    if not part:
        return []
    if len(part) > MAX_VALUE_CHARACTERS:
        raise InvalidFilterError("find", f"may have at most {MAX_VALUE_CHARACTERS} characters")
    # Spans start within the trace's minutes, of which only so many are read.
    minutes = summary.minutes[:MAX_MINUTES]
    span = TimeRange(from_ns(minutes[0] * 10**9), from_ns(minutes[-1] * 10**9) + timedelta(minutes=1))
    words = SpanFilter(range=span, text=part) if any(letter.isalnum() for letter in part) else None
    clause, parameters = words.where() if words else ("0", {})
    parameters |= {
        "minutes": minutes,
        "trace_id": summary.trace_id,
        "part": part,
        "limit": MAX_SPANS,
    }
    return [row["span_id"] for row in client.query(project_id, put(FIND, text=clause), parameters, tag="traces.find")]
