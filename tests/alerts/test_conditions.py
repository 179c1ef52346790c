"""Conditions: what they need and what they say, and which numbers make none."""

import random
import statistics
from typing import Any

import pytest

from heliograph.alerts.conditions import (
    WEEK,
    Anomaly,
    BurnRate,
    Change,
    Condition,
    InvalidConditionError,
    Threshold,
    as_json,
    condition_of,
)
from heliograph.alerts.transports.message import amount
from heliograph.query.measures import measure_of


def judge(condition: Condition, values: dict[tuple[int, int], float | None], window: int = 5) -> bool | None:
    asked = condition.needs(window)

    def read(minutes: int, offset: int) -> float | None:
        assert (minutes, offset) in asked
        return values.get((minutes, offset))

    return condition.judge(window, read).breach


@pytest.mark.parametrize(
    ("condition", "now", "before", "expected"),
    [
        (Threshold("above", 2.0), 2.0, None, False),
        (Threshold("above", 2.0), 2.1, None, True),
        (Threshold("below", 2.0), 1.9, None, True),
        (Threshold("below", 2.0), None, None, None),
        (Change("above", 0.5), 151.0, 100.0, True),
        (Change("above", 0.5), 150.0, 100.0, False),
        (Change("below", 0.5), 49.0, 100.0, True),
        (Change("above", 0.5), 3.0, 1.0, True),
        (Change("above", 0.5, least=10), 3.0, 1.0, False),
        (Change("above", 0.5), 3.0, None, None),
        (Change("above", 0.5), 3.0, 0.0, None),
        (Change("above", 0.5), None, 3.0, None),
    ],
)
def test_thresholds_and_changes(condition: Condition, now: float, before: float, expected: bool | None) -> None:
    assert judge(condition, {(5, 0): now, (5, -5): before}) is expected


@pytest.mark.parametrize(
    ("short", "long", "expected"),
    [
        (0.02, 0.02, True),  # 20 times the budget of 0.1 %
        (0.01, 0.02, False),  # it mattered, and is over
        (0.02, 0.01, False),  # it goes on, and matters little yet
        (None, 0.02, False),  # no requests lately burn nothing
        (0.02, None, None),
    ],
)
def test_a_budget_burns_where_it_burns_in_both_windows(short: float, long: float, expected: bool | None) -> None:
    condition = BurnRate(objective=0.999, factor=14.4)
    assert judge(condition, {(5, 0): short, (60, 0): long}) is expected


def test_an_anomaly_is_measured_by_median_and_mad_of_the_weeks_before() -> None:
    chance = random.Random(5)
    past = {(5, sample - week * WEEK): chance.gauss(100, 10) for week in (1, 2, 3, 4) for sample in (-30, 0, 30)}
    median = statistics.median(past.values())
    spread = 1.4826 * statistics.median(abs(each - median) for each in past.values())
    for deviations, expected in ((3.9, False), (4.1, True), (-4.1, True)):
        assert judge(Anomaly(), past | {(5, 0): median + deviations * spread}) is expected
    assert judge(Anomaly(side="below"), past | {(5, 0): median + 9 * spread}) is False
    # One odd week does not make the others odd.
    odd = past | {(5, sample - WEEK): 10_000.0 for sample in (-30, 0, 30)}
    assert judge(Anomaly(), odd | {(5, 0): 100.0}) is False


def test_an_anomaly_says_nothing_until_it_knows_two_weeks() -> None:
    past = {(5, sample - WEEK): 100.0 for sample in (-30, 0, 30)}
    assert judge(Anomaly(), past | {(5, 0): 900.0}) is None
    assert judge(Anomaly(), past | {(5, -2 * WEEK): 100.0, (5, 0): 900.0}) is True
    # The same to the last request each week: a twentieth of it is the least deviation.
    assert judge(Anomaly(), past | {(5, -2 * WEEK): 100.0, (5, 0): 119.0}) is False


@pytest.mark.parametrize(
    ("kind", "given", "field"),
    [
        ("nonsense", {}, "kind"),
        ("threshold", {"side": "above"}, "bound"),
        ("threshold", {"side": "over", "bound": 1}, "side"),
        ("threshold", {"side": "above", "bound": "1"}, "bound"),
        ("threshold", {"side": "above", "bound": True}, "bound"),
        ("threshold", {"side": "above", "bound": float("nan")}, "bound"),
        ("threshold", {"side": "above", "bound": 1, "more": 1}, "more"),
        ("change", {"side": "below", "by": 1.5}, "by"),
        ("change", {"side": "below", "by": 0.5, "versus": "ever"}, "versus"),
        ("burn_rate", {"objective": 1.0}, "objective"),
        ("burn_rate", {"objective": 0.99, "factor": 101}, "factor"),
        ("burn_rate", {"objective": 0.99, "short": 60, "long": 60}, "short"),
        ("burn_rate", {"objective": 0.99, "short": 5.5}, "short"),
        ("anomaly", {"weeks": 1}, "weeks"),
        ("anomaly", {"side": "sideways"}, "side"),
    ],
)
def test_numbers_that_make_no_condition_are_refused_by_name(kind: str, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidConditionError) as refused:
        condition_of(kind, given)
    assert refused.value.field == field


def test_a_condition_comes_back_as_it_was_stored() -> None:
    for kind, condition in (("change", Change("below", 0.5)), ("burn_rate", BurnRate(0.99)), ("anomaly", Anomaly())):
        assert condition_of(kind, as_json(condition)) == condition


@pytest.mark.parametrize(
    ("measure", "kind", "value", "said"),
    [
        ("error_rate", "threshold", 0.25, "25 %"),
        ("slow_rate", "threshold", 0.0123, "1.23 %"),
        ("score_mean", "threshold", 0.25, "0.25"),
        ("drift", "threshold", 1.0, "1"),
        ("gpu_lost", "threshold", 0.0, "0"),
        ("latency_p95", "threshold", 0.842, "842 ms"),
        ("latency_p95", "threshold", 0.0, "0 s"),
        ("cost", "threshold", 0.0042, "$0.0042"),
        ("gpu_temperature", "threshold", 71.0, "71 °C"),
        ("gpu_power", "threshold", 4_812.0, "4.81 kW"),
        ("silence", "threshold", 5.0, "5 min"),
        ("output_tokens", "threshold", 12_345.0, "12.3 k"),
        ("error_rate", "burn_rate", 14.44, "14.4 times the budget"),
    ],
)
def test_a_value_is_said_as_pages_have_their_numbers(measure: str, kind: str, value: float, said: str) -> None:
    assert amount(value, {"measure": measure, "unit": measure_of(measure).unit, "kind": kind}) == said


def test_the_reason_of_a_change_is_a_share_as_pages_have_it() -> None:
    judged = Change("above", 0.5).judge(5, lambda _, offset: 3.0 if offset == 0 else 1.0)
    assert judged.reason == "+200 %"
