"""The cells of the latency map against plain SQL over the raw spans."""

import itertools
import math
import random
from datetime import timedelta

import pytest

from heliograph.query.filters import RollupFilter, TimeRange
from heliograph.query.latency_map import EDGES_NS, EXACT, LatencyMap, latency_map
from heliograph.query.overview import series
from tests.query.rows import HOUR, SECOND, START, llm, new_trace_id, plain, span, store_spans

pytestmark = pytest.mark.usefixtures("store")
RAW = """
SELECT intDiv(toUnixTimestamp(start_time), STEP) * STEP AS start_s, roundDown(toFloat64(duration_ns), EDGES) AS low_ns,
    count() AS requests
FROM spans WHERE {mine} AND duration_ns IS NOT NULL AND CONDITION
GROUP BY start_s, low_ns
"""


def counted(found: LatencyMap) -> dict[tuple[int, int], int]:
    """The cells with a request in them, by start and the band's lower edge."""
    return {
        (start, band.low_ns): count
        for band, counts in zip(found.bands, found.counts, strict=True)
        for start, count in zip(found.starts_s, counts, strict=True)
        if count
    }


def raw(project_id: int, step_s: int, condition: str = "parent_span_id = ''") -> dict[tuple[int, int], int]:
    edges = str([float(edge) for edge in EDGES_NS])
    sql = RAW.replace("STEP", str(step_s)).replace("EDGES", edges).replace("CONDITION", condition)
    return {(row["start_s"], int(row["low_ns"])): row["requests"] for row in plain(project_id, sql)}


@pytest.fixture
def traffic(project_id: int) -> int:
    """As many requests as a digest holds one by one, of 100 µs to 100 s, each with a call, in several parts."""
    chance = random.Random(5)
    rows = []
    for number in range(EXACT):
        trace_id, begin, service = new_trace_id(), chance.uniform(0, 3500), chance.choice(["shop", "support"])
        took = round(10 ** chance.uniform(5, 11))
        rows.append(span(trace_id, begin, service=service, duration_ns=None if number % 40 == 7 else took))
        rows.append(llm(trace_id, begin, service=service, model=chance.choice(["a", "b"]), duration_ns=took // 2))
    for begin in range(0, len(rows), 70):
        store_spans(project_id, *rows[begin : begin + 70])
    return project_id


@pytest.mark.parametrize("buckets", [60, 12, 4, 1])
def test_of_two_hundred_requests_each_cell_counts_what_the_raw_spans_do(traffic: int, buckets: int) -> None:
    found = latency_map(traffic, RollupFilter(range=HOUR), buckets=buckets)
    assert found.step_s == 3600 // buckets
    assert counted(found) == raw(traffic, found.step_s)


def test_the_columns_are_those_of_the_lines(traffic: int) -> None:
    day = TimeRange(START - timedelta(hours=23), START + timedelta(hours=1))
    for chosen in (RollupFilter(range=HOUR), RollupFilter(range=day), RollupFilter(range=day, service=("shop",))):
        found = latency_map(traffic, chosen)
        assert found.starts_s == [point.start_s for point in series(traffic, chosen)]
        assert sum(map(sum, found.counts)) > 0


def test_a_filter_narrows_the_cells_and_under_a_model_its_calls_are_counted(traffic: int) -> None:
    shop = latency_map(traffic, RollupFilter(range=HOUR, service=("shop",)), buckets=12)
    assert counted(shop) == raw(traffic, 300, "parent_span_id = '' AND service = 'shop'")
    calls = latency_map(traffic, RollupFilter(range=HOUR, model=("a",)), buckets=12)
    assert counted(calls) == raw(traffic, 300, "model = 'a'")


def test_the_bands_go_from_the_quickest_to_the_slowest_without_a_gap(project_id: int) -> None:
    for took in (3 * SECOND, 40 * 10**6, 5 * 10**13):
        store_spans(project_id, span(new_trace_id(), 5, duration_ns=took))
    bands = latency_map(project_id, RollupFilter(range=HOUR)).bands
    assert (bands[0].low_ns, bands[0].high_ns) == (30 * 10**6, 50 * 10**6)
    assert all(below.high_ns == above.low_ns for below, above in itertools.pairwise(bands))
    assert (bands[-1].low_ns, bands[-1].high_ns) == (10**13, None)


def test_without_a_request_there_is_no_band(project_id: int) -> None:
    found = latency_map(project_id, RollupFilter(range=HOUR))
    assert (found.bands, found.counts) == ([], [])
    assert len(found.starts_s) == 60


def test_of_thousands_in_a_column_few_stand_in_the_next_cell_and_the_slowest_is_seen(project_id: int) -> None:
    chance = random.Random(7)
    took = [round(chance.lognormvariate(math.log(0.8), 0.7) * SECOND) for _ in range(6_000)]
    rows = [span(new_trace_id(), at % 3500, duration_ns=duration) for at, duration in enumerate(took)]
    rows.append(span(new_trace_id(), 1_800, duration_ns=90 * SECOND))
    for begin in range(0, len(rows), 1_500):
        store_spans(project_id, *rows[begin : begin + 1_500])
    found = counted(latency_map(project_id, RollupFilter(range=HOUR), buckets=1))
    exact = raw(project_id, 3600)
    assert sum(found.values()) == len(rows)
    moved = sum(abs(found.get(cell, 0) - exact.get(cell, 0)) for cell in found | exact) / 2
    assert moved < 0.01 * len(rows)
    assert found[min(exact)[0], 70 * SECOND] == 1
