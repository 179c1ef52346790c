"""One of several beats is elected, by clocks that never jump."""

import pytest

from heliograph.beat.lease import HOLD, RENEW, TAKEOVER, Lease
from heliograph.beat.models import BeatLease

pytestmark = pytest.mark.django_db


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_of_two_beats_one_is_elected_for_as_long_as_it_renews(clock: Clock) -> None:
    first, second = Lease(clock), Lease(clock)
    assert first.try_to_hold()
    for _ in range(20):
        assert not second.try_to_hold()
        clock.now += RENEW
        assert first.try_to_hold()


def test_the_other_takes_over_from_one_that_died_and_no_sooner_than_it_has_stopped_acting(clock: Clock) -> None:
    first, second = Lease(clock), Lease(clock)
    assert first.try_to_hold()
    assert not second.try_to_hold()
    elected_at = None
    for second_since in range(1, 60):
        clock.now += 1.0
        if second.try_to_hold():
            elected_at = second_since
            break
        assert first.is_held is (second_since < HOLD)
    assert elected_at == TAKEOVER
    assert not first.is_held


def test_one_that_hung_does_not_take_the_lease_back(clock: Clock) -> None:
    first, second = Lease(clock), Lease(clock)
    assert first.try_to_hold()
    assert not second.try_to_hold()
    clock.now += TAKEOVER
    assert second.try_to_hold()
    assert not first.try_to_hold()
    assert second.try_to_hold()


def test_of_two_that_find_the_lease_free_at_once_one_takes_it(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Lease(clock), Lease(clock)
    take = Lease._take

    def slowly(lease: Lease, row: BeatLease) -> bool:
        monkeypatch.setattr(Lease, "_take", take)
        assert second.try_to_hold(), "it asks between the other's look and its write"
        return take(lease, row)

    monkeypatch.setattr(Lease, "_take", slowly)
    assert not first.try_to_hold()
    assert second.is_held


def test_a_holder_without_a_database_stops_by_itself(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease(clock)
    assert lease.try_to_hold()
    clock.now += HOLD - 0.5
    assert lease.is_held
    clock.now += 1.0
    assert not lease.is_held


def test_a_slow_answer_shortens_the_time_in_which_it_may_act(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    lease, take = Lease(clock), Lease._take

    def slowly(lease: Lease, row: BeatLease) -> bool:
        taken = take(lease, row)
        clock.now += HOLD
        return taken

    monkeypatch.setattr(Lease, "_take", slowly)
    assert not lease.try_to_hold(), "another may have seen the row stand still since it was written"


def test_a_beat_that_ends_in_order_leaves_the_lease_to_the_next_at_once(clock: Clock) -> None:
    first, second = Lease(clock), Lease(clock)
    assert first.try_to_hold()
    first.release()
    assert second.try_to_hold()
    first.release()
    assert BeatLease.objects.get().holder == second.name, "what it no longer holds is not its to give away"
