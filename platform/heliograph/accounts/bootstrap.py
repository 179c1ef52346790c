"""What a fresh installation needs before the first person comes: one organisation, one project, one user."""

import secrets
from dataclasses import dataclass

from django.conf import settings

from heliograph.accounts.models import ApiKey, Membership, Organization, Project, User
from heliograph.accounts.roles import Scope
from heliograph.telemetry import KEY_FILE

DEFAULT_PROJECT_SLUG = "default"
OWN_PROJECT_SLUG = "heliograph"
_OWN_KEY = "Heliograph's own telemetry"
# As many as `openssl rand -hex 16` gives, after the prefix.
_SHORTEST_KEY = 35


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


def ensure_own_project(given: str = "") -> Project:
    """Return the project for Heliograph's own telemetry, with a key; make what is missing.

    The key is `given`, where processes share no folder, else one in the data folder. The project is in an organisation
    of its own: what an installation does is not for every member of some team. Raises ValueError for a key that could
    be guessed.
    """
    if given and (not given.startswith(ApiKey.PREFIX) or len(given) < _SHORTEST_KEY):
        raise ValueError(f"begins with {ApiKey.PREFIX} and has {_SHORTEST_KEY} characters or more")
    project = Project.objects.filter(slug=OWN_PROJECT_SLUG).first()
    if project is None:
        organization = Organization.objects.create(name="This installation")
        project = Project.objects.create(organization=organization, name="Heliograph", slug=OWN_PROJECT_SLUG)
    for user in User.objects.filter(is_superuser=True):
        place = {"organization": project.organization, "user": user}
        Membership.objects.get_or_create(**place, defaults={"role": Membership.Role.OWNER})
    if given:
        values = {"project": project, "name": _OWN_KEY, "hint": given[:9], "scopes": [Scope.INGEST.value]}
        # One that was revoked stays so.
        ApiKey.objects.get_or_create(digest=ApiKey.digest_of(given), defaults=values)
        return project
    path = settings.DATA_DIR / KEY_FILE
    key = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    if not key or ApiKey.project_of(key) is None:
        _, key = ApiKey.issue(project, _OWN_KEY)
        path.touch(mode=0o600)
        path.write_text(key, encoding="utf-8")
    return project


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
