"""Sessions and users: each figure against plain Python over the rows that were stored, and pages that miss nobody."""

import random
import statistics
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from heliograph.query import subjects
from heliograph.query.conversations import exchanges
from heliograph.query.filters import InvalidFilterError, TimeRange
from heliograph.query.hours import whole_hours
from heliograph.query.scores import Score, write_scores
from tests.query.rows import HOUR, SECOND, START, at, llm, new_trace_id, span, store_spans

pytestmark = pytest.mark.usefixtures("store")
LAST_DAYS = TimeRange(START - timedelta(days=2), START + timedelta(hours=1))


def conversation(session: str, user: str, seconds: float, **fields: Any) -> list[dict[str, Any]]:
    """A trace of which the root alone names the session, with a call below that has the tokens."""
    trace_id = new_trace_id()
    root = span(trace_id, seconds, session_id=session, user_id=user, **fields)
    call = {"input_tokens": 100, "output_tokens": 10, "cost": Decimal("0.001"), "ttft_ns": SECOND // 4}
    return [root, llm(trace_id, seconds + 0.1, parent_span_id=root["span_id"], **call)]


def test_each_figure_of_a_session_and_a_user_is_that_of_its_rows(project_id: int) -> None:
    rng = random.Random(3)
    stored: list[dict[str, Any]] = []
    traces: dict[str, list[list[dict[str, Any]]]] = defaultdict(list)
    for number in range(40):
        session, user = f"s{rng.randrange(5)}", f"u{rng.randrange(3)}"
        pair = conversation(session, user, number * 60, duration_ns=rng.randrange(1, 9) * SECOND)
        pair[1] |= {"input_tokens": rng.randrange(1_000), "cost": None if number == 7 else Decimal(number) / 1000}
        pair[1] |= {"status": "error"} if number % 9 == 0 else {}
        stored += pair
        traces[session].append(pair)
        traces[user].append(pair)
    store_spans(project_id, *stored)
    verdicts = [
        Score(
            score_id="v",
            trace_id=row["trace_id"],
            span_id=row["span_id"],
            time_ns=0,
            name="g",
            value=n / 10,
            source="api",
        )
        for n, row in enumerate(stored[1::2][:10])
    ]
    verdicts.append(Score(score_id="w", session_id="s0", time_ns=at(5), name="g", value=1.0, source="human"))
    write_scores(project_id, verdicts, 90)
    by_trace = {verdict.trace_id: verdict.value or 0.0 for verdict in verdicts if verdict.trace_id}
    for kind in ("session", "user"):
        rows = {row.id: row for row in subjects.list_subjects(project_id, kind, HOUR).items}
        assert set(rows) == {name for name in traces if name.startswith(kind[0])}
        for name, row in rows.items():
            mine = traces[name]
            calls = [pair[1] for pair in mine]
            assert (row.traces, row.llm_calls) == (len(mine), len(mine))
            assert row.input_tokens == sum(call["input_tokens"] for call in calls)
            assert row.cost == sum((call["cost"] or 0 for call in calls), Decimal(0))
            assert row.unpriced_count == sum(call["cost"] is None for call in calls)
            assert row.failed == sum(call["status"] == "error" for call in calls)
            lasted = sorted(
                max(one["start_time"] + one["duration_ns"] for one in pair) - pair[0]["start_time"] for pair in mine
            )
            assert row.latency_p50_ns == lasted[len(lasted) // 2]
            assert (row.first_seen_ns, row.last_seen_ns) == (
                min(pair[0]["start_time"] for pair in mine),
                max(pair[0]["start_time"] for pair in mine),
            )
            other = "user_id" if kind == "session" else "session_id"
            assert set(row.others) == {pair[0][other] for pair in mine}
            values = [by_trace[pair[0]["trace_id"]] for pair in mine if pair[0]["trace_id"] in by_trace]
            values += [1.0] if name == "s0" else []
            assert [(score.name, score.scored) for score in row.scores] == ([("g", len(values))] if values else [])
            if values:
                assert row.scores[0].mean == pytest.approx(statistics.fmean(values))
            assert subjects.get_subject(project_id, kind, name, HOUR) == row


def test_pages_show_every_session_once_the_one_seen_last_first(project_id: int) -> None:
    rng = random.Random(5)
    end = whole_hours(LAST_DAYS).end_ns
    stored, last = [], {}
    for number in range(23):
        name = f"s{number}"
        # Some were seen in several hours, so a later page meets their earlier hours again.
        times = [rng.randrange(0, 40 * 3600) - 38 * 3600 for _ in range(rng.randrange(1, 4))]
        last[name] = max((at(seconds) for seconds in times if at(seconds) < end), default=None)
        stored += [row for seconds in times for row in conversation(name, "", seconds)]
    store_spans(project_id, *stored)
    found: list[str] = []
    cursor = None
    for _ in range(30):
        page = subjects.list_subjects(project_id, "session", LAST_DAYS, cursor=cursor, limit=4)
        found += [row.id for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    in_range = {name: seen for name, seen in last.items() if seen is not None}
    assert found == sorted(in_range, key=lambda name: (-in_range[name], name))


def test_a_part_of_an_id_finds_it_and_a_foreign_cursor_is_refused(project_id: int) -> None:
    store_spans(project_id, *conversation("Checkout-7", "ann", 1), *conversation("other", "bob", 2))
    assert [row.id for row in subjects.list_subjects(project_id, "session", HOUR, text="out-7").items] == ["Checkout-7"]
    assert [row.id for row in subjects.list_subjects(project_id, "user", HOUR, text="%").items] == []
    with pytest.raises(InvalidFilterError):
        subjects.list_subjects(project_id, "session", HOUR, cursor="bm9uZQ")


def test_a_session_reads_as_the_conversation_that_it_was(project_id: int) -> None:
    def turn(role: str, text: str) -> str:
        return f'{{"role": "{role}", "parts": [{{"type": "text", "content": "{text}"}}]}}'

    plain = conversation("s", "", 10)
    plain[0] |= {"input": "Hello?", "input_preview": "Hello?", "output": "Good day.", "output_preview": "Good day."}
    # The root says nothing: what was asked is the last of the user's words, the history before them is not said again.
    history = "[" + ", ".join([turn("system", "Be kind."), turn("user", "Hello?"), turn("user", "Where is it?")]) + "]"
    quiet = conversation("s", "", 20)
    quiet[1] |= {"input": history, "input_preview": "x", "output": f"[{turn('assistant', 'On its way.')}]"}
    quiet[1] |= {"output_preview": "On"}
    store_spans(project_id, *quiet, *plain)
    page = subjects.trace_ids(project_id, "session", "s", HOUR)
    said = [(each.said, each.answered) for each in exchanges(project_id, page.items)]
    assert said == [("Hello?", "Good day."), ("Where is it?", "On its way.")]
    first = subjects.trace_ids(project_id, "session", "s", HOUR, limit=1)
    second = subjects.trace_ids(project_id, "session", "s", HOUR, cursor=first.next_cursor, limit=1)
    assert (*first.items, *second.items, second.next_cursor) == (*page.items, None)


def test_another_project_has_none_of_them(project_id: int) -> None:
    rows = conversation("s", "u", 1)
    store_spans(project_id, *rows)
    stranger = project_id + 2**31
    assert not subjects.list_subjects(stranger, "session", HOUR).items
    assert subjects.get_subject(stranger, "user", "u", HOUR) is None
    assert not subjects.trace_ids(stranger, "session", "s", HOUR).items
    assert not exchanges(stranger, [rows[0]["trace_id"]])
