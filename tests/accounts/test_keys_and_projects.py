"""API keys open exactly one project, and a fresh installation has what the first person needs."""

from pathlib import Path

import pytest
from pytest_django import Settings

from heliograph.accounts.bootstrap import ensure_default_project, ensure_first_user, ensure_own_project, local_key
from heliograph.accounts.models import ApiKey, Membership, Organization, Project, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Project:
    return Project.create(Organization.objects.create(name="Acme"), "Chat bot")


def test_a_key_opens_its_own_project(acme: Project) -> None:
    _, key = ApiKey.issue(acme, "checkout")
    assert ApiKey.project_of(key) == acme


def test_the_key_itself_is_not_stored(acme: Project) -> None:
    row, key = ApiKey.issue(acme, "checkout")
    assert key not in {str(value) for value in vars(row).values()}
    assert key.startswith(row.hint)
    assert len(row.hint) < len(key) / 4


def test_a_wrong_key_opens_nothing(acme: Project) -> None:
    ApiKey.issue(acme, "checkout")
    assert ApiKey.project_of("hg_wrong") is None


def test_a_revoked_key_opens_nothing(acme: Project) -> None:
    row, key = ApiKey.issue(acme, "checkout")
    row.revoke()
    assert ApiKey.project_of(key) is None


def test_two_projects_of_one_name_get_different_slugs(acme: Project) -> None:
    twin = Project.create(acme.organization, "Chat bot")
    assert twin.slug != acme.slug


def test_a_name_without_letters_still_gets_a_slug(acme: Project) -> None:
    assert Project.create(acme.organization, "???").slug == "project"


def test_people_see_the_projects_of_their_organisations_only(acme: Project) -> None:
    alice = User.objects.create_user("alice")
    other = Project.create(Organization.objects.create(name="Globex"), "Search")
    Membership.objects.create(organization=acme.organization, user=alice)
    assert list(Project.objects.visible_to(alice)) == [acme]
    assert other not in Project.objects.visible_to(alice)


def test_a_fresh_installation_gets_a_project_and_an_admin_once() -> None:
    first, second = ensure_first_user(), ensure_first_user("ignored since the user exists")
    assert first.password is not None
    assert first.user.check_password(first.password)
    assert second.password is None
    assert second.user.check_password(first.password)
    assert list(Project.objects.visible_to(first.user)) == [ensure_default_project()]


def test_this_machine_s_own_senders_get_a_key_where_one_is_needed(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.ALLOW_KEYLESS_INGEST = tmp_path, False
    key = local_key()
    assert ApiKey.project_of(key) == ensure_default_project()
    assert local_key() == key
    assert (tmp_path / "local-key").stat().st_mode & 0o077 == 0
    ApiKey.objects.get().revoke()
    assert local_key() != key
    settings.ALLOW_KEYLESS_INGEST = True
    assert local_key() == ""


def test_where_no_folder_is_shared_the_key_for_own_telemetry_is_given_and_may_send_only(
    settings: Settings, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    key = "hg_" + "k" * 32
    project = ensure_own_project(key)
    assert ensure_own_project(key) == project == ApiKey.project_of(key)
    row = ApiKey.objects.get(project=project)
    assert row.scopes == ["ingest"]
    assert not list(tmp_path.iterdir())
    row.revoke()
    ensure_own_project(key)
    assert ApiKey.project_of(key) is None
    for weak in ("hg_short", "k" * 60):
        with pytest.raises(ValueError, match="begins with hg_"):
            ensure_own_project(weak)


def test_the_admin_password_can_be_given() -> None:
    assert ensure_first_user("correct horse battery").user.check_password("correct horse battery")


def test_retention_falls_back_to_the_setting(acme: Project, settings: Settings) -> None:
    settings.RETENTION_DAYS = 17
    assert acme.effective_retention_days == 17
    acme.retention_days = 3
    assert acme.effective_retention_days == 3
