"""Clocks of GPU hosts that are over a second from the server's are told; readings that merely came late are not."""

from datetime import UTC, datetime, timedelta

import pytest

from heliograph.query.agent_clocks import agent_clocks
from heliograph.query.filters import TimeRange, to_ns
from tests.query.rows import SECOND, point, store_rows

pytestmark = pytest.mark.usefixtures("store")


def send(project_id: int, host: str, *, ahead: float) -> None:
    """Store readings of now, and of the minute before, by a clock that is ahead by so many seconds (behind below 0)."""
    now = to_ns(datetime.now(UTC))
    rows = [
        point("hw.energy", 0, 1.0, time=now - age * SECOND + round(ahead * SECOND), host=host, gpu_uuid="GPU-1")
        for age in (0, 10, 60)
    ]
    store_rows(project_id, "metric_points", rows)


def warnings(project_id: int, *hosts: str) -> dict[str, str]:
    now = datetime.now(UTC)
    span = TimeRange(now - timedelta(minutes=30), now + timedelta(minutes=2))
    return {each.host: each.warning for each in agent_clocks(project_id, span, hosts=hosts)}


def test_a_clock_that_agrees_is_not_warned_of(project_id: int) -> None:
    send(project_id, "fine", ahead=0)
    assert warnings(project_id) == {"fine": ""}


def test_a_clock_that_is_ahead_is_named_with_its_seconds(project_id: int) -> None:
    send(project_id, "fast", ahead=90)
    said = warnings(project_id)["fast"]
    assert said.startswith("The clock of fast is ahead of the server's by ")
    assert 60 < float(said.split(" by ")[1].split()[0]) <= 90


def test_a_clock_that_is_behind_is_said_to_be_that_or_held_back(project_id: int) -> None:
    send(project_id, "slow", ahead=-30)
    assert "its clock is behind the server's, or something on the way holds them back" in warnings(project_id)["slow"]


def test_readings_that_came_minutes_late_tell_of_no_clock(project_id: int) -> None:
    send(project_id, "offline", ahead=-600)
    assert warnings(project_id) == {"offline": ""}


def test_only_the_hosts_that_are_asked_for_and_only_ones_own(project_id: int) -> None:
    send(project_id, "fast", ahead=90)
    send(project_id, "other", ahead=90)
    assert set(warnings(project_id, "fast")) == {"fast"}
    assert warnings(project_id + 1_000_000) == {}
