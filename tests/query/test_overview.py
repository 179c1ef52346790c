"""The overview's numbers and the facets, from the rollup, against plain SQL over the raw spans."""

import random
from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal

import pytest

from heliograph.query.facets import facets
from heliograph.query.filters import InvalidFilterError, RollupFilter, TimeRange
from heliograph.query.overview import Dimension, Measures, breakdown, glance, series, step_for, summary
from tests.query.rows import HOUR, START, llm, new_trace_id, plain, span, store_spans

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def traffic(project_id: int) -> int:
    chance = random.Random(11)
    rows = []
    for _ in range(150):
        trace_id, begin, service = new_trace_id(), chance.uniform(0, 3500), chance.choice(["shop", "support"])
        shared = {"service": service, "release": chance.choice(["1", "2"]), "environment": "production"}
        status = chance.choice(["ok"] * 9 + ["error"])
        rows.append(span(trace_id, begin, duration_ns=chance.randrange(1, 10**10), status=status, **shared))
        for _ in range(chance.randrange(3)):
            priced = chance.random() < 0.7
            rows.append(
                llm(
                    trace_id,
                    begin,
                    model=chance.choice(["gpt-4o", "qwen3-8b"]),
                    input_tokens=chance.randrange(1000),
                    output_tokens=chance.randrange(1, 200),
                    cost=Decimal(chance.randrange(10**6)) / 10**8 if priced else None,
                    ttft_ns=chance.randrange(10**9),
                    duration_ns=chance.randrange(10**9),
                    status=chance.choice(["ok", "error"]),
                    **shared,
                )
            )
    for begin in range(0, len(rows), 50):
        store_spans(project_id, *rows[begin : begin + 50])
    return project_id


RAW = """
SELECT countIf(parent_span_id = '') AS requests, countIf(parent_span_id = '' AND status = 'error') AS errors,
    quantilesExactIf(0.5, 0.95)(duration_ns, parent_span_id = '') AS latency,
    quantilesExact(0.5, 0.95)(ttft_ns) AS ttft,
    countIf(kind = 'llm') AS llm_calls, sum(s.input_tokens) AS input_tokens, sum(s.output_tokens) AS output_tokens,
    sum(s.cost) AS cost, countIf(kind = 'llm' AND s.cost IS NULL) AS unpriced
FROM spans AS s WHERE {mine}
"""


def test_the_summary_says_what_the_raw_spans_say(traffic: int) -> None:
    [raw] = plain(traffic, RAW)
    found = summary(traffic, RollupFilter(range=HOUR)).current
    assert (found.requests, found.errors, found.llm_calls) == (raw["requests"], raw["errors"], raw["llm_calls"])
    assert (found.input_tokens, found.output_tokens) == (raw["input_tokens"], raw["output_tokens"])
    assert (found.cost, found.unpriced_count) == (raw["cost"], raw["unpriced"])
    assert found.latency_p50_ns == pytest.approx(raw["latency"][0], rel=0.05)
    assert found.latency_p95_ns == pytest.approx(raw["latency"][1], rel=0.05)
    assert found.ttft_p50_ns == pytest.approx(raw["ttft"][0], rel=0.05)
    assert found.error_rate == pytest.approx(raw["errors"] / raw["requests"])


def test_a_filter_narrows_as_it_does_on_the_raw_spans(traffic: int) -> None:
    [raw] = plain(traffic, RAW + " AND service = 'shop' AND release IN ('2', '3')")
    found = summary(traffic, RollupFilter(range=HOUR, service=("shop",), release=("2", "3"))).current
    assert (found.requests, found.cost, found.input_tokens) == (raw["requests"], raw["cost"], raw["input_tokens"])


def test_under_a_model_its_calls_are_counted_since_roots_have_none(traffic: int) -> None:
    [raw] = plain(
        traffic,
        "SELECT count() AS calls, countIf(status = 'error') AS errors, quantileExact(0.5)(duration_ns) AS latency"
        " FROM spans WHERE {mine} AND model = 'gpt-4o'",
    )
    found = summary(traffic, RollupFilter(range=HOUR, model=("gpt-4o",))).current
    assert (found.requests, found.errors) == (raw["calls"], raw["errors"])
    assert found.latency_p50_ns == pytest.approx(raw["latency"], rel=0.05)


def test_the_series_has_every_bucket_and_adds_up_to_the_summary(traffic: int) -> None:
    whole = summary(traffic, RollupFilter(range=HOUR)).current
    points = series(traffic, RollupFilter(range=HOUR), buckets=12)
    assert [point.start_s - points[0].start_s for point in points][:3] == [0, 300, 600]
    assert len(points) in (12, 13)  # the hour need not begin at a multiple of five minutes
    assert sum(point.measures.requests for point in points) == whole.requests
    assert sum(point.measures.cost for point in points) == whole.cost


def test_an_empty_bucket_counts_nothing_and_has_no_latency(project_id: int) -> None:
    store_spans(project_id, span(new_trace_id(), 1800))
    points = series(project_id, RollupFilter(range=HOUR), buckets=60)
    assert [point.measures.requests for point in points] == [0] * 30 + [1] + [0] * 29
    assert points[0].measures.latency_p50_ns is None
    assert points[30].measures.latency_p50_ns == 10**9
    assert points[30].measures.ttft_p50_ns is None


