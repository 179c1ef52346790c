"""Verdicts on scripted scenarios, in both directions: a cause that is there is said with its numbers, one that is not
there, or only nearly, is not."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.query.verdicts import Baseline, EngineEvidence, Evidence, GpuEvidence, Measured, Usual, Verdict, judge

HOUR_BEFORE = Baseline(
    calls=400,
    ttft_s=Usual(median=0.200, p90=0.260),
    tpot_s=Usual(median=0.020, p90=0.024),
    e2e_s=Usual(median=4.2, p90=6.0),
    queue_s=Usual(median=0.010, p90=0.030),
    prefill_s=Usual(median=0.170, p90=0.200),
    input_tokens=Usual(median=900, p90=1_400),
    output_tokens=Usual(median=200, p90=300),
)
NORMAL = Measured(ttft_s=0.2, tpot_s=0.02, e2e_s=4.2, queue_s=0.01, prefill_s=0.17, input_tokens=900, output_tokens=200)
SLOW_TOKENS = replace(NORMAL, tpot_s=0.034, e2e_s=7.0)
COOL = GpuEvidence(
    label="GPU 3 of node-1",
    seconds=60.0,
    throttled_s={"hw_thermal_slowdown": 0.0, "sw_power_cap": 0.5},
    clock_hz=1.98e9,
    usual_clock_hz=1.98e9,
)
HOT = replace(COOL, throttled_s={"hw_thermal_slowdown": 41.0, "sw_power_cap": 2.0}, clock_hz=1.2e9)
CALM = EngineEvidence(kv_usage=0.5, waiting=0.0, running=8.0, usual_running=8.0, preemptions=0.0)


def verdict(call: Measured = NORMAL, **fields: Any) -> Verdict:
    usual: dict[str, Any] = {"baseline": HOUR_BEFORE, "gpus": (COOL,), "engine": CALM}
    return judge(Evidence(call=call, **(usual | fields)))


def causes(found: Verdict) -> list[str]:
    return [finding.cause for finding in found.findings]


def test_a_usual_call_has_no_cause_whatever_the_hardware_does():
    found = verdict(gpus=(HOT,), engine=replace(CALM, kv_usage=0.99, waiting=37.0))
    assert (found.outcome, causes(found)) == ("usual", [])


def test_slow_tokens_on_a_hot_gpu_are_explained_with_its_seconds_and_clock():
    found = verdict(SLOW_TOKENS, gpus=(COOL, HOT))
    assert (found.outcome, causes(found)) == ("explained", ["throttling"])
    sentence = found.findings[0].sentence
    assert "TPOT rose because GPU 3 of node-1 was thermally limited for 41 s" in sentence
    assert "1,200 MHz, 1,980 MHz usually" in sentence
    assert "TPOT 34 ms against 20 ms usually" in found.summary


@pytest.mark.parametrize(
    "gpu",
    [
        COOL,
        replace(HOT, clock_hz=0.96 * 1.98e9),  # limited, but it kept its clock
        replace(HOT, throttled_s={"hw_thermal_slowdown": 2.9}),  # 4.8 % of the time
        replace(HOT, throttled_s={"sync_boost": 41.0}),  # no limit of this GPU
        replace(HOT, throttled_s={}),
        replace(HOT, seconds=None),
        replace(HOT, clock_hz=None),
        replace(HOT, usual_clock_hz=None),
    ],
)
def test_slow_tokens_are_not_blamed_on_a_gpu_that_was_not_held_back_or_is_not_known(gpu):
    found = verdict(SLOW_TOKENS, gpus=(gpu,))
    assert (found.outcome, causes(found)) == ("unexplained", [])
    assert "No cause found" in found.summary


def test_a_power_cap_that_costs_clock_is_said_as_such():
    capped = replace(COOL, throttled_s={"sw_power_cap": 20.0}, clock_hz=1.5e9)
    assert "limited by its power cap for 20 s of 1.0 min" in verdict(SLOW_TOKENS, gpus=(capped,)).findings[0].sentence


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (replace(CALM, kv_usage=0.94), "the KV cache was 94 % full"),
        (replace(CALM, preemptions=3.0), "3 requests were preempted"),
        (replace(CALM, kv_usage=0.97, preemptions=3.0), "97 % full and 3 requests were preempted"),
    ],
)
def test_slow_tokens_under_memory_pressure_are_explained(engine, said):
    found = verdict(SLOW_TOKENS, engine=engine)
    assert causes(found) == ["memory"]
    assert said in found.findings[0].sentence


@pytest.mark.parametrize("engine", [replace(CALM, kv_usage=0.9), replace(CALM, preemptions=0.0), EngineEvidence()])
def test_slow_tokens_with_room_in_the_cache_are_not_blamed_on_memory(engine):
    assert causes(verdict(SLOW_TOKENS, engine=engine)) == []


def test_slow_tokens_in_a_crowded_batch_are_explained_and_in_a_slightly_fuller_one_not():
    crowded = verdict(SLOW_TOKENS, engine=replace(CALM, running=40.0))
    assert causes(crowded) == ["crowding"]
    assert "40 requests ran together, 8 usually" in crowded.findings[0].sentence
    assert causes(verdict(SLOW_TOKENS, engine=replace(CALM, running=15.0))) == []


def test_a_late_first_token_behind_a_queue_is_queueing_with_its_length():
    call = replace(NORMAL, ttft_s=2.1, queue_s=1.9, e2e_s=6.1)
    found = verdict(call, engine=replace(CALM, waiting=37.0))
    assert causes(found) == ["queue"]
    assert found.findings[0].sentence.startswith("TTFT is queueing: 37 requests waited; 1.9 s of 2.1 s")


def test_a_queue_that_is_as_long_as_ever_is_not_blamed_though_requests_wait():
    call = replace(NORMAL, ttft_s=2.1, prefill_s=2.05)
    assert causes(verdict(call, engine=replace(CALM, waiting=37.0))) == ["prefill"]


def test_a_late_first_token_after_a_long_prompt_is_prefill_and_names_the_prompt():
    call = replace(NORMAL, ttft_s=1.6, prefill_s=1.5, input_tokens=8_100)
    found = verdict(call)
    assert causes(found) == ["prefill"]
    assert "a prompt of 8,100 tokens where 900 are usual" in found.findings[0].sentence
    assert "prompt of" not in verdict(replace(call, input_tokens=1_000)).findings[0].sentence


def test_a_late_first_token_that_neither_queue_nor_prefill_explains_came_from_outside():
    found = verdict(replace(NORMAL, ttft_s=1.2))
    assert causes(found) == ["network"]
    assert "by 1 s" in found.findings[0].sentence


def test_without_the_engines_timings_a_late_first_token_has_no_cause():
    found = verdict(replace(NORMAL, ttft_s=1.2, queue_s=None, prefill_s=None), missing=("No engine metrics.",))
    assert (found.outcome, causes(found), found.missing) == ("unexplained", [], ("No engine metrics.",))


def test_a_long_call_with_usual_speed_is_a_longer_output():
    call = replace(NORMAL, e2e_s=20.2, output_tokens=1_000)
    found = verdict(call)
    assert causes(found) == ["longer_output"]
    assert "1,000 tokens where 200 are usual" in found.findings[0].sentence


@pytest.mark.parametrize(
    "call",
    [
        replace(NORMAL, e2e_s=20.2, output_tokens=250),  # longer than usual, its output is not
        replace(NORMAL, e2e_s=20.2, output_tokens=None),
        replace(NORMAL, e2e_s=20.2, output_tokens=1_000, tpot_s=None),  # TPOT may have risen, nobody knows
    ],
)
def test_a_long_call_is_not_blamed_on_its_output_without_proof(call):
    assert "longer_output" not in causes(verdict(call))


def test_slow_tokens_are_never_explained_by_a_long_output():
    assert causes(verdict(replace(SLOW_TOKENS, output_tokens=1_000))) == []


@pytest.mark.parametrize(("tpot", "outcome"), [(0.0261, "unexplained"), (0.0259, "usual")])
def test_a_third_above_the_median_is_where_slow_begins(tpot, outcome):
    assert verdict(replace(NORMAL, tpot_s=tpot)).outcome == outcome


def test_what_one_call_in_ten_takes_is_not_slow():
    spread = replace(HOUR_BEFORE, tpot_s=Usual(median=0.02, p90=0.05))
    assert verdict(SLOW_TOKENS, baseline=replace(spread, e2e_s=None)).outcome == "usual"


def test_several_causes_stand_in_the_order_of_what_they_may_explain():
    found = verdict(SLOW_TOKENS, gpus=(HOT,), engine=replace(CALM, preemptions=2.0, running=18.0))
    assert causes(found) == ["memory", "throttling", "crowding"]
    weights = [finding.weight for finding in found.findings]
    assert weights == sorted(weights, reverse=True)


@pytest.mark.parametrize("calls", [0, 19])
def test_with_too_few_calls_before_there_is_no_verdict(calls):
    found = verdict(SLOW_TOKENS, gpus=(HOT,), baseline=replace(HOUR_BEFORE, calls=calls))
    assert (found.outcome, found.findings) == ("unknown", ())
    assert f"{calls} calls" in found.summary


def test_a_call_without_times_has_no_verdict():
    assert verdict(Measured()).outcome == "unknown"
    assert verdict(baseline=Baseline(calls=100)).outcome == "unknown"


_maybe = st.none() | st.floats(0, 1e6)
_calls = st.builds(
    Measured,
    ttft_s=_maybe,
    tpot_s=_maybe,
    e2e_s=_maybe,
    queue_s=_maybe,
    prefill_s=_maybe,
    input_tokens=st.none() | st.integers(0, 10**6),
    output_tokens=st.none() | st.integers(0, 10**6),
)
_engines = st.builds(
    EngineEvidence, kv_usage=_maybe, waiting=_maybe, running=_maybe, usual_running=_maybe, preemptions=_maybe
)
_gpus = st.builds(
    GpuEvidence,
    label=st.just("GPU 0"),
    seconds=_maybe,
    throttled_s=st.dictionaries(st.sampled_from(["thermal", "sw_power_cap", "other"]), st.floats(0, 1e6)),
    clock_hz=_maybe,
    usual_clock_hz=_maybe,
)


@given(_calls, _engines, st.lists(_gpus, max_size=3).map(tuple))
def test_no_numbers_break_a_verdict_and_findings_come_only_with_a_slow_call(call, engine, gpus):
    found = judge(Evidence(call=call, baseline=HOUR_BEFORE, engine=engine, gpus=gpus))
    assert bool(found.findings) == (found.outcome == "explained")
    assert "nan" not in found.summary
