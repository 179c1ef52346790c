"""Traces: the list, newest first, and one trace with its waterfall.

- `list_traces(project_id, filter, *, cursor=None, limit=50) -> Page[TraceRow]`
- `get_trace(project_id, trace_id, *, max_spans=MAX_SPANS) -> Trace | None`
- `summaries(project_id, trace_ids) -> dict[str, TraceRow]`

The list follows the spans that match (entry spans where nothing narrows) backwards in time, which is the order in
which they are stored, so that a page reads about as many rows as it shows. A trace stands at its latest matching span
in the range: where one page ends between two such spans of a trace, the older one finds on the next page that the
trace was shown already. Later pages leave out the spans that were stored after the first was read, so every trace is
shown exactly once whatever arrives in between.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.filters import SpanFilter, from_ns, put, union
from heliograph.query.paging import IN_ORDER, Page, check_limit, decode_cursor, encode_cursor
from heliograph.query.spans import SpanRow, spans_of_trace

# A waterfall is drawn by a browser; more spans than this are cut, and the trace says so.
MAX_SPANS = 10_000
# Three days without a pause; a trace id that a sender uses for everything has more, and is cut.
MAX_MINUTES = 5_000
# Rounds of looking further where candidates were shown on earlier pages; then the page is short, its cursor goes on.
_MAX_ROUNDS = 5
# Candidates beyond the page, to make up for those shown before: as a rule the few traces that run on over its end.
_SPARE_CANDIDATES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """The summary of a trace.

    `cost` is a lower bound where `unpriced_count` is above 0. `name`, `service` and `status` are the root's, or the
    earliest span's while no root has come. `listed_ns` is where a list shows it (0 outside of lists).
    """

    trace_id: str
    start_ns: int
    end_ns: int
    name: str
    service: str
    environment: str
    release: str
    kind: str
    status: str
    has_root: bool
    span_count: int
    error_count: int
    llm_count: int
    input_preview: str
    output_preview: str
    session_id: str
    user_id: str
    models: tuple[str, ...]
    tags: tuple[str, ...]
    hosts: tuple[str, ...]
    gpu_uuids: tuple[str, ...]
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cost: Decimal
    unpriced_count: int
    ttft_ns: int | None
    minutes: tuple[int, ...]
    listed_ns: int = 0

    @property
    def start(self) -> datetime:
        """Start of the earliest span, UTC."""
        return from_ns(self.start_ns)

    @property
    def duration_ns(self) -> int:
        """From the start of the earliest span to the end of the latest."""
        return self.end_ns - self.start_ns

    @property
    def known_cost(self) -> Decimal | None:
        """The cost in USD, or None where usage was seen and none of it could be priced."""
        return None if self.unpriced_count and not self.cost else self.cost


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace: its summary and its spans, earliest first; `is_cut` where there are more spans than these."""

    summary: TraceRow
    spans: tuple[SpanRow, ...]
    is_cut: bool

    @property
    def reported_cost(self) -> Decimal | None:
        """What the senders of these spans report together, of each call once; None where none does."""
        reported = [span.reported_cost for span in self.spans if span.usage_counted and span.reported_cost is not None]
        return sum(reported, Decimal(0)) if reported else None


CANDIDATES = """
SELECT trace_id, at_ns, toUnixTimestamp64Micro(now64(6)) AS now_us
FROM ({matching})
ORDER BY at_ns DESC, trace_id DESC
LIMIT 1 BY trace_id
LIMIT %(limit)s
{settings}
"""

MATCHING = """
SELECT trace_id, toUnixTimestamp64Nano(start_time) AS at_ns
FROM spans
WHERE project_id = %(project_id)s AND {where}
ORDER BY toStartOfMinute(start_time) DESC, start_time DESC, trace_id DESC
LIMIT 1 BY trace_id
LIMIT %(limit)s
"""

SHOWN_BEFORE = """
SELECT DISTINCT trace_id
FROM spans
WHERE project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN %(minutes)s
    AND trace_id IN %(trace_ids)s
    AND (start_time, trace_id) >= (fromUnixTimestamp64Nano(%(at_ns)s, 'UTC'), %(at_trace)s)
    AND received_at <= fromUnixTimestamp64Micro(%(as_of_us)s, 'UTC')
    AND {where}
"""

SUMMARIES = """
SELECT
    t.trace_id AS trace_id,
    toUnixTimestamp64Nano(min(t.start_time)) AS start_ns,
    toUnixTimestamp64Nano(max(t.end_time)) AS end_ns,
    argMinMerge(t.name) AS name,
    argMinMerge(t.service) AS service,
    argMinMerge(t.environment) AS environment,
    argMinMerge(t.release) AS release,
    argMinMerge(t.kind) AS kind,
    argMinMerge(t.status) AS status,
    max(t.has_root) = 1 AS has_root,
    sum(t.span_count) AS span_count,
    sum(t.error_count) AS error_count,
    sum(t.llm_count) AS llm_count,
    argMinMerge(t.input_preview) AS input_preview,
    argMaxMerge(t.output_preview) AS output_preview,
    max(t.session_id) AS session_id,
    max(t.user_id) AS user_id,
    arraySort(groupUniqArrayArray(t.models)) AS models,
    arraySort(groupUniqArrayArray(t.tags)) AS tags,
    arraySort(groupUniqArrayArray(t.hosts)) AS hosts,
    arraySort(groupUniqArrayArray(t.gpu_uuids)) AS gpu_uuids,
    sum(t.input_tokens) AS input_tokens,
    sum(t.output_tokens) AS output_tokens,
    sum(t.cache_read_tokens) AS cache_read_tokens,
    sum(t.cost) AS cost,
    sum(t.unpriced_count) AS unpriced_count,
    min(t.ttft_ns) AS ttft_ns,
    arrayMap(m -> toUnixTimestamp(m), arraySort(groupUniqArrayArray(t.minutes))) AS minutes
FROM traces AS t
WHERE t.project_id = %(project_id)s AND t.trace_id IN %(trace_ids)s
GROUP BY t.trace_id
"""

