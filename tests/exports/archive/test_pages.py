"""The schedule and its days on the page and over the API: who sees and changes them."""

import re
from datetime import date, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from heliograph.accounts.models import ApiKey, Membership, Organization, Project
from heliograph.accounts.roles import Scope
from heliograph.exports.models import Archive, ArchivedDay
from tests.conftest import new_project_id
from tests.exports.archive.conftest import DAY, only_folder, reader, stored, work_off

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]


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
