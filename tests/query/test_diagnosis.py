"""Verdicts on scripted scenarios sent as OTLP: each cause is found where it is, and not where it is not."""

from typing import Any

import pytest

from heliograph.query import diagnosis
from heliograph.query.diagnosis import Diagnosis
from tests.query.scenario import World

pytestmark = pytest.mark.usefixtures("store")
CLIENT, SERVER = f"{1:016x}", f"{2:016x}"
SLOW = {"tpot": 0.04}


@pytest.fixture
def world(project_id: int) -> World:
    return World(project_id)


def judged(world: World, span_id: str = CLIENT, **call: Any) -> Diagnosis:
    """Send the world and the judged call, and return the verdict on it."""
    world.send()
    found = diagnosis.of_span(world.project_id, world.call(0, **call), span_id)
    assert found is not None
    return found


def causes(found: Diagnosis) -> list[str]:
    return [finding.cause for finding in found.verdict.findings]


def said(found: Diagnosis) -> str:
    return " ".join(finding.sentence for finding in found.verdict.findings)


def test_tokens_that_are_slow_while_the_gpu_is_too_warm_are_explained_by_it(world: World) -> None:
    world.throttled_per_second, world.clock_hz = {"hw_thermal_slowdown": 0.7}, 1.2e9
    found = judged(world, tpot=0.3)
    assert causes(found) == ["throttling"]
    # The call ran for a minute: six intervals of ten seconds touch it, in which the counter rose by 0.7 s a second.
    assert "TPOT rose because GPU 3 of node-1 was thermally limited for 42 s of 1.0 min" in said(found)
    assert "1,200 MHz, 1,980 MHz usually" in said(found)
    assert found.placement.strength == "pid"
    assert found.verdict.missing == ()


@pytest.mark.parametrize(
    ("rate", "reason", "clock"),
    [(0.7, "hw_thermal_slowdown", 1.9e9), (0.04, "hw_thermal_slowdown", 1.2e9), (0.7, "sync_boost", 1.2e9)],
    ids=["it kept its clock", "for a moment only", "no limit of its own"],
)
def test_slow_tokens_are_not_blamed_on_a_gpu_that_was_not_held_back(
    world: World, rate: float, reason: str, clock: float
) -> None:
    world.throttled_per_second, world.clock_hz = {reason: rate}, clock
    found = judged(world, **SLOW)
    assert (found.verdict.outcome, causes(found)) == ("unexplained", [])
    assert "No cause found" in found.verdict.summary


def test_a_usual_call_is_usual_however_warm_the_gpu_is(world: World) -> None:
    world.throttled_per_second, world.clock_hz = {"hw_thermal_slowdown": 0.7}, 1.2e9
    assert judged(world).verdict.outcome == "usual"


def test_a_late_first_token_behind_a_queue_is_queueing_with_the_number_that_waited(world: World) -> None:
    world.engine = {"num_requests_waiting": 37}
    found = judged(world, queue=1.5)
    assert causes(found) == ["queue"]
    assert "TTFT is queueing: 37 requests waited; 1.5 s of 1.69 s passed in the queue, 10 ms usually." in said(found)


def test_a_long_queue_does_not_explain_a_first_token_that_did_not_wait_in_it(world: World) -> None:
    world.engine = {"num_requests_waiting": 37}
    found = judged(world, network=1.5)
    assert causes(found) == ["network"]
    assert "outside the engine's queue and prefill by 1.46 s" in said(found)


def test_a_late_first_token_of_a_long_prompt_is_prefill(world: World) -> None:
    found = judged(world, prefill=1.2, prompt_tokens=9_000)
    assert causes(found) == ["prefill"]
    assert "for a prompt of 9,000 tokens where 900 are usual" in said(found)


def test_slow_tokens_beside_a_full_cache_are_memory_pressure(world: World) -> None:
    world.engine, world.preempted_per_second = {"kv_cache_usage_perc": 0.97}, 0.2
    found = judged(world, **SLOW)
    assert causes(found) == ["memory"]
    assert "the KV cache was 97 % full and" in said(found)
    assert "requests were preempted" in said(found)


def test_slow_tokens_beside_a_cache_that_has_room_are_not(world: World) -> None:
    world.engine = {"kv_cache_usage_perc": 0.89}
    assert judged(world, **SLOW).verdict.outcome == "unexplained"


def test_slow_tokens_in_a_batch_three_times_as_full_are_crowding_and_in_one_half_as_full_again_are_not(
    world: World,
) -> None:
    world.engine = {"num_requests_running": 24}
    assert causes(judged(world, **SLOW)) == ["crowding"]