_ARRAYS = ("models", "tags", "hosts", "gpu_uuids", "minutes")


@dataclass(frozen=True, slots=True)
class _Position:
    """Where a page ended, and when the first page was read (microseconds, the store's clock)."""

    at_ns: int
    at_trace: str
    as_of_us: int


def list_traces(project_id: int, chosen: SpanFilter, *, cursor: str | None = None, limit: int = 50) -> Page[TraceRow]:
    """Return the traces that have a matching span, newest first, each on one page only.

    A page may be shorter than `limit` though more follow. Raises InvalidFilterError for a foreign cursor or a limit
    beyond MAX_PAGE.
    """
    check_limit(limit)
    driver = chosen.for_traces()
    position = _position(cursor) if cursor is not None else None
    found: list[TraceRow] = []
    for _ in range(_MAX_ROUNDS):
        asked = limit - len(found) + (_SPARE_CANDIDATES if position else 1)
        candidates = _candidates(project_id, driver, position, asked)
        is_last = len(candidates) < asked
        as_of_us = position.as_of_us if position else candidates[0]["now_us"] if candidates else 0
        before = position
        # A candidate's summary is the dear part, so those beyond the page are looked at only where some drop out.
        while candidates and len(found) < limit:
            part, candidates = candidates[: limit - len(found)], candidates[limit - len(found) :]
            found += _unseen(project_id, driver, before, part)
            position = _Position(part[-1]["at_ns"], part[-1]["trace_id"], as_of_us)
        if is_last and not candidates:
            return Page(tuple(found), None)
        if len(found) == limit:
            break
    assert position is not None
    return Page(tuple(found), encode_cursor(position.at_ns, position.at_trace, position.as_of_us))


def get_trace(project_id: int, trace_id: str, *, max_spans: int = MAX_SPANS) -> Trace | None:
    """Return one trace with its earliest `max_spans` spans, or None where the project has none such."""
    summary = summaries(project_id, [trace_id]).get(trace_id)
    if summary is None:
        return None
    minutes = summary.minutes[:MAX_MINUTES]
    spans = spans_of_trace(project_id, trace_id, minutes, max_spans + 1)
    return Trace(summary, tuple(spans[:max_spans]), len(spans) > max_spans or minutes != summary.minutes)


def summaries(project_id: int, trace_ids: Iterable[str]) -> dict[str, TraceRow]:
    """Return the summaries of these traces by id; an id that the project does not have is absent."""
    wanted = tuple(trace_ids)
    if not wanted:
        return {}
    rows = client.query(project_id, SUMMARIES, {"trace_ids": wanted}, tag="traces.summaries")
    return {row["trace_id"]: _row(row) for row in rows}


def _position(cursor: str) -> _Position:
    at_ns, trace_id, as_of_us = decode_cursor(cursor, int, str, int)
    return _Position(int(at_ns), str(trace_id), int(as_of_us))


def _candidates(project_id: int, driver: SpanFilter, position: _Position | None, limit: int) -> list[dict[str, Any]]:
    matching, parameters = union(MATCHING, driver, _BEFORE if position else "")
    parameters |= {"limit": limit} | (asdict(position) if position else {})
    sql = put(CANDIDATES, matching=matching, settings=IN_ORDER)
    return client.query(project_id, sql, parameters, tag="traces.list")


_BEFORE = (
    " AND start_time <= fromUnixTimestamp64Nano(%(at_ns)s, 'UTC')"
    " AND (start_time, trace_id) < (fromUnixTimestamp64Nano(%(at_ns)s, 'UTC'), %(at_trace)s)"
    " AND received_at <= fromUnixTimestamp64Micro(%(as_of_us)s, 'UTC')"
)


def _unseen(
    project_id: int, driver: SpanFilter, position: _Position | None, candidates: Sequence[dict[str, Any]]
) -> list[TraceRow]:
    """Return the rows of the candidates that no earlier page has shown, in their order."""
    rows = summaries(project_id, (row["trace_id"] for row in candidates))
    shown = _shown_before(project_id, driver, position, list(rows.values())) if position else set()
    kept = (row for row in candidates if row["trace_id"] in rows and row["trace_id"] not in shown)
    return [replace(rows[row["trace_id"]], listed_ns=row["at_ns"]) for row in kept]


def _shown_before(project_id: int, driver: SpanFilter, position: _Position, rows: Sequence[TraceRow]) -> set[str]:
    """Return the traces with a matching span at or after the position: they stood on an earlier page."""
    # Only a trace that goes on past the position can have such a span, and only in its minutes from there on.
    late = [row for row in rows if row.end_ns >= position.at_ns]
    minutes = {minute for row in late for minute in row.minutes if (minute + 60) * 10**9 > position.at_ns}
    if not minutes:
        return set()
    where, parameters = driver.where()
    parameters |= {
        "trace_ids": tuple(row.trace_id for row in late),
        "minutes": tuple(sorted(minutes)[:MAX_MINUTES]),
        **asdict(position),
    }
    return {
        row["trace_id"]
        for row in client.query(project_id, put(SHOWN_BEFORE, where=where), parameters, tag="traces.shown")
    }


def _row(row: dict[str, Any]) -> TraceRow:
    return TraceRow(**(row | {"has_root": bool(row["has_root"])} | {name: tuple(row[name]) for name in _ARRAYS}))
