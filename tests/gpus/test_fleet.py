"""What is known of each GPU of a scripted day, against the script, and what problems are made of it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from heliograph.clickhouse import client
from heliograph.demo.day import GPUS, HOST, HOT, HOT_GPU, LOST, LOST_GPU
from heliograph.demo.day_gpus import HELD_SHARE, MEMORY_BYTES, uuid_of
from heliograph.query import fleet, gpu_series, gpu_served
from heliograph.query.filters import InvalidFilterError, SpanFilter, TimeRange, from_ns
from heliograph.query.gpu_problems import problems_of
from tests.gpus.conftest import Played
from tests.query.rows import HOUR, point, store_rows

pytestmark = pytest.mark.usefixtures("store")


def kinds(gpu: fleet.FleetGpu) -> set[str]:
    return {problem.kind for problem in gpu.problems}


def test_each_gpu_is_as_the_script_says(played: Played) -> None:
    found = {gpu.index: gpu for gpu in fleet.fleet(played.project_id, played.span).gpus}
    assert sorted(found) == [str(index) for index in range(GPUS)]
    day = played.day
    for index in range(GPUS):
        gpu = found[str(index)]
        # The energy counter goes on while a GPU is lost, as its power does.
        assert gpu.power == pytest.approx(day.joules(index, day.end_ns) / day.length_s, rel=0.05)
        assert (gpu.host, gpu.memory_limit) == (HOST, MEMORY_BYTES)
        assert gpu.temperature is not None
        assert (gpu.temperature >= 89) == (index == HOT_GPU)


def test_problems_are_those_of_the_script_and_of_no_other_gpu(played: Played) -> None:
    found = {int(gpu.index): gpu for gpu in fleet.fleet(played.project_id, played.span).gpus}
    assert kinds(found[HOT_GPU]) == {"heat"}
    assert kinds(found[LOST_GPU]) == {"failed", "xid"}
    assert found[LOST_GPU].xids == {"79": 1}
    assert all(not gpu.problems for index, gpu in found.items() if index not in (HOT_GPU, LOST_GPU))


def test_throttle_seconds_are_the_counters_growth(played: Played) -> None:
    [hot] = [gpu for gpu in fleet.fleet(played.project_id, played.span).gpus if gpu.index == str(HOT_GPU)]
    held = HELD_SHARE * (HOT[1] - HOT[0]) * played.day.length_s
    assert hot.held_back_s == pytest.approx(held, rel=0.02)
    # The power cap's counter stood still at 310 s: nothing grew in the range.
    assert set(hot.throttled_s) == {"hw_thermal_slowdown"}


def test_a_gpu_that_is_lost_at_the_end_of_the_range_is_told_so(played: Played) -> None:
    until = from_ns(played.day.at_ns((LOST[0] + LOST[1]) / 2))
    found = fleet.fleet(played.project_id, TimeRange(played.span.start, until))
    [lost] = [gpu for gpu in found.gpus if gpu.index == str(LOST_GPU)]
    assert kinds(lost) == {"lost", "xid"}
    assert lost.rank == min(gpu.rank for gpu in found.gpus)


def test_a_gpu_that_sent_nothing_in_the_range_is_silent_and_has_no_readings(played: Played) -> None:
    later = TimeRange(played.span.end + timedelta(minutes=10), played.span.end + timedelta(minutes=70))
    found = fleet.fleet(played.project_id, later).gpus
    assert len(found) == GPUS
    assert all(gpu.utilization is None and kinds(gpu) == {"silent"} for gpu in found)
    long_ago = TimeRange(played.span.start - timedelta(days=40), played.span.start - timedelta(days=39))
    assert fleet.fleet(played.project_id, long_ago).gpus == ()


def test_a_counter_that_began_again_is_not_a_day_of_throttling(project_id: int) -> None:
    labels = {"gpu.throttle.reason": "thermal"}
    readings = [(0, 900.0), (600, 900.0), (1200, 3.0), (1800, 3.0)]
    rows = [
        point("gpu.throttle.time", at, value, gpu_uuid="GPU-1", host="n", attributes=labels, is_monotonic=True)
        for at, value in readings
    ]
    rows += [point("hw.gpu.utilization", at, 0.5, gpu_uuid="GPU-1", host="n", series=2) for at, _ in readings]
    store_rows(project_id, "metric_points", [row | {"resource": {"gpu.index": "0"}} for row in rows])
    [gpu] = fleet.fleet(project_id, HOUR).gpus
    assert gpu.throttled_s == {"thermal": 3.0}


def test_pages_of_the_fleet_meet_every_gpu_once(played: Played) -> None:
    seen: list[str] = []
    after, rounds = ("", ""), 0
    while rounds < 10:
        found = fleet.fleet(played.project_id, played.span, after=after, limit=3)
        seen += [gpu.gpu_uuid for gpu in found.gpus]
        rounds += 1
        if not found.is_cut:
            break
        assert found.last is not None
        after = found.last
    assert (seen, rounds) == ([uuid_of(index) for index in range(GPUS)], 3)
    with pytest.raises(InvalidFilterError):
        fleet.fleet(played.project_id, played.span, limit=fleet.MAX_GPUS + 1)


def test_another_project_sees_nothing(played: Played, project_id: int) -> None:
    assert fleet.fleet(project_id, played.span).gpus == ()
    assert fleet.device(project_id, uuid_of(0), played.span) is None
    assert fleet.events(project_id, played.span) == []
    assert gpu_series.levels(project_id, played.span, ["hw.power"], gpu_uuid=uuid_of(0)) == []
    assert gpu_series.rates(project_id, played.span, ["hw.energy"], host=HOST) == []
    assert gpu_served.requests_on(project_id, uuid_of(0), played.span) == []
    assert gpu_served.slowest_on(project_id, uuid_of(0), played.span) == []
    assert gpu_served.slowest(project_id, SpanFilter(range=played.span)) == []


@pytest.mark.parametrize("is_long", [False, True])
def test_energy_a_second_is_the_power_from_points_and_from_the_rollup(played: Played, is_long: bool) -> None:
    span = TimeRange(played.span.start - timedelta(hours=8), played.span.end) if is_long else played.span
    # Steps of a minute from the rollup, and of ten seconds, two readings each, from the points.
    buckets = 1000 if is_long else 120
    [line] = gpu_series.rates(played.project_id, span, ["hw.energy"], gpu_uuid=uuid_of(0), host=HOST, buckets=buckets)
    assert line.step_s == (60 if is_long else 10)
    # The last step may hold a part only, and weighs what it holds: up to it each is whole.
    drawn = sum(value * line.step_s for _, value in line.points[:-1])
    begin, end = (played.day.joules(0, at * 10**9) for at in (line.points[0][0], line.points[-1][0]))
    assert (line.points[-1][0] - line.points[0][0]) * 10**9 >= 0.9 * (played.day.end_ns - played.day.start_ns)
    assert drawn == pytest.approx(end - begin, rel=1e-6)
    [clock] = gpu_series.levels(
        played.project_id, span, ["gpu.clock.frequency"], gpu_uuid=uuid_of(HOT_GPU), buckets=1000
    )
    assert min(value for _, value in clock.points) == pytest.approx(0.6 * 1.98e9, rel=0.01)


def test_the_links_of_a_gpu_are_added_and_directions_are_not(project_id: int) -> None:
    rows = []
    for link in range(2):
        for number, direction in enumerate(("transmit", "receive")):
            labels = {"gpu.nvlink.link": str(link), "network.io.direction": direction}
            rows += [
                point(
                    "gpu.nvlink.io",
                    at,
                    at * 10.0 * (1 + number),
                    gpu_uuid="GPU-1",
                    attributes=labels,
                    series=10 * link + number,
                )
                for at in range(0, 300, 10)
            ]
    store_rows(project_id, "metric_points", rows)
    lines = gpu_series.rates(project_id, HOUR, ["gpu.nvlink.io"], gpu_uuid="GPU-1")
    assert {line.label: round(line.points[0][1]) for line in lines} == {"transmit": 20, "receive": 40}


def test_the_requests_of_a_gpu_are_those_of_its_engine(played: Played) -> None:
    found = gpu_served.requests_on(played.project_id, uuid_of(4), played.span, limit=500)
    assert {one.model for one in found} == {"Qwen/Qwen2.5-7B-Instruct-AWQ"}
    assert {one.strength for one in found} == {"pid"}
    taken = [one.gpu_seconds for one in found]
    assert taken == sorted(taken, reverse=True)
    assert gpu_served.requests_on(played.project_id, uuid_of(6), played.span) == []


def test_what_was_slow_then_on_the_hot_gpu_is_its_engine_s_slow_requests(played: Played) -> None:
    hot = TimeRange(from_ns(played.day.at_ns(HOT[0])), from_ns(played.day.at_ns(HOT[1])))
    found = gpu_served.slowest_on(played.project_id, uuid_of(HOT_GPU), hot, limit=5)
    durations = [one.duration_ns for one in found]
    assert durations == sorted(durations, reverse=True)
    assert all(one.tpot_ns is not None and one.tpot_ns > 0.03e9 for one in found)
    with pytest.raises(InvalidFilterError):
        gpu_served.slowest(played.project_id, SpanFilter(range=TimeRange(hot.start - timedelta(days=2), hot.end)))


def test_events_are_kept_beside_the_logs_and_a_retried_one_counts_once(played: Played) -> None:
    before = fleet.events(played.project_id, played.span, gpu_uuid=uuid_of(LOST_GPU))
    assert [event.words for event in reversed(before)] == ["XID 79", "lost", "back"] or [
        event.words for event in reversed(before)
    ] == ["lost", "XID 79", "back"]
    sql = "SELECT * EXCEPT (received_at) FROM log_records WHERE project_id = %(project_id)s"
    rows = client.query(played.project_id, sql, tag="tests")
    client.insert("log_records", {name: [row[name] for row in rows] for name in rows[0]})
    assert fleet.events(played.project_id, played.span, gpu_uuid=uuid_of(LOST_GPU)) == before
    gpus = fleet.fleet(played.project_id, played.span).gpus
    assert [gpu.xids for gpu in gpus if gpu.xids] == [{"79": 1}]


QUIET = {"seconds": 3600.0, "silent_s": None, "grown": {}, "states": {}, "states_now": {}, "xids": {}}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, []),
        ({"grown": {"throttle:thermal": 0.4}}, []),
        ({"grown": {"throttle:thermal": 20.0}}, [("heat", "warn")]),
        ({"grown": {"throttle:sw_thermal_slowdown": 41.0}}, [("heat", "bad")]),
        ({"grown": {"throttle:hw_slowdown": 41.0, "throttle:hw_thermal_slowdown": 41.0}}, [("heat", "bad")]),
        ({"grown": {"throttle:hw_power_brake_slowdown": 5.0}}, [("hardware", "bad")]),
        ({"grown": {"throttle:sw_power_cap": 1700.0}}, []),
        ({"grown": {"throttle:sw_power_cap": 1900.0}}, [("power_cap", "warn")]),
        ({"grown": {"error:corrected": 9.0}}, []),
        ({"grown": {"error:uncorrected": 2.0}}, [("ecc", "bad")]),
        ({"xids": {"79": 1, "63": 2}}, [("xid", "bad"), ("xid", "bad")]),
        ({"states": {"failed": 1.0}, "states_now": {"failed": 1.0}}, [("lost", "bad")]),
        ({"states": {"failed": 1.0}, "states_now": {"failed": 0.0}}, [("failed", "bad")]),
        ({"states": {"stuck": 1.0}, "states_now": {"stuck": 1.0}}, [("stuck", "bad")]),
        ({"states": {"stuck": 1.0}, "states_now": {}}, [("stuck", "warn")]),
        ({"states_now": {"predicted_failure": 1.0}}, [("failing", "warn")]),
        ({"silent_s": 179.0}, []),
        ({"silent_s": 181.0}, [("silent", "warn")]),
        # A lost GPU is silent because it is lost.
        ({"silent_s": 900.0, "states_now": {"failed": 1.0}}, [("lost", "bad")]),
    ],
)
def test_a_problem_is_told_where_there_is_one(told: dict[str, object], expected: list[tuple[str, str]]) -> None:
    found = problems_of(**(QUIET | told))  # type: ignore[arg-type]
    assert [(problem.kind, problem.severity) for problem in found] == expected


def test_the_worst_come_first() -> None:
    base = fleet.FleetGpu(
        host="n", gpu_uuid="u", name="", index="1", parent="", mig_profile="", last_seen_ns=0, utilization=None,
        power=None, power_limit=None, memory_used=None, memory_limit=None, temperature=None, held_back_s=0,
    )  # fmt: skip
    bad = problems_of(**(QUIET | {"xids": {"79": 1}}))  # type: ignore[arg-type]
    warned = problems_of(**(QUIET | {"silent_s": 999.0}))  # type: ignore[arg-type]
    gpus = [base, replace(base, problems=warned), replace(base, problems=bad)]
    assert sorted(gpus, key=lambda gpu: gpu.rank) == gpus[::-1]
