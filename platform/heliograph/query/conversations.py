"""A session as the conversation that a person had: of each trace what they said, and what they were answered.

- `exchanges(project_id, trace_ids) -> list[Exchange]`, in the given order
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heliograph.clickhouse import client
from heliograph.query import contents
from heliograph.query.messages import text_of
from heliograph.query.traces import TraceRow, summaries

# A page of a conversation; each text is cut where a person would stop reading and open the trace.
MAX_EXCHANGES = 100
MAX_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """One trace of a conversation: the last thing that was said to it, and its last answer; '' where none was sent."""

    trace: TraceRow
    said: str
    answered: str
    is_cut: bool


# As in `traces`: what is said stands on the root, else on the earliest span with a text, and the answer on the root,
# else on the latest.
SPEAKERS = """
SELECT
    trace_id,
    argMin(span_id, (multiIf(input_preview = '', 2, parent_span_id = '', 0, 1), start_time)) AS asked,
    argMax(span_id, (multiIf(output_preview = '', 0, parent_span_id = '', 2, 1), start_time)) AS answering
FROM spans
WHERE project_id = %(project_id)s AND toStartOfMinute(start_time) IN %(minutes)s AND trace_id IN %(trace_ids)s
GROUP BY trace_id
"""

TEXTS = """
SELECT trace_id, span_id, input, output, contents
FROM spans
WHERE project_id = %(project_id)s AND toStartOfMinute(start_time) IN %(minutes)s AND trace_id IN %(trace_ids)s
    AND span_id IN %(span_ids)s
LIMIT 1 BY trace_id, span_id
"""


def exchanges(project_id: int, trace_ids: Sequence[str]) -> list[Exchange]:
    """Return what was said and answered in at most MAX_EXCHANGES traces; one that the project lacks is left out."""
    asked = list(trace_ids)[:MAX_EXCHANGES]
    found = summaries(project_id, asked)
    if not found:
        return []
    minutes = tuple(sorted({minute for trace in found.values() for minute in trace.minutes}))
    given: dict[str, Any] = {"trace_ids": tuple(found), "minutes": minutes}
    speakers = {row["trace_id"]: row for row in client.query(project_id, SPEAKERS, given, tag="conversations.speakers")}
    spans = {row[part] for row in speakers.values() for part in ("asked", "answering")}
    texts: dict[tuple[str, str], dict[str, Any]] = {}
    if spans:
        rows = client.query(project_id, TEXTS, given | {"span_ids": tuple(spans)}, tag="conversations.texts")
        contents.restore(project_id, rows, ("input", "output"))
        texts = {(row["trace_id"], row["span_id"]): row for row in rows}
    made: list[Exchange] = []
    for trace_id in asked:
        if trace_id not in found:
            continue
        who = speakers.get(trace_id, {"asked": "", "answering": ""})
        said = _said(texts.get((trace_id, who["asked"]), {}).get("input", ""))
        answered = text_of(texts.get((trace_id, who["answering"]), {}).get("output", ""))
        is_cut = max(len(said), len(answered)) > MAX_CHARACTERS
        made.append(Exchange(found[trace_id], said[:MAX_CHARACTERS], answered[:MAX_CHARACTERS], is_cut))
    return made


def _said(stored: str) -> str:
    """Return the person's last words; where nobody is called the user, the last words at all."""
    return text_of(stored, "user") or text_of(stored)
