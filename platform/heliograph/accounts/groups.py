"""Groups of an identity provider, and the roles in organisations that the settings give them (docs/people.md).

In an organisation that the mapping names, groups decide: whoever signs in by the provider has there the highest role of
their groups, and none without one. Roles in single projects are left alone.
"""

import logging
from typing import Any

from django.conf import settings

from heliograph.accounts import people
from heliograph.accounts.models import Membership, Organization, User
from heliograph.accounts.people import PeopleError
from heliograph.accounts.roles import Role

logger = logging.getLogger(__name__)
# Large directories put people into hundreds; more than this is another kind of list.
MAX_GROUPS = 5_000


def groups_in(claims: dict[str, Any]) -> frozenset[str]:
    """Return the groups of some claims: a list of names, or one name."""
    found = claims.get(settings.OIDC_GROUPS_CLAIM)
    if isinstance(found, str):
        found = [found]
    return (
        frozenset(each for each in found[:MAX_GROUPS] if isinstance(each, str))
        if isinstance(found, list)
        else frozenset()
    )


def roles_of(groups: frozenset[str]) -> dict[str, Role | None]:
    """Return the role in each organisation that the mapping names, by its name; None is no place there."""
    roles: dict[str, Role | None] = {}
    for group, places in settings.OIDC_GROUP_ROLES.items():
        for name, value in places.items():
            current = roles.setdefault(name, None)
            if group in groups and value in Role.values:
                role = Role(value)
                roles[name] = role if current is None or current.rank < role.rank else current
    return roles


def organization_of(name: str) -> Organization | None:
    """Return the one organisation of a name; None, with a word in the log, where there is none or are several."""
    found = list(Organization.objects.filter(name=name)[:2])
    if len(found) == 1:
        return found[0]
    logger.error("HELIOGRAPH_OIDC_GROUP_ROLES: %s organisations are called %r", len(found) or "no", name)
    return None


def place(user: User, organization: Organization, role: Role | None) -> None:
    """Give somebody the role of their groups, or take what they have; an organisation's last owner stays."""
    current = Membership.objects.filter(organization=organization, user=user).first()
    if (current.role if current else None) == role:
        return
    try:
        people.set_role(organization, user, role)
    except PeopleError as error:
        logger.warning("%s keeps the role in %s against their groups: %s", user, organization, error)
