"""Questions for whole ranges read the sums of hours or quarters, and say what the raw spans say at any minute."""

import random
from datetime import timedelta
from decimal import Decimal

import pytest

from heliograph.clickhouse import client
from heliograph.clickhouse.errors import StoreError
from heliograph.query import facets, models, overview
from heliograph.query.filters import RollupFilter, TimeRange
from heliograph.query.rollup import summed
from tests.projections import make_projections
from tests.query.rows import START, llm, new_trace_id, plain, span, store_spans

pytestmark = pytest.mark.usefixtures("store")
# Spans lie in five hours, from three before the one that other tests fill to an hour after its start.
FIRST_MINUTE, LAST_MINUTE = -180, 100
RANGES = [(-180, 60), (-170, 55), (-125, -61), (-59, 59), (-60, 0), (10, 20), (-1, 1), (-300, 300)]
RAW = """
SELECT countIf(parent_span_id = '') AS requests, countIf(parent_span_id = '' AND status = 'error') AS errors,
    countIf(kind = 'llm') AS calls, sum(s.input_tokens) AS tokens, sum(s.cost) AS cost,
    quantileExactIf(0.5)(duration_ns, parent_span_id = '') AS p50
FROM spans AS s WHERE {mine} AND start_time >= FROM_TIME AND start_time < TO_TIME
"""
NAMED = "SELECT DIM AS value, count() AS n FROM spans WHERE {mine} AND kind = 'llm' AND start_time >= FROM_TIME AND "
NAMED += "start_time < TO_TIME GROUP BY value ORDER BY n DESC, value"


@pytest.fixture(scope="module")
def minutes() -> list[tuple[int, str, str, bool]]:
    chance = random.Random(3)
    return [
        (minute, chance.choice(["shop", "support"]), chance.choice(["gpt-4o", "qwen3-8b"]), chance.random() < 0.2)
        for minute in range(FIRST_MINUTE, LAST_MINUTE, 2)
    ]


@pytest.fixture
def traffic(project_id: int, minutes: list[tuple[int, str, str, bool]]) -> int:
    rows = []
    for minute, service, model, failed in minutes:
        trace_id, at = new_trace_id(), minute * 60 + 0.5
        status = "error" if failed else "ok"
        rows.append(span(trace_id, at, service=service, status=status, duration_ns=10**9 + minute * 10**6))
        rows.append(
            llm(trace_id, at, service=service, model=model, input_tokens=1_000 + minute, cost=Decimal("0.001"))
            | {"parent_span_id": rows[-1]["span_id"]}
        )
    # Several inserts, as several parts.
    for begin in range(0, len(rows), 60):
        store_spans(project_id, *rows[begin : begin + 60])
    return project_id


def within(first: int, last: int) -> TimeRange:
    return TimeRange(START + timedelta(minutes=first), START + timedelta(minutes=last))


def raw(project_id: int, sql: str, span: TimeRange) -> list[dict[str, object]]:
    start, end = (f"fromUnixTimestamp64Nano({at}, 'UTC')" for at in (span.start_ns, span.end_ns))
    return plain(project_id, sql.replace("FROM_TIME", start).replace("TO_TIME", end))


@pytest.mark.parametrize(("first", "last"), RANGES)
def test_any_minutes_count_as_the_raw_spans_do(traffic: int, first: int, last: int) -> None:
    span = within(first, last)
    [expected] = raw(traffic, RAW, span)
    found = overview.totals(traffic, RollupFilter(range=span))
    assert (found.requests, found.errors, found.llm_calls) == (
        expected["requests"],
        expected["errors"],
        expected["calls"],
    )
    assert (found.input_tokens, found.cost) == (expected["tokens"] or 0, expected["cost"] or 0)
    if found.requests:
        assert found.latency_p50_ns == pytest.approx(expected["p50"], rel=0.05)
    by_model = [(row["value"], row["n"]) for row in raw(traffic, NAMED.replace("DIM", "model"), span)]
    assert [(row.model, row.measures.requests) for row in models.by_model(traffic, span)] == by_model
    groups = overview.breakdown(traffic, RollupFilter(range=span), "model")
    assert [(group.value, group.measures.requests) for group in groups] == by_model
    values = facets.facets(traffic, RollupFilter(range=span, kind=("llm",)))
    assert [(value.value, value.spans) for value in values["model"]] == by_model


