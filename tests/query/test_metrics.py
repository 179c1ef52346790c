"""Metrics: gauges and counters over time, from points and from the rollup, and the GPUs of a trace."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from heliograph.query import gpu, metrics
from heliograph.query.filters import InvalidFilterError, TimeRange
from heliograph.query.metrics import MetricResult, query_metric
from heliograph.query.traces import get_trace
from tests.query.rows import HOUR, START, at, new_trace_id, point, span, store_rows, store_spans

pytestmark = pytest.mark.usefixtures("store")
# Beyond RAW_RANGE, so that the rollup answers.
DAY = TimeRange(START - timedelta(hours=23), START + timedelta(hours=1))
COUNTER = {"type": "sum", "temporality": "cumulative", "is_monotonic": True, "unit": "{token}"}


def store_points(project_id: int, *rows: dict) -> None:
    store_rows(project_id, "metric_points", list(rows))


def values(result: MetricResult | None) -> list[float]:
    assert result is not None
    [series] = result.series
    return [each.value for each in series.points]


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [("avg", [2.0, 30.0]), ("min", [1.0, 30.0]), ("max", [3.0, 30.0]), ("last", [3.0, 30.0]), ("sum", [2.0, 30.0])],
)
def test_a_gauge_is_aggregated_in_each_step(project_id: int, aggregate, expected: list[float]) -> None:
    store_points(project_id, point("g", 0, 1.0), point("g", 10, 3.0), point("g", 60, 30.0))
    found = query_metric(project_id, "g", HOUR, aggregate=aggregate, step_s=60)
    assert values(found) == expected
    assert (found.source, found.unit, found.type) == ("points", "1", "gauge")


def test_a_sum_adds_series_not_samples(project_id: int) -> None:
    rows = [point("g", second, 8.0, series=series) for second in range(0, 60, 5) for series in (1, 2, 3)]
    store_points(project_id, *rows)
    assert values(query_metric(project_id, "g", HOUR, aggregate="sum", step_s=60)) == [24.0]


def test_a_point_that_is_sent_twice_counts_once(project_id: int) -> None:
    for _ in range(2):
        store_points(project_id, point("g", 0, 1.0), point("g", 1, 4.0))
    assert values(query_metric(project_id, "g", HOUR, step_s=60)) == [2.5]


def test_points_are_grouped_and_filtered_by_labels(project_id: int) -> None:
    rows = [
        point("g", 1, 1.0, host="a", attributes={"task": "x"}),
        point("g", 1, 2.0, host="b", series=2, attributes={"task": "x"}),
        point("g", 1, 4.0, host="b", series=3, attributes={"task": "y"}),
    ]
    store_points(project_id, *rows)
    found = query_metric(project_id, "g", HOUR, group_by=("host", "task"), filters={"task": "x"})
    assert found is not None
    assert [(series.labels, series.points[0].value) for series in found.series] == [
        ({"host": "a", "task": "x"}, 1.0),
        ({"host": "b", "task": "x"}, 2.0),
    ]


@pytest.mark.parametrize(("span", "source"), [(HOUR, "points"), (DAY, "rollup")])
def test_a_counter_s_rate_survives_a_restart(project_id: int, span: TimeRange, source: str) -> None:
    # Two a second; after 300 s the process starts again from zero.
    rows = [
        point("c", second, 2.0 * (second if second < 300 else second - 300), **COUNTER) for second in range(0, 600, 10)
    ]
    store_points(project_id, *rows)
    increase = query_metric(project_id, "c", span, aggregate="increase", step_s=3600)
    assert increase is not None
    assert increase.source == source
    # 59 steps of 20; the step over the restart shows what was counted since, which is 0.
    assert sum(each.value for each in increase.series[0].points) == 58 * 20
    rate = query_metric(project_id, "c", span, step_s=600)
    assert (rate.aggregate, rate.unit) == ("rate", "{token}/s")
    assert rate.series[0].points[0].value == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize(("span", "source"), [(HOUR, "points"), (DAY, "rollup")])
def test_a_counter_s_rate_is_the_same_in_every_step(project_id: int, span: TimeRange, source: str) -> None:
    # The first minute of a series holds 50 s of it, from its first point to its last: no rate over a whole minute.
    store_points(project_id, *(point("c", second, 2.0 * second, **COUNTER) for second in range(0, 300, 10)))
    found = query_metric(project_id, "c", span, step_s=60)
    assert found is not None
    assert found.source == source
    rates = {each.start_s: each.value for each in found.series[0].points}
    assert all(rate == pytest.approx(2.0) for rate in rates.values())
    assert set(rates) >= {at(60 * minute) // 10**9 for minute in range(1, 5)}


def test_a_restart_that_counted_past_the_last_value_is_known_by_its_start_time(project_id: int) -> None:
    rows = [point("c", 0, 5.0, **COUNTER), point("c", 60, 9.0, **COUNTER, start_time=at(30))]
    store_points(project_id, *({"start_time": at(-10)} | row for row in rows))
    assert values(query_metric(project_id, "c", HOUR, aggregate="increase", step_s=60)) == [9.0]


def test_a_counter_whose_sender_states_no_start_has_not_begun_again(project_id: int) -> None:
    # The decoder gives such a point its own time as start.
    store_points(project_id, *(point("c", at_s, 100.0 + at_s, **COUNTER, start_time=at(at_s)) for at_s in (0, 30, 60)))
    assert values(query_metric(project_id, "c", HOUR, aggregate="increase", step_s=3600)) == [60.0]


def test_rates_of_two_series_are_added(project_id: int) -> None:
    rows = [point("c", second, float(second), series=series, **COUNTER) for second in (0, 30, 60) for series in (1, 2)]
    store_points(project_id, *rows)
    assert values(query_metric(project_id, "c", HOUR, step_s=3600)) == [pytest.approx(2.0)]


def test_a_counter_counts_from_the_point_before_the_range(project_id: int) -> None:
    store_points(project_id, point("c", -60, 100.0, **COUNTER), point("c", 10, 130.0, **COUNTER))
    assert values(query_metric(project_id, "c", HOUR, aggregate="increase", step_s=3600)) == [30.0]


def test_deltas_are_added_up(project_id: int) -> None:
    delta = COUNTER | {"temporality": "delta"}
    store_points(project_id, *(point("d", second, 6.0, **delta) for second in (0, 20, 40)))
    assert values(query_metric(project_id, "d", HOUR, aggregate="increase", step_s=60)) == [18.0]
    assert values(query_metric(project_id, "d", HOUR, step_s=60)) == [pytest.approx(0.3)]


def test_a_histogram_has_a_mean_and_a_rate(project_id: int) -> None:
    histogram = {"type": "histogram", "temporality": "cumulative", "unit": "s"}
    rows = [point("h", 60 * step, None, count=10 * step, sum=15.0 * step, **histogram) for step in range(3)]
    store_points(project_id, *rows)
    mean = query_metric(project_id, "h", HOUR, aggregate="avg", step_s=60)
    assert (values(mean), mean.unit) == ([1.5, 1.5], "s")
    assert values(query_metric(project_id, "h", HOUR, aggregate="increase", step_s=60)) == [10.0, 10.0]


@pytest.mark.parametrize(
    ("field", "ask"),
    [
        ("aggregate", lambda project_id: query_metric(project_id, "g", HOUR, aggregate="rate")),
        ("aggregate", lambda project_id: query_metric(project_id, "g", HOUR, aggregate="p95")),
        ("step", lambda project_id: query_metric(project_id, "g", DAY, step_s=61)),
        ("step", lambda project_id: query_metric(project_id, "g", HOUR, step_s=0)),
        ("group_by", lambda project_id: query_metric(project_id, "g", HOUR, group_by=("a",) * 6)),
    ],
)
def test_a_question_that_a_metric_cannot_answer_is_refused(project_id: int, field: str, ask: Callable) -> None:
    store_points(project_id, point("g", 0, 1.0))
    with pytest.raises(InvalidFilterError) as refused:
        ask(project_id)
    assert refused.value.field == field


def test_an_unknown_metric_is_none_and_the_known_are_listed(project_id: int) -> None:
    store_points(project_id, point("g", 0, 1.0))
    assert query_metric(project_id, "nothing", HOUR) is None
    assert [(each.name, each.type) for each in metrics.names(project_id, HOUR)] == [("g", "gauge")]


def gpu_points(uuid: str, host: str = "node-1") -> list[dict]:
    rows = [point(gpu.UTILIZATION, second, 0.5, gpu_uuid=uuid, host=host) for second in range(-120, 120, 10)]
    for row in rows:
        row["attributes"] = {"hw.gpu.task": "general"}
    encoder = [row | {"series": 2, "attributes": {"hw.gpu.task": "encoder"}, "value": 0.1} for row in rows]
    memory = [row | {"metric": gpu.MEMORY_USAGE, "unit": "By", "attributes": {}, "value": 8e9} for row in rows]
    return [*rows, *encoder, *memory]


def gpus_of(project_id: int, **fields: object) -> gpu.TraceGpus:
    trace_id = new_trace_id()
    store_spans(project_id, span(trace_id, 0, duration_ns=20 * 10**9, **fields))
    trace = get_trace(project_id, trace_id)
    assert trace is not None
    return gpu.of_trace(project_id, trace.summary)


def test_a_trace_s_own_gpu_goes_before_the_others_of_its_host(project_id: int) -> None:
    store_points(project_id, *gpu_points("GPU-1"), *({**row, "series": 9} for row in gpu_points("GPU-2")))
    found = gpus_of(project_id, gpu_uuids=["GPU-1"], host="node-1")
    assert (found.join, [each.uuid for each in found.gpus]) == ("gpu_uuid", ["GPU-1"])
    general = found.gpus[0].of(gpu.UTILIZATION)
    assert (general.detail, {value for _, value in general.points}) == ("general", {0.5})
    times = [time for time, _ in general.points]
    assert at(-30) - 10**8 <= times[0] < times[-1] <= at(50)
    assert found.gpus[0].of(gpu.MEMORY_USAGE).unit == "By"
    assert found.gpus[0].of(gpu.POWER) is None


def test_by_host_alone_the_join_is_called_weaker(project_id: int) -> None:
    store_points(project_id, *gpu_points("GPU-1"), *gpu_points("GPU-3", host="node-2"))
    found = gpus_of(project_id, host="node-1")
    assert (found.join, [each.uuid for each in found.gpus]) == ("host", ["GPU-1"])
    assert "other requests" in found.reason


def test_a_trace_without_gpu_metrics_says_why(project_id: int) -> None:
    assert gpus_of(project_id).reason == "The trace names neither a host nor a GPU."
    assert gpus_of(project_id, host="node-9").join == "none"
    assert "reported no metrics" in gpus_of(project_id, gpu_uuids=["GPU-9"]).reason


def test_a_trace_that_claims_to_last_for_decades_has_its_first_week_shown(project_id: int) -> None:
    store_points(project_id, *gpu_points("GPU-1"))
    trace_id = new_trace_id()
    store_spans(project_id, span(trace_id, 0, duration_ns=40 * 366 * 86_400 * 10**9, gpu_uuids=["GPU-1"]))
    trace = get_trace(project_id, trace_id)
    assert trace is not None
    found = gpu.of_trace(project_id, trace.summary)
    assert found.join == "gpu_uuid"
    assert found.range.end - found.range.start < timedelta(days=8)
