"""Head sampling: decided by the trace id alone, alike everywhere, with a count of what one span stands for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.rules.head import HeadRule, is_kept, sample_spans

TRACE_IDS = st.integers(1, 2**128 - 1).map(lambda number: f"{number:032x}")


def columns(*spans: tuple[str, str, str, str]) -> dict[str, list[object]]:
    names = ("service", "environment", "trace_id", "trace_state")
    return {name: [span[place] for span in spans] for place, name in enumerate(names)}


@given(TRACE_IDS, st.floats(0, 1), st.floats(0, 1))
def test_what_is_kept_at_a_rate_is_kept_at_every_higher_one(trace_id: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert not is_kept(trace_id, low) or is_kept(trace_id, high)


@given(TRACE_IDS)
def test_a_rate_of_one_keeps_all_and_of_zero_nothing(trace_id: str) -> None:
    assert is_kept(trace_id, 1.0)
    assert not is_kept(trace_id, 0.0)


def test_the_decision_is_opentelemetrys() -> None:
    # The example of the specification: a threshold of 0xc keeps a quarter: random bits from c up.
    assert is_kept("0" * 18 + "c0000000000000", 0.25)
    assert not is_kept("f" * 18 + "bfffffffffffff", 0.25)


def test_the_random_value_of_the_trace_state_goes_before_the_id() -> None:
    assert is_kept("0" * 31 + "1", 0.1, "vendor=x,ot=th:8;rv:ffffffffffffff")
    assert not is_kept("f" * 32, 0.1, "ot=rv:00000000000000")


def test_a_rate_keeps_about_its_share() -> None:
    # Bits of a hash-like sequence: 1,000 equally spaced random values, so the share is exact to one trace.
    kept = sum(is_kept(f"{0:018x}{number * 2**56 // 1000:014x}", 0.2) for number in range(1000))
    assert kept in (199, 200, 201)


def test_the_first_rule_that_fits_decides_and_others_are_kept() -> None:
    rules = [HeadRule("checkout-*", "", 1.0), HeadRule("", "prod", 0.0)]
    given_columns = columns(
        ("checkout-api", "prod", "1" * 32, ""), ("search", "prod", "2" * 32, ""), ("search", "test", "3" * 32, "")
    )
    kept, dropped = sample_spans(given_columns, rules)
    assert kept["trace_id"] == ["1" * 32, "3" * 32]
    assert dropped == [1]
    assert kept["adjusted_count"] == [1.0, 1.0]


def test_a_span_says_for_how_many_it_stands_and_the_senders_own_sampling_counts() -> None:
    high = "f" * 32
    kept, _ = sample_spans(columns(("a", "", high, ""), ("a", "", high, "ot=th:f")), [HeadRule("", "", 0.25)])
    assert kept["adjusted_count"] == pytest.approx([4.0, 16.0])
