"""A disk that is filling: it is told, then new traces are sampled, then the oldest weeks go; pinned ones stay."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heliograph.accounts.models import Project
from heliograph.clickhouse import client
from heliograph.clickhouse.errors import UnavailableError
from heliograph.disk import guard
from heliograph.disk.usage import TABLES, Usage, Week, usage, weeks
from heliograph.events.models import Event
from heliograph.holds import asking
from heliograph.holds.models import Hold
from heliograph.holds.tasks import work_off
from heliograph.rules import project as project_rules
from heliograph.rules.models import DiskState, PinnedTrace, SamplingRule
from tests.query.rows import new_trace_id, span, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
GIB = 2**30
# Weeks that no other test stores anything in: what is dropped is everybody's.
MONDAYS = [datetime(2019, 1, day, tzinfo=UTC) for day in (7, 14, 21)]
NAMES = [f"{monday:%Y%m%d}" for monday in MONDAYS]


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    project_rules.forget()
    yield
    project_rules.forget()


@pytest.fixture
def disk(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that says how full a disk of 100 GiB is, in GiB; a week counts as 5 GiB there."""
    settings.DISK_WARN_PERCENT, settings.DISK_SAMPLE_PERCENT, settings.DISK_DROP_PERCENT = 80, 90, 95
    settings.DISK_BUDGET_BYTES, settings.DISK_SAMPLE_RATE_PERCENT = 0, 25

    def our_weeks() -> list[Any]:
        ours = [week for week in weeks() if week.table == "spans" and week.name in NAMES]
        return [type(week)(week.table, week.name, 5 * GIB) for week in ours]

    def say(used: int) -> None:
        monkeypatch.setattr(guard, "usage", lambda: Usage(used * GIB, 100 * GIB, (100 - used) * GIB))

    monkeypatch.setattr(guard, "weeks", our_weeks)
    return say


def kept(project: Project) -> list[str]:
    sql = """
    SELECT DISTINCT toString(toYYYYMMDD(toStartOfWeek(start_time, 1))) AS week
    FROM spans WHERE project_id = %(project_id)s ORDER BY week
    """
    return [row["week"] for row in client.query(project.pk, sql, tag="test")]


def store_weeks(project: Project) -> list[str]:
    """Store a span in each of the weeks; return their traces."""
    rows = [span(new_trace_id(), 1) | {"retention_days": 3_650} for _ in MONDAYS]
    for row, monday in zip(rows, MONDAYS, strict=True):
        row["start_time"] = int((monday + timedelta(days=2)).timestamp()) * 10**9
    store_spans(project.pk, *rows)
    return [row["trace_id"] for row in rows]


def test_it_warns_then_samples_then_drops_the_oldest_weeks_but_those_with_a_pin(project: Project, disk: Any) -> None:
    traces = store_weeks(project)
    PinnedTrace.objects.create(project=project, trace_id=traces[1])

    disk(70)
    assert guard.look().level == "ok"
    disk(85)
    assert guard.look().level == "warn"
    assert project_rules.read_rules(project.pk).head == ()
    # Told once, and not again while it goes on.
    assert guard.look().level == "warn"
    assert [event.body["level"] for event in Event.objects.filter(project=project)] == ["warn"]

    disk(92)
    assert guard.look().level == "sample"
    SamplingRule(project=project, name="all of checkout", service="checkout").append()
    first, guarding = project_rules.read_rules(project.pk).head
    assert (first.service, first.rate) == ("checkout", 1.0)
    assert (guarding.service, guarding.environment, guarding.rate) == ("", "", 0.25)
    assert not project_rules.read_rules(project.pk).has_tail
    assert kept(project) == NAMES

    # 96 of 100, and each week is 5: after one it is 91, which is more than 3 below 95.
    disk(96)
    state = guard.look()
    assert (state.level, [week["week"] for week in state.dropped]) == ("drop", [NAMES[0]])
    assert kept(project) == NAMES[1:]
    # The files are not gone yet: nothing more goes meanwhile.
    guard.look()
    assert kept(project) == NAMES[1:]
    # Later it is as full again: the second week is spared for its pin, and the third goes.
    DiskState.objects.update(dropped_at=datetime.now(UTC) - timedelta(hours=1))
    guard.look()
    assert kept(project) == NAMES[1:2]

    # It ends 3 points below where it began, and the sampling with it.
    disk(88)
    assert guard.look().level == "sample"
    disk(86)
    assert guard.look().level == "warn"
    assert [rule.service for rule in project_rules.read_rules(project.pk).head] == ["checkout"]
    assert [event.body["level"] for event in Event.objects.filter(project=project).order_by("created_at")] == [
        "warn",
        "sample",
        "drop",
    ]


