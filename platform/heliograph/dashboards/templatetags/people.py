"""What a page shows by who reads it."""

from typing import Any

from django import template

from heliograph.accounts.models import Project, User
from heliograph.accounts.permissions import may
from heliograph.accounts.roles import Capability

register = template.Library()


@register.simple_tag(takes_context=True)
def reader_may(context: dict[str, Any], capability: str) -> bool:
    """Whether the reader may do something in the page's project."""
    user, project = context["request"].user, context.get("project")
    return isinstance(user, User) and isinstance(project, Project) and may(user, project, Capability(capability))
