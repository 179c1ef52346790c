"""What a fresh installation needs before the first person comes: one organisation, one project, one user."""

import secrets
from dataclasses import dataclass

from django.conf import settings

from heliograph.accounts.models import ApiKey, Membership, Organization, Project, User

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


def local_key() -> str:
    """Return the key by which this machine's own senders write to the default project; '' where none is needed.

    It is made once and kept in the data folder, readable by its owner only; a revoked one is replaced.
    """
    if settings.ALLOW_KEYLESS_INGEST:
        return ""
    path = settings.DATA_DIR / "local-key"
    key: str = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    if not key or ApiKey.project_of(key) is None:
        _, key = ApiKey.issue(ensure_default_project(), "this machine's own senders")
        path.touch(mode=0o600)
        path.write_text(key, encoding="utf-8")
    return key


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