def test_hours_stay_true_where_minutes_are_deleted_and_parts_are_merged(traffic: int) -> None:
    span = within(-180, 60)
    before = overview.totals(traffic, RollupFilter(range=span))
    gone = START - timedelta(minutes=100)
    deleted = "DELETE FROM span_rollups_1m WHERE project_id = %(project)s AND minute < %(gone)s"
    client.execute_unscoped(deleted, {"project": traffic, "gone": gone})
    left = overview.totals(traffic, RollupFilter(range=within(-100, 60)))
    assert 0 < left.requests < before.requests
    assert overview.totals(traffic, RollupFilter(range=span)) == left
    make_projections("span_rollups_1m")
    client.execute_unscoped("OPTIMIZE TABLE span_rollups_1m FINAL")
    merged = overview.totals(traffic, RollupFilter(range=span))
    assert (merged.requests, merged.cost, merged.llm_calls) == (left.requests, left.cost, left.llm_calls)


def test_wholes_are_read_from_the_projections(traffic: int) -> None:
    make_projections("span_rollups_1m")
    quarter = "toStartOfFifteenMinutes"
    asked = (("release", None, "toStartOfHour", 1), ("kind", 1_800, quarter, 2), ("model", 900, quarter, 3))
    for by, step_s, start, values in (*asked, ("service", None, quarter, 2)):
        rows, given = summed(RollupFilter(range=within(-180, 60)), ("is_root", by), step_s=step_s)
        # Refused where no projection answers it.
        forced = (
            f"SELECT {by} AS value, sum(spans) AS n, quantilesTDigestMerge(0.5, 0.95, 0.99)(duration) AS latency"
            f" FROM ({rows.split('UNION ALL')[0]}) GROUP BY value SETTINGS force_optimize_projection = 1"
        )
        assert start in forced
        assert len(client.query(traffic, forced, given, tag="test.wholes")) == values
        with pytest.raises(StoreError):
            client.query(traffic, forced.replace(f"{start}(r.minute)", "r.minute"), given, tag="test.wholes")


# A day, so that a chart of it has a point every quarter of an hour; of longer ones the steps are hours.
CHARTS = [(-1_390, 50), (-1_400, 23), (-1_340, 45), (-6_000, 97)]
POINTS = """
SELECT intDiv(toUnixTimestamp(start_time), STEP) * STEP AS at, countIf(parent_span_id = '') AS requests,
    countIf(parent_span_id = '' AND status = 'error') AS errors, countIf(kind = 'llm') AS calls,
    sum(s.input_tokens) AS tokens, sum(s.cost) AS cost, quantileExactIf(0.5)(duration_ns, parent_span_id = '') AS p50
FROM spans AS s WHERE {mine} AND start_time >= FROM_TIME AND start_time < TO_TIME GROUP BY at ORDER BY at
"""


def test_each_point_of_a_chart_counts_as_the_raw_spans_do(traffic: int) -> None:
    steps = set()
    for first, last in CHARTS:
        span = within(first, last)
        points = overview.series(traffic, RollupFilter(range=span))
        steps.add(points[0].step_s)
        expected = {row["at"]: row for row in raw(traffic, POINTS.replace("STEP", str(points[0].step_s)), span)}
        assert len(expected) > 4
        for point in points:
            row, found = expected.get(point.start_s), point.measures
            if row is None:
                assert (found.requests, found.llm_calls, found.cost) == (0, 0, 0)
                continue
            counted = (found.requests, found.errors, found.llm_calls, found.input_tokens, found.cost)
            assert counted == (row["requests"], row["errors"], row["calls"], row["tokens"] or 0, row["cost"] or 0)
            if found.requests:
                # Of a handful of durations the digest says one between two neighbours, which lie 2 ms apart.
                assert found.latency_p50_ns == pytest.approx(row["p50"], rel=0.1)
    assert steps == {900, 3_600}


def test_a_chart_of_one_service_counts_its_own(traffic: int) -> None:
    for first, last in (CHARTS[0], CHARTS[-1]):
        span = within(first, last)
        points = overview.series(traffic, RollupFilter(range=span, service=("shop",)))
        own = POINTS.replace("{mine}", "{mine} AND service = 'shop'").replace("STEP", str(points[0].step_s))
        expected = {row["at"]: (row["requests"], row["cost"] or 0) for row in raw(traffic, own, span)}
        found = {each.start_s: (each.measures.requests, each.measures.cost) for each in points}
        assert {at: value for at, value in found.items() if value != (0, 0)} == expected


def test_a_step_holds_whole_rows_of_the_projection() -> None:
    chosen = RollupFilter(range=within(-180, 60))
    with pytest.raises(ValueError, match="no multiple of 900 s"):
        summed(chosen, ("kind",), step_s=600)
    with pytest.raises(ValueError, match="no multiple of 3600 s"):
        summed(chosen, ("kind", "release"), step_s=900)
    with pytest.raises(ValueError, match="no multiple of 3600 s"):
        summed(RollupFilter(range=chosen.range, environment=("staging",)), ("kind",), step_s=900)
    # One projection has models, another one services, and none has both.
    with pytest.raises(ValueError, match="no multiple of 3600 s"):
        summed(RollupFilter(range=chosen.range, service=("shop",)), ("kind", "model"), step_s=900)
