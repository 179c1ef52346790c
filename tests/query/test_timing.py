"""A call's time is split by what was measured, and what was not measured is not shown as a part."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.query.timing import Split, TimedCall, split

MS = 1_000_000


def of(**fields: Any) -> Split:
    return split(TimedCall(**({"duration_ns": 1_000 * MS, "attributes": {}} | fields)))


def shown(found: Split) -> dict[str, int]:
    return {part.name: part.nanoseconds // MS for part in found.parts}


def headers(prefix: str = "http.response.header.", as_list: bool = True, **values: int) -> dict[str, str]:
    named = {prefix + "x-" + name.replace("_", "-"): str(value) for name, value in values.items()}
    return {name: f'["{value}"]' for name, value in named.items()} if as_list else named


def test_the_engines_own_timings_make_the_parts_and_the_rest_is_other():
    found = of(queue_ns=50 * MS, prefill_ns=150 * MS, decode_ns=780 * MS, ttft_ns=210 * MS, output_tokens=40)
    assert shown(found) == {"queue": 50, "prefill": 150, "decode": 780, "other": 20}
    assert found.tpot_ns == 20 * MS
    assert found.source == "the engine's own timings"


def test_with_the_first_token_alone_queue_and_prefill_are_not_told_apart():
    found = of(ttft_ns=210 * MS, output_tokens=80)
    assert shown(found) == {"before first token": 210, "decode": 790}
    assert found.tpot_ns == 10 * MS


def test_tgi_times_prefill_and_decode_together_and_its_first_token_is_a_bound():
    found = of(dialect="tgi", queue_ns=100 * MS, decode_ns=800 * MS)
    assert shown(found) == {"queue": 100, "inference": 800, "other": 100}
    assert (found.ttft_ns, found.ttft_at_least_ns, found.tpot_ns) == (None, 100 * MS, None)


@pytest.mark.parametrize(("prefix", "as_list"), [("http.response.header.", True), ("", False)])
def test_the_headers_of_lorax_give_queue_prefill_and_decode(prefix, as_list):
    named = headers(
        prefix, as_list, queue_time=100, inference_time=800, time_to_first_token=300, time_per_output_token=12
    )
    found = of(attributes=named)
    assert shown(found) == {"queue": 100, "prefill": 200, "decode": 600, "other": 100}
    assert (found.ttft_ns, found.tpot_ns) == (300 * MS, 12 * MS)


def test_headers_that_are_no_numbers_are_passed_over():
    bad = {"x-queue-time": "soon", "http.response.header.x-queue-time": '["1', "x-inference-time": "9" * 40}
    assert of(attributes=bad).parts == ()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "neither the engine's timings nor"),
        ({"duration_ns": None}, "has not ended"),
        ({"decode_ns": 5_000 * MS}, "more than the span's"),
    ],
)
def test_where_nothing_can_be_split_the_reason_is_said(fields, why):
    found = of(**fields)
    assert found.parts == ()
    assert why in found.reason


def test_one_token_has_no_time_per_token():
    assert of(ttft_ns=210 * MS, output_tokens=1).tpot_ns is None


_maybe = st.none() | st.integers(0, 10**13)


@given(st.integers(1, 10**13), _maybe, _maybe, _maybe, _maybe, st.sampled_from(["", "vllm", "tgi"]))
def test_parts_add_up_to_the_span(duration, ttft, queue, prefill, decode, dialect):
    found = of(
        duration_ns=duration, ttft_ns=ttft, queue_ns=queue, prefill_ns=prefill, decode_ns=decode, dialect=dialect
    )
    if found.parts:
        assert sum(part.share for part in found.parts) == pytest.approx(1)
        assert duration <= sum(part.nanoseconds for part in found.parts) <= duration * 1.05 + 1
