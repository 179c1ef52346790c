"""Numbers as people read them."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from django.utils.html import strip_tags
from hypothesis import given
from hypothesis import strategies as st

from heliograph.dashboards.templatetags import units
from heliograph.query.quantities import three_figures


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (842_000_000, "842 ms"),
        (1_240_000_000, "1.24 s"),
        (999_600_000, "1 s"),
        (90 * 10**9, "1.5 min"),
        (7_200 * 10**9, "2 h"),
        (12_300, "12.3 µs"),
        (0, "0"),
    ],
)
def test_durations_have_three_figures_and_a_unit(nanoseconds: int, text: str) -> None:
    assert strip_tags(units.duration(nanoseconds)) == text


@pytest.mark.parametrize(("ratio", "text"), [(0.123, "12.3 %"), (-0.5, "50 %"), (298.0, "× 299")])
def test_a_huge_change_is_a_factor(ratio: float, text: str) -> None:
    assert strip_tags(units.change(ratio)) == text


@pytest.mark.parametrize(("value", "text"), [(12_345, "12.3 k"), (999, "999"), (1_234_567, "1.23 M"), (0, "0")])
def test_counts_are_scaled(value: int, text: str) -> None:
    assert strip_tags(units.count(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.0042"), "$0.0042"),
        (Decimal("0.00000123"), "$0.00000123"),
        (Decimal("0.000046875"), "$0.0000469"),
        (1234, "$1,234"),
    ],
)
def test_money_has_no_exponent(value: Decimal | int, text: str) -> None:
    assert strip_tags(units.usd(value)) == text


def test_a_small_price_has_three_figures_too() -> None:
    assert strip_tags(units.usd(Decimal("0.000046875"))) == "$0.0000469"


def test_a_missing_number_is_a_dash_with_its_reason_and_never_zero() -> None:
    for shown in (
        units.duration(None, "why"),
        units.count(None, "why"),
        units.usd(None, "why"),
        units.figure(None, "why"),
    ):
        assert strip_tags(shown) == "–"
        assert 'title="why"' in shown


def test_the_exact_value_stands_in_the_hover_text() -> None:
    assert 'title="1,240,000,000 ns"' in units.duration(1_240_000_000)


def test_a_reason_is_escaped() -> None:
    assert "<script>" not in units.duration(None, "<script>")


def test_a_time_is_written_in_utc_for_the_browser_to_turn() -> None:
    at = datetime(2026, 1, 31, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    assert 'datetime="2026-01-31T10:00:00.000Z"' in units.moment(at)
    assert 'datetime="2026-01-31T10:00:00.000Z"' in units.moment(int(at.astimezone(UTC).timestamp()) * 10**9)


@given(st.floats(min_value=-1e15, max_value=1e15, allow_nan=False))
def test_any_number_is_written_without_an_exponent(value: float) -> None:
    assert "e" not in three_figures(value)


def test_a_signal_s_values_have_its_unit() -> None:
    assert "904 ms" in units.signal_value("904000000.0", "latency")
    assert "$0.0042" in units.signal_value(0.0042, "cost")
    assert "512" in units.signal_value(512.0, "output_tokens")
    assert units.signal_value("stop", "finish_reason") == "stop"
    assert "≈ 0" in units.figure(1e-30)


@pytest.mark.parametrize(("value", "text"), [(24.0, "24"), (0.05, "0.05"), ("24.0", "24.0"), (None, ""), (7, "7")])
def test_a_field_of_a_form_has_no_point_that_nobody_typed(value: object, text: str) -> None:
    assert units.typed(value) == text
