"""Who asks, for which project, and may they: `request.auth` is the project in every view of this room."""

from typing import Any

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotFound, PermissionDenied, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from heliograph.accounts.doors import Door, needs_of
from heliograph.accounts.factors import missing_for
from heliograph.accounts.models import ApiKey, Project, User
from heliograph.accounts.permissions import capabilities_of, capabilities_of_key
from heliograph.accounts.roles import MEANING, OF_SCOPE, Capability

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
        sent = key_of(request)
        if not sent:
            return None
        key = ApiKey.active(sent) if len(sent) <= _MAX_KEY_CHARACTERS else None
        if key is None:
            raise AuthenticationFailed("The API key is unknown, revoked or expired.")
        request._request.api_key = key  # type: ignore[attr-defined]  # for Permitted and the audit log
        return None, key.project

    def authenticate_header(self, request: Request) -> str:
        """Make a request without a key a 401 that says what is wanted."""
        return 'Bearer realm="heliograph"'


class ProjectSessionAuthentication(SessionAuthentication):
    """A person who is logged in, for the project named by `?project=`. Unsafe methods need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, Project] | None:
        """Return the person and the project. Raises NotFound for a project that the person may not see.

        Raises PermissionDenied for somebody without a second factor that their organisation requires.
        """
        found = super().authenticate(request)
        if found is None:
            return None
        user: Any = found[0]
        if organization := missing_for(user):
            raise PermissionDenied(f"{organization} requires a second factor: switch yours on at /security.")
        slug = request.query_params.get("project", "")
        if not slug:
            raise ValidationError({"project": ["Name the project: ?project=its-slug."]})
        project = Project.objects.visible_to(user).filter(slug=slug).first()
        if project is None:
            raise NotFound("You have no such project.")
        return user, project


class Permitted(BasePermission):
    """A project was chosen, and who asks may do there what the view's `needs` say."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether the request may go on."""
        needs = needs_of(type(view))
        if needs is None:
            return False
        needed = needs.of(request.method)
        if needed == Door.OPEN:
            return True
        if not isinstance(request.auth, Project) or not isinstance(needed, Capability):
            return False
        if needed in _capabilities(request, request.auth):
            return True
        self.message = _refusal(needed, by_key=not isinstance(request.user, User))
        return False


def _capabilities(request: Request, project: Project) -> frozenset[Capability]:
    if isinstance(request.user, User):
        return capabilities_of(request.user, project)
    return capabilities_of_key(request._request.api_key)  # type: ignore[attr-defined]  # see ApiKeyAuthentication


def _refusal(needed: Capability, *, by_key: bool) -> str:
    """Say what is missing and who can help."""
    if not by_key:
        return f"Your role in this project does not let you {MEANING[needed]}. Ask an admin for a higher one."
    scopes = [scope.value for scope, allowed in OF_SCOPE.items() if needed in allowed]
    wanted = f"one with the scope {' or '.join(scopes)}" if scopes else "no key does that; a person may"
    return f"This API key may not {MEANING[needed]}: {wanted}."
