"""The OpenAPI schema, and how it names our ways to authenticate; drf-spectacular finds those once they are imported."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.views import SpectacularAPIView

from heliograph.accounts.doors import OPEN


class SchemaView(SpectacularAPIView):
    """What this API is, for everybody: it says nothing of any project."""

    needs = OPEN


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its registry has no types
    """How the schema names the key."""

    target_class = "heliograph.api.authentication.ApiKeyAuthentication"
    name = ["bearer", "apiKey"]

    def get_security_definition(self, auto_schema: Any) -> Any:
        """Return both ways to send it."""
        return [
            {"type": "http", "scheme": "bearer", "description": "A project's API key."},
            {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "A project's API key."},
        ]

    def get_security_requirement(self, auto_schema: Any) -> Any:
        """Return them as alternatives."""
        return [{"bearer": []}, {"apiKey": []}]


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # see above
    """How the schema names the login."""

    target_class = "heliograph.api.authentication.ProjectSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> Any:
        """Return the cookie."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "A login; needs ?project=."}