def test_a_drop_that_fails_leaves_what_went_before_it_noted_and_the_next_look_drops_nothing_more(
    project: Project, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_weeks(project)
    really = guard.drop

    def fails_at_the_second(week: Any) -> None:
        if week.name == NAMES[1]:
            raise UnavailableError("the store was restarted")
        really(week)

    monkeypatch.setattr(guard, "drop", fails_at_the_second)
    # Full to the brim: one week is not enough.
    disk(100)
    with pytest.raises(UnavailableError):
        guard.look()
    state = DiskState.objects.get()
    assert (state.level, [week["week"] for week in state.dropped]) == ("drop", [NAMES[0]])
    monkeypatch.setattr(guard, "drop", really)
    assert guard.look().level == "drop"
    assert kept(project) == NAMES[1:]


def test_of_two_workers_that_look_at_once_one_drops_and_one_tells(
    project: Project, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_weeks(project)
    disk(96)
    really = guard.drop

    def meanwhile(week: Any) -> None:
        monkeypatch.setattr(guard, "drop", really)
        guard.look()  # another worker, while this one drops
        really(week)

    monkeypatch.setattr(guard, "drop", meanwhile)
    assert [week["week"] for week in guard.look().dropped] == [NAMES[0]]
    assert kept(project) == NAMES[1:]
    assert [event.body["level"] for event in Event.objects.filter(project=project)] == ["drop"]


def test_what_loses_something_is_done_only_where_it_is_configured(project: Project, disk: Any, settings: Any) -> None:
    settings.DISK_SAMPLE_PERCENT = settings.DISK_DROP_PERCENT = 0
    disk(99)
    assert guard.look().level == "warn"
    assert project_rules.read_rules(project.pk).head == ()
    settings.DISK_WARN_PERCENT = 0
    assert guard.look().level == "ok"


def test_the_store_says_how_full_it_is_and_which_weeks_are_over(project: Project) -> None:
    store_spans(project.pk, span(new_trace_id(), 1))
    found = usage()
    assert 0 < found.used < found.total
    assert 0 < found.free < found.total
    # Of half a budget that the tables take, and of a disk with more room than that.
    assert found.share(found.used // 2) >= 2
    this_week = f"{datetime.now(UTC).date() - timedelta(days=datetime.now(UTC).weekday()):%Y%m%d}"
    assert all(week.table in TABLES and week.bytes > 0 and week.name < this_week for week in weeks())


def test_a_hold_that_is_placed_while_weeks_are_dropped_spares_the_next(
    project: Project, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "wake_worker", lambda: None)
    traces, drop = store_weeks(project), guard.drop

    def dropped(week: Week) -> None:
        drop(week)
        if not Hold.objects.exists():
            asking.place(project, "traces", traces[1], "Case 12", "olive")

    monkeypatch.setattr(guard, "drop", dropped)
    disk(99)
    guard.look()
    assert Hold.objects.exists()
    assert NAMES[1] in kept(project)


def test_no_week_is_dropped_that_has_a_row_under_legal_hold_or_of_what_a_hold_is_placed_on(
    project: Project, disk: Any, settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SPOOL_DIR = tmp_path / "spool"
    monkeypatch.setattr(asking, "wake_worker", lambda: None)
    traces = store_weeks(project)
    hold = asking.place(project, "traces", traces[0], "Case 12", "olive")
    disk(96)
    assert [week["week"] for week in guard.look().dropped] == [NAMES[1]]
    assert kept(project) == [NAMES[0], NAMES[2]]
    while Hold.waiting().exists():
        work_off()
    hold.refresh_from_db()
    assert hold.state == "active", hold.error
    DiskState.objects.update(dropped_at=datetime.now(UTC) - timedelta(hours=1))
    assert [week["week"] for week in guard.look().dropped] == [NAMES[2], NAMES[1]]
    assert kept(project) == NAMES[:1]
