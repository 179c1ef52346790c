"""What a fresh installation needs before the first person comes: one organisation, one project, one user."""

import secrets
from dataclasses import dataclass

from heliograph.accounts.models import Membership, Organization, Project, User

DEFAULT_PROJECT_SLUG = "default"


@dataclass(frozen=True, slots=True)
class FirstUser:
    """The first user; `password` is None where the user existed already."""

    user: User
    password: str | None


def ensure_default_project() -> Project:
    """Return the project `default`, which receives keyless local exports; create it where it is missing."""
    existing = Project.objects.filter(slug=DEFAULT_PROJECT_SLUG).first()
    if existing:
        return existing
    organization = Organization.objects.create(name="Default organization")
    return Project.objects.create(organization=organization, name="Default", slug=DEFAULT_PROJECT_SLUG)


def ensure_first_user(password: str = "") -> FirstUser:
    """Return the user `admin`, an owner of the default organisation.

    A missing user is created with `password`, or with a generated one that is returned once. An existing user's
    password is left alone.
    """
    project = ensure_default_project()
    user = User.objects.filter(username="admin").first()
    if user:
        return FirstUser(user, None)
    password = password or secrets.token_urlsafe(12)
    user = User.objects.create_superuser("admin", password=password)
    Membership.objects.create(organization=project.organization, user=user, role=Membership.Role.OWNER)
    return FirstUser(user, password)
