"""The list of traces and the waterfall, against plain SQL over the raw spans."""

import random
from datetime import timedelta

import pytest

from heliograph.query import neighbours, traces
from heliograph.query.filters import InvalidFilterError, ScoreBound, SpanFilter, TimeRange
from heliograph.query.scores import Score, write_scores
from heliograph.query.spans import get_span, list_spans
from heliograph.query.traces import TraceRow, get_trace, list_traces
from tests.query.rows import HOUR, START, at, llm, new_trace_id, plain, span, spans_in_hour, store_spans

pytestmark = pytest.mark.usefixtures("store")


def all_pages(project_id: int, chosen: SpanFilter, limit: int) -> list[TraceRow]:
    page = list_traces(project_id, chosen, limit=limit)
    found = list(page.items)
    for _ in range(1_000):
        if page.next_cursor is None:
            return found
        page = list_traces(project_id, chosen, cursor=page.next_cursor, limit=limit)
        found += page.items
    raise AssertionError("the list does not end")


def ids(rows: list[TraceRow]) -> list[str]:
    return [row.trace_id for row in rows]


@pytest.fixture
def crowd(project_id: int) -> int:
    """120 traces that interleave: equal times, several entries, roots that come late, traces that have no root."""
    chance = random.Random(7)
    rows = []
    for _ in range(120):
        trace_id, begin = new_trace_id(), chance.choice([10, 20, 20.5, 61, 300])
        for number in range(chance.randrange(1, 9)):
            is_root = number == 0 and chance.random() < 0.8
            rows.append(
                span(
                    trace_id,
                    begin + number * chance.choice([0, 0, 1, 45]),
                    parent_span_id="" if is_root else "e" * 16,
                    is_entry=number == 0 or chance.random() < 0.3,
                    kind=chance.choice(["agent", "llm"]),
                    status=chance.choice(["ok", "ok", "error"]),
                )
            )
    chance.shuffle(rows)
    for begin in range(0, len(rows), 60):
        store_spans(project_id, *rows[begin : begin + 60])
    return project_id


@pytest.mark.parametrize("limit", [1, 7, 50, 1000])
def test_every_trace_is_on_exactly_one_page_newest_entry_first(crowd: int, limit: int) -> None:
    expected = plain(
        crowd,
        "SELECT trace_id, max(start_time) AS latest FROM spans WHERE {mine} AND is_entry GROUP BY trace_id"
        " ORDER BY latest DESC, trace_id DESC",
    )
    assert ids(all_pages(crowd, spans_in_hour(), limit)) == [row["trace_id"] for row in expected]


@pytest.mark.parametrize(
    ("chosen", "condition"),
    [
        ({"kind": ("llm",)}, "kind = 'llm'"),
        ({"status": ("error",), "kind": ("llm",)}, "kind = 'llm' AND status = 'error'"),
        ({"status": ("error", "ok")}, "status IN ('error', 'ok')"),
        ({"service": ("nobody",)}, "service = 'nobody'"),
    ],
)
def test_a_filtered_list_shows_each_trace_once_at_its_latest_matching_span(crowd: int, chosen, condition) -> None:
    expected = plain(
        crowd,
        f"SELECT trace_id, max(start_time) AS latest FROM spans WHERE {{mine}} AND {condition} GROUP BY trace_id"
        " ORDER BY latest DESC, trace_id DESC",
    )
    found = all_pages(crowd, spans_in_hour(**chosen), 9)
    assert [(row.trace_id, row.listed_ns) for row in found] == [(row["trace_id"], row["latest"]) for row in expected]


def test_spans_that_arrive_while_somebody_pages_neither_hide_a_trace_nor_show_it_twice(project_id: int) -> None:
    seen = [new_trace_id() for _ in range(6)]
    store_spans(project_id, *(span(trace_id, 60 * number) for number, trace_id in enumerate(seen)))
    first = list_traces(project_id, spans_in_hour(), limit=2)
    # One that was shown gets an older entry, one that was not gets a newer, and a new trace comes between.
    store_spans(project_id, span(seen[5], 30), span(seen[0], 600), span(new_trace_id(), 90))
    rest = list_traces(project_id, spans_in_hour(), cursor=first.next_cursor, limit=10)
    assert ids([*first.items, *rest.items]) == list(reversed(seen))
    assert rest.next_cursor is None


def test_a_trace_that_goes_on_after_the_range_is_listed_within_it(project_id: int) -> None:
    trace_id = new_trace_id()
    store_spans(project_id, span(trace_id, 10), span(trace_id, 1800, parent_span_id="a" * 16, is_entry=True))
    early = TimeRange(START, START + timedelta(minutes=5))
    assert ids(all_pages(project_id, SpanFilter(range=early), 1)) == [trace_id]


