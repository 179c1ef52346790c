"""Tokens and cost count once, whatever the order and however far apart the exports of a trace come."""

import secrets
import time
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from heliograph.clickhouse import client
from heliograph.ingest.commit import Committer
from heliograph.ingest.exports import Export, decode
from heliograph.ingest.signals import TRACES
from tests.collectors.build import pairs, request

pytestmark = pytest.mark.usefixtures("store")
MINUTE = 60 * 10**9
# A minute in the past, so that calls lie where the tests say.
NOW = (time.time_ns() // MINUTE - 30) * MINUTE + 10 * 10**9


@pytest.fixture
def store_as(tmp_path) -> Iterator[Callable[..., None]]:
    """Return a function that stores exports as another process would have, without memory of earlier ones."""
    made: list[Committer] = []

    def store(project_id: int, *exports: list[Span], begun_us: int | None = None) -> None:
        made.append(Committer(TRACES, tmp_path))
        group = [
            decode(
                Export("traces", project_id, 90, "protobuf", "", time.time_ns(), request(*spans).SerializeToString())
            )
            for spans in exports
        ]
        made[-1].store(group, begun_us=begun_us)

    yield store
    for each in made:
        each.close()


class Trace:
    """Spans of one trace, by number."""

    def __init__(self) -> None:
        self.id = secrets.token_bytes(16)

    def span(self, number: int, parent: int = 0, *, tokens: int = 0, start: int = NOW, seconds: float = 1, **said):
        made = Span(
            trace_id=self.id,
            span_id=number.to_bytes(8, "big"),
            parent_span_id=parent.to_bytes(8, "big") if parent else b"",
            name=f"span {number}",
            start_time_unix_nano=start + number * 1_000_000,
            end_time_unix_nano=start + round(seconds * 10**9),
        )
        if tokens:
            usage = {"gen_ai.usage.input_tokens": tokens, "gen_ai.usage.output_tokens": 1}
            made.attributes.extend(pairs({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", **usage}))
        made.attributes.extend(pairs(said.get("attributes", {})))
        return made

    def sums(self, project_id: int) -> tuple[int, int]:
        """Input tokens of the trace's summary and of the minutes' rollups; both must agree on cost too."""
        (trace,) = client.query(
            project_id,
            "SELECT sum(input_tokens) AS tokens, sum(cost) AS usd FROM traces"
            " WHERE project_id = %(project_id)s AND trace_id = %(trace_id)s",
            {"trace_id": self.id.hex()},
            tag="tests.sums",
        )
        (minutes,) = client.query(
            project_id,
            "SELECT sum(input_tokens) AS tokens, sum(cost) AS usd FROM span_rollups_1m"
            " WHERE project_id = %(project_id)s",
            tag="tests.sums",
        )
        assert trace["usd"] == minutes["usd"] > 0
        return trace["tokens"], minutes["tokens"]


@pytest.mark.parametrize("parent_first", [True, False], ids=["parent first", "child first"])
@pytest.mark.parametrize("distance", [1, 2], ids=["child", "grandchild"])
def test_a_parent_and_its_child_in_two_exports_count_once(store_as, project_id, parent_first, distance) -> None:
    trace = Trace()
    above = [trace.span(1), trace.span(2, 1, tokens=100)]
    below = [trace.span(4, 2, tokens=100)] if distance == 1 else [trace.span(3, 2), trace.span(4, 3, tokens=100)]
    for export in (above, below) if parent_first else (below, above):
        store_as(project_id, export)
    assert trace.sums(project_id) == (100, 100)


def test_a_parent_and_its_child_that_are_stored_together_but_came_apart_count_at_the_child(
    store_as, project_id
) -> None:
    trace = Trace()
    store_as(project_id, [trace.span(1, tokens=100)], [trace.span(2, 1, tokens=100)])
    rows = client.query(
        project_id,
        "SELECT name FROM spans WHERE project_id = %(project_id)s AND usage_counted",
        tag="tests.counted",
    )
    assert [row["name"] for row in rows] == ["span 2"]
    assert trace.sums(project_id) == (100, 100)


@pytest.mark.parametrize("parent_first", [True, False], ids=["parent first", "child first"])
def test_a_call_that_outlives_its_minute_counts_once(store_as, project_id, parent_first) -> None:
    trace = Trace()
    parent = [trace.span(1), trace.span(2, 1, tokens=100, seconds=200)]
    child = [trace.span(3, 2, tokens=100, start=NOW + 2 * MINUTE)]
    for export in (parent, child) if parent_first else (child, parent):
        store_as(project_id, export)
    assert trace.sums(project_id) == (100, 100)


@pytest.mark.parametrize("exports", [1, 2], ids=["together", "apart"])
def test_two_reports_of_one_response_side_by_side_count_once(store_as, project_id, exports) -> None:
    trace = Trace()
    said = {"gen_ai.response.id": "chatcmpl-1"}
    first = [trace.span(1), trace.span(2, 1, tokens=100, attributes=said)]
    second = [trace.span(3, 1, tokens=100, attributes=said)]
    for export in [first + second] if exports == 1 else [first, second]:
        store_as(project_id, export)
    assert trace.sums(project_id) == (100, 100)


def test_calls_side_by_side_that_name_no_response_all_count(store_as, project_id) -> None:
    trace = Trace()
    store_as(project_id, [trace.span(1), trace.span(2, 1, tokens=100)])
    store_as(project_id, [trace.span(3, 1, tokens=70)])
    assert trace.sums(project_id) == (170, 170)


def test_the_same_ids_of_another_project_repeat_nothing(store_as, project_id) -> None:
    # Beyond all ids that the fixture gives out.
    other_project_id = project_id + 1_000_000
    trace = Trace()
    store_as(project_id, [trace.span(1, tokens=100)])
    store_as(other_project_id, [trace.span(2, 1, tokens=100)])
    assert trace.sums(project_id) == trace.sums(other_project_id) == (100, 100)


def test_an_export_that_is_sent_again_changes_nothing(store_as, project_id) -> None:
    trace = Trace()
    child, parent = [trace.span(3, 2, tokens=100)], [trace.span(1), trace.span(2, 1, tokens=100)]
    for export in (child, parent, child, parent):
        store_as(project_id, export)
    store_as(project_id, parent, begun_us=0)
    assert trace.sums(project_id) == (100, 100)


def test_large_traces_are_looked_up_too(store_as, project_id) -> None:
    trace = Trace()
    store_as(project_id, [trace.span(1), trace.span(2, 1, tokens=100)])
    store_as(project_id, [trace.span(number, 2, tokens=100 if number == 40 else 0) for number in range(10, 60)])
    assert trace.sums(project_id) == (100, 100)
