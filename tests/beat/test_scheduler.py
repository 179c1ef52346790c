"""The elected beat sends what is due, and its successor no more than has become due since."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from heliograph.beat.lease import HOLD, RENEW, TAKEOVER, Lease
from heliograph.beat.scheduler import ElectedScheduler
from heliograph.celery import app
from tests.beat.test_lease import Clock

pytestmark = pytest.mark.django_db


class Beat(ElectedScheduler):
    """One whose messages are noted, and whose lease goes by a clock of the test's."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(app=app)
        self.lease = Lease(clock)
        self.producer = None
        self.sent: list[str] = []

    def apply_async(self, entry: Any, *args: Any, **options: Any) -> None:
        self.sent.append(entry.task)
        # As Celery's own does after each message.
        self._tasks_since_sync += 1
        if self.should_sync():
            self._do_sync()

    def beat(self) -> list[str]:
        """Send all that is due; return it."""
        before = len(self.sent)
        while self.tick() == 0:
            pass
        return self.sent[before:]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_all_due(**late: float) -> None:
    """Have everything been sent last so long ago, and be due once a day: no test takes so long."""
    IntervalSchedule.objects.update(every=1, period=IntervalSchedule.DAYS)
    # By the hour of the day; it is Celery's own, of results that nobody stores here.
    PeriodicTask.objects.filter(name="celery.backend_cleanup").update(enabled=False)
    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(**late))


def test_of_two_beats_one_sends(clock: Clock) -> None:
    first, second = Beat(clock), Beat(clock)
    make_all_due(days=2)
    sent = first.beat()
    assert len(sent) == len(set(sent)) == PeriodicTask.objects.filter(enabled=True).count()
    assert second.beat() == []


def test_who_takes_over_sends_nothing_that_the_one_before_has_sent(clock: Clock) -> None:
    first, second = Beat(clock), Beat(clock)
    make_all_due(days=2)
    first.beat()
    assert second.beat() == []
    PeriodicTask.objects.filter(name="disk").update(last_run_at=timezone.now() - timedelta(days=2))
    # Killed: it stores nothing any more and gives nothing back.
    clock.now += TAKEOVER
    assert second.beat() == ["heliograph.disk.tasks.guard_disk"]
    assert first.beat() == [], "and one that only hung has nothing to say"


def test_a_beat_that_waited_for_the_broker_until_its_lease_ended_does_not_send(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Beat(clock), Beat(clock)
    make_all_due(days=2)
    reserve = first.reserve

    def slowly(entry: Any) -> Any:
        clock.now += HOLD
        return reserve(entry)

    monkeypatch.setattr(first, "reserve", slowly)
    assert first.beat() == []
    assert second.tick() > 0
    clock.now += TAKEOVER
    assert len(second.beat()) > 1
    assert first.beat() == []
    first.sync()
    assert not PeriodicTask.objects.filter(enabled=True, last_run_at__lt=timezone.now() - timedelta(days=1)).exists()


def test_a_beat_goes_on_where_the_wall_clock_is_set_back(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    beat = Beat(clock)
    make_all_due(days=2)
    beat.beat()
    # What was sent by the clock of then, which was an hour ahead.
    make_all_due(hours=-1)
    ahead = time.time()
    monkeypatch.setattr("heliograph.beat.scheduler._ahead", lambda: ahead - time.monotonic() - 3_600)
    assert beat.beat() == []
    late = {entry.name for entry in beat._schedule.values() if entry.last_run_at > timezone.now()}
    assert late == set(), "it waits for an hour for none of them"


def test_a_beat_without_its_database_sends_for_as_long_as_it_surely_is_elected(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = Beat(clock)
    assert beat.tick() >= 0
    monkeypatch.setattr(beat.lease, "_take", _away)
    clock.now += RENEW
    make_all_due(days=2)
    beat._start_afresh()
    assert beat.tick() == 0
    clock.now += HOLD
    assert beat.beat() == []


def _away(row: object) -> bool:
    raise OperationalError("the database is away")


def test_a_beat_that_is_stopped_is_followed_at_once(clock: Clock) -> None:
    first, second = Beat(clock), Beat(clock)
    first.tick()
    assert second.beat() == []
    first.close()
    make_all_due(days=2)
    assert second.beat() != []
