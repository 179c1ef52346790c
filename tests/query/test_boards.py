"""Panels as JSON, and their numbers against an independent count over the raw spans."""

import itertools
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.query.boards import Board, InvalidBoardError, Panel, answers, read_board, read_panel, write_board
from heliograph.query.measures import MEASURES
from tests.query.rows import HOUR, SECOND, llm, new_trace_id, plain, span, store_spans

KEYS = [key for key, measure in MEASURES.items() if measure.source == "spans"]
PANELS = st.builds(
    Panel,
    title=st.text(min_size=1, max_size=20).map(str.strip).filter(bool),
    measure=st.sampled_from(KEYS),
    chart=st.sampled_from(["line", "bar", "number"]),
    by=st.lists(st.sampled_from(["service", "model", "release"]), max_size=2, unique=True).map(tuple),
    filter=st.sampled_from(["", "service:a", "model:a,b environment:live"]),
)


@given(st.text(min_size=1, max_size=20).map(str.strip).filter(bool), st.lists(PANELS, max_size=5).map(tuple))
def test_what_is_exported_is_imported_as_the_same(name: str, panels: tuple[Panel, ...]) -> None:
    assert read_board(write_board(Board(name, panels))) == Board(name, panels)


@pytest.mark.parametrize(
    ("change", "place", "said"),
    [
        ({"measure": "latency_p59"}, "panels[0].measure", "did you mean latency_p"),
        ({"measure": None}, "panels[0].measure", "it is one of latency_p50"),
        ({"meazure": 1}, "panels[0].meazure", "did you mean measure?"),
        ({"chart": "pie"}, "panels[0].chart", "must be one of line, bar, number"),
        ({"by": ["gpu"]}, "panels[0].by", "not gpu"),
        ({"by": "service"}, "panels[0].by", "must be a list"),
        ({"filter": "host:a"}, "panels[0].filter", "it knows service"),
        ({"filter": "-service:a"}, "panels[0].filter", "takes plain values"),
        ({"filter": '"service'}, "panels[0].filter", "never closed"),
        ({"title": "x" * 121}, "panels[0].title", "at most 120"),
        ({"measure": "score_mean"}, "panels[0].name", "needs the name of a score"),
        ({"bound": "low"}, "panels[0].bound", "must be a number"),
    ],
)
def test_a_panel_that_cannot_be_shown_is_named_with_what_to_do(change: dict[str, Any], place: str, said: str) -> None:
    body = {"format": "heliograph.dashboard", "version": 1, "name": "a", "panels": [{"measure": "requests"} | change]}
    with pytest.raises(InvalidBoardError) as raised:
        read_board(json.dumps(body))
    assert raised.value.place == place
    assert said in raised.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "this is no JSON"),
        ("[" * 100_000, "this is no JSON"),
        ("[]", "no dashboard that Heliograph exported"),
        ('{"format": "heliograph.dashboard", "version": 2}', "another version"),
        ('{"format": "heliograph.dashboard", "version": 1, "name": "a"}', "must be a list"),
        ('{"format": "heliograph.dashboard", "version": 1, "name": "", "panels": []}', "is missing"),
        ("x" * 300_000, "larger than 256 KiB"),
    ],
)
def test_a_file_that_is_no_dashboard_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(InvalidBoardError, match=said):
        read_board(text)


@pytest.fixture
def traffic(store: str, project_id: int) -> int:
    """An hour of requests of three services, each with a model call; every fourth fails."""
    rows = []
    for number in range(60):
        trace_id = new_trace_id()
        service = f"s{number % 3}"
        rows.append(
            span(
                trace_id,
                number * 60,
                service=service,
                status="error" if number % 4 == 0 else "ok",
                duration_ns=(number + 1) * SECOND,
            )
        )
        usage = {"input_tokens": number, "output_tokens": 11, "cost": Decimal("0.01"), "ttft_ns": SECOND}
        took = SECOND + (number + 1) * 10_000_000
        rows.append(llm(trace_id, number * 60 + 1, service=service, duration_ns=took, **usage))
    store_spans(project_id, *rows)
    return project_id


def test_counts_by_group_and_minute_are_those_of_plain_sql(traffic: int) -> None:
    panels = [
        read_panel({"measure": "requests", "by": ["service"]}),
        read_panel({"measure": "errors", "filter": "service:s0,s1"}),
        read_panel({"measure": "input_tokens"}),
        read_panel({"measure": "cost", "by": ["model"]}),
    ]
    requests, errors, tokens, cost = answers(traffic, panels, HOUR)
    counted = plain(
        traffic,
        "SELECT service, toUnixTimestamp(toStartOfMinute(start_time)) AS at, count() AS n FROM spans"
        " WHERE {mine} AND parent_span_id = '' GROUP BY service, at",
    )
    expected = {(row["service"], row["at"]): row["n"] for row in counted}
    drawn = {
        (line.label, at): value
        for line in requests.lines
        for at, value in zip(requests.starts_s, line.values, strict=True)
        if value
    }
    assert drawn == expected
    [sums] = plain(
        traffic,
        "SELECT countIf(parent_span_id = '' AND status = 'error' AND service IN ('s0', 's1')) AS errors,"
        " sum(input_tokens) AS tokens, toFloat64(sum(cost)) AS cost FROM spans WHERE {mine}",
    )
    assert (errors.total, tokens.total) == (sums["errors"], sums["tokens"])
    assert cost.total == pytest.approx(sums["cost"])
    assert [line.label for line in cost.lines] == ["gpt-4o"]


def test_time_per_output_token_is_that_of_the_raw_calls(traffic: int) -> None:
    [found] = answers(traffic, [read_panel({"measure": "tpot_p50", "filter": "service:s1"})], HOUR)
    exact = plain(
        traffic,
        "SELECT toUnixTimestamp(toStartOfMinute(start_time)) AS at,"
        " (duration_ns - ttft_ns) / (output_tokens - 1) / 1e9 AS s FROM spans"
        " WHERE {mine} AND kind = 'llm' AND service = 's1'",
    )
    values = dict(zip(found.starts_s, found.lines[0].values, strict=True))
    assert {row["at"]: pytest.approx(row["s"]) for row in exact} == {
        at: value for at, value in values.items() if value is not None
    }


def test_of_many_groups_the_largest_are_drawn_and_the_others_counted(store: str, project_id: int) -> None:
    rows = [
        span(new_trace_id(), second, service=f"s{number:02}")
        for number in range(12)
        for second in itertools.islice(itertools.count(), number + 1)
    ]
    store_spans(project_id, *rows)
    [found] = answers(project_id, [read_panel({"measure": "requests", "by": ["service"]})], HOUR)
    assert [line.label for line in found.lines] == [f"s{number:02}" for number in range(11, 3, -1)]
    assert (found.left_out, found.total) == (4, 78)