def test_a_summary_adds_up_its_spans(project_id: int) -> None:
    trace_id = new_trace_id()
    store_spans(
        project_id,
        llm(trace_id, 2, input_tokens=100, output_tokens=20, cost="0.25", ttft_ns=7, host="node-1", status="error"),
        llm(trace_id, 3, input_tokens=10, output_tokens=2, gpu_uuids=["GPU-1"], duration_ns=None),
    )
    store_spans(project_id, span(trace_id, 1, name="late root", input_preview="Hello", session_id="s", tags=["beta"]))
    [row] = list_traces(project_id, spans_in_hour()).items
    assert (row.name, row.span_count, row.error_count, row.llm_count) == ("late root", 3, 1, 2)
    assert (row.input_tokens, row.output_tokens, float(row.cost), row.unpriced_count) == (110, 22, 0.25, 1)
    assert (row.start_ns, row.end_ns, row.ttft_ns, row.has_root) == (at(1), at(3), 7, True)
    assert (row.models, row.hosts, row.gpu_uuids, row.tags) == (("gpt-4o",), ("node-1",), ("GPU-1",), ("beta",))
    assert (row.input_preview, row.session_id) == ("Hello", "s")


def test_a_bare_duration_speaks_of_the_request_and_with_a_model_of_its_calls(project_id: int) -> None:
    slow_request, slow_call = new_trace_id(), new_trace_id()
    store_spans(
        project_id,
        *(span(slow_request, 1, duration_ns=5 * 10**9), llm(slow_request, 1, duration_ns=10**8)),
        *(span(slow_call, 2, duration_ns=10**9), llm(slow_call, 2, duration_ns=4 * 10**9)),
    )
    over_three = {"min_duration_ns": 3 * 10**9}
    assert ids(all_pages(project_id, spans_in_hour(**over_three), 9)) == [slow_request]
    assert ids(all_pages(project_id, spans_in_hour(**over_three, model=("gpt-4o",)), 9)) == [slow_call]


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("refund", True),
        ("REFUND, please!", True),
        ("please refund", True),
        ("thanks", True),
        ("ode", True),
        ("fund", False),
        ("refund thanks", False),
        ("urgent refund", False),
        ("größe", True),
        ("it's 100% 'quoted' \\ %(text)s", False),
    ],
)
def test_a_search_finds_whole_words_of_the_input_or_of_the_output(project_id: int, text: str, is_found: bool) -> None:
    asked = '[{"role":"user","parts":[{"type":"text","content":"A Refund\\nplease\\node größe"}]}]'
    store_spans(project_id, llm(new_trace_id(), 1, input=asked, output="many\tThanks, node"))
    assert bool(list_traces(project_id, spans_in_hour(text=text)).items) is is_found
    assert bool(list_spans(project_id, spans_in_hour(text=text)).items) is is_found


def test_the_n_of_an_escaped_line_break_makes_no_other_word(project_id: int) -> None:
    store_spans(project_id, llm(new_trace_id(), 1, input="the node rode"))
    assert list_traces(project_id, spans_in_hour(text="ode")).items == ()


def test_a_score_bound_picks_the_traces_with_such_a_score(project_id: int) -> None:
    bad, good = new_trace_id(), new_trace_id()
    store_spans(project_id, span(bad, 1), span(good, 2))
    scores = [
        Score(score_id="s", trace_id=trace_id, time_ns=at(1), name="groundedness", value=value, source="api")
        for trace_id, value in ((bad, 0.2), (good, 0.9))
    ]
    write_scores(project_id, scores, 90)
    below = spans_in_hour(scores=(ScoreBound("groundedness", below=0.5),))
    above = spans_in_hour(scores=(ScoreBound("groundedness", above=0.5),))
    assert ids(all_pages(project_id, below, 9)) == [bad]
    assert ids(all_pages(project_id, above, 9)) == [good]


def test_a_waterfall_has_the_earliest_spans_and_says_when_it_is_cut(project_id: int) -> None:
    trace_id = new_trace_id()
    store_spans(project_id, *(span(trace_id, 200 - 50 * number) for number in range(4)), span(new_trace_id(), 60))
    whole = get_trace(project_id, trace_id)
    assert whole is not None
    assert [row.start_ns for row in whole.spans] == [at(50), at(100), at(150), at(200)]
    assert not whole.is_cut
    part = get_trace(project_id, trace_id, max_spans=3)
    assert part is not None
    assert ([row.start_ns for row in part.spans], part.is_cut) == ([at(50), at(100), at(150)], True)


