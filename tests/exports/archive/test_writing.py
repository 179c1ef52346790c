"""Days as Parquet, in a folder and in a bucket: whole through killed workers, written once, and the project's alone."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from heliograph.accounts.models import ApiKey, Membership, Project
from heliograph.accounts.roles import Scope
from heliograph.clickhouse import client
from heliograph.clickhouse.errors import CapacityError, UnavailableError
from heliograph.exports import archive, tasks
from heliograph.exports.models import OLDEST_DAY, Archive, ArchivedDay
from heliograph.query import archive as parquet
from heliograph.query.filters import to_ns
from tests.conftest import new_project_id
from tests.exports.archive.conftest import DAY, files, only_folder, opened, reader, rows_of, stored, work_off
from tests.query.rows import llm, new_trace_id, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]


def test_a_day_is_whole_and_of_one_project_and_what_lies_beside_it_stays_out(project: Project) -> None:
    other = Project.objects.create(id=new_project_id(), organization=project.organization, name="B", slug="b")
    stored(project, hours=3)
    stored(other, hours=5)
    day = opened(project)
    work_off()
    day.refresh_from_db()
    found = files(day)
    rows = rows_of(found, "spans")
    assert (day.status, day.rows, len(rows)) == ("done", 6, 6)
    asked = "SELECT span_id FROM spans WHERE project_id = %(project_id)s AND toDate(start_time) = %(day)s"
    ours = client.query(project.pk, asked, {"day": DAY}, tag="test.archive")
    assert {row["span_id"] for row in rows} == {row["span_id"] for row in ours}
    assert "project_id" not in rows[0]
    said = json.loads(found[f"_days/{DAY}.json"])
    assert {each["name"]: each["rows"] for each in said["files"]} == {f"signal=spans/day={DAY}/0000.parquet": 6}
    # Nothing of the other project's was made.
    assert set(found) == {f"_days/{DAY}.json", f"signal=spans/day={DAY}/0000.parquet"}


@only_folder
def test_readers_find_project_signal_and_day_in_the_path(project: Project) -> None:
    stored(project, hours=2)
    opened(project)
    work_off()
    where = Path(storages["archive"].path(""))
    table = pyarrow.dataset.dataset(where, format="parquet", partitioning="hive").to_table(
        filter=(pyarrow.dataset.field("day") == str(DAY)) & (pyarrow.dataset.field("project") == project.pk)
    )
    assert table.num_rows == 4
    assert set(table.column("signal").to_pylist()) == {"spans"}
    assert {path.stat().st_mode & 0o077 for path in where.rglob("*.parquet")} == {0}


def test_a_killed_worker_costs_the_file_it_was_at_and_nothing_is_written_twice(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "ROWS_OF_A_FILE", 4)
    stored(project, hours=7)
    day = opened(project)
    real = parquet.write
    written: list[str] = []

    def killed(*asked: Any) -> int:
        rows = real(*asked)
        if asked[1] == "spans":
            written.append(f"{asked[2]:%H%M}")
        if len(written) == 2:
            raise SystemExit  # behind what it wrote, before it was noted
        return rows

    monkeypatch.setattr(parquet, "write", killed)
    with pytest.raises(SystemExit):
        tasks.archive()
    day.refresh_from_db()
    assert (day.status, day.files) == ("running", [[f"signal=spans/day={DAY}/0000.parquet", 4]])
    tasks.archive()
    assert len(written) == 2  # its lease goes on
    ArchivedDay.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    work_off()
    day.refresh_from_db()
    found = files(day)
    rows = rows_of(found, "spans")
    assert len({row["span_id"] for row in rows}) == len(rows) == day.rows == 14
    assert sorted(name[-12:-8] for name in found if "parquet" in name) == ["0000", "0200", "0400", "0600"]
    assert written == ["0000", "0200", "0200", "0400", "0600"]


def test_what_arrives_late_while_a_worker_is_killed_leaves_no_row_twice(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "ROWS_OF_A_FILE", 2)
    six = datetime(DAY.year, DAY.month, DAY.day, 6, tzinfo=UTC)

    def arrives(*minutes: int) -> None:
        moments = [six + timedelta(minutes=minute) for minute in minutes]
        store_spans(project.pk, *(llm(new_trace_id(), 0, start_time=to_ns(moment)) for moment in moments))

    arrives(5, 5, 30, 40, 50)
    day = opened(project)
    with monkeypatch.context() as patched:
        patched.setattr(archive, "TURN_SECONDS", -1)  # a turn that comes to nothing
        tasks.archive()
    real = parquet.write
    written: list[str] = []

    def killed(*asked: Any) -> int:
        rows = real(*asked)
        written.append(asked[1])
        if len(written) == 2:
            raise SystemExit
        return rows

    with monkeypatch.context() as patched:
        patched.setattr(parquet, "write", killed)
        with pytest.raises(SystemExit):
            tasks.archive()
    # From each of them on, the rest would be cut elsewhere.
    arrives(3, 10)
    ArchivedDay.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    work_off()
    day.refresh_from_db()
    found = files(day)
    rows = rows_of(found, "spans")
    assert len({row["span_id"] for row in rows}) == len(rows) == day.rows
    said = json.loads(found[f"_days/{DAY}.json"])
    assert {name for name in found if name.endswith("parquet")} == {each["name"] for each in said["files"]}


def test_half_a_file_of_an_earlier_worker_is_gone_when_the_day_is_whole(project: Project) -> None:
    stored(project, hours=1)
    storages["archive"].save(f"project={project.pk}/signal=spans/day={DAY}/0605.parquet", ContentFile(b"PAR1"))
    day = opened(project)
    work_off()
    assert set(files(day)) == {f"_days/{DAY}.json", f"signal=spans/day={DAY}/0000.parquet"}


def test_a_day_goes_on_where_the_last_turn_ended(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ROWS_OF_A_FILE", 2)
    monkeypatch.setattr(archive, "TURN_SECONDS", 1e-9)
    stored(project, hours=3)
    day = opened(project, "spans", "scores")
    ticks = iter(range(10**6))
    monkeypatch.setattr(archive.time, "monotonic", lambda: next(ticks) // 2 * 1e-9)  # one file a turn
    work_off()
    day.refresh_from_db()
    assert (day.status, day.rows) == ("done", 6)
    assert day.turns > 3
    assert len(rows_of(files(day), "spans")) == 6


@only_folder
def test_long_texts_come_with_the_spans_that_refer_to_them(project: Project) -> None:
    digest, text = "ab" * 16, "a long text " * 100
    client.insert(
        "contents",
        {"project_id": [project.pk], "hash": [digest], "text": [text], "expires_on": [date(2099, 1, 5)]},
    )
    midnight = datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC)
    reference = f"content:b2-{digest};p;{len(text)};"
    store_spans(
        project.pk, llm(new_trace_id(), 0, start_time=to_ns(midnight), input=reference, contents=[f"i{digest}"])
    )
    day = opened(project)
    work_off()
    found = files(day)
    assert rows_of(found, "contents") == [{"hash": digest, "text": text}]
    assert [row["input"] for row in rows_of(found, "spans")] == [reference]
    day.refresh_from_db()
    assert day.rows == 1


@only_folder
def test_scores_logs_and_data_points_are_written_by_their_own_time(project: Project) -> None:
    noon = to_ns(datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC))
    for table in ("scores", "log_records", "metric_points"):
        columns = {"project_id": [project.pk] * 2, "time": [noon, noon + 86_400 * 10**9], "retention_days": [3_650] * 2}
        client.insert(table, columns)
    day = opened(project, "scores", "logs", "metrics")
    work_off()
    day.refresh_from_db()
    assert [(name.partition("/")[0], rows) for name, rows in day.files] == [
        ("signal=scores", 1),
        ("signal=logs", 1),
        ("signal=metrics", 1),
    ]


@only_folder
def test_a_schedule_opens_each_day_once_some_hours_after_its_end(project: Project) -> None:
    Archive.objects.create(project=project, signals=["spans"], hours=6, next_day=date(2026, 3, 1))
    assert archive.open_due(datetime(2026, 3, 3, 5, 59, tzinfo=UTC)) == 1
    assert archive.open_due(datetime(2026, 3, 3, 6, tzinfo=UTC)) == 1
    assert archive.open_due(datetime(2026, 3, 3, 7, tzinfo=UTC)) == 0
    found = ArchivedDay.objects.filter(project=project).order_by("day").values_list("day", flat=True)
    assert list(found) == [date(2026, 3, 1), date(2026, 3, 2)]
    Archive.objects.update(is_on=False)
    assert archive.open_due(datetime(2026, 3, 9, tzinfo=UTC)) == 0
    Archive.objects.update(is_on=True)
    # After a long pause a week at a time.
    assert archive.open_due(datetime(2026, 4, 9, 7, tzinfo=UTC)) == archive.MOST_DAYS_OPEN - 2


@only_folder
def test_a_day_too_old_to_be_written_stops_neither_its_schedule_nor_those_of_others(project: Project) -> None:
    other = Project.objects.create(id=new_project_id(), organization=project.organization, name="B", slug="b")
    now = timezone.now()
    too_old = now.date() - OLDEST_DAY - timedelta(days=1)
    Archive.objects.create(project=project, signals=["spans"], hours=1, next_day=too_old)
    Archive.objects.create(project=other, signals=["spans"], hours=1, next_day=DAY - timedelta(days=1))
    tasks.archive()
    assert ArchivedDay.objects.filter(project=project).count() == archive.MOST_DAYS_OPEN
    assert not ArchivedDay.objects.filter(day=too_old).exists()
    assert ArchivedDay.objects.filter(project=other, day=DAY - timedelta(days=1)).exists()


@only_folder
def test_no_day_is_taken_on_where_the_store_cannot_write_it(project: Project, settings: Settings) -> None:
    Archive.objects.create(project=project, signals=["spans"], hours=1, next_day=DAY - timedelta(days=1))
    settings.ARCHIVE_IS_REACHABLE = False
    key = ApiKey.issue(project, "admin", scopes=[Scope.ADMIN])[1]
    asked = Client(headers={"x-api-key": key}).post(
        "/api/v1/archive/days", {"day": str(DAY)}, content_type="application/json"
    )
    assert (asked.status_code, "HELIOGRAPH_ARCHIVE_BUCKET" in asked.content.decode()) == (409, True)
    owner = reader(project, Membership.Role.OWNER)
    said = owner.post(reverse("traces-archive-again", args=[project.slug]), {"day": str(DAY)}, follow=True)
    assert "HELIOGRAPH_ARCHIVE_BUCKET" in said.content.decode()
    tasks.archive()
    assert not ArchivedDay.objects.exists()
    # Given back the bucket, it goes on where it was.
    assert Archive.objects.get().next_day == DAY - timedelta(days=1)


@only_folder
def test_while_the_place_is_away_a_day_waits_and_says_so(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(project, hours=1)
    day = opened(project)

    def away(*_: Any) -> int:
        raise UnavailableError("the bucket does not answer", 499)

    with monkeypatch.context() as patched:
        patched.setattr(parquet, "write", away)
        for _ in range(5):  # more often than a worker may be killed
            tasks.archive()
    day.refresh_from_db()
    assert (day.status, day.error != "") == ("queued", True)
    work_off()
    day.refresh_from_db()
    assert (day.status, day.error, day.rows) == ("done", "", 2)


@only_folder
def test_heavy_rows_make_files_of_fewer(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    for hour in range(3):
        digest = f"{hour:032x}"
        columns = {"project_id": [project.pk], "hash": [digest], "text": [f"{hour}" * 30_000]}
        client.insert("contents", columns | {"expires_on": [date(2099, 1, 5)]})
        moment = to_ns(midnight + timedelta(hours=hour))
        store_spans(project.pk, llm(new_trace_id(), 0, start_time=moment, contents=[f"i{digest}"]))
    monkeypatch.setattr(parquet, "SAMPLE", 3)
    monkeypatch.setattr(archive, "BYTES_OF_A_FILE", 30_000)
    day = opened(project)
    work_off()
    day.refresh_from_db()
    assert [name.partition("/")[0] for name, _ in day.files] == ["signal=spans", *["signal=contents"] * 3]
    assert len(rows_of(files(day), "contents")) == 3


@only_folder
def test_files_that_the_store_cannot_write_are_made_smaller(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ROWS_OF_A_FILE", 12)
    stored(project, hours=6)
    day = opened(project)
    real = parquet.write

    def bounded(*asked: Any) -> int:
        if parquet.minutes(project.pk, "spans", *asked[2:4])[1:]:
            raise CapacityError("Timeout exceeded", 159)
        return real(*asked)

    monkeypatch.setattr(parquet, "write", bounded)
    work_off()
    day.refresh_from_db()
    assert (day.status, day.error, day.rows, len(day.files), day.halvings) == ("done", "", 12, 6, 2)


@only_folder
def test_a_day_fails_when_the_store_can_write_no_file_however_small(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(project, hours=1)
    day = opened(project)

    def never(*_: Any) -> int:
        raise CapacityError("Timeout exceeded", 159)

    with monkeypatch.context() as patched:
        patched.setattr(parquet, "write", never)
        work_off()
    day.refresh_from_db()
    assert (day.status, day.halvings) == ("failed", archive.MOST_HALVINGS)
    assert "smaller" in day.error
    opened(project)
    work_off()
    day.refresh_from_db()
    assert (day.status, day.halvings) == ("done", 0)
