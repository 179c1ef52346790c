"""Who asks, and for which project: `request.auth` is the project in every view of this room."""

from typing import Any

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotFound, ValidationError
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from heliograph.accounts.models import ApiKey, Membership, Project, User

# Far above any key of ours; it bounds what is hashed.
_MAX_KEY_CHARACTERS = 200


def key_of(request: HttpRequest | Request) -> str:
    """Return the API key of a request, from `Authorization: Bearer` or `x-api-key`; '' without one."""
    scheme, _, credentials = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer":
        return str(credentials.strip())
    return str(request.META.get("HTTP_X_API_KEY", "").strip())


class ApiKeyAuthentication(BaseAuthentication):
    """A program with a project's key."""

    def authenticate(self, request: Request) -> tuple[None, Project] | None:
        """Return the key's project, or None where no key was sent. Raises AuthenticationFailed for a wrong key."""
        key = key_of(request)
        if not key:
            return None
        project = ApiKey.project_of(key) if len(key) <= _MAX_KEY_CHARACTERS else None
        if project is None:
            raise AuthenticationFailed("The API key is unknown or revoked.")
        return None, project

    def authenticate_header(self, request: Request) -> str:
        """Make a request without a key a 401 that says what is wanted."""
        return 'Bearer realm="heliograph"'


class ProjectSessionAuthentication(SessionAuthentication):
    """A person who is logged in, for the project named by `?project=`. Unsafe methods need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, Project] | None:
        """Return the person and the project. Raises NotFound for a project that the person may not see."""
        found = super().authenticate(request)
        if found is None:
            return None
        user: Any = found[0]
        slug = request.query_params.get("project", "")
        if not slug:
            raise ValidationError({"project": ["Name the project: ?project=its-slug."]})
        project = Project.objects.visible_to(user).filter(slug=slug).first()
        if project is None:
            raise NotFound("You have no such project.")
        return user, project


class HasProject(BasePermission):
    """A project was chosen; a viewer of its organisation may read only."""

    message = "Viewers may not write."

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether the request may go on."""
        project = request.auth
        if not isinstance(project, Project):
            return False
        if request.method in SAFE_METHODS or not isinstance(request.user, User):
            return True
        writers = (Membership.Role.OWNER, Membership.Role.EDITOR)
        memberships = Membership.objects.filter(organization=project.organization_id, user=request.user)
        return memberships.filter(role__in=writers).exists()
