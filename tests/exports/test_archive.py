"""Days as Parquet, in a folder and in a bucket: whole through killed workers, written once, and the project's alone."""

import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pyarrow.dataset
import pyarrow.parquet
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from moto.server import ThreadedMotoServer
from pytest_django import Settings

from heliograph.accounts.models import ApiKey, Membership, Organization, Project, User
from heliograph.accounts.roles import Scope
from heliograph.clickhouse import client
from heliograph.clickhouse.errors import CapacityError, UnavailableError
from heliograph.exports import archive, tasks
from heliograph.exports.models import OLDEST_DAY, Archive, ArchivedDay
from heliograph.gates.models.jobs import LostLeaseError
from heliograph.query import archive as parquet
from heliograph.query.filters import to_ns
from heliograph.rules.models import RetentionRule
from tests.conftest import new_project_id
from tests.query.rows import llm, new_trace_id, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
# Two days back: over for long enough whenever the tests run.
DAY = (datetime.now(UTC) - timedelta(days=2)).date()


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, Any]]:
    """The options of a bucket behind a real S3 API on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    made = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", **keys)
    made.create_bucket(Bucket="archive")
    made.close()
    yield {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1", "bucket_name": "archive"}
    server.stop()


@pytest.fixture(autouse=True, params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where days go during a test; a test that it makes no difference to asks for one of them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setattr("heliograph.exports.tasks.wake_archive", lambda: None)
    monkeypatch.setattr("heliograph.dashboards.archive.wake_archive", lambda: None)
    monkeypatch.setattr("heliograph.api.archive.wake_archive", lambda: None)
    if request.param == "folder":
        chosen = {"BACKEND": "heliograph.blobs.folder.DurableFolder", "OPTIONS": {"location": tmp_path / "archive"}}
    else:
        options = request.getfixturevalue("bucket") | {"location": f"of/{tmp_path.name}"}
        chosen = {"BACKEND": "heliograph.blobs.s3.Bucket", "OPTIONS": options}
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}, "archive": chosen}
    return str(request.param)


only_folder = pytest.mark.parametrize("place", ["folder"], indirect=True)


def stored(project: Project, hours: int, each: int = 2) -> None:
    """Store spans at each full hour of the day, and one on each side of it."""
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    moments = [midnight + timedelta(hours=hour) for hour in range(hours) for _ in range(each)]
    moments += [midnight - timedelta(microseconds=1), midnight + timedelta(days=1)]
    store_spans(project.pk, *(llm(new_trace_id(), 0, start_time=to_ns(moment)) for moment in moments))


def opened(project: Project, *signals: str) -> ArchivedDay:
    return archive.again(project, DAY, list(signals) or ["spans"])


def work_off(most: int = 100) -> None:
    for _ in range(most):
        tasks.archive()
        if not ArchivedDay.waiting().exists():
            return
    raise AssertionError("it does not come to an end")


def files(day: ArchivedDay) -> dict[str, bytes]:
    """Return what lies below the project's folder, by name."""
    found: dict[str, bytes] = {}

    def walk(folder: str) -> None:
        folders, names = storages["archive"].listdir(folder)
        for name in names:
            with storages["archive"].open(f"{folder}/{name}") as file:
                found[f"{folder}/{name}".partition("/")[2]] = file.read()
        for each in folders:
            walk(f"{folder}/{each}")

    walk(f"project={day.project_id}")
    return found


def rows_of(found: dict[str, bytes], signal: str) -> list[dict[str, Any]]:
    names = sorted(name for name in found if name.startswith(f"signal={signal}/"))
    return [row for name in names for row in pyarrow.parquet.read_table(io.BytesIO(found[name])).to_pylist()]


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


@only_folder
def test_a_day_past_its_retention_is_not_written_again_unless_its_rows_may_be_lost(project: Project) -> None:
    stored(project, hours=2)
    day = opened(project)
    work_off()
    before = files(day)
    project.retention_days = 2
    project.save()
    key = ApiKey.issue(project, "admin", scopes=[Scope.ADMIN])[1]
    ask = partial(Client(headers={"x-api-key": key}).post, "/api/v1/archive/days", content_type="application/json")
    refused = ask({"day": str(DAY)})
    assert (refused.status_code, "may_lose" in refused.content.decode()) == (409, True)
    owner, again = reader(project, Membership.Role.OWNER), reverse("traces-archive-again", args=[project.slug])
    page = owner.post(again, {"day": str(DAY)}, follow=True).content.decode()
    assert "No day is written" in page
    assert 'name="may_lose"' in page
    # Nor does a schedule that is set back.
    Archive.objects.create(project=project, signals=["spans"], hours=1, next_day=DAY)
    work_off()
    day.refresh_from_db()
    # By the hour of this run, it may write the day after.
    kept = {name: data for name, data in files(day).items() if str(DAY) in name}
    assert (day.status, kept, Archive.objects.get().next_day > DAY) == ("done", before, True)
    assert owner.post(again, {"day": str(DAY), "may_lose": "on"}).status_code == 302
    day.refresh_from_db()
    assert day.status == "queued"
    work_off()
    assert ask({"day": str(DAY), "may_lose": True}).status_code == 202
    project.retention_days = 3
    project.save()
    assert ask({"day": str(DAY)}).status_code == 202


