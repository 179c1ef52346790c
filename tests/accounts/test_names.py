"""Two who take one name at the same moment: one gets it, and the other is told."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from heliograph.accounts import people
from heliograph.accounts.models import Membership, Organization, Project, User
from heliograph.accounts.people import PeopleError
from heliograph.accounts.roles import Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Project:
    return Project.create(Organization.objects.create(name="Acme"), "Chat bot")


@pytest.fixture
def somebody_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the name taken between the question whether it is free and the writing."""

    def after_another(make: Callable[..., User]) -> Callable[..., User]:
        def made(*given: Any, **named: Any) -> User:
            User(username=given[0] if given else named["username"]).save()
            return make(*given, **named)

        return made

    for name in ("create_user", "create"):
        monkeypatch.setattr(User.objects, name, after_another(getattr(User.objects, name)))


@pytest.mark.usefixtures("somebody_is_faster")
def test_who_joins_by_a_name_that_is_taken_at_that_moment_keeps_the_invitation(acme: Project) -> None:
    alice = User(username="alice")
    alice.save()
    Membership.objects.create(organization=acme.organization, user=alice, role=Role.OWNER)
    invitation = people.invite(acme, Role.VIEWER, alice)
    with pytest.raises(PeopleError, match="taken"):
        people.join(invitation, "bob", "a long password 1")
    invitation.refresh_from_db()
    assert invitation.is_open
    with pytest.raises(PeopleError, match="taken"):
        people.create_service_account(acme, "robot", Role.VIEWER)


@pytest.mark.usefixtures("acme", "somebody_is_faster")
def test_a_command_that_creates_somebody_who_is_there_by_then_says_so() -> None:
    with pytest.raises(CommandError, match="already"):
        call_command("users", "create", "bob")
    assert not Membership.objects.exists()


@pytest.mark.usefixtures("acme")
def test_a_name_is_taken_in_whatever_case() -> None:
    call_command("users", "create", "bob")
    with pytest.raises(CommandError, match="already"):
        call_command("users", "create", "Bob")
