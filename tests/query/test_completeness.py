"""When a trace is complete: whole and quiet; until then it runs, and is given up after a longer silence."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from heliograph.clickhouse import client
from heliograph.query.completeness import Place, ready, settled, states
from tests.query.rows import new_trace_id, plain, span, store_rows, store_spans

pytestmark = pytest.mark.usefixtures("store")
LONG_AGO = timedelta(days=1)
ROOT, OTHER, THIRD = "a" * 16, "b" * 16, "c" * 16


def store(project_id: int, trace_id: str, *spans: dict[str, Any], ago: timedelta = timedelta(minutes=1)) -> datetime:
    """Store spans of a trace that came together, so long ago."""
    at = datetime.now(UTC) - ago
    store_spans(project_id, *(span(trace_id, 1, **{"received_at": at} | fields) for fields in spans))
    return at


def state_of(project_id: int, trace_id: str) -> tuple[str, str]:
    found = states(project_id, [trace_id])[trace_id]
    return found.state, found.why


def child(span_id: str, parent: str, **fields: Any) -> dict[str, Any]:
    return {"span_id": span_id, "parent_span_id": parent, "is_entry": False} | fields


def entry(span_id: str, parent: str, **fields: Any) -> dict[str, Any]:
    """A span whose parent came with another export, or not at all."""
    return child(span_id, parent, is_entry=True, **fields)


def test_a_whole_trace_that_is_quiet_is_complete(project_id: int) -> None:
    trace_id = new_trace_id()
    store(project_id, trace_id, {"span_id": ROOT}, child(OTHER, ROOT))
    assert state_of(project_id, trace_id) == ("complete", "")


@pytest.mark.parametrize(
    ("spans", "why"),
    [
        ([entry(OTHER, ROOT)], "root missing, 1 parent missing"),
        ([{"span_id": ROOT}, entry(OTHER, THIRD)], "1 parent missing"),
        ([{"span_id": ROOT, "duration_ns": None}], "root missing, 1 span has not ended"),
        ([{"span_id": ROOT}, child(OTHER, ROOT, duration_ns=None)], "1 span has not ended"),
    ],
)
def test_a_trace_that_lacks_something_runs_and_is_given_up_after_a_long_silence(
    project_id: int, spans: list[dict[str, Any]], why: str
) -> None:
    running, given_up = new_trace_id(), new_trace_id()
    store(project_id, running, *spans)
    store(project_id, given_up, *spans, ago=LONG_AGO)
    assert state_of(project_id, running) == ("running", why)
    assert state_of(project_id, given_up) == ("incomplete", why)


def test_a_whole_trace_that_just_came_may_still_get_spans(project_id: int) -> None:
    trace_id = new_trace_id()
    store(project_id, trace_id, {"span_id": ROOT}, ago=timedelta(0))
    state, why = state_of(project_id, trace_id)
    assert (state, "more may follow" in why) == ("running", True)
    assert states(project_id, [trace_id])[trace_id].is_whole


def test_a_parent_that_comes_later_and_in_another_request_is_not_missing(project_id: int) -> None:
    trace_id = new_trace_id()
    store(project_id, trace_id, entry(OTHER, ROOT), ago=timedelta(minutes=2))
    store(project_id, trace_id, {"span_id": ROOT})
    assert state_of(project_id, trace_id) == ("complete", "")


def test_a_trace_of_many_spans_is_complete_without_looking_for_parents(project_id: int) -> None:
    trace_id = new_trace_id()
    many = [child(f"{number:016x}", ROOT) for number in range(600)]
    store(project_id, trace_id, {"span_id": ROOT}, *many, entry(OTHER, THIRD))
    assert state_of(project_id, trace_id) == ("complete", "")


def test_the_settings_say_for_how_long(project_id: int, settings: Settings) -> None:
    whole, lacking = new_trace_id(), new_trace_id()
    store(project_id, whole, {"span_id": ROOT}, ago=timedelta(seconds=100))
    store(project_id, lacking, entry(OTHER, ROOT), ago=timedelta(seconds=100))
    settings.TRACE_QUIET_SECONDS, settings.TRACE_GIVE_UP_SECONDS = 200, 50
    assert (state_of(project_id, whole)[0], state_of(project_id, lacking)[0]) == ("running", "incomplete")


def test_a_removed_trace_says_why_and_another_projects_trace_is_not_known(project_id: int) -> None:
    trace_id = new_trace_id()
    store(project_id, trace_id, {"span_id": ROOT})
    mark = {"trace_id": trace_id, "removed_at": datetime.now(UTC), "removed_why": "no rule wanted it"}
    store_rows(project_id, "trace_states", [mark | {"start_time": datetime.now(UTC), "retention_days": 90}])
    assert state_of(project_id, trace_id) == ("removed", "no rule wanted it")
    assert states(project_id + 1, [trace_id]) == {}


def test_a_job_that_asks_for_complete_traces_only_waits_for_those_that_run(project_id: int, settings: Settings) -> None:
    whole, running, from_before = new_trace_id(), new_trace_id(), new_trace_id()
    store(project_id, whole, {"span_id": ROOT})
    store(project_id, running, entry(OTHER, ROOT))
    assert ready(project_id, [whole, running, from_before]) == {whole, from_before}, "older traces have no state"
    settings.TRACE_GIVE_UP_SECONDS = 1
    assert ready(project_id, [whole, running]) == {whole, running}
    assert ready(project_id, []) == set()


def test_settled_traces_are_met_in_the_order_of_their_last_arrival_and_again_after_more_came(project_id: int) -> None:
    early, late, growing = (new_trace_id() for _ in range(3))
    store(project_id, growing, {"span_id": ROOT}, ago=timedelta(minutes=9))
    store(project_id, early, {"span_id": ROOT}, ago=timedelta(minutes=8))
    store(project_id, late, {"span_id": ROOT}, ago=timedelta(minutes=7))
    now = datetime.now(UTC)
    first = settled(project_id, Place(0), now, limit=2)
    assert (list(first.traces), first.is_last) == ([growing, early], False)
    second = settled(project_id, first.place, now, limit=2)
    assert (list(second.traces), second.is_last) == ([late], True)
    assert settled(project_id, second.place, now).traces == {}
    at = store(project_id, growing, child(OTHER, ROOT), ago=timedelta(seconds=1))
    assert settled(project_id, second.place, at).traces == {}
    assert list(settled(project_id, second.place, now + timedelta(seconds=5)).traces) == [growing]


def test_a_trace_that_got_more_after_the_time_looked_at_is_not_settled_by_then(project_id: int) -> None:
    trace_id = new_trace_id()
    store(project_id, trace_id, {"span_id": ROOT}, ago=timedelta(minutes=9))
    store(project_id, trace_id, child(OTHER, ROOT), ago=timedelta(minutes=1))
    assert settled(project_id, Place(0), datetime.now(UTC) - timedelta(minutes=5)).traces == {}


@hypothesis_settings(max_examples=15, deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), min_size=1, max_size=30),
    limit=st.integers(1, 4),
)
def test_whatever_the_order_every_trace_is_met_once_after_its_last_span(
    arrivals: list[tuple[int, int]], limit: int
) -> None:
    project_id = next(_ids)
    now = datetime.now(UTC)
    rows = [
        span(f"{trace + 1:032x}", 1, received_at=now - timedelta(minutes=30 - minute)) for trace, minute in arrivals
    ]
    store_spans(project_id, *rows)
    met: list[str] = []
    place = Place(0)
    for _ in range(100):
        page = settled(project_id, place, now, limit=limit)
        met += page.traces
        place = page.place
        if page.is_last:
            break
    last = {f"{trace + 1:032x}": max(minute for other, minute in arrivals if other == trace) for trace, _ in arrivals}
    assert sorted(met) == sorted(last)
    assert [last[trace] for trace in met] == sorted(last.values())


_ids = iter(range(3 * 2**30, 2**32))


def test_asking_for_a_page_of_traces_reads_their_granules_and_no_more(project_id: int) -> None:
    client.execute_unscoped(
        f"""
        INSERT INTO trace_states
            (project_id, trace_id, last_received, span_count, root_ended, start_time, retention_days)
        SELECT {project_id}, lower(hex(sipHash128(number))), now64(6), 1, 1, now(), 90 FROM numbers(200000)
        """
    )
    ids = [
        row["trace_id"] for row in plain(project_id, "SELECT trace_id FROM trace_states WHERE {mine} LIMIT 40000, 50")
    ]
    [plan] = plain(
        project_id,
        f"""
        SELECT sum(rows) AS rows FROM (EXPLAIN ESTIMATE
            SELECT trace_id, max(last_received) FROM trace_states
            WHERE {{mine}} AND trace_id IN {tuple(ids)} GROUP BY trace_id)
        """,
    )
    assert plan["rows"] <= 50 * 2 * 256
    assert len(states(project_id, ids)) == 50