def test_the_range_before_is_compared_with(project_id: int) -> None:
    store_spans(project_id, span(new_trace_id(), -30), *(span(new_trace_id(), 30) for _ in range(3)))
    found = summary(project_id, RollupFilter(range=HOUR))
    assert (found.current.requests, found.previous.requests) == (3, 1)
    assert found.change("requests") == 2.0
    assert found.change("errors") is None


def test_a_cost_of_unpriced_calls_alone_is_unknown_not_zero(project_id: int) -> None:
    store_spans(project_id, llm(new_trace_id(), 1, input_tokens=5, cost=None))
    found = summary(project_id, RollupFilter(range=HOUR)).current
    assert (found.known_cost, found.unpriced_count) == (None, 1)


@pytest.mark.parametrize(("by", "condition"), [("service", "parent_span_id = ''"), ("model", "model != ''")])
def test_a_breakdown_counts_each_value_as_the_raw_spans_do(traffic: int, by: str, condition: str) -> None:
    raw = plain(traffic, f"SELECT {by} AS value, count() AS n FROM spans WHERE {{mine}} AND {condition} GROUP BY value")
    found = breakdown(traffic, RollupFilter(range=HOUR), by)
    assert {group.value: group.measures.requests for group in found} == {row["value"]: row["n"] for row in raw}
    assert [group.measures.requests for group in found] == sorted((row["n"] for row in raw), reverse=True)


EVERY: tuple[Dimension, ...] = (
    "service",
    "environment",
    "release",
    "provider",
    "model",
    "adapter",
    "kind",
    "operation",
)


@pytest.mark.parametrize("narrowed", [{}, {"service": ("shop",)}, {"model": ("gpt-4o",)}, {"kind": ("llm",)}])
def test_a_glance_says_what_the_summary_and_each_breakdown_say(
    traffic: int, narrowed: dict[str, tuple[str, ...]]
) -> None:
    chosen = RollupFilter(range=HOUR, **narrowed)
    seen = glance(traffic, chosen, EVERY)
    assert _counts(seen.summary.current) == _counts(summary(traffic, chosen).current)
    assert seen.summary.previous == summary(traffic, chosen).previous
    for by in EVERY:
        expected = breakdown(traffic, chosen, by)
        assert [(group.value, _counts(group.measures)) for group in seen.groups[by]] == [
            (group.value, _counts(group.measures)) for group in expected
        ]
        for one, other in zip(seen.groups[by], expected, strict=True):
            # Digests that were merged in another order differ by a little.
            for quantile in ("latency_p50_ns", "latency_p95_ns", "ttft_p50_ns", "tpot_p50_ns"):
                value = getattr(other.measures, quantile)
                assert getattr(one.measures, quantile) == (value and pytest.approx(value, rel=0.1))


def _counts(measures: Measures) -> dict[str, object]:
    """What is counted and summed, without the estimated quantiles."""
    return {name: value for name, value in asdict(measures).items() if not name.endswith("_ns")}


def test_a_glance_of_nothing_counts_nothing_and_its_groups_are_cut_at_the_limit(project_id: int, traffic: int) -> None:
    [first] = glance(traffic, RollupFilter(range=HOUR), ("service",), limit=1).groups["service"]
    assert first == breakdown(traffic, RollupFilter(range=HOUR), "service", limit=1)[0]
    empty = glance(traffic, RollupFilter(range=HOUR, service=("nobody",)), ("service", "model"))
    assert (empty.summary.current.requests, empty.summary.current.latency_p50_ns) == (0, None)
    assert empty.groups == {"service": [], "model": []}
    with pytest.raises(InvalidFilterError):
        glance(project_id, RollupFilter(range=HOUR), ("user_id; DROP TABLE spans",))  # type: ignore[arg-type]  # refused


def test_a_breakdown_by_anything_else_is_refused(project_id: int) -> None:
    with pytest.raises(InvalidFilterError, match="by"):
        breakdown(project_id, RollupFilter(range=HOUR), "user_id; DROP TABLE spans")


def test_facets_count_the_spans_of_each_value(traffic: int) -> None:
    found = facets(traffic, RollupFilter(range=HOUR))
    for field in ("service", "release", "kind", "model"):
        raw = plain(traffic, f"SELECT {field} AS value, count() AS n FROM spans WHERE {{mine}} GROUP BY value")
        expected = {row["value"]: row["n"] for row in raw if row["value"]}
        assert {each.value: each.spans for each in found[field]} == expected


def test_a_narrowed_facet_still_offers_its_other_values(traffic: int) -> None:
    found = facets(traffic, RollupFilter(range=HOUR, service=("shop",)))
    assert {each.value for each in found["service"]} == {"shop", "support"}
    [raw] = plain(traffic, "SELECT count() AS n FROM spans WHERE {mine} AND service = 'shop' AND kind = 'llm'")
    assert {each.value: each.spans for each in found["kind"]}["llm"] == raw["n"]


@pytest.mark.parametrize(
    ("length", "buckets", "step"),
    [(timedelta(minutes=30), 120, 60), (timedelta(hours=24), 120, 900), (timedelta(days=366), 120, 604_800)],
)
def test_a_step_is_round_and_fits_the_chart(length: timedelta, buckets: int, step: int) -> None:
    assert step_for(TimeRange(START, START + length), buckets) == step
