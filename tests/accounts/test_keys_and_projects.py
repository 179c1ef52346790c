"""API keys open exactly one project, and a fresh installation has what the first person needs."""

import pytest

from heliograph.accounts.bootstrap import ensure_default_project, ensure_first_user
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


def test_the_admin_password_can_be_given() -> None:
    assert ensure_first_user("correct horse battery").user.check_password("correct horse battery")


def test_retention_falls_back_to_the_setting(acme: Project, settings: pytest.FixtureRequest) -> None:
    settings.RETENTION_DAYS = 17  # type: ignore[attr-defined]
    assert acme.effective_retention_days == 17
    acme.retention_days = 3
    assert acme.effective_retention_days == 3