@only_folder
def test_rules_of_retention_say_which_days_are_whole_in_the_store(project: Project) -> None:
    today = timezone.now().date()
    project.retention_days = 30
    RetentionRule.objects.create(project=project, signal="traces", environment="staging", days=2)
    RetentionRule.objects.create(project=project, signal="logs", days=365)
    since = {signal: (today - archive.kept_since(project, [signal])).days + 1 for signal in Archive.Signal.values}
    assert since == {"spans": 2, "scores": 30, "logs": 365, "metrics": 30}
    assert archive.kept_since(project, ["logs", "spans"]) == archive.kept_since(project, ["spans"])


def test_files_of_which_the_store_has_nothing_any_more_stay_unless_they_may_be_lost(project: Project) -> None:
    stored(project, hours=1)
    name = f"signal=logs/day={DAY}/0000.parquet"
    storages["archive"].save(f"project={project.pk}/{name}", ContentFile(b"the only copy"))
    day = opened(project, "spans", "logs")
    work_off()
    day.refresh_from_db()
    assert (day.status, "logs" in day.error) == ("failed", True)
    assert files(day) == {name: b"the only copy"}
    archive.again(project, DAY, ["spans", "logs"], may_lose=True)
    work_off()
    day.refresh_from_db()
    assert (day.status, set(files(day))) == ("done", {f"_days/{DAY}.json", f"signal=spans/day={DAY}/0000.parquet"})


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


def test_written_again_a_day_holds_what_arrived_since_and_no_file_of_before(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "ROWS_OF_A_FILE", 2)
    stored(project, hours=3)
    day = opened(project)
    work_off()
    assert len([name for name in files(day) if "parquet" in name]) == 3
    stored(project, hours=1)
    monkeypatch.setattr(archive, "ROWS_OF_A_FILE", 100)
    assert opened(project).pk == day.pk
    work_off()
    found = files(day)
    assert [name for name in found if "parquet" in name] == [f"signal=spans/day={DAY}/0000.parquet"]
    assert len(rows_of(found, "spans")) == 8


@only_folder
def test_asked_for_while_it_waits_between_two_turns_a_day_begins_anew(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "ROWS_OF_A_FILE", 2)
    stored(project, hours=3)
    day = opened(project)
    ticks = iter(range(10**6))
    with monkeypatch.context() as patched:
        patched.setattr(archive.time, "monotonic", lambda: next(ticks) * archive.TURN_SECONDS * 0.6)  # one file a turn
        tasks.archive()
    day.refresh_from_db()
    assert (day.status, len(day.files)) == ("queued", 1)
    stored(project, hours=1)
    opened(project)
    work_off()
    assert len(rows_of(files(day), "spans")) == 8


@only_folder
def test_asked_for_while_a_worker_writes_it_a_day_is_written_again_when_that_ends(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "ROWS_OF_A_FILE", 2)
    stored(project, hours=3)
    day = opened(project)
    real = parquet.write
    written: list[str] = []

    def asked_for(*asked: Any) -> int:
        rows = real(*asked)
        written.append(asked[1])
        if len(written) == 2:  # behind the minute for which more arrives
            stored(project, hours=1)
            assert opened(project, "spans", "scores").status == "running"
        return rows

    monkeypatch.setattr(parquet, "write", asked_for)
    tasks.archive()
    day.refresh_from_db()
    assert (day.status, day.finished_at) == ("queued", None)
    work_off()
    day.refresh_from_db()
    found = files(day)
    assert (day.status, len(rows_of(found, "spans"))) == ("done", 8)
    assert json.loads(found[f"_days/{DAY}.json"])["signals"] == ["spans", "scores"]


