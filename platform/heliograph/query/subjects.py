"""Who was served: the sessions and users that spans name, with what they cost and how they fared.

- `list_subjects(project_id, kind, range, *, text="", cursor=None, limit=50) -> Page[SubjectRow]`, latest first
- `get_subject(project_id, kind, id, range) -> SubjectRow | None`, `get_subjects` of several ids at once
- `own_costs(project_id, rows, kind, range, prices) -> dict[str, Cost]`: by id, the share of one's own GPUs
- `trace_ids(project_id, kind, id, range, *, cursor=None, limit=50) -> Page[str]`, in the order of the conversation

A trace is of a session, or a user, that any of its spans names, and all of it counts: the calls below a root that
names the session count with it. It counts in a range where the spans that name the session began in that range, which
is rounded out to whole hours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, get_args

from heliograph.clickhouse import client
from heliograph.query import subjects_sql as statements
from heliograph.query.asking import asking
from heliograph.query.attribution import MAX_RANGE, PRICED, SUMS, Cost, Price, cost_of, prices_in_order
from heliograph.query.attribution_totals import MAX_MINUTES
from heliograph.query.filters import MAX_VALUE_CHARACTERS, InvalidFilterError, TimeRange, put
from heliograph.query.hours import whole_hours
from heliograph.query.paging import MAX_PAGE, Page, check_limit, decode_cursor, encode_cursor

Kind = Literal["session", "user"]
# Of one session or user, the latest traces that its sums are of: more is somebody's robot, and its row says so.
MAX_TRACES = 5_000
# The first part of a range that a list looks at, then all of it: most of a page's sessions were seen lately.
_FIRST_PART = 8
_LEAST_PART = timedelta(hours=1)
# Candidates beyond the page, for those that earlier pages showed.
_SPARE = 20
_MAX_ROUNDS = 20
# A score stands at the time of what it judges, and all of a trace counts that was under way in the range.
_NEAR = timedelta(days=1)
_Z = 1.959963984540054
_NO_TEXT = {"name": "", "input_preview": ""}


@dataclass(frozen=True, slots=True)
class SubjectScore:
    """The mean of the scores of one name on its traces, its spans and, of a session, on itself; 95 % interval."""

    name: str
    scored: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRow:
    """One session or user in a range.

    `failed` counts traces with a failed span. Latencies are of whole traces and of their first token, ns. `cost` in USD
    is a lower bound where `unpriced_count` is above 0. `others` are the users of a session, or the latest sessions of a
    user. `is_cut`: it has more than MAX_TRACES traces, and these are sums of the latest.
    """

    id: str
    first_seen_ns: int
    last_seen_ns: int
    traces: int
    failed: int
    llm_calls: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    unpriced_count: int
    latency_p50_ns: float | None
    latency_p95_ns: float | None
    ttft_p50_ns: float | None
    others: tuple[str, ...]
    name: str
    input_preview: str
    scores: tuple[SubjectScore, ...] = ()
    is_cut: bool = False

    @property
    def known_cost(self) -> Decimal | None:
        """The cost in USD, or None where usage was seen and none of it could be priced."""
        return None if self.unpriced_count and not self.cost else self.cost


def list_subjects(
    project_id: int, kind: Kind, span: TimeRange, *, text: str = "", cursor: str | None = None, limit: int = 50
) -> Page[SubjectRow]:
    """Return the sessions or users that were seen in a range, the one seen last first; `text` is a part of the id.

    One that is seen again while its reader pages on moves to the first page. Raises InvalidFilterError for a foreign
    cursor, a limit beyond MAX_PAGE or a kind that there is not.
    """
    check_limit(limit)
    if kind not in get_args(Kind):
        raise InvalidFilterError("kind", "must be session or user")
    if len(text) > MAX_VALUE_CHARACTERS:
        raise InvalidFilterError("q", f"may have at most {MAX_VALUE_CHARACTERS} characters")
    span = whole_hours(span)
    at_ns, at_id = (int(span.end_ns), "") if cursor is None else _position(cursor)
    given: dict[str, Any] = {"kind": kind, "text": text, "start_ns": span.start_ns, "end_ns": span.end_ns}
    found: list[str] = []
    for _ in range(_MAX_ROUNDS):
        rows = _candidates(project_id, given, at_ns, at_id, limit - len(found) + _SPARE)
        if not rows:
            return Page(_rows(project_id, kind, found, span), None)
        shown = _seen_after(project_id, given, rows, span) if cursor is not None else set()
        for row in rows:
            at_ns, at_id = row["last_ns"], row["id"]
            if row["id"] not in shown:
                found.append(row["id"])
            if len(found) == limit:
                break
        if len(found) == limit:
            break
    return Page(_rows(project_id, kind, found, span), encode_cursor(at_ns, at_id))


def get_subject(project_id: int, kind: Kind, subject: str, span: TimeRange) -> SubjectRow | None:
    """Return one session or user, or None where none of its traces ran in the range."""
    rows = _rows(project_id, kind, [subject], whole_hours(span))
    return rows[0] if rows else None


def get_subjects(project_id: int, kind: Kind, ids: Sequence[str], span: TimeRange) -> tuple[SubjectRow, ...]:
    """Return those of at most MAX_PAGE sessions or users whose traces ran in the range, in the given order."""
    if len(ids) > MAX_PAGE:
        raise InvalidFilterError("ids", f"may be at most {MAX_PAGE}")
    return _rows(project_id, kind, ids, whole_hours(span))


def own_costs(
    project_id: int, rows: Sequence[SubjectRow], kind: Kind, span: TimeRange, prices: Sequence[Price]
) -> dict[str, Cost]:
    """Return what the traces of these rows cost of the GPUs, by id: the sums of what `of_traces` says of each trace.

    Nothing is asked without a price, which is what makes a share a cost, or where the range is over MAX_RANGE.
    """
    if not rows or not prices or span.end - span.start > MAX_RANGE:
        return {}
    span = whole_hours(span)
    ordered, priced = prices_in_order(prices)
    given: dict[str, Any] = {"kind": kind, "ids": tuple(row.id for row in rows), "most": MAX_TRACES}
    given |= {"start_ns": span.start_ns, "end_ns": span.end_ns, "most_minutes": MAX_MINUTES}
    found: dict[str, list[dict[str, Any]]] = {}
    sql = put(statements.OWN_COSTS, priced=PRICED, sums=SUMS)
    for row in client.query(project_id, sql, given | priced, tag="subjects.own_costs"):
        found.setdefault(row["id"], []).append(row)
    return {each: cost_of(of, ordered) for each, of in found.items()}


def trace_ids(
    project_id: int, kind: Kind, subject: str, span: TimeRange, *, cursor: str | None = None, limit: int = 50
) -> Page[str]:
    """Return the ids of a session's or user's traces, earliest first. Raises InvalidFilterError as `list_subjects`."""
    check_limit(limit)
    span = whole_hours(span)
    at_ns, at_id = (0, "") if cursor is None else _position(cursor)
    given: dict[str, Any] = {"kind": kind, "ids": (subject,), "start_ns": span.start_ns, "end_ns": span.end_ns}
    given |= {"at_ns": at_ns, "at_id": at_id, "limit": limit + 1}
    rows = client.query(project_id, statements.TRACES_OF_ONE, given, tag="subjects.traces")
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        tuple(row["trace_id"] for row in rows[:limit]),
        encode_cursor(last["first_ns"], last["trace_id"]) if last else None,
    )


def _position(cursor: str) -> tuple[int, str]:
    at_ns, at_id = decode_cursor(cursor, int, str)
    return int(at_ns), str(at_id)


def _candidates(project_id: int, given: dict[str, Any], at_ns: int, at_id: str, limit: int) -> list[dict[str, Any]]:
    """Return the next ids by when they were last seen before a moment, from as few hours as hold so many."""
    whole = at_ns - given["start_ns"]
    part = max(whole // _FIRST_PART, int(_LEAST_PART.total_seconds()) * 10**9)
    rows: list[dict[str, Any]] = []
    for from_ns in (max(at_ns - part, given["start_ns"]), given["start_ns"]):
        asked = given | {"from_ns": from_ns, "at_ns": at_ns, "at_id": at_id, "limit": limit}
        rows = client.query(project_id, statements.CANDIDATES, asked, tag="subjects.list")
        if len(rows) == limit or from_ns == given["start_ns"]:
            break
    return rows


def _seen_after(project_id: int, given: dict[str, Any], rows: Sequence[dict[str, Any]], span: TimeRange) -> set[str]:
    """Return the candidates that were seen in later hours of the range too: an earlier page showed them there."""
    asked = given | {"ids": tuple(row["id"] for row in rows), "at_ns": min(row["last_ns"] for row in rows)}
    asked |= {"end_ns": span.end_ns}
    last = {row["id"]: row["last_ns"] for row in rows}
    found = client.query(project_id, statements.LAST_SEEN, asked, tag="subjects.seen")
    return {row["id"] for row in found if row["last_ns"] > last[row["id"]]}


def _rows(project_id: int, kind: Kind, ids: Sequence[str], span: TimeRange) -> tuple[SubjectRow, ...]:
    if not ids:
        return ()
    given: dict[str, Any] = {"kind": kind, "ids": tuple(ids), "start_ns": span.start_ns, "end_ns": span.end_ns}
    given |= {"most": MAX_TRACES}
    other = {"session": "user_id", "user": "session_id"}[kind]
    near = span.widened(_NEAR)
    around = {"near_start_ns": near.start_ns, "near_end_ns": near.end_ns}
    with asking() as ask:
        judging = ask(client.query, project_id, statements.SCORES, given | around, tag="subjects.scores")
        sums = client.query(project_id, put(statements.SUMS, other=other), given, tag="subjects.sums")
        firsts = {"trace_ids": tuple(row["first_trace"] for row in sums)}
        said = client.query(project_id, statements.SAID, firsts, tag="subjects.said") if sums else []
    texts = {row["trace_id"]: {name: row[name] for name in _NO_TEXT} for row in said}
    judged = judging.result()
    scores: dict[str, list[SubjectScore]] = {}
    for row in judged:
        scores.setdefault(row["id"], []).append(_score(row))
    names = {field.name for field in fields(SubjectRow)}
    found = {
        row["id"]: SubjectRow(
            **{name: _plain(value) for name, value in _with_text(row, texts).items() if name in names},
            scores=tuple(scores.get(row["id"], ())),
            is_cut=row["traces"] >= MAX_TRACES,
        )
        for row in sums
    }
    return tuple(found[each] for each in ids if each in found)


def _with_text(row: dict[str, Any], texts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    # The trace may have been removed between the two questions.
    return row | texts.get(row["first_trace"], _NO_TEXT)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return None if isinstance(value, float) and math.isnan(value) else value


def _score(row: dict[str, Any]) -> SubjectScore:
    half = _Z * row["deviation"] / math.sqrt(row["scored"]) if row["scored"] > 1 else None
    mean = row["mean"]
    low, high = (None, None) if half is None else (mean - half, mean + half)
    return SubjectScore(row["name"], row["scored"], mean, low, high)
