"""Rows out of what was seen in production: copies, which outlive the traces."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph.datasets.content import InvalidRowError, RowContent
from heliograph.query.filters import SpanFilter
from heliograph.query.messages import Message
from heliograph.query.spans import SpanDetail, SpanRow, get_span
from heliograph.query.traces import get_trace, list_traces

# A person's selection, or the first pages of a search; each is two questions to the store.
MAX_ITEMS = 1_000
_PAGE = 200
_DOCUMENT_KINDS = ("retriever", "reranker")
_MAX_SPANS = 500


@dataclass(frozen=True, slots=True)
class Copied:
    """The rows that could be made, and of which items none could, with the reason."""

    rows: tuple[RowContent, ...]
    refused: tuple[tuple[str, str], ...]


def parse_items(items: Iterable[str]) -> list[tuple[str, str]]:
    """Read `TRACE_ID` or `TRACE_ID:SPAN_ID`. Raises InvalidRowError."""
    found = []
    for item in items:
        trace_id, _, span_id = item.strip().lower().partition(":")
        if not _is_hex(trace_id, 32) or not (span_id == "" or _is_hex(span_id, 16)):
            raise InvalidRowError("item", f"reads TRACE_ID or TRACE_ID:SPAN_ID in hexadecimal, not {item[:60]!r}")
        found.append((trace_id, span_id))
    if len(found) > MAX_ITEMS:
        raise InvalidRowError("item", f"may be given at most {MAX_ITEMS:,} times")
    return list(dict.fromkeys(found))


def matching(project_id: int, chosen: SpanFilter, limit: int) -> list[tuple[str, str]]:
    """Return the newest traces that a filter finds, `limit` of them at most, as items."""
    found: list[tuple[str, str]] = []
    cursor = None
    while len(found) < min(limit, MAX_ITEMS):
        page = list_traces(project_id, chosen, cursor=cursor, limit=min(_PAGE, limit - len(found)))
        found += [(row.trace_id, "") for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


def copied(project_id: int, items: Sequence[tuple[str, str]], *, split: str | None = None) -> Copied:
    """Copy what spans were asked and answered; a trace stands for its root, else for its first model call."""
    rows, refused = [], []
    for trace_id, span_id in items:
        name = f"{trace_id}:{span_id}" if span_id else trace_id
        try:
            row = _row(project_id, trace_id, span_id, split)
        except InvalidRowError as error:
            refused.append((name, f"{error.field}: {error.message}"))
        else:
            rows.append(row) if row else refused.append((name, "the project has no such trace or span"))
    return Copied(tuple(rows), tuple(refused))


def _row(project_id: int, trace_id: str, span_id: str, split: str | None) -> RowContent | None:
    trace = get_trace(project_id, trace_id, max_spans=_MAX_SPANS)
    if trace is None:
        return None
    span = get_span(project_id, trace_id, span_id) if span_id else spoken(project_id, trace_id, trace.spans)
    if span is None:
        return None
    given = {
        "service": span.service,
        "model": span.model,
        "release": span.release,
        "prompt": span.prompt_name,
        "prompt_version": span.prompt_version,
        "session": span.session_id,
        "name": span.name,
    }
    return RowContent(
        # A whole trace and its root are the same row.
        key=f"{trace_id}:{span.span_id}",
        input=_asked(span.input_messages),
        expected=_answered(span.output_messages),
        context=_documents(project_id, trace_id, trace.spans, span),
        metadata={name: value for name, value in given.items() if value},
        split=split,
        trace_id=trace_id,
        span_id=span.span_id,
    )


def spoken(project_id: int, trace_id: str, spans: Sequence[SpanRow]) -> SpanDetail | None:
    """Return the span that stands for a trace: its root, else its first model call, if that was asked and answered."""
    ids = {span.span_id for span in spans}
    roots = [span for span in spans if span.parent_span_id not in ids]
    calls = [span for span in spans if span.kind == "llm"]
    for span in (*roots[:1], *calls[:1]):
        found = get_span(project_id, trace_id, span.span_id)
        if found and found.input and found.output:
            return found
    return get_span(project_id, trace_id, spans[0].span_id) if spans else None


def _asked(messages: Sequence[Message]) -> Any:
    """Return one user's text as a text, everything else as chat messages."""
    if len(messages) == 1 and messages[0].role in ("", "user") and _is_text(messages[0]):
        return messages[0].text
    return [{"role": message.role or "user", "content": _content(message)} for message in messages]


def _answered(messages: Sequence[Message]) -> Any:
    if not messages:
        return None
    last = messages[-1]
    return last.text if _is_text(last) else [dict(part) for part in last.parts]


def _content(message: Message) -> Any:
    return message.text if _is_text(message) else [dict(part) for part in message.parts]


def _is_text(message: Message) -> bool:
    return all(part.get("type") == "text" for part in message.parts)


def _documents(project_id: int, trace_id: str, spans: Sequence[SpanRow], span: SpanDetail) -> Any:
    """Return the texts that the span, or the last retriever of its trace, brought; None without any."""
    if span.retrieved:
        return [document.content for document in span.retrieved]
    for other in reversed([each for each in spans if each.kind in _DOCUMENT_KINDS]):
        found = get_span(project_id, trace_id, other.span_id)
        if found and found.retrieved:
            return [document.content for document in found.retrieved]
    return None


def _is_hex(text: str, length: int) -> bool:
    return len(text) == length and all(letter in "0123456789abcdef" for letter in text)
