"""Pages are rendered without `collectstatic`, so static files keep their plain names; somebody is signed in."""

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from django.test import Client
from pytest_django import Settings

from heliograph.accounts.models import Membership, Organization, Project, User
from tests.query.rows import HOUR

Signed = Callable[..., Client]
# The hour that tests/query/rows.py fills, as an address carries it.
IN_HOUR = urlencode({"from": HOUR.start.isoformat(), "to": HOUR.end.isoformat()})


@pytest.fixture(autouse=True)
def plain_static_names(settings: Settings) -> None:
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}


@pytest.fixture
def signed_in(project: Project) -> Signed:
    """Return a function that gives the browser of a member, by role and organisation."""

    def sign_in(role: str = Membership.Role.EDITOR, organization: Organization | None = None) -> Client:
        # Hashing a password takes a second, and nobody types one here.
        user = User.objects.create(username=f"user-{User.objects.count()}")
        organization = organization or project.organization
        Membership.objects.create(organization=organization, user=user, role=role)
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def reader(signed_in: Signed) -> Client:
    """The browser of an editor of the project."""
    return signed_in()
