"""A day that is asked for again: nothing of before is left, and nothing is lost unawares."""

import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from heliograph.accounts.models import ApiKey, Membership, Project
from heliograph.accounts.roles import Scope
from heliograph.exports import archive, tasks
from heliograph.exports.models import Archive, ArchivedDay
from heliograph.gates.models.jobs import LostLeaseError
from heliograph.query import archive as parquet
from heliograph.rules.models import RetentionRule
from tests.exports.archive.conftest import DAY, files, only_folder, opened, reader, rows_of, stored, work_off

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]


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