def test_slow_tokens_in_a_batch_little_fuller_than_usual_are_not_crowding(world: World) -> None:
    world.engine = {"num_requests_running": 12}
    assert judged(world, **SLOW).verdict.outcome == "unexplained"


def test_a_longer_call_with_usual_first_and_other_tokens_had_a_longer_output(world: World) -> None:
    found = judged(world, output_tokens=900)
    assert causes(found) == ["longer_output"]
    assert "900 tokens where 200 are usual" in said(found)


def test_a_longer_call_of_the_usual_output_is_not_called_one_with_a_longer_output(world: World) -> None:
    assert "longer_output" not in causes(judged(world, **SLOW))


def test_a_call_without_a_hour_before_it_gets_no_verdict(world: World) -> None:
    found = diagnosis.of_span(world.project_id, world.call(0), CLIENT)
    assert found is not None
    assert found.verdict.outcome == "unknown"
    assert "0 calls of this model and engine" in found.verdict.summary


def test_counters_that_did_not_come_are_said_and_nothing_is_blamed(world: World) -> None:
    world.sends_throttle = world.sends_engine = False
    world.clock_hz = 1.2e9
    found = judged(world, **SLOW)
    assert (found.verdict.outcome, causes(found)) == ("unexplained", [])
    assert "GPU 3 of node-1 sent no throttle counters around the call." in found.verdict.missing
    assert any("No serving engine sent metrics" in each for each in found.verdict.missing)


def test_an_engine_that_does_not_tell_a_level_is_named_with_the_level(world: World) -> None:
    del world.engine_metrics["kv_cache_usage_perc"]
    missing = judged(world, **SLOW).verdict.missing
    assert any("vLLM did not tell how full its KV cache was: no samples of" in each for each in missing), missing


def test_a_call_whose_gpus_are_not_known_is_judged_by_its_times_and_says_so(world: World) -> None:
    world.sends_processes = False
    world.throttled_per_second, world.clock_hz = {"hw_thermal_slowdown": 0.7}, 1.2e9
    found = judged(world, **SLOW)
    assert (found.placement.is_proven, causes(found)) == (False, [])
    assert any(each.startswith("The GPUs could not be looked at: ") for each in found.verdict.missing)


def test_the_engines_own_span_is_judged_too_and_finds_the_same_cause(world: World) -> None:
    world.throttled_per_second, world.clock_hz = {"hw_thermal_slowdown": 0.7}, 1.2e9
    found = judged(world, SERVER, **SLOW)
    assert causes(found) == ["throttling"]
    assert found.split.of("network") is None


def test_a_clients_time_is_split_into_queue_prefill_decode_and_network(world: World) -> None:
    found = judged(world, queue=0.5, network=0.2)
    parts = {part.name: round(part.nanoseconds / 1e9, 3) for part in found.split.parts}
    assert parts == {"queue": 0.5, "prefill": 0.15, "decode": 3.98, "network": 0.2}
    assert sum(part.share for part in found.split.parts) == pytest.approx(1)
    assert found.served is not None
    assert found.served.span_id == SERVER
    assert "“Network” is by how much the client's span is longer than that of “vllm”" in found.split.reason


def test_a_trace_is_judged_by_its_calls_once_each_the_worst_first(world: World) -> None:
    world.engine = {"num_requests_waiting": 37}
    world.send()
    trace_id = world.call(0, queue=1.5)
    found = diagnosis.of_trace(world.project_id, trace_id)
    assert found is not None
    assert [each.call.span_id for each in found.calls] == [CLIENT]
    assert (set(found.placements), found.unjudged) == ({CLIENT, SERVER}, 0)
    assert [each.instance.instance for each in found.engines if each.instance] == ["vllm-0"]
    assert found.slowest is not None
    assert causes(found.slowest) == ["queue"]


def test_nothing_of_another_project_is_judged_or_compared(world: World, project_id: int) -> None:
    world.send()
    trace_id = world.call(0, **SLOW)
    other = World(project_id + 1_000_000)
    assert diagnosis.of_trace(other.project_id, trace_id) is None
    assert diagnosis.of_span(other.project_id, trace_id, CLIENT) is None
    mine = diagnosis.of_span(other.project_id, other.call(0, **SLOW), CLIENT)
    assert mine is not None
    assert (mine.baseline.calls, mine.placement.is_proven, mine.verdict.outcome) == (0, False, "unknown")