def test_a_span_comes_with_everything_that_was_stored(project_id: int) -> None:
    trace_id = new_trace_id()
    row = llm(
        trace_id,
        1.123456789,
        input='[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]',
        output="plain",
        documents='[{"id":"d","content":"fact","score":0.5}]',
        attributes={"a.b": "c"},
    )
    row |= {"events.time": [at(2)], "events.name": ["exception"], "events.attributes": [{"k": "v"}]}
    row |= {"links.trace_id": ["b" * 32], "links.span_id": ["c" * 16], "links.attributes": [{}]}
    store_spans(project_id, row)
    found = get_span(project_id, trace_id, row["span_id"])
    assert found is not None
    assert (found.start_ns, found.attributes, found.output_messages[0].text) == (at(1.123456789), {"a.b": "c"}, "plain")
    assert (found.input_messages[0].role, found.input_messages[0].text) == ("user", "Hi")
    assert (found.retrieved[0].content, found.retrieved[0].score) == ("fact", 0.5)
    assert [(event.time_ns, event.name, event.attributes) for event in found.events] == [
        (at(2), "exception", {"k": "v"})
    ]
    assert [(link.trace_id, link.span_id) for link in found.links] == [("b" * 32, "c" * 16)]


def test_a_list_of_spans_pages_through_all_of_them(crowd: int) -> None:
    expected = plain(
        crowd, "SELECT span_id FROM spans WHERE {mine} ORDER BY start_time DESC, trace_id DESC, span_id DESC"
    )
    page = list_spans(crowd, spans_in_hour(), limit=37)
    found = [row.span_id for row in page.items]
    while page.next_cursor:
        page = list_spans(crowd, spans_in_hour(), cursor=page.next_cursor, limit=37)
        found += [row.span_id for row in page.items]
    assert found == [row["span_id"] for row in expected]


@pytest.mark.parametrize(
    "cursor", ["", "x", "WzFd", "e30", "bnVsbA", "W1tdXQ" * 500, "WzEsMiwzXQ", "WzEsIngiLC0xXQ", "é"]
)
def test_a_foreign_cursor_is_refused(project_id: int, cursor: str) -> None:
    with pytest.raises(InvalidFilterError, match="cursor"):
        list_traces(project_id, spans_in_hour(), cursor=cursor)


@pytest.mark.parametrize(
    ("field", "ask"),
    [
        ("limit", lambda: traces.list_traces(1, spans_in_hour(), limit=0)),
        ("limit", lambda: traces.list_traces(1, spans_in_hour(), limit=100_000)),
        ("service", lambda: spans_in_hour(service=("x",) * 101)),
        ("text", lambda: spans_in_hour(text="word " * 17)),
        ("text", lambda: spans_in_hour(text="?!")),
        ("score", lambda: ScoreBound("groundedness")),
        ("end", lambda: TimeRange(START, START)),
        ("start", lambda: TimeRange(START.replace(tzinfo=None), START)),
        ("start", lambda: TimeRange(START - timedelta(days=400), START)),
        ("start", lambda: TimeRange(START.replace(year=1969), START.replace(year=1970))),
        ("end", lambda: TimeRange(START.replace(year=2261), START.replace(year=2262))),
    ],
)
def test_a_question_beyond_its_bounds_is_refused_by_its_field(field: str, ask) -> None:
    with pytest.raises(InvalidFilterError) as refused:
        ask()
    assert refused.value.field == field


def test_whole_minutes_cover_the_range() -> None:
    odd = TimeRange(START + timedelta(seconds=1), START + timedelta(seconds=61))
    assert odd.whole_minutes() == TimeRange(START, START + timedelta(minutes=2))
    assert HOUR.whole_minutes() == HOUR


def test_a_trace_whose_root_says_nothing_shows_its_last_answer(project_id: int) -> None:
    trace_id = new_trace_id()
    store_spans(
        project_id,
        span(trace_id, 1, input_preview="the task"),
        llm(trace_id, 2, output_preview="calls a tool"),
        llm(trace_id, 3, output_preview="the answer"),
    )
    row = traces.summaries(project_id, [trace_id])[trace_id]
    assert (row.input_preview, row.output_preview) == ("the task", "the answer")


def test_a_trace_s_neighbours_are_those_of_its_list(project_id: int) -> None:
    rows = []
    for number in range(12):
        trace_id = new_trace_id()
        rows.append(span(trace_id, 100 * number, service="shop" if number % 3 else "other"))
        if number in (2, 5):
            # A trace that runs on stands where its latest entry does.
            rows.append(span(trace_id, 100 * number + 250, service="shop"))
    store_spans(project_id, *rows)
    for chosen in (spans_in_hour(), spans_in_hour(service=("shop",))):
        listed = [row.trace_id for row in list_traces(project_id, chosen).items]
        for place, trace_id in enumerate(listed):
            found = neighbours.of_trace(project_id, chosen, trace_id)
            newer = listed[place - 1] if place else None
            older = listed[place + 1] if place + 1 < len(listed) else None
            assert found == neighbours.Neighbours(newer, older)
    outside = next(row["trace_id"] for row in rows if row["service"] == "other")
    assert neighbours.of_trace(project_id, spans_in_hour(service=("nobody",)), outside) is None
    assert neighbours.of_trace(project_id + 2**31, spans_in_hour(), outside) is None