@only_folder
def test_asked_for_while_a_worker_fails_at_it_a_day_is_tried_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(project, hours=1)
    day = opened(project)

    def fails(*_: Any) -> int:
        opened(project)
        raise RuntimeError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr(parquet, "write", fails)
        tasks.archive()
    work_off()
    day.refresh_from_db()
    assert (day.status, day.error, day.rows) == ("done", "", 2)


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
def test_a_worker_that_hung_does_not_take_the_claim_of_one_that_writes_the_day_again(project: Project) -> None:
    stored(project, hours=1)
    hung = opened(project)
    assert hung.claim()
    ArchivedDay.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    work_off()
    day = opened(project)
    assert day.claim()
    with pytest.raises(LostLeaseError):
        hung.renew()
    # That it is asked for again forgives the workers that it has cost.
    assert day.claims_lost == 1


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


def reader(project: Project, role: str) -> Client:
    user = User.objects.create(username=f"{role}-{project.slug}")
    Membership.objects.create(organization=project.organization, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


@only_folder
def test_it_is_seen_by_members_and_changed_by_admins(project: Project) -> None:
    page, save = (reverse(name, args=[project.slug]) for name in ("traces-archive", "traces-archive-save"))
    editor, owner = reader(project, Membership.Role.EDITOR), reader(project, Membership.Role.OWNER)
    form = {"signals": ["spans"], "hours": 3, "next_day": DAY, "is_on": "on"}
    assert editor.post(save, form).status_code == 403
    assert owner.post(save, form | {"signals": []}).status_code == 302
    assert not Archive.objects.exists()
    assert owner.post(save, form).status_code == 302
    assert Archive.objects.get(project=project).hours == 3
    Archive.objects.update(is_on=False)
    stored(project, hours=1)
    again = reverse("traces-archive-again", args=[project.slug])
    assert owner.post(again, {"day": "the day before"}).status_code == 302
    assert not ArchivedDay.objects.exists()
    assert owner.post(again, {"day": str(DAY)}).status_code == 302
    work_off()
    shown = editor.get(page).content.decode()
    assert str(DAY) in shown
    assert "Write again" not in shown
    assert "Write again" in owner.get(page).content.decode()


@only_folder
def test_a_page_that_was_opened_before_does_not_wind_the_schedule_back(project: Project) -> None:
    Archive.objects.create(project=project, signals=["spans"], hours=1, next_day=DAY)
    owner, save = reader(project, Membership.Role.OWNER), reverse("traces-archive-save", args=[project.slug])
    page = owner.get(reverse("traces-archive", args=[project.slug])).content.decode()
    form = dict(re.findall(r'name="(next_day|initial-next_day)"[^>]* value="([^"]*)"', page))
    assert form == {"next_day": str(DAY), "initial-next_day": str(DAY)}
    moved = DAY + timedelta(days=1)
    Archive.objects.update(next_day=moved)
    owner.post(save, form | {"signals": ["spans"], "hours": 5, "is_on": "on"})
    found = Archive.objects.get()
    assert (found.hours, found.next_day) == (5, moved)
    owner.post(save, form | {"next_day": "2026-03-01", "signals": ["spans"], "hours": 5, "is_on": "on"})
    assert Archive.objects.get().next_day == date(2026, 3, 1)


@only_folder
def test_without_a_schedule_page_and_api_write_the_usual_signals(project: Project) -> None:
    owner = reader(project, Membership.Role.OWNER)
    owner.post(reverse("traces-archive-again", args=[project.slug]), {"day": str(DAY)})
    assert ArchivedDay.objects.get().signals == Archive.of(project).signals == ["spans", "scores"]
    assert not Archive.objects.exists()


@only_folder
def test_a_key_made_to_administer_changes_it_and_another_project_sees_nothing(project: Project) -> None:
    globex = Organization.objects.create(name="Globex")
    other = Project.objects.create(id=new_project_id(), organization=globex, name="Search", slug="search")
    ours, theirs = (
        Client(headers={"x-api-key": ApiKey.issue(each, "admin", scopes=[Scope.ADMIN, Scope.READ])[1]})
        for each in (project, other)
    )
    path = "/api/v1/archive"
    assert ours.get(path).json()["is_on"] is False
    body = {"is_on": True, "signals": ["scores", "spans"], "next_day": str(DAY)}
    changed = ours.patch(path, body, content_type="application/json")
    assert changed.status_code == 200, changed.content
    assert changed.json()["signals"] == ["spans", "scores"]
    Archive.objects.update(is_on=False)
    today = ours.post(f"{path}/days", {"day": str(timezone.now().date())}, content_type="application/json")
    assert today.status_code == 409
    asked = ours.post(f"{path}/days", {"day": str(DAY)}, content_type="application/json")
    assert asked.status_code == 202, asked.content
    stored(project, hours=1)
    work_off()
    one = f"{path}/days/{asked.json()['id']}"
    assert [rows for _, rows in ours.get(one).json()["files"]] == [2]
    assert theirs.get(one).status_code == 404
    assert theirs.get(f"{path}/days").json()["items"] == []
